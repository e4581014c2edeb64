"""Filter priors: constants against dense matrices and Jacobians, convergence to the minimum, broken forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import AMP, FullPrecision, Unrolled
from unrollbit.algorithms import ForwardBackward
from unrollbit.algorithms.levels import Levels
from unrollbit.operators import Convolution, Dense, gaussian
from unrollbit.problems import ArrayProblem, SparseRecovery
from unrollbit.shrinkage.influence import Clips, MonotoneClips
from unrollbit.theory import Settings
from unrollbit.theory.prediction import C8, H4, S6, HeldOut, filter_gain, filter_prior, lipschitz_constant, stages
from unrollbit.theory.prediction.filter_prior import CONVEX, EXACT, PRIOR, PROXIMAL, SHORT, _repeated, assumed

N = 24
FREE, RISING = Clips((0.1, 0.5), (0.5, -0.3)), MonotoneClips((0.1, 0.5), (0.5, 0.3))


def steps(n=N):
    """Piecewise constant signals."""
    random = np.random.RandomState(0)
    return np.cumsum(random.standard_normal((120, n)) * (random.random_sample((120, n)) < 0.1), axis=1)


def network(A, influence=RISING, edge="symmetric", momentum=0.0, **options):
    algorithm = ForwardBackward(signal_shape=(N,), influence=influence, filters=2, size=3, edge=edge, **options)
    net = Unrolled(algorithm, A, 3, FullPrecision())
    net.scalars["momentum"][...] = jnp.full(3, momentum)
    return net


def held(net, A, **settings):
    return HeldOut.of(net, ArrayProblem(A, steps(), snr_db=20.0), Settings(held_out=8, **settings))


PHYSICS = [Dense.of(np.eye(N)), gaussian(12, N), Convolution([0.25, 0.5, 0.25], N, boundary="circular")]


@pytest.mark.long
@pytest.mark.parametrize("A", PHYSICS, ids=["denoising", "sensing", "blur"])
@pytest.mark.parametrize("influence", [FREE, RISING], ids=["free", "rising"])
def test_a_certified_constant_bounds_every_jacobian(A, influence):
    net = network(A, influence, momentum=0.3)
    at = held(net, A)
    report = S6(at)
    assert report.status == "holds", report
    slopes = [np.linalg.norm(np.asarray(jax.jacobian(net)(jnp.asarray(y))), 2) for y in at.y[:5]]
    assert max(slopes) <= lipschitz_constant(net) * (1 + 1e-5)
    assert max(slopes) > 0.05 * lipschitz_constant(net)


@pytest.mark.parametrize("edge", ["circular", "symmetric", "zero"])
def test_constants_are_norms_of_dense_matrices(edge):
    A = gaussian(12, N)
    net = network(A, FREE, edge)
    numbers, K = net.prior_steps, np.asarray(net.maps["K"].layer(0).dense(), np.float64)
    assert numbers is not None
    stage, slopes = stages(net)[0], net.values()
    inner = np.asarray(slopes["slopes"])[0].sum(axis=0) / 2  # below both knots; above the first only the second is left
    np.testing.assert_allclose(numbers.highest[0], inner, rtol=1e-5)
    np.testing.assert_allclose(numbers.lowest[0], np.asarray(slopes["slopes"])[0, 1] / 2, rtol=1e-5)
    highest, lowest = (K.T @ np.diag(np.repeat(h[0], N)) @ K for h in (numbers.highest, numbers.lowest))
    largest, smallest = np.linalg.eigvalsh(highest)[-1], np.linalg.eigvalsh(lowest)[0]
    assert stage.steepest == pytest.approx(largest, rel=1e-5)
    assert stage.prior == pytest.approx(max(1 - smallest, largest - 1), rel=1e-5)
    matrix = np.asarray(A.dense(), np.float64)
    B = np.linalg.solve(matrix.T @ matrix + numbers.rho[0] * float(A.norm()) ** 2 * np.eye(N), matrix.T)
    assert stage.gain == pytest.approx(numbers.step[0] * np.linalg.norm(B, 2), rel=1e-4)
    assert stage.data == pytest.approx(np.linalg.norm(np.eye(N) - numbers.step[0] * B @ matrix, 2), rel=1e-4)
    taps = np.asarray(net.maps["K"].layer(0).core(net.maps["K"].structure))
    if edge == "circular":
        assert filter_gain(taps, numbers.highest[0], (N,)) == pytest.approx(largest, rel=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("A", PHYSICS[:2], ids=["denoising", "sensing"])
def test_the_last_layer_repeated_converges_to_the_minimum_of_its_energy(A):
    net = network(A)
    at = held(net, A)
    report = C8(at)
    assert report.status == "holds", report
    assert not report.vacuous
    if A is PHYSICS[0]:
        assert report.bound < 1
        assert report.tightness > 0.9
        y = np.asarray(at.y[:1], np.float64)
        changes, _ = _repeated(net, y)
        assert changes[-1] < changes[0] * report.bound ** (len(changes) - 1) * 1.01
        assert _gradient_at_the_end(net, y[0]) < 1e-6


def test_a_prior_that_is_less_concave_than_the_data_term_is_convex():
    A = PHYSICS[0]
    for falling, convex in ((-0.02, True), (-0.4, False)):
        net = network(A, Clips((0.1, 0.5), (0.5, falling)))
        net.scalars["step"][...] = jnp.full(3, np.log(0.3))
        at = held(net, A)
        report = C8(at)
        assert report.assumptions[CONVEX] is convex
        if convex:
            assert not net.prior_steps.convex
            assert stages(net)[-1].prior > 1
            assert (report.status, report.vacuous) == ("holds", False)
            assert _gradient_at_the_end(net, np.asarray(at.y[0], np.float64)) < 1e-6


def _gradient_at_the_end(net, y):
    """Relative gradient of ``R(x) + c ||x - y||^2 / 2``, of which a layer of denoising is a proximal gradient step:
    ``x = (1 - a) u + a y`` is the proximal map with c = a / (1 - a).
    """
    numbers, values = net.prior_steps, net.values()
    K = np.asarray(net.maps["K"].layer(2).dense(), np.float64)
    a = numbers.step[-1] / (1 + numbers.rho[-1])
    slopes, knots = (np.asarray(values[name][-1], np.float64) for name in ("slopes", "knots"))
    x = y.copy()
    for _ in range(400):
        x = x - 0.2 * (_prior(K, slopes, knots, x) + a / (1 - a) * (x - y))
    layer = (1 - a) * (x - _prior(K, slopes, knots, x)) + a * y
    return np.linalg.norm(layer - x) / np.linalg.norm(y)


def _prior(K, slopes, knots, x):
    z = (K @ x).reshape(2, -1)
    phi = sum(a[:, None] * np.clip(z, -t[:, None], t[:, None]) for a, t in zip(slopes, knots, strict=True)) / 2
    return K.T @ phi.ravel()


def test_what_is_not_met_is_told():
    A = PHYSICS[0]
    long = network(A)
    long.scalars["slopes"][...] = long.scalars["slopes"][...] + 2.0
    report = C8(held(long, A))
    assert (report.status, report.assumptions[SHORT]) == ("not applicable", False)
    assert S6(held(long, A)).status == "holds"
    far = network(A)
    far.scalars["step"][...] = 1.5 * (1 + far.values()["rho"])
    report = C8(held(far, A))
    assert (report.status, report.assumptions[PROXIMAL]) == ("not applicable", False)
    followed = network(A, levels=Levels())
    assert S6(held(followed, A)).assumptions == {PRIOR: False}
    problem = SparseRecovery(16, 24)
    assert C8(HeldOut.of(Unrolled(AMP(), problem, 2), problem, Settings(held_out=8))).assumptions == {PRIOR: False}

    class Guessed(Dense):
        """Physics with another inverse."""

        def inverse(self):
            return lambda r, rho: 0.9 * super(Guessed, self).inverse()(r, rho)

    assert assumed(network(Guessed.of(np.eye(N))))[EXACT] is False


def test_bit_errors_of_filters_are_looked_at():
    A = PHYSICS[0]
    at = HeldOut.of(
        network(A), ArrayProblem(A, np.tile(steps(), (8, 1)), snr_db=20.0), Settings(held_out=48, rate=0.01)
    )
    report = H4(at)
    assert report.status == "holds"
    assert 0 < report.bound < 1


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("stages", "max(1 - flattest, steepest - 1)", "max(1 - flattest, steepest - 1) / 2"),
        ("stages", "(steps.step[k] * s / damped)", "(0.5 * steps.step[k] * s / damped)"),
        ("lipschitz_constant", "moved + stage.gain", "moved"),
        ("lipschitz_constant", "abs(1 + momentum) * now", "0"),
    ],
)
def test_broken_constants_are_violated(monkeypatch, mutate, name, old, new):
    """On one unknown that is measured twice as well, where the recursion is exact."""
    A = PHYSICS[0]
    net = network(A, MonotoneClips((1e-9,), (1e-3,)), momentum=0.3)  # nearly linear: bounds are attained
    at = held(net, A)
    true = S6(at)
    assert true.status == "holds"
    assert true.tightness > 0.9
    monkeypatch.setattr(filter_prior, name, mutate(getattr(filter_prior, name), old, new))
    assert S6(at).status == "violated"


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("C8", "last.data * last.prior", "last.data**2 * last.prior"),
        ("stages", "max(1 - flattest, steepest - 1)", "steepest - 1"),
        ("stages", "np.abs(kept).max()", "np.abs(kept).max() / 2"),
    ],
)
def test_a_broken_contraction_is_violated(monkeypatch, mutate, name, old, new):
    A = PHYSICS[0]
    at = held(network(A), A)
    assert C8(at).status == "holds"
    monkeypatch.setattr(filter_prior, name, mutate(getattr(filter_prior, name), old, new))
    assert filter_prior.C8(at).status == "violated"
