"""`refine` is a deeper network: the last layers again, signal by signal until the estimate stands still."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import FullyConnected, Unrolled, load, nmse_db, pack, refine
from unrollbit.algorithms import ADMM, AMP, FISTA, ISTA, Algorithm, solve
from unrollbit.cli import main
from unrollbit.formats import Fixed, FullPrecision
from unrollbit.metrics import failures
from unrollbit.operators import LinearOperator, Preconditioned, gaussian, gaussian_blocks, ill_conditioned
from unrollbit.problems import SparseRecovery
from unrollbit.shrinkage import BernoulliGaussian, Soft

DEPTH = 4
ALGORITHMS: dict[str, Algorithm] = {
    "amp": AMP(shrinkage=Soft()),
    "amp computed": AMP(shrinkage=Soft(), onsager="computed"),
    "ista": ISTA(regularisation=0.05),
    "fista": FISTA(regularisation=0.05),
    "admm": ADMM(regularisation=0.05),
}
PHYSICS = {
    "dense": lambda: gaussian(16, 32, seed=1),
    "blocks": lambda: gaussian_blocks(2, 8, 16, seed=1),
    "preconditioned": lambda: Preconditioned.of(ill_conditioned(16, 32, 1)),
}
COUNT = 12  # signals, in most tests: programs are compiled for a shape
NEVER = 1e-30  # a tolerance that no signal meets in float32

run = jax.jit(lambda net, y: net(y))


def measured(A: LinearOperator, *batch: int, seed: int = 0) -> jax.Array:
    random = np.random.RandomState(seed)
    x = random.standard_normal((*batch, A.shape[1])) * (random.uniform(size=(*batch, A.shape[1])) < 0.1)
    return A(jnp.asarray(x, jnp.float32))


def varied(algorithm: Algorithm, A: LinearOperator, copies: int) -> Unrolled:
    """A network whose layers all differ: in their scalars and, as far as there are copies, in their matrices."""
    random = np.random.RandomState(0)
    start = Unrolled(algorithm, A, DEPTH, FullPrecision(), distinct=copies)
    matrices = start.maps["W"].dense() * (1 + 0.1 * random.standard_normal((copies, *A.shape)).astype(np.float32))
    weights = FullPrecision().from_matrix(matrices, start.maps["W"].structure, copies=copies)
    scalars = {
        name: raw[...] * (1 + 0.1 * random.standard_normal(raw[...].shape)) for name, raw in start.scalars.items()
    }
    return Unrolled(algorithm, A, DEPTH, {"W": weights}, scalars=scalars)


def deeper(net: Unrolled, rounds: int, cycle: int) -> Unrolled:
    """By hand: a network with a layer of its own for every repetition."""
    layers = [*range(net.depth), *rounds * list(range(net.depth - cycle, net.depth))]
    weights = net.maps["W"]
    matrices = weights.dense()[np.array([k % weights.copies for k in layers])]
    stacked = FullPrecision().from_matrix(matrices, weights.structure, copies=len(layers))
    scalars = {name: raw[...][np.array(layers)] for name, raw in net.scalars.items()}
    return Unrolled(net.algorithm, net.operator, len(layers), {"W": stacked}, scalars=scalars)


def guarded(net: Unrolled, y: jax.Array, last: Any, settled: Any) -> np.ndarray:
    """Signals that never settle keep the network's own estimate where the last one fits the measurement worse."""
    A, own = net.operator, np.asarray(run(net, y))
    worse = [np.linalg.norm(np.asarray(A.accept(y) - A(jnp.asarray(e))), axis=-1) for e in (last, own)]
    return np.where((np.asarray(settled) | (worse[0] <= worse[1]))[:, None], last, own)


