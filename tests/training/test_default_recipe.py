"""The default recipe: which algorithm suits the physics, where the network starts, and the table at the end."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from unrollbit import AMP, FISTA, Stage, Unrolled, fit, recipes, solve
from unrollbit.algorithms import ADMM
from unrollbit.algorithms.random_like import LARGEST_EXCESS, noise_excess_db
from unrollbit.baselines import Classic, tune
from unrollbit.formats import Anchored, Fixed, OneBit
from unrollbit.operators import Convolution, Preconditioned, Wavelet
from unrollbit.problems import ArrayProblem, EEGDenoising, Problem, SparseRecovery
from unrollbit.training import ResultWarning


def deconvolution() -> Problem:
    """A measured pulse of 24 taps, sparse spikes."""
    random = np.random.RandomState(0)
    t = np.arange(24)
    pulse = np.exp(-t / 6) * np.cos(t / 2) + 0.05 * random.randn(24)
    spikes = random.randn(400, 64) * (random.rand(400, 64) < 0.06)
    pulse = (pulse / np.linalg.norm(pulse)).astype(np.float32)
    return Problem.from_arrays(Convolution.of(pulse, 64, "zero"), spikes, snr_db=30.0)


def coded_aperture() -> Problem:
    """Coefficients of smooth random images behind a mask of holes."""
    random = np.random.RandomState(1)
    mask = (random.rand(8, 8) < 0.5).astype(np.float32)
    psi = Wavelet.of((8, 8), "db2")
    rough = random.randn(400, 8, 8)
    smooth = sum(np.roll(rough, (i, j), (1, 2)) for i in range(3) for j in range(3)).reshape(400, 64)
    A = Convolution.of(mask / mask.sum(), (8, 8)) @ psi
    return Problem.from_arrays(A, np.asarray(psi.T(jnp.asarray(smooth, jnp.float32))), snr_db=40.0)


CASES = {"deconvolution": deconvolution, "coded aperture": coded_aperture}
PROBLEMS: dict[str, Problem] = {}


@pytest.fixture(params=CASES)
def problem(request: pytest.FixtureRequest) -> Problem:
    name = request.param
    return PROBLEMS.setdefault(name, CASES[name]())


@pytest.mark.long
def test_where_physics_is_not_random_the_network_starts_as_the_best_classic_solver(problem: Problem) -> None:
    net, _ = recipes.default(problem, 4, steps=10)
    assert isinstance(net.algorithm, FISTA | ADMM)
    assert net.maps["W"].format.parts[-1] == OneBit(planes=3)
    _, y = problem.split("test").all()
    assert_allclose(net(y), solve(net.algorithm, problem, y, 4).x, rtol=1e-3, atol=1e-3 * float(jnp.std(y)))
    assert recipes.two_stage(problem, 4, steps=10).network.algorithm == net.algorithm
    classic = solve(FISTA(regularisation=net.algorithm.regularisation), problem, y, 4).x
    x = problem.split("test").all()[0]
    assert jnp.sum((net(y) - x) ** 2) <= 1.02 * jnp.sum((classic - x) ** 2)


@pytest.mark.long
@pytest.mark.parametrize("name", ["deconvolution", pytest.param("coded aperture", marks=pytest.mark.slow)])
def test_training_never_ends_behind_the_start_and_says_how_it_stands(name: str) -> None:
    problem = PROBLEMS.setdefault(name, CASES[name]())
    recipe = recipes.default(problem, 2, steps=12, batch=8)
    with pytest.warns(ResultWarning) as caught:
        fit(Unrolled(FISTA(regularisation=1e3), problem, 2), problem, Stage(1), progress=False)
    assert "no better than the zero estimate" in str(caught[0].message)
    report = fit(recipe, problem, progress=False, compare=True)
    assert report.nmse_db <= report.untrained_nmse_db
    levels = {row["method"]: row["nmse_db"] for row in report.rows}
    assert {"trained", "untrained", "zero", "linear MMSE", "fista"} <= set(levels)
    assert levels["trained"] <= levels["untrained"] + 0.05  # on a part of the signals
    for method in ("linear MMSE", "fista"):
        assert levels["trained"] < levels[method] or method in str(report.shortfall)


def test_amp_is_for_random_physics_alone() -> None:
    problem = SparseRecovery(32, 64)
    net, stages = recipes.default(problem, 3, steps=20)
    assert isinstance(net.algorithm, AMP)
    assert net.maps["W"].format.parts[-1] == OneBit(planes=3)
    assert [stage.name for stage in stages][-2:] == ["refit", "one-bit"]
    x, y = problem.sample(jax.random.key(0), 64)
    assert noise_excess_db(problem.operator, problem.prior(), x, y) < 1.0


@pytest.mark.long
def test_a_solver_that_is_no_better_than_zero_is_no_start() -> None:
    """Artefacts stronger than the signal: the best threshold lets nothing pass, so nothing could be learned from it."""
    problem = EEGDenoising("ocular")
    x, y = problem.split("validation").all()
    tuned = tune(Classic(FISTA(), 2), problem.operator, x, y)
    assert tuned.nmse_db == pytest.approx(0, abs=0.1)
    assert np.mean(np.any(np.asarray(tuned.baseline(problem.operator, y)) != 0, -1)) < 0.5
    network = recipes.scalars_only(problem, 2, weights=Fixed(), steps=4).network
    assert isinstance(network.algorithm, AMP)
    assert network.algorithm.shrinkage == problem.prior()


@pytest.mark.long
def test_a_slow_solver_is_a_start_all_the_same() -> None:
    """Masks that are open or closed: two iterations gain next to nothing, but every signal passes, and AMP diverges."""
    random = np.random.RandomState(0)
    masks = random.randint(0, 2, (64, 1024)).astype(np.float32)
    x = (random.standard_normal((200, 1024)) * (random.uniform(size=(200, 1024)) < 0.1)).astype(np.float32)
    problem = ArrayProblem(masks, x)
    tuned = tune(Classic(FISTA(), 2), problem.operator, *problem.split("validation").all())
    assert -0.1 < tuned.nmse_db < 0
    assert isinstance(recipes.default(problem, 2, steps=4).network.algorithm, FISTA | ADMM)


@pytest.mark.long
def test_ill_conditioned_physics_is_random_like_once_it_is_preconditioned() -> None:
    """By hand: A A^T = I up to delta makes the error of A^T y that of a projection, below the level of the residual."""
    problem = SparseRecovery(64, 128, matrix="ill-conditioned")
    x, y = problem.sample(jax.random.key(0), 64)
    prior = problem.prior()
    assert noise_excess_db(problem.operator, prior, x, y) > LARGEST_EXCESS
    assert noise_excess_db(Preconditioned.of(problem.operator), prior, x, y) < LARGEST_EXCESS
    assert isinstance(recipes.default(problem, 2, steps=4).network.algorithm, FISTA | ADMM)


def test_the_default_of_a_config_is_the_default_recipe() -> None:
    from unrollbit.cli.network_table import build_recipe

    problem = SparseRecovery(16, 32)
    of_config, of_python = build_recipe({"depth": 2}, problem, None), recipes.default(problem, 2)
    assert of_config.network.maps["W"].format == of_python.network.maps["W"].format
    assert Anchored(OneBit()).name in of_python.network.maps["W"].format.name


def test_the_rate_of_matrices_has_their_unit() -> None:
    """The same physics in millivolts trains the same network."""
    random = np.random.RandomState(0)
    matrix, x = random.randn(16, 32), random.randn(60, 32)
    rates = []
    for unit in (1.0, 2.0**-10):
        recipe = recipes.default(Problem.from_arrays(unit * matrix, x), 2, steps=8, algorithm=FISTA())
        first = recipe.stages[0].rates["matrices"]
        assert first == pytest.approx(1e-3 * float(np.sqrt(np.mean(np.sum((unit * matrix) ** 2, 0)))), rel=1e-5)
        rates.append(first / unit)
    assert rates[0] == pytest.approx(rates[1], rel=1e-6)
