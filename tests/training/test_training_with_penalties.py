"""Penalties in training: what is refused before it starts, that they work, and that runs remember them."""

from __future__ import annotations

import json
import tomllib
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from unrollbit import ADMM, AMP, FISTA, ISTA, FullyConnected, GradientDescent, Stage, Unrolled, fit
from unrollbit.cli.config import build_run
from unrollbit.formats import Anchored, FullPrecision, OneBit, SignalDomain
from unrollbit.operators import Composition, Rademacher, SubsampledDCT, gaussian
from unrollbit.problems import SparseRecovery
from unrollbit.training import Contraction, FlipPenalty, LogNMSE, Penalty, SupportContraction, grown
from unrollbit.training.validation import power_of_two

TALL, WIDE = gaussian(16, 8), gaussian(8, 16)
quiet = partial(fit, progress=False)


WRONG_NUMBERS = [
    (lambda: Contraction(weight=0.0), r"Contraction: expected weight > 0 .*got 0\.0"),
    (lambda: Contraction(weight=float("inf")), "Contraction: expected weight > 0 .*got inf"),
    (lambda: Contraction(limit=-0.5), r"Contraction: expected limit > 0 .*got -0\.5"),
    (lambda: Contraction(limit=float("nan")), "Contraction: expected limit > 0 .*got nan"),
    (lambda: SupportContraction(weight=-1.0), r"SupportContraction: expected weight > 0 .*got -1\.0"),
    (lambda: SupportContraction(limit=0.0), r"SupportContraction: expected limit > 0 .*got 0\.0"),
    (lambda: SupportContraction(outside=-0.1), r"SupportContraction: expected outside >= 0, got -0\.1"),
    (lambda: SupportContraction(outside=float("nan")), "SupportContraction: expected outside >= 0, got nan"),
    (lambda: SupportContraction(signals=0), "SupportContraction: expected an integer signals >= 1, got 0"),
    (lambda: SupportContraction(signals=True), "signals: expected an int, got True"),
    (lambda: FlipPenalty(0.0), r"FlipPenalty: expected weight > 0 .*got 0\.0"),
    (lambda: Stage(1, penalties=[Contraction()]), "expected penalties as a tuple of Penalty objects, got"),
    (lambda: Stage(1, penalties=(LogNMSE(),)), "expected penalties as a tuple of Penalty objects, got"),
    (lambda: Stage.from_spec({"steps": 1, "penalties": {"kind": "Contraction"}}), "expected a list of penalties, got"),
    (
        lambda: Stage.from_spec({"steps": 1, "penalties": [{"kind": "L2"}]}),
        "unknown kind of Penalty 'L2'; expected one",
    ),
    (lambda: Stage.from_spec({"steps": 1, "penalties": [{"kind": "FlipPenalty", "limit": 1}]}), "no field 'limit'"),
]


@pytest.mark.parametrize(("make", "message"), WRONG_NUMBERS, ids=[message for _, message in WRONG_NUMBERS])
def test_wrong_numbers_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


