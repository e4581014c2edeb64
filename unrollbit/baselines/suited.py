"""Which baselines suit a problem: asked of its physics, its grid and its signals."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.algorithms import AMP, FISTA
from unrollbit.algorithms.random_like import is_random_like
from unrollbit.baselines.base import Baseline
from unrollbit.baselines.biht import BIHT
from unrollbit.baselines.classic import Classic
from unrollbit.baselines.linear import LinearMMSE, Tikhonov
from unrollbit.baselines.omp import OMP
from unrollbit.baselines.total_variation import TotalVariation
from unrollbit.baselines.wavelet_fista import WaveletFISTA
from unrollbit.operators import LinearOperator
from unrollbit.operators.physics import grid_of_unknowns, physics_of
from unrollbit.shrinkage import BernoulliGaussian

_TRAINING, _ENTRIES = 4096, 2**24  # signals that moments are taken from
_SPARSE = 0.5  # share of non-zeros below which signals count as sparse
_AMP_ITERATIONS = 50
_OFTEN, _LARGEST = 8, 2**22  # non-zeros beyond twice their mean; numbers that OMP holds for a signal


class Grid(NamedTuple):
    """Where the signals of a problem are samples: the shape, and the synthesis of unknowns that are coefficients."""

    shape: tuple[int, ...]
    synthesis: LinearOperator | None


def grid_of(problem: Any) -> Grid | None:
    """The grid of a problem's unknowns or, where these are coefficients, of their synthesis; None without one."""
    shape = grid_of_unknowns(problem)
    if shape is not None:
        return Grid(tuple(shape), None)
    synthesis = getattr(problem, "synthesis", None)
    return None if synthesis is None else Grid(tuple(problem.grid), synthesis)


def training_signals(problem: Any, seed: int) -> Float[Array, "N n"]:
    """Signals to take moments from: at most 4,096 of the training subset."""
    part = problem.split("train")
    count = max(1, min(_TRAINING, _ENTRIES // physics_of(problem).shape[1]))
    rows = getattr(part, "samples", None)
    if isinstance(rows, tuple):  # a data set: no measurement is made of it
        return rows[0][: count * max(1, len(rows[0]) // count) : max(1, len(rows[0]) // count)]
    return part.sample(jax.random.key(seed), count)[0]


def suited(
    problem: Any,
    training: Float[Array, "N n"],
    validation: tuple[Array, Array],
    iterations: int,
    converged: int = 200,
) -> list[Baseline]:
    """The baselines that apply, with their parameters at a start for tuning.

    ``iterations``: of the classic solver; ``converged``: of what runs until it has converged. Always linear MMSE and
    FISTA. On a grid Tikhonov and total variation, and wavelet FISTA where a wavelet fits. For sparse signals OMP
    (unless it is too large: it holds as many columns as a signal may have non-zeros) and, where the physics is
    random-like, untrained AMP with the share and variance of the training signals' non-zeros; for measurements of two
    values BIHT.
    """
    A, grid = physics_of(problem), grid_of(problem)
    x, y = (np.asarray(part) for part in validation)
    shape, synthesis = (None, None) if grid is None else grid
    found: list[Baseline] = [LinearMMSE.of(training, shape, synthesis)]
    if shape is not None:
        found.append(Tikhonov(signal_shape=shape, synthesis=synthesis))
        found.append(TotalVariation(shape, synthesis, iterations=converged))
        if all(side % 2 == 0 for side in shape):
            found.append(WaveletFISTA(shape, synthesis, iterations=converged))
    found.append(Classic(FISTA(), iterations))
    signals = np.asarray(training)
    share = float(np.mean(signals != 0))
    if 0 < share <= _SPARSE:
        if np.unique(np.abs(y)).size == 1:
            size = math.sqrt(float(np.mean(np.sum(np.square(x, dtype=np.float64), -1))))
            return [*found, BIHT(max(1, round(share * x.shape[1])), size)]
        most = max(1, min(min(A.shape) // 2, _OFTEN + math.ceil(2 * share * A.shape[1])))
        if most * A.shape[0] <= _LARGEST:
            found.append(OMP(most))
        variance = float(np.mean(np.square(signals[signals != 0], dtype=np.float64)))
        prior = BernoulliGaussian(sparsity=share, variance=variance, noise=1.0)
        if is_random_like(A, prior, jnp.asarray(x), jnp.asarray(y)):
            found.append(Classic(AMP(prior, "computed", momentum=False), _AMP_ITERATIONS, label="amp, true prior"))
    return found
