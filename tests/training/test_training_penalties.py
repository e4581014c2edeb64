"""Penalties: values against NumPy, gradients against finite differences, what they refuse, and that they work."""

from __future__ import annotations

import json
import shutil
import tomllib
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from unrollbit import ADMM, AMP, FISTA, ISTA, FullyConnected, GradientDescent, Stage, Unrolled, fit
from unrollbit.cli.config import build_run
from unrollbit.operators import BlockDiagonal, Composition, LinearOperator, Rademacher, SubsampledDCT, gaussian
from unrollbit.problems import SparseRecovery
from unrollbit.training import Contraction, FlipPenalty, LogNMSE, Penalty, SupportContraction, grown
from unrollbit.training.penalties import largest_singular_value
from unrollbit.variables import BinaryParam
from unrollbit.weights import FullPrecision, OneBit, anchored, in_signal_domain, normalised

TALL, WIDE = gaussian(16, 8), gaussian(8, 16)
KEY = jax.random.key(0)
ALGORITHMS = [GradientDescent(), ISTA(), ISTA(parametrisation="classic"), ADMM()]
quiet = partial(fit, progress=False)


def network(algorithm=None, A: LinearOperator = TALL, depth: int = 3, weights=FullPrecision, **options) -> Unrolled:
    """With matrices and scalars away from their start, where singular values repeat."""
    net = Unrolled(algorithm or ISTA(), A, depth, weights, **options)
    parameters = nnx.state(net, nnx.Param)
    leaves, tree = jax.tree.flatten(parameters)
    keys = jax.random.split(KEY, len(leaves))
    moved = [leaf + 0.3 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    nnx.update(net, jax.tree.unflatten(tree, moved))
    return net


def signals(n: int, depth: int = 3, batch: int = 5) -> tuple[jax.Array, jax.Array]:
    """Sparse x (batch, n) and estimates (depth, batch, n) with zeros of their own."""
    keys = jax.random.split(KEY, 4)
    x = jax.random.normal(keys[0], (batch, n)) * (jax.random.uniform(keys[1], (batch, n)) < 0.3)
    shape = (depth, batch, n)
    return jax.random.normal(keys[2], shape) * (jax.random.uniform(keys[3], shape) < 0.4), x


def contraction_by_hand(net: Unrolled, weight: float, limit: float) -> float:
    total, A = 0.0, np.asarray(net.operator.dense(), np.float64)
    for k in range(net.depth):
        H, G = (np.asarray(part[k], np.float64) for part in net.linear_parts())
        matrix = np.eye(A.shape[1]) - 2 * G @ A if net.algorithm.form == "admm" else H
        total += max(0.0, np.linalg.svd(matrix, compute_uv=False)[0] - limit) ** 2
    return weight * total


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
def test_contraction_by_svd(algorithm) -> None:
    net = network(algorithm)
    estimates, x = signals(8)
    norms = [contraction_by_hand(net, 1.0, limit) for limit in (1e-6, 0.8)]
    assert norms[0] > norms[1] > 0
    for penalty in (Contraction(), Contraction(2.5, 0.3), Contraction(1.0, 1e3)):
        expected = contraction_by_hand(net, penalty.weight, penalty.limit)
        assert float(penalty(net, estimates, x)) == pytest.approx(expected, rel=2e-5, abs=1e-7)
        assert float(penalty(net, estimates[-1:], x)) == pytest.approx(expected, rel=2e-5, abs=1e-7)


PROJECTED = GradientDescent(ISTA().shrinkage)  # a shrinkage makes it the form of ISTA


@pytest.mark.parametrize("algorithm", [ISTA(), ISTA(parametrisation="classic"), PROJECTED], ids=str)
def test_support_contraction_by_svd(algorithm) -> None:
    net = network(algorithm, WIDE)
    estimates, x = signals(16)
    penalty = SupportContraction(weight=3.0, limit=0.4, outside=0.1, signals=2)
    H = np.asarray(net.linear_parts()[0], np.float64)
    truth, found = np.asarray(x) != 0, np.asarray(estimates)
    expected = 0.0
    for b in range(2):
        before = truth[b]
        for k in range(3):
            after = truth[b] | (found[k, b] != 0)
            expected += 3.0 / 2 * max(0.0, np.linalg.svd(H[k][np.ix_(after, before)], compute_uv=False)[0] - 0.4) ** 2
            before = after
    assert expected > 1.0
    outside = 0.1 * sum(np.abs(found[:, b][:, ~truth[b]]).sum() for b in range(5)) / 5
    assert float(penalty(net, estimates, x)) == pytest.approx(expected + outside, rel=2e-5)
    # the first layers alone, as in a stage that grows the network
    shallow = float(penalty(net, estimates[:1], x) - penalty(network(algorithm, WIDE, 1), estimates[:1] * 0, x * 0))
    assert 0 < shallow < expected + outside
    assert float(SupportContraction(signals=1, outside=0.0)(net, estimates * 0, x * 0)) == 0.0


def test_flip_penalty_by_hand() -> None:
    A = BlockDiagonal(jnp.array([[[1.0, -2.0], [0.0, 3.0]], [[-1.0, -1.0], [2.0, 2.0]]]))  # signs + - / + +, - - / + +
    latents = jnp.array([[[0.5, 2.0], [-3.0, -0.25]], [[-1.0, -1.0], [4.0, -1.5]]])
    net = Unrolled(ISTA(), A, 2, distinct=1)
    net.maps["W"].latents[...] = latents[None, None]
    x = jnp.zeros((1, 4))
    assert float(FlipPenalty(4.0)(net, x[None], x)) == pytest.approx(4.0 * (2.0 + 3.0 + 0.25 + 1.5) / 8)
    untied = Unrolled(ISTA(), A, 2, normalised(OneBit.for_map))
    assert float(FlipPenalty()(untied, x[None], x)) == 0.0
    untied.maps["W"].inner.latents[...] = jnp.stack([latents, -latents])[:, None]
    assert float(FlipPenalty()(untied, x[None], x)) == pytest.approx(float(jnp.abs(latents).sum()) / 16)


@pytest.mark.parametrize("operator", [Rademacher(8, 16), gaussian(8, 16)], ids=lambda A: type(A).__name__)
def test_signs_of_the_physics_cost_nothing_and_a_flip_its_latent(operator: LinearOperator) -> None:
    net, x = Unrolled(ADMM(), operator, 3), jnp.zeros((1, 16))
    net.maps["W"].latents[...] = jnp.where(operator.dense() >= 0, 1.0, -1.0)[None, None] * jnp.ones((3, 1, 1, 1))
    assert float(FlipPenalty()(net, x[None], x)) == 0.0
    net.maps["W"].latents[...] = net.maps["W"].latents[...].at[1, 0, 2, 3].multiply(-0.5)
    assert float(FlipPenalty(384.0)(net, x[None], x)) == pytest.approx(0.5)


CASES = [
    (Contraction(10.0, 0.3), GradientDescent(), TALL),
    (Contraction(10.0, 0.3), ISTA(), TALL),
    (Contraction(10.0, 0.3), ISTA(parametrisation="classic"), WIDE),
    (Contraction(10.0, 0.3), ADMM(), TALL),
    (SupportContraction(10.0, 0.3), ISTA(), WIDE),
    (SupportContraction(10.0, 0.3), ISTA(parametrisation="classic"), WIDE),
]


NAMES = [f"{type(penalty).__name__}-{algorithm}-{A.shape}" for penalty, algorithm, A in CASES]


@pytest.mark.parametrize(("penalty", "algorithm", "A"), CASES, ids=NAMES)
def test_gradients_by_finite_differences(penalty: Penalty, algorithm, A: LinearOperator) -> None:
    """Along random directions in all parameters of the network, in float64."""
    graph, parameters, rest = nnx.split(network(algorithm, A), nnx.Param, ...)
    estimates, x = signals(A.shape[1])
    with jax.enable_x64(True):
        parameters, rest = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), (parameters, rest))
        estimates, x = jnp.asarray(estimates, jnp.float64), jnp.asarray(x, jnp.float64)

        def value(state):
            net = nnx.merge(graph, state, rest)
            net.linear_parts = partial(Unrolled.linear_parts, net, jnp.float64)
            return penalty(net, estimates, x)

        gradient = jax.grad(value)(parameters)
        for seed in range(3):
            key = jax.random.key(seed)
            direction = jax.tree.map(lambda leaf, key=key: jax.random.normal(key, leaf.shape, jnp.float64), parameters)
            along = sum(jax.tree.leaves(jax.tree.map(lambda g, d: jnp.vdot(g, d), gradient, direction)))
            ahead, behind = (jax.tree.map(lambda p, d, h=h: p + h * d, parameters, direction) for h in (1e-6, -1e-6))
            expected = (value(ahead) - value(behind)) / 2e-6
            assert abs(float(expected)) > 1e-3
            assert float(along) == pytest.approx(float(expected), rel=1e-5)


