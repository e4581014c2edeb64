"""Error bars of samples: maps against SciPy, risk control by brute force and simulation, a broken form, files."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from unrollbit import AMP, FullPrecision, Unrolled, load, pack
from unrollbit.algorithms import ForwardBackward
from unrollbit.networks import local_sizes
from unrollbit.operators import Dense
from unrollbit.packed.error_bar import ErrorBar
from unrollbit.problems import ArrayProblem, SparseRecovery
from unrollbit.theory import Settings
from unrollbit.theory.prediction import H2p, HeldOut, Sized, calibrate, calibrated_map, local, sample_bars
from unrollbit.theory.prediction.error_bars import rounded_up

N, SHAPE = 48, (6, 8)


@pytest.fixture(scope="module")
def at():
    """Denoising of piecewise constant images."""
    random = np.random.RandomState(0)
    x = np.cumsum(random.standard_normal((600, N)) * (random.random_sample((600, N)) < 0.15), axis=1)
    problem = ArrayProblem(Dense.of(np.eye(N)), x, snr_db=15.0, shape=SHAPE, fractions=(0.1, 0.2, 0.7))
    net = Unrolled(ForwardBackward(signal_shape=SHAPE, filters=2, size=3), problem, 2, FullPrecision())
    return HeldOut.of(net, problem, Settings(held_out=200))


@pytest.mark.parametrize("value", [2.5026145, 9.000001, -4.398941341, 1e-7, 0.1, 0.0, 999999.5, np.inf])
def test_numbers_are_rounded_up_and_no_further(value):
    found = rounded_up(value)
    assert found >= value
    assert found == value or found - value <= 1.0000001e-5 * max(abs(value), 1e-300)
    assert found == float(f"{found:.6g}")


@pytest.mark.long
def test_maps_are_root_mean_squares_over_windows(at):
    y = jnp.asarray(at.y[:3], jnp.float32)
    step, found = local_sizes(at.net, y)
    x, before = (np.asarray(values, np.float64).reshape(3, *SHAPE) for values in at.net(y, iterates=True)[::-1])
    for i in range(3):
        texture = sum(slope**2 for slope in np.gradient(x[i]))
        for name, squares in (("change", (x[i] - before[i]) ** 2), ("texture", texture)):
            expected = np.sqrt(uniform_filter(squares, 9, mode="nearest")).ravel()
            np.testing.assert_allclose(found[name][i], expected, rtol=1e-3, atol=1e-5 * np.abs(x).max())
    np.testing.assert_array_equal(step.x, at.net.last_step(y).x)
    np.testing.assert_allclose(step.x, at.net(y), rtol=0, atol=4e-7)  # two compiled programs: last bits may differ
    with pytest.raises(ValueError, match="samples on a grid"):
        local_sizes(Unrolled(AMP(), SparseRecovery(8, 16), 2), jnp.ones(8))


@pytest.mark.parametrize(("signals", "n", "level"), [(9, 4, 0.9), (19, 7, 0.9), (30, 5, 0.75), (8, 4, 0.9)])
def test_the_quantile_is_the_smallest_that_controls_the_risk(signals, n, level):
    scores = np.random.RandomState(signals).random_sample((signals, n))
    bar = calibrated_map(ErrorBar(0.5, 2, 1.0, {}, 1e-7), Sized(scores, {}), level)

    def controlled(q):
        return (np.mean(scores > q, axis=1).sum() + 1) / (signals + 1) <= 1 - level + 1e-12

    kept = [q for q in scores.ravel() if controlled(q)]
    assert bar.quantile == rounded_up(min(kept) if kept else np.inf)
    assert (bar.level, bar.signals) == (level, signals)


def test_samples_are_covered_on_average_over_calibrations():
    """Errors of one signal that have much in common."""
    random, found = np.random.RandomState(0), []
    for _ in range(2000):
        scores = random.exponential(size=(20, 1)) * random.random_sample((20, 6))
        bar = calibrated_map(ErrorBar(0.5, 2, 1.0, {}, 1e-7), Sized(scores[:19], {}), 0.8)
        found.append(np.mean(scores[19] <= bar.quantile))
    error = np.std(found) / np.sqrt(len(found))
    assert 0.8 - 3 * error < np.mean(found) < 0.8 + 1 / 20 + 3 * error


@pytest.mark.long
def test_the_statement_holds_and_a_broken_one_is_violated(at, monkeypatch, mutate):
    report = H2p(at)
    assert (report.status, report.vacuous) == ("holds", False), report
    assert 0.2 < report.tightness < 0.6
    no_grid = SparseRecovery(16, 24)
    other = H2p(HeldOut.of(Unrolled(AMP(), no_grid, 2), no_grid, Settings(held_out=8)))
    assert other.status == "not applicable"
    broken = mutate(sample_bars.calibrated_map, "(1 - level)", "2 * (1 - level)")
    monkeypatch.setattr(sample_bars, "calibrated_map", broken)
    assert H2p(at).status == "violated"


@pytest.mark.long
def test_bars_travel_in_a_file(at, tmp_path):
    made = calibrate(at.net, at.problem, signals=400)
    packed = load(pack(at.net, problem=at.problem).certified(made).save(tmp_path / "net.safetensors"))
    x, bars = packed.recover(at.y.astype(np.float32), error_bar="sample")
    assert bars.shape == x.shape == at.x.shape
    assert 0.85 < np.mean(np.abs(np.asarray(x) - at.x) <= bars) < 0.95
    np.testing.assert_allclose(bars, packed.error_bar("sample")(local(at.net, at.x, at.y).sizes), rtol=1e-3)
    with pytest.raises(ValueError, match="error_bar: expected one of"):
        packed.recover(at.y[0], error_bar="pixel")
    wrong = {**made, "sample_error_bar": {**made["sample_error_bar"], "exponents": {"residual": 1.0}}}
    with pytest.raises(ValueError, match="exponents of change, texture"):
        packed.certified(wrong)