COMPOSED = Composition(Rademacher(8, 16), SubsampledDCT((16,), 16))
REFUSED = [
    (
        lambda: FullyConnected(TALL, 3),
        Contraction(),
        "Contraction: the layers have no normal form .FullyConnected: not an unrolled",
    ),
    (
        lambda: FullyConnected(TALL, 3),
        SupportContraction(),
        "SupportContraction: the layers have no normal form .FullyConnected",
    ),
    (lambda: FullyConnected(TALL, 3, 8, OneBit()), FlipPenalty(), "FlipPenalty: expected a map of the shape of A"),
    (lambda: Unrolled(AMP(), TALL, 2), Contraction(), "Contraction: the layers have no normal form .*AMP"),
    (lambda: Unrolled(FISTA(), TALL, 2), Contraction(), "Contraction: the layers have no normal form .*FISTA"),
    (lambda: Unrolled(ISTA(adaptive=True), TALL, 2), SupportContraction(), "no normal form .*adaptive thresholds"),
    (
        lambda: Unrolled(ISTA(), WIDE, 2),
        Contraction(),
        r"limit 0\.8 with fewer measurements \(8\) than unknowns \(16\)",
    ),
    (lambda: Unrolled(ADMM(), WIDE, 2), Contraction(), "use SupportContraction, or a limit of at least 1"),
    (lambda: Unrolled(ADMM(), WIDE, 2), SupportContraction(), r"the estimates of ADMM.* have no supports$"),
    (lambda: Unrolled(GradientDescent(), TALL, 2), SupportContraction(), "have no supports; use Contraction"),
    (
        lambda: Unrolled(ISTA(), TALL, 2, FullPrecision()),
        FlipPenalty(),
        r"got W: FullPrecision\(\); a stage with quantised",
    ),
    (lambda: Unrolled(ISTA(), TALL, 2, OneBit(planes=2)), FlipPenalty(), "one plane of trained signs"),
    (lambda: Unrolled(ISTA(), TALL, 2, Anchored(OneBit())), FlipPenalty(), "got W: Anchored"),
    (lambda: Unrolled(ISTA(), COMPOSED, 2, SignalDomain(OneBit())), FlipPenalty(), "got W: SignalDomain"),
    (lambda: Unrolled(ISTA(parametrisation="classic"), TALL, 2), FlipPenalty(), r"got W1: OneBit\(.*\), W2: OneBit\("),
]


class Untouched:
    """A problem from which nothing is drawn."""

    def sample(self, key, batch):
        raise AssertionError("training has begun")

    split = sample


@pytest.mark.parametrize("case", range(len(REFUSED)), ids=[message for *_, message in REFUSED])
def test_networks_without_a_meaning_are_refused_before_training(case: int, tmp_path: Path) -> None:
    make, penalty, message = REFUSED[case]
    net = make()
    stages = [Stage(1, batch=4, loss=LogNMSE()), Stage(1, batch=4, loss=LogNMSE(), penalties=(penalty,))]
    with pytest.raises(ValueError, match=message):
        quiet(net, Untouched(), stages, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.long
def test_unquantised_stages_take_contractions_and_no_flips() -> None:
    net = Unrolled(GradientDescent(), TALL, 2)
    with pytest.raises(ValueError, match="a stage with quantised = False trains no signs"):
        quiet(net, Untouched(), [Stage(1, quantised=False, penalties=(FlipPenalty(),))])
    for limit, A in ((1.0, WIDE), (0.8, TALL)):
        Contraction(limit=limit).check(Unrolled(GradientDescent(), A, 2))
    problem = SparseRecovery(16, 8, sparsity=1.0)
    quiet(Unrolled(GradientDescent(), problem, 2), problem, [Stage(2, quantised=False, penalties=(Contraction(),))])


@pytest.mark.long
def test_training_lowers_every_norm_below_the_limit() -> None:
    """Freely trained layers expand (as Chebyshev steps do); with the penalty all contract."""
    problem = SparseRecovery(36, 12, sparsity=1.0, seed=3)

    def norms_after_training(*penalties: Penalty) -> np.ndarray:
        net = Unrolled(GradientDescent(), problem, 3)
        rates = {"scalars": 3e-2, "signs": 1e-2}
        quiet(net, problem, [Stage(150, batch=16, rates=rates, loss=LogNMSE(), penalties=penalties)])
        return np.linalg.norm(np.asarray(net.linear_parts()[0]), 2, axis=(-2, -1))

    assert norms_after_training(Contraction(100.0, 0.8)).max() < 0.8
    assert norms_after_training().max() > 1.1


def disturbed(problem: SparseRecovery) -> Unrolled:
    """One-bit ISTA with flips from the signs of A and layers that expand."""
    net = Unrolled(ISTA(), problem, 3)
    latents = net.maps["W"].variables["signs"]
    latents[...] = latents[...] + 0.3 * jax.random.normal(jax.random.key(0), latents.shape)
    net.scalars["step"][...] = net.scalars["step"][...] + 1.0
    return net


@pytest.mark.slow
def test_losses_of_the_last_layer_and_penalties_of_all_layers_work_together() -> None:
    """The loss recorded is the sum of all; that of the last layer never sees the estimates that a penalty asks for."""
    problem = SparseRecovery(8, 16, sparsity=0.2)
    penalties, records = (SupportContraction(), FlipPenalty()), []
    for chosen in ((), penalties):
        net = disturbed(problem)
        stage = Stage(1, batch=4, depth=2, loss=LogNMSE(), penalties=chosen)
        records.append(quiet(net, problem, [stage]).records[0])
    assert records[0]["nmse_db"] == pytest.approx(records[1]["nmse_db"], rel=1e-5)
    x, y = problem.sample(jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 0), 0), 4)
    net = disturbed(problem)
    unit = power_of_two(np.asarray(problem.split("validation").sample(jax.random.key(0), 1024)[0]))
    expected = sum(float(penalty(net, net(y, iterates=True, depth=2) / unit, x / unit)) for penalty in penalties)
    assert records[1]["loss"] - records[0]["loss"] == pytest.approx(expected, rel=1e-4)
    assert expected > 0.1