def test_the_gradient_of_flips() -> None:
    net, x = network(weights=OneBit), jnp.zeros((1, 8))
    graph, latents, rest = nnx.split(net, BinaryParam, ...)
    gradient = jax.grad(lambda state: FlipPenalty(2.0)(nnx.merge(graph, state, rest), x[None], x))(latents)
    signs = np.where(np.asarray(TALL.dense()) >= 0, 1.0, -1.0)
    against = signs * np.asarray(net.maps["W"].latents[...]) < 0
    assert 0 < against.sum() < against.size
    (found,) = jax.tree.leaves(gradient)
    np.testing.assert_allclose(found, -2.0 * signs * against / against.size, rtol=1e-6)


def test_norms_of_zero_repeated_and_tiny_matrices_have_gradients() -> None:
    value, gradient = jax.value_and_grad(largest_singular_value)(jnp.zeros((3, 3)))
    assert float(value) < 1e-12
    assert np.isfinite(gradient).all()
    value, gradient = jax.value_and_grad(largest_singular_value)(2.0 * jnp.eye(3))  # any of three is a subgradient
    assert float(value) == pytest.approx(2.0)
    assert float(jnp.sum(gradient**2)) == pytest.approx(1.0)
    assert float(jnp.trace(gradient)) == pytest.approx(1.0)
    stack = jax.random.normal(KEY, (4, 2, 5, 7))
    expected = np.linalg.norm(np.asarray(stack, np.float64), 2, axis=(-2, -1))
    np.testing.assert_allclose(largest_singular_value(stack), expected, rtol=1e-6)


