"""The best parameters of a baseline, chosen on validation signals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.arguments import integer
from unrollbit.baselines.base import Baseline, Range
from unrollbit.metrics import Reduction, nmse_db
from unrollbit.operators.physics import physics_of

B = TypeVar("B", bound=Baseline)
_EXTENSIONS = 6  # steps beyond the ends of a range


class Trial(NamedTuple):
    """Values of the parameters, and the NMSE in dB with them."""

    parameters: dict[str, float]
    nmse_db: float


class Tuned(NamedTuple, Generic[B]):
    """A baseline with its best parameters, its NMSE in dB on the validation signals, and all that was tried."""

    baseline: B
    nmse_db: float
    trials: list[Trial]

    @property
    def parameters(self) -> dict[str, float]:
        """The best ones."""
        return min(self.trials, key=lambda trial: trial.nmse_db).parameters


def tune(
    baseline: B,
    problem: Any,
    x: Float[Array, "batch n"],
    y: Float[Array, "batch m"],
    *,
    reduction: Reduction = "ratio",
    count: int | None = None,
) -> Tuned[B]:
    """The parameters with the lowest NMSE on validation pairs ``(x, y)``.

    Every parameter in ``baseline.ranges`` is tried at the values of its range (all combinations). A best value at an
    end extends the range; then the two geometric means beside the best one are tried. All this for every combination
    of ``baseline.choices``. ``reduction``: the NMSE that counts, as in ``unrollbit.metrics.nmse_db``; ``"mean_of_db"``
    is the mean PSNR of images. ``count``: values of every parameter to begin with, in place of the ranges' own.

    Raises ``ValueError`` for a ``count`` below 2.

    Example:
        >>> from unrollbit.baselines import Tikhonov
        >>> from unrollbit.operators import gaussian
        >>> A, x = gaussian(8, 16), np.random.RandomState(0).randn(32, 16)
        >>> tuned = tune(Tikhonov(), A, x, A(x))
        >>> tuned.nmse_db == min(trial.nmse_db for trial in tuned.trials)
        True
    """
    A, trials = physics_of(problem), []
    if count is not None:
        integer("count", count, 2)

    def score(values: dict[str, float]) -> float:
        estimate = baseline.with_parameters(**values)(A, y)
        level = float(nmse_db(estimate, x, reduction=reduction))
        trials.append(Trial(values, level if math.isfinite(level) else math.inf))
        return trials[-1].nmse_db

    for values in itertools.product(*baseline.choices.values()):
        chosen = dict(zip(baseline.choices, values, strict=True))
        ranges = baseline.with_parameters(**chosen).ranges(A, jnp.asarray(x), jnp.asarray(y))
        if count is not None:
            ranges = {name: where._replace(count=count) for name, where in ranges.items()}
        _searched(list(ranges.items()), chosen, score)
    best = min(trials, key=lambda trial: trial.nmse_db)
    return Tuned(baseline.with_parameters(**best.parameters), best.nmse_db, trials)


def _searched(
    ranges: list[tuple[str, Range]], chosen: dict[str, float], score: Callable[[dict[str, float]], float]
) -> float:
    """The lowest score over all parameters in ``ranges``, with those in ``chosen`` as they are."""
    if not ranges:
        return score(chosen)
    (name, where), others = ranges[0], ranges[1:]
    tried: dict[float, float] = {}

    def look(value: float) -> None:
        value = float(np.clip(value, *where.limits))
        value = round(value) if where.whole else value
        if value not in tried:
            tried[value] = _searched(others, {**chosen, name: value}, score)

    grid = np.geomspace(where.low, where.high, where.count)
    for value in grid:
        look(value)
    ratio = grid[-1] / grid[-2] if where.count > 1 else 2.0
    for _ in range(_EXTENSIONS):
        best, order = min(tried, key=lambda value: tried[value]), sorted(tried)
        if best not in (order[0], order[-1]):
            break
        before = len(tried)
        look(best / ratio if best == order[0] else best * ratio)
        if len(tried) == before:
            break
    best = min(tried, key=lambda value: tried[value])
    for factor in (ratio**-0.5, ratio**0.5):
        look(best * factor)
    return min(tried.values())
