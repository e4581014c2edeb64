"""Convex learned priors: the penalty against dense matrices, what it refuses, and a certified network by training."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import AMP, FullPrecision, Stage, Unrolled, fit, load, pack, recipes
from unrollbit.algorithms import ForwardBackward, Levels
from unrollbit.operators import Subsampling, gaussian
from unrollbit.problems import ArrayProblem
from unrollbit.problems.noise import Gaussian
from unrollbit.shrinkage import Clips, MonotoneClips
from unrollbit.theory import Settings
from unrollbit.theory.prediction import C8, S6, HeldOut, filter_gain, lipschitz_constant, stages
from unrollbit.training import ConvexEnergy, convex_energy
from unrollbit.training.convex_energy import curvatures

N = 32
SHELF = Path(__file__).parents[2] / "examples" / "networks"
RISING = MonotoneClips((0.1, 0.5), (0.5, 0.3))


def network(influence=RISING, distinct=None, **options) -> Unrolled:
    """Two different layers without momentum."""
    algorithm = ForwardBackward(signal_shape=(N,), influence=influence, filters=3, size=4, edge="circular", **options)
    net = Unrolled(algorithm, Subsampling.full((N,)), 2, FullPrecision(), distinct=distinct)
    net.scalars["momentum"][...] = jnp.zeros(2)
    net.scalars["slopes"][...] += jax.random.normal(jax.random.key(0), net.scalars["slopes"].shape)
    return net


@pytest.mark.long
@pytest.mark.parametrize("distinct", [1, 2])
def test_constants_are_largest_eigenvalues(distinct) -> None:
    net = network(distinct=distinct)
    found = np.asarray(curvatures(net).steepest)
    exact = [stage.steepest for stage in stages(net)]
    np.testing.assert_allclose(found, exact, rtol=0.02)  # of other frequencies
    assert found[0] != pytest.approx(found[1], rel=0.05)
    limit = float(np.sort(found)[0])
    expected = 3.0 * (np.sort(found)[1] - limit) ** 2
    x = jnp.zeros((1, N))
    assert float(ConvexEnergy(3.0, limit)(net, x[None], x)) == pytest.approx(expected, rel=1e-4)
    assert float(ConvexEnergy(3.0, 100.0)(net, x[None], x)) == 0


def test_concavity_is_that_of_the_smallest_eigenvalue_beside_the_data_term() -> None:
    net = network(Clips((0.1, 0.5), (0.5, -0.3)))
    steps, K = net.prior_steps, np.asarray(net.maps["K"].dense(), np.float64)
    assert steps is not None
    for k, found in enumerate(np.asarray(curvatures(net).concave)):
        smallest = np.linalg.eigvalsh(K[k].T @ np.diag(np.repeat(steps.lowest[k], N)) @ K[k])[0]
        a = steps.step[k] / (1 + steps.rho[k])
        assert smallest < 0
        assert found == pytest.approx(-smallest * (1 - a) / a, rel=0.02)
    x = jnp.zeros((1, N))
    worst = float(np.max(curvatures(net).concave))
    assert float(ConvexEnergy(1.0, 100.0, 0.5)(net, x[None], x)) >= (worst - 0.5) ** 2 * 0.999 > 0


def test_the_number_of_frequencies_keeps_what_is_between_them_small() -> None:
    random = np.random.RandomState(0)
    for _ in range(20):
        taps = random.standard_normal((7, 4))
        fine = filter_gain(taps, np.ones(4), (4096,))
        assert filter_gain(taps, np.ones(4), (convex_energy._POINTS * 7,)) >= fine / 1.04


REFUSED = [
    (lambda: Unrolled(AMP(), gaussian(8, 16), 2), "expected steps with a learned prior"),
    (lambda: network(levels=Levels()), "fixed thresholds"),
    (lambda: network(Clips((0.1, 0.5), (0.5, 0.3))), "influence functions that rise"),  # they could fall
    (lambda: Unrolled(network().algorithm, Subsampling.full((N,)), 2), "expected no momentum"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_cannot_be_certified_is_refused(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        ConvexEnergy().check(make())
    if "rise" in message:
        ConvexEnergy(concave=0.9).check(make())


@pytest.fixture(scope="module")
def problem() -> ArrayProblem:
    """Noisy piecewise constant signals."""
    random = np.random.RandomState(0)
    jumps = random.standard_normal((400, N)) * (random.random_sample((400, N)) < 0.1)
    return ArrayProblem(Subsampling.full((N,)), np.cumsum(jumps, axis=1), snr_db=10.0, shape=N)


@pytest.fixture(scope="module")
def trained(problem):
    """A convex network that starts beyond the limit."""
    network, (stage,) = recipes.learned_prior(problem, 2, planes=2, filters=3, size=5, convex="prior", steps=300)
    network.scalars["slopes"][...] += 1.0
    before = [layer.steepest for layer in stages(network)]
    fit(network, problem, stage, keep="last", progress=False, compare=False)
    return network, stage, before


@pytest.mark.long
def test_a_trained_network_is_certified(problem, trained) -> None:
    network, stage, before = trained
    assert min(before) > 2
    assert Stage.from_spec(stage.to_spec()) == stage
    loaded = pack(network).network
    assert max(layer.steepest for layer in stages(loaded)) < 2
    assert lipschitz_constant(loaded) <= 1
    at = HeldOut.of(loaded, problem, Settings(held_out=8))
    for theorem in (S6, C8):
        report = theorem(at)
        assert (report.status, report.vacuous) == ("holds", False), report


@pytest.mark.long
def test_held_scalars_keep_their_values_and_others_train(problem, trained) -> None:
    network, stage, _ = trained
    assert stage.held == ("momentum",)
    assert not np.asarray(network.scalars["momentum"][...]).any()
    assert np.ptp(np.asarray(network.scalars["step"][...])) > 0
    wrong = Stage(1, held=("speed",))
    with pytest.raises(ValueError, match="has no scalars speed; it has knots, momentum"):
        fit(network, problem, wrong, progress=False)
    with pytest.raises(ValueError, match="expected a tuple of names"):
        Stage(1, held="momentum")  # pyright: ignore[reportArgumentType]


def test_the_limit_is_what_certifies(problem, monkeypatch) -> None:
    """Broken forms of the constant leave layers uncertified."""
    net = network()
    true = np.asarray(curvatures(net).steepest)
    monkeypatch.setattr(convex_energy, "_POINTS", 1)  # frequencies too coarse: maxima are missed
    assert (np.asarray(curvatures(net).steepest) < 0.98 * true).any()


def test_a_recipe_of_each_kind(problem) -> None:
    with pytest.raises(ValueError, match="influence functions that rise"):
        recipes.learned_prior(problem, 2, influence=Clips(), convex="prior")
    with pytest.raises(ValueError, match="convex: expected one of"):
        recipes.learned_prior(problem, 2, convex="yes")
    network, (stage,) = recipes.learned_prior(problem, 2, filters=3, convex="energy")
    assert stage.penalties == (ConvexEnergy(concave=0.9),)
    assert not network.prior_steps.rises
    sensing = ArrayProblem(gaussian(8, N), np.ones((40, N)), shape=N)
    with pytest.raises(ValueError, match="orthonormal physics"):
        recipes.learned_prior(sensing, 2, filters=3, convex="energy")
    assert recipes.learned_prior(sensing, 2, filters=3, convex="prior").stages[0].held == ("momentum",)


@pytest.mark.long
@pytest.mark.parametrize(("name", "certified"), [("denoising-25-convex", True), ("denoising-25", False)])
def test_of_the_shelf(name, certified) -> None:
    """On a smaller grid, whose constants are at most those of a larger one but for the border."""
    side = 16
    x = np.random.RandomState(0).random_sample((60, side * side))
    problem = ArrayProblem(Subsampling.full((side, side)), x, noise=Gaussian(sigma=25 / 255), shape=(side, side))
    network = load(SHELF / f"{name}.safetensors").with_physics(problem).network
    at = HeldOut.of(network, problem, Settings(held_out=8))
    assert C8(at).status == ("holds" if certified else "not applicable")
    assert (lipschitz_constant(network) < 3) == certified