WRONG_NUMBERS = [
    (lambda: Contraction(weight=0.0), r"Contraction: expected weight > 0, got 0\.0"),
    (lambda: Contraction(weight=float("inf")), "Contraction: expected weight > 0, got inf"),
    (lambda: Contraction(limit=-0.5), r"Contraction: expected limit > 0, got -0\.5"),
    (lambda: Contraction(limit=float("nan")), "Contraction: expected limit > 0, got nan"),
    (lambda: SupportContraction(weight=-1.0), r"SupportContraction: expected weight > 0, got -1\.0"),
    (lambda: SupportContraction(limit=0.0), r"SupportContraction: expected limit > 0, got 0\.0"),
    (lambda: SupportContraction(outside=-0.1), r"SupportContraction: expected outside >= 0, got -0\.1"),
    (lambda: SupportContraction(outside=float("nan")), "SupportContraction: expected outside >= 0, got nan"),
    (lambda: SupportContraction(signals=0), "SupportContraction: expected an integer signals >= 1, got 0"),
    (lambda: SupportContraction(signals=True), "SupportContraction: expected an integer signals >= 1, got True"),
    (lambda: FlipPenalty(0.0), r"FlipPenalty: expected weight > 0, got 0\.0"),
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
        "Contraction: expected an unrolled network, .* got FullyConnected",
    ),
    (lambda: FullyConnected(TALL, 3), SupportContraction(), "SupportContraction: expected an unrolled network"),
    (lambda: FullyConnected(TALL, 3, 8, OneBit), FlipPenalty(), "FlipPenalty: expected a map of the shape of A"),
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
    (lambda: Unrolled(ISTA(), TALL, 2, FullPrecision), FlipPenalty(), "got W: FullPrecision; a stage with quantised"),
    (lambda: Unrolled(ISTA(), TALL, 2, partial(OneBit.for_map, planes=2)), FlipPenalty(), "one plane of trained signs"),
    (lambda: Unrolled(ISTA(), TALL, 2, anchored(OneBit.for_map)), FlipPenalty(), "got W: Anchored"),
    (lambda: Unrolled(ISTA(), COMPOSED, 2, in_signal_domain(OneBit.for_map)), FlipPenalty(), "got W: Transformed"),
    (lambda: Unrolled(ISTA(parametrisation="classic"), TALL, 2), FlipPenalty(), "got W1: OneBit, W2: OneBit"),
]


