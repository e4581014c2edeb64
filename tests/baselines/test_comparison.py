"""Which baselines a problem gets, how they are tuned, and the rows of a comparison."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import FISTA
from unrollbit.baselines import Classic, Range, Tikhonov, compare, tune
from unrollbit.operators import Convolution, Dense, Subsampling, gaussian
from unrollbit.problems import ArrayProblem, OneBitCompressiveSensing, Problem, SinglePixelCamera, SparseRecovery


@pytest.fixture(scope="module")
def sparse_rows():
    problem = SparseRecovery(64, 128, sparsity=0.04)
    networks = {"doubled": lambda y: 2 * y @ problem.operator.dense()}
    return {row["method"]: row for row in compare(problem, networks, iterations=20, tuned_on=8)}


@pytest.mark.long
def test_sparse_signals_on_random_physics_have_omp_and_amp(sparse_rows):
    assert list(sparse_rows) == ["doubled", "zero", "linear MMSE", "fista", "omp", "amp, true prior"]
    assert sparse_rows["zero"]["nmse_db"] == 0.0
    levels = {name: row["nmse_db"] for name, row in sparse_rows.items()}
    assert max(levels["omp"], levels["amp, true prior"]) < levels["fista"] < levels["linear MMSE"] < 0
    assert all(row["psnr_db"] is None for row in sparse_rows.values())
    assert all(row["milliseconds"] > 0 for name, row in sparse_rows.items() if name != "zero")
    assert sparse_rows["fista"]["parameters"]["regularisation"] > 0


@pytest.mark.long
def test_images_have_total_variation_and_psnr():
    problem = SinglePixelCamera(size=16)
    signals = tuple(part[::40] for part in problem.split("test").all())
    found = compare(problem, timed=False, converged=20, tuned_on=8, iterations=20, signals=signals)
    rows = {row["method"]: row for row in found}
    assert {"linear MMSE", "tikhonov", "total variation", "wavelet fista", "fista"} <= set(rows)
    assert "omp" not in rows
    levels = {name: row["psnr_db"] for name, row in rows.items()}
    assert min(level for name, level in levels.items() if name != "zero") > levels["zero"] + 3


@pytest.mark.long
def test_signals_of_signs_have_biht():
    rows = {
        row["method"]: row for row in compare(OneBitCompressiveSensing(256, 64), timed=False, iterations=20, tuned_on=8)
    }
    assert rows["biht"]["nmse_db"] < rows["linear MMSE"]["nmse_db"] - 3
    assert "amp, true prior" not in rows


@pytest.mark.long
def test_a_problem_of_arrays_is_compared_on_the_signals_given():
    random = np.random.RandomState(0)
    problem = Problem.from_arrays(random.randn(8, 16), random.randn(100, 16) @ random.randn(16, 16))
    x, y = problem.split("test").all()
    rows = compare(problem, signals=(x[:3], y[:3]), baselines=[Tikhonov()], timed=False)
    assert [row["method"] for row in rows] == ["zero", "tikhonov"]
    with pytest.raises(ValueError, match="m = 8"):
        compare(problem, signals=(x, x), baselines=[Tikhonov()], timed=False)


@pytest.mark.long
def test_the_search_goes_beyond_an_end_and_finds_the_best_weight():
    """White signals, white noise of variance v: the best ridge weight is v over the variance of a signal, exactly."""
    random = np.random.RandomState(0)
    x, A = random.randn(2000, 20), gaussian(30, 20, seed=0)
    y = np.asarray(A(jnp.asarray(x, jnp.float32))) + 3.0 * random.randn(2000, 30)
    tuned = tune(Tikhonov(), A, x, jnp.asarray(y, jnp.float32))
    assert tuned.parameters["noise"] > Tikhonov().ranges(A, x, jnp.asarray(y))["noise"].high
    assert tuned.parameters["noise"] == pytest.approx(9.0, rel=0.8)
    assert tuned.nmse_db == min(trial.nmse_db for trial in tuned.trials)


def test_whole_numbers_stay_whole_and_inside_their_limits():
    from unrollbit.baselines import BIHT

    A = gaussian(40, 8, seed=0)
    x = np.eye(8, dtype=np.float32)
    tuned = tune(BIHT(2), A, x, A(x))
    assert tuned.baseline.nonzeros == 1
    assert {type(trial.parameters["nonzeros"]) for trial in tuned.trials} == {int}
    assert Range(1, 2).limits[0] == 0


def test_a_baseline_says_what_is_wrong_with_a_measurement():
    A = Dense.of(np.eye(3))
    for baseline in (Tikhonov(), Classic(FISTA(), 3)):
        with pytest.raises(ValueError, match="m = 3"):
            baseline(A, jnp.ones(4))
    with pytest.raises(TypeError, match="algorithm: expected an Algorithm"):
        Classic("FISTA")  # pyright: ignore[reportArgumentType]


@pytest.mark.long
def test_total_variation_follows_the_noise():
    """Noise of one variance asks for one weight, noise of a stated SNR for one that follows each signal's level."""
    from unrollbit.baselines import TotalVariation
    from unrollbit.operators import Subsampling

    random, A, n = np.random.RandomState(0), Subsampling.full(64), 64
    steps = np.repeat(random.randn(48, 8), 8, axis=1)
    x = steps * np.geomspace(0.1, 10, 48)[:, None]
    for power, deviation in ((0, 0.3), (2, 0.3 * np.linalg.norm(x, axis=1, keepdims=True) / np.sqrt(n))):
        y = jnp.asarray(x + deviation * random.randn(*x.shape), jnp.float32)
        tuned = tune(TotalVariation((n,)), A, x, y, reduction="mean_of_db")
        assert tuned.parameters["power"] == power
        assert {trial.parameters["power"] for trial in tuned.trials} == {0, 2}


@pytest.mark.long
def test_measurements_that_are_pictures_are_an_estimate():
    rows, said = np.random.RandomState(0).randn(40, 32), []
    for A, shown in ((Convolution.of(np.ones(3) / 3, (32,)), True), (Subsampling.random((32,), 20), False)):
        problem = ArrayProblem(A, rows, shape=32)
        found = compare(problem, baselines=[Tikhonov(signal_shape=(32,))], timed=False, tell=said.append)
        assert ("measurements" in [row["method"] for row in found]) is shown
    x, y = (
        np.asarray(part)
        for part in ArrayProblem(Convolution.of(np.ones(3) / 3, (32,)), rows, shape=32).split("test").all()
    )
    level = 10 * np.log10(np.sum((y - x) ** 2) / np.sum(x**2))
    problem = ArrayProblem(Convolution.of(np.ones(3) / 3, (32,)), rows, shape=32)
    own = {row["method"]: row for row in compare(problem, baselines=[], timed=False)}
    assert own["measurements"]["nmse_db"] == pytest.approx(level, abs=1e-3)
    assert said[0].startswith("tikhonov: tuning on")