@pytest.mark.long
@pytest.mark.grid(4)
@pytest.mark.parametrize(
    ("algorithm", "physics", "copies", "cycle"),
    [
        ("amp", "dense", 1, 4),
        ("amp", "dense", 2, 3),
        ("amp", "dense", 4, 1),
        ("amp", "blocks", 3, 2),
        ("ista", "preconditioned", 4, 2),
        ("amp computed", "dense", 4, 3),
        ("ista", "dense", 1, 3),
        ("ista", "dense", 2, 4),
        ("fista", "dense", 2, 2),
        ("admm", "dense", 1, 2),
        ("admm", "dense", 4, 3),
    ],
)
def test_more_rounds_are_a_network_of_more_layers(algorithm: str, physics: str, copies: int, cycle: int) -> None:
    A = PHYSICS[physics]()
    net = varied(ALGORITHMS[algorithm], A, copies)
    y, rounds = measured(A, 3), 8  # two dispatches
    found = refine(net, y, tolerance=NEVER, layers=rounds * cycle, cycle=cycle)
    expected = guarded(net, y, run(deeper(net, rounds, cycle), y), found.converged)
    np.testing.assert_allclose(found.x, expected, rtol=1e-3, atol=1e-5)
    assert float(jnp.max(jnp.abs(found.x - run(net, y)))) > 1e-3  # the rounds did something