@pytest.mark.parametrize("case", range(len(REFUSED)), ids=[message for *_, message in REFUSED])
def test_networks_without_a_meaning_are_refused_before_training(case: int, tmp_path: Path) -> None:
    make, penalty, message = REFUSED[case]
    net = make()
    stages = [Stage(1, batch=4, loss=LogNMSE()), Stage(1, batch=4, loss=LogNMSE(), penalties=(penalty,))]
    with pytest.raises(ValueError, match=message):
        quiet(net, None, stages, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_unquantised_stages_take_contractions_and_no_flips() -> None:
    net = Unrolled(GradientDescent(), TALL, 2)
    with pytest.raises(ValueError, match="a stage with quantised = False trains no signs"):
        quiet(net, None, [Stage(1, quantised=False, penalties=(FlipPenalty(),))])
    for limit, A in ((1.0, WIDE), (0.8, TALL)):
        Contraction(limit=limit).check(Unrolled(GradientDescent(), A, 2))
    problem = SparseRecovery(16, 8, sparsity=1.0)
    quiet(Unrolled(GradientDescent(), problem, 2), problem, [Stage(2, quantised=False, penalties=(Contraction(),))])


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


def test_losses_of_the_last_layer_and_penalties_of_all_layers_work_together() -> None:
    """The loss recorded is the sum of all; that of the last layer never sees the estimates that a penalty asks for."""
    problem = SparseRecovery(8, 16, sparsity=0.2)
    penalties, records = (SupportContraction(), FlipPenalty()), []
    for chosen in ((), penalties):
        net = network(ISTA(), problem.operator, weights=OneBit)
        stage = Stage(1, batch=4, depth=2, loss=LogNMSE(), penalties=chosen)
        records.append(quiet(net, problem, [stage]).records[0])
    assert records[0]["nmse_db"] == pytest.approx(records[1]["nmse_db"], rel=1e-5)
    x, y = problem.sample(jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 0), 0), 4)
    net = network(ISTA(), problem.operator, weights=OneBit)
    expected = sum(float(penalty(net, net(y, iterates=True, depth=2), x)) for penalty in penalties)
    assert records[1]["loss"] - records[0]["loss"] == pytest.approx(expected, rel=1e-4)
    assert expected > 0.1


def test_fewer_flips_with_the_penalty() -> None:
    problem = SparseRecovery(12, 24, sparsity=0.15, seed=1)
    signs = np.asarray(problem.operator.dense()) >= 0

    def flips(*penalties: Penalty) -> int:
        net = Unrolled(ISTA(), problem, 3, distinct=1)
        rates = {"scalars": 1e-2, "signs": 3e-2}
        quiet(net, problem, [Stage(100, batch=16, rates=rates, penalties=penalties)])
        return int((signs != (np.asarray(net.maps["W"].latents[...])[0, 0] >= 0)).sum())

    assert flips(FlipPenalty(100.0)) < 0.5 * flips()


PENALTIES = (Contraction(2.0, 1.5), SupportContraction(1.0, 0.7, 0.5, 3), FlipPenalty(0.25))


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


def test_a_run_resumes_only_with_its_penalties(tmp_path: Path) -> None:
    problem = SparseRecovery(16, 8, sparsity=1.0)

    def run(penalty: Penalty, **options) -> Unrolled:
        net = Unrolled(GradientDescent(), problem, 2)
        quiet(net, problem, [Stage(6, batch=4, penalties=(penalty,))], out=tmp_path / "run", chunk=2, **options)
        return net

    first = run(Contraction(), checkpoint_seconds=0.0)
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "6")  # as if killed before the end
    again = run(Contraction(), resume=True)
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="started with another network, problem, seed or stages"):
        run(Contraction(limit=0.9), resume=True)