@pytest.mark.long
def test_fewer_flips_with_the_penalty() -> None:
    problem = SparseRecovery(12, 24, sparsity=0.15, seed=1)
    signs = np.asarray(problem.operator.dense()) >= 0

    def flips(*penalties: Penalty) -> int:
        net = Unrolled(ISTA(), problem, 3, distinct=1)
        rates = {"scalars": 1e-2, "signs": 3e-2}
        quiet(net, problem, [Stage(100, batch=16, rates=rates, penalties=penalties)])
        return int((signs != (np.asarray(net.maps["W"].variables["signs"][...])[0, 0] >= 0)).sum())

    assert flips(FlipPenalty(100.0)) < 0.5 * flips()


PENALTIES = (Contraction(2.0, 1.5), SupportContraction(1.0, 0.7, 0.5, 3), FlipPenalty(0.25))


@pytest.mark.long
def test_specs_and_stages_pass_through_json_and_toml() -> None:
    stage = Stage(3, penalties=PENALTIES)
    assert Stage.from_spec(json.loads(json.dumps(stage.to_spec()))) == stage
    assert "penalties" not in Stage(3).to_spec()
    assert [entry.penalties for entry in grown(4, 10, penalties=PENALTIES)] == [PENALTIES] * 2
    config = tomllib.loads("""
        [problem]
        kind = "SparseRecovery"
        m = 16
        n = 8
        sparsity = 1.0

        [network]
        algorithm = { kind = "GradientDescent" }
        depth = 2

        [[stages]]
        steps = 2
        batch = 4
        penalties = [{ kind = "Contraction", weight = 5.0, limit = 0.9 }, { kind = "FlipPenalty" }]
        """)
    run = build_run(config, Path())
    assert run.stages[0].penalties == (Contraction(5.0, 0.9), FlipPenalty())
    quiet(run.network, run.problem, run.stages)


@pytest.mark.long
def test_a_run_resumes_only_with_its_penalties(tmp_path: Path) -> None:
    problem = SparseRecovery(16, 8, sparsity=1.0)

    def run(penalty: Penalty, **options) -> Unrolled:
        net = Unrolled(GradientDescent(), problem, 2)
        quiet(net, problem, [Stage(6, batch=4, penalties=(penalty,))], out=tmp_path / "run", chunk=2, **options)
        return net

    first = run(Contraction(), checkpoint_seconds=0.0)
    (tmp_path / "run" / "checkpoints" / "6.npz").unlink()  # as if killed before the end
    again = run(Contraction(), resume=True)
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match=r"started otherwise: stages\[0\].penalties\[0\].limit was 0.8 and is 0.9 now"):
        run(Contraction(limit=0.9), resume=True)