@pytest.mark.long
def test_every_signal_stops_at_its_own_round() -> None:
    A = gaussian(16, 32, seed=1)
    net, y = Unrolled(AMP(), A, DEPTH, FullPrecision(), distinct=2), measured(A, COUNT)
    tolerance, cycle, rounds = 2e-2, 2, 4  # so large a tolerance that one round more is another estimate
    found = refine(net, y, tolerance=tolerance, layers=rounds * cycle, cycle=cycle)
    trail = np.asarray(deeper(net, rounds, cycle)(y, iterates=True))[DEPTH - 1 :: cycle]  # after every round
    change = np.linalg.norm(np.diff(trail, axis=0), axis=-1) / np.linalg.norm(trail[1:], axis=-1)
    still = change <= tolerance
    taken = np.where(still.any(axis=0), 1 + still.argmax(axis=0), rounds)
    assert len(set(taken.tolist())) >= 4  # easy and hard signals in one batch
    assert 0 < still.any(axis=0).sum() < COUNT  # and some that never settle
    np.testing.assert_array_equal(found.layers, DEPTH + cycle * taken)
    np.testing.assert_array_equal(found.converged, still.any(axis=0))
    each = np.arange(COUNT)
    assert (np.abs(trail[-1] - trail[taken, each]).max(axis=-1) > 1e-3).sum() >= 3
    expected = guarded(net, y, trail[taken, each], found.converged)
    np.testing.assert_allclose(found.x, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.long
def test_what_never_settles_fits_no_worse_than_the_network() -> None:
    problem = SparseRecovery(16, 32)
    _, y = problem.sample(jax.random.key(1), 16)
    net = Unrolled(AMP(Soft()), problem, DEPTH, Fixed())  # diverges on some of these
    repeated = np.array([*range(DEPTH), *64 * list(range(DEPTH))])
    scalars = {name: raw[...][repeated] for name, raw in net.scalars.items()}
    deep = np.asarray(run(Unrolled(net.algorithm, problem, len(repeated), Fixed(), scalars=scalars), y))
    found = refine(net, y, layers=256)
    own, A = run(net, y), problem.operator
    left = ~np.asarray(found.converged)
    assert left.any()
    misfit = [np.linalg.norm(np.asarray(y - A(jnp.asarray(e))), axis=-1)[left] for e in (found.x, own, deep)]
    assert (misfit[0] <= misfit[1] * (1 + 1e-5)).all()
    assert (misfit[2] > 10 * misfit[1]).any()  # without the safeguard some would be lost


@pytest.mark.long
def test_finished_signals_stay_exactly_as_they_were() -> None:
    A = gaussian(16, 32, seed=1)
    net, y = Unrolled(AMP(), A, DEPTH, Fixed()), measured(A, COUNT)
    first, last = (refine(net, y, tolerance=1e-3, layers=layers) for layers in (16, 256))
    done = np.asarray(first.converged)
    assert 0 < done.sum() < done.size
    np.testing.assert_array_equal(last.x[done], first.x[done])
    np.testing.assert_array_equal(last.layers[done], first.layers[done])
    assert last.converged[done].all()
    assert (last.layers[~done] > first.layers[~done]).all()
    assert last.converged.sum() > done.sum()


@pytest.mark.long
def test_leading_axes_are_batch_axes() -> None:
    A = gaussian(16, 32, seed=1)
    net, y = Unrolled(AMP(), A, DEPTH, Fixed()), measured(A, 3, 4)
    flat, nested = refine(net, y.reshape(COUNT, 16)), refine(net, y)
    assert (nested.x.shape, nested.layers.shape, nested.converged.shape) == ((3, 4, 32), (3, 4), (3, 4))
    for a, b in zip(nested, flat, strict=True):
        np.testing.assert_array_equal(a.reshape(b.shape), b)
    single = refine(net, y[1, 2])
    assert (single.x.shape, single.layers.shape, single.converged.shape) == ((32,), (), ())
    assert bool(single.converged)
    np.testing.assert_allclose(single.x, nested.x[1, 2], rtol=1e-3, atol=1e-4)


def test_no_signals_are_no_estimates() -> None:
    net = Unrolled(AMP(), gaussian(8, 16), DEPTH, Fixed())
    assert refine(net, jnp.zeros((0, 8))).x.shape == net(jnp.zeros((0, 8))).shape == (0, 16)


def test_only_whole_rounds_are_run() -> None:
    A = gaussian(16, 32, seed=1)
    net, y = Unrolled(AMP(), A, DEPTH, Fixed()), measured(A, COUNT)
    for layers, taken in ((3, 3), (5, 3), (13, 12)):
        assert int(refine(net, y, tolerance=NEVER, layers=layers, cycle=3).layers.max()) == DEPTH + taken
    silent = refine(net, jnp.zeros((COUNT, 16)))  # an estimate of 0 stands still at once
    assert silent.layers.tolist() == COUNT * [DEPTH + 4]
    assert silent.converged.all()
    assert not silent.x.any()


@pytest.mark.long
@pytest.mark.parametrize("copies", [1, 2])
def test_packed_networks_give_the_same(copies: int, tmp_path: Any) -> None:
    A = gaussian(16, 32, seed=1)
    y = measured(A, 3)
    packed = load(pack(Unrolled(AMP(Soft()), A, DEPTH, distinct=copies)).save(tmp_path / "net.safetensors"))
    assert isinstance(packed.network, Unrolled)
    trainable = packed.trainable()
    assert isinstance(trainable, Unrolled)
    options: dict[str, Any] = {"tolerance": NEVER, "layers": 12, "cycle": 3}
    found, expected = refine(packed.network, y, **options), refine(trainable, y, **options)
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.x, run(deeper(trainable, 4, 3), y), rtol=1e-3, atol=1e-4)


def test_signals_that_are_not_finite_end_unconverged_and_harm_no_other() -> None:
    A = gaussian(16, 32, seed=1)
    net, y = Unrolled(AMP(), A, DEPTH, Fixed()), measured(A, COUNT)
    spoilt = y.at[1, 3].set(jnp.nan).at[2].set(jnp.inf)
    found, clean = refine(net, spoilt, layers=64), refine(net, y, layers=64)
    assert found.layers[1:3].tolist() == 2 * [DEPTH + 64]
    assert not found.converged[1:3].any()
    others = np.delete(np.arange(COUNT), [1, 2])
    np.testing.assert_allclose(found.x[others], clean.x[others], rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(found.converged[others], clean.converged[others])
    assert clean.converged.any()


def test_an_estimate_that_waits_for_the_state_is_not_done() -> None:
    A = gaussian(8, 16)
    y = A(jnp.zeros(16).at[3].set(1.0).at[7].set(-1.0))
    algorithm = ADMM(regularisation=0.3, rho=0.1)  # x is 0 until v has grown beyond the threshold
    found = refine(Unrolled(algorithm, A, DEPTH, Fixed()), y, layers=2000)
    expected = solve(algorithm, A, y, 2000, 1e-6).x
    np.testing.assert_allclose(found.x, expected, atol=0.01)


@pytest.mark.long
def test_hard_signals_are_recovered() -> None:
    problem = SparseRecovery(64, 128, sparsity=0.05)
    x, y = problem.split("test").sample(jax.random.key(1), 400)
    net = Unrolled(AMP(BernoulliGaussian(sparsity=0.05)), problem, DEPTH, Fixed())
    before, found = run(net, y), refine(net, y)
    assert float(nmse_db(found.x, x)) < float(nmse_db(before, x)) - 5
    assert float(failures(found.x, x)) < 0.2 * float(failures(before, x))
    assert float(jnp.mean(found.converged)) > 0.9
    assert float(jnp.mean(found.layers)) < DEPTH + 100


@pytest.mark.long
def test_recover_refines_on_demand(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    A = gaussian(16, 32, seed=1)
    file, y = tmp_path / "net.safetensors", np.asarray(measured(A, 3, 4))
    packed = pack(Unrolled(AMP(), A, DEPTH, Fixed()))
    packed.save(file)
    np.save(tmp_path / "y.npy", y)

    def recover(*options: str) -> int:
        return main(["recover", str(file), str(tmp_path / "y.npy"), str(tmp_path / "x.npy"), *options])

    assert recover("--refine") == 0
    found = np.load(tmp_path / "x.npy")
    assert isinstance(packed.network, Unrolled)
    np.testing.assert_allclose(found, refine(packed.network, jnp.asarray(y)).x, rtol=1e-5, atol=1e-6)
    assert recover() == 0
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), packed(jnp.asarray(y)), rtol=1e-5, atol=1e-6)
    assert np.abs(found - np.load(tmp_path / "x.npy")).max() > 1e-3
    pack(FullyConnected(A, 3, 40)).save(file)
    capsys.readouterr()
    assert recover("--refine") == 2
    message = "--refine: only unrolled networks have layers to repeat, and this is a Fully connected ReLU network"
    assert capsys.readouterr().err == f"unrollbit: error: {message}\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cycle": 0}, r"cycle: expected an integer from 1 to 4, got 0"),
        ({"cycle": 5}, r"cycle: expected an integer from 1 to 4, got 5"),
        ({"layers": 3}, "layers: expected an integer >= 4, got 3"),
        ({"layers": 1, "cycle": 2}, "layers: expected an integer >= 2, got 1"),
        ({"tolerance": 0.0}, "tolerance: expected a relative change > 0, got 0.0"),
        ({"tolerance": -1e-3}, "tolerance: expected a relative change > 0, got -0.001"),
        ({"tolerance": float("nan")}, "tolerance: expected a relative change > 0, got nan"),
        ({"y": jnp.ones((2, 9))}, r"refine\(y\): expected the last axis to have m = 8 entries, got shape \(2, 9\)"),
    ],
)
def test_what_cannot_be_refined_is_named(options: dict[str, Any], message: str) -> None:
    net = Unrolled(AMP(), gaussian(8, 16), DEPTH, Fixed())
    with pytest.raises(ValueError, match=message):
        refine(net, **{"y": jnp.ones((2, 8)), **options})


def test_wrong_types_are_named() -> None:
    A = gaussian(8, 16)
    dense: Any = FullyConnected(A, 3, 20)
    with pytest.raises(TypeError, match=r"net: expected an Unrolled, such as .* got FullyConnected"):
        refine(dense, jnp.ones(8))
    with pytest.raises(TypeError, match=r"refine\(y\): expected real numbers, got dtype complex64; stack"):
        refine(Unrolled(AMP(), A, DEPTH, Fixed()), jnp.ones(8, jnp.complex64))
