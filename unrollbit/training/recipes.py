"""Recipes: a named initialisation plus stages."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from unrollbit.algorithms import AMP, Algorithm, LinearMap
from unrollbit.networks import Unrolled
from unrollbit.operators import Composition, LinearOperator
from unrollbit.training.losses import Loss
from unrollbit.training.stage import Stage, grown
from unrollbit.weights import FullPrecision, OneBit, Weights, WeightsFactory, designed, in_signal_domain, normalised


class Recipe(NamedTuple):
    """An initialised network and the stages that train it: ``fit(recipe.network, problem, recipe.stages)``."""

    network: Unrolled
    stages: tuple[Stage, ...]


def two_stage(
    problem: Any,
    depth: int = 16,
    *,
    algorithm: Algorithm | None = None,
    weights: WeightsFactory | None = None,
    distinct: int | None = None,
    steps: int = 1500,
    batch: int = 64,
    loss: Loss | None = None,
) -> Recipe:
    """The default: train in full precision with growing depth, then take the signs and train those.

    Works for every algorithm and problem. 60 % of the steps go to full precision. ``weights`` defaults to ``OneBit`` with row
    scales, in the domain of the signal where the physics is a composition ``A = Phi Psi``.
    """
    algorithm = AMP() if algorithm is None else algorithm
    factory = _domain(problem, partial(OneBit.for_map, scale="row") if weights is None else weights)
    net = Unrolled(algorithm, problem, depth, factory, distinct=distinct)
    common: dict[str, Any] = {"batch": batch} if loss is None else {"batch": batch, "loss": loss}
    growing = grown(depth, round(0.6 * steps), quantised=False, **common)
    final = Stage(steps=max(1, round(0.4 * steps)), name="one-bit", **common)
    return Recipe(net, (*growing, final))


def designed_signs(
    problem: Any,
    depth: int = 16,
    *,
    algorithm: Algorithm | None = None,
    planes: int = 1,
    distinct: int | None = None,
    steps: int = 1300,
    batch: int = 64,
    seed: int = 0,
) -> Recipe:
    """Best for sparse recovery: signs of least coherence with A, columns normalised, depth grown layer by layer.

    Untied signs are trained further (straight-through, rate 1e-3); tied or cycled ones stay as designed, since training
    makes them worse. With several planes their scale ratio is trained. Source: ``design_signs``.
    """
    algorithm = AMP() if algorithm is None else algorithm
    scale = "none" if planes == 1 else "global"
    factory = normalised(partial(designed, planes=planes, scale=scale, seed=seed))
    net = Unrolled(algorithm, problem, depth, factory, distinct=distinct)
    rates = {"scalars": 1e-2}
    if planes > 1:
        rates["scales"] = 1e-3
    if distinct is None or distinct == depth:
        rates["signs"] = 1e-3
    return Recipe(net, grown(depth, steps, rates=rates, batch=batch))


def scalars_only(
    problem: Any,
    depth: int = 16,
    *,
    weights: WeightsFactory,
    algorithm: Algorithm | None = None,
    steps: int = 1300,
    batch: int = 64,
) -> Recipe:
    """Maps stay as they start (``W = A``, designed signs, ALISTA's matrix); only steps, thresholds and memory learn."""
    net = Unrolled(AMP() if algorithm is None else algorithm, problem, depth, normalised(weights), distinct=1)
    return Recipe(net, grown(depth, steps, rates={"scalars": 1e-2}, batch=batch))


def full_precision(
    problem: Any,
    depth: int = 16,
    *,
    algorithm: Algorithm | None = None,
    distinct: int | None = None,
    steps: int = 1300,
    batch: int = 64,
) -> Recipe:
    """The same cell with float32 matrices that start at A: what one-bit networks are measured against."""
    factory = normalised(_domain(problem, FullPrecision.for_map))
    net = Unrolled(AMP() if algorithm is None else algorithm, problem, depth, factory, distinct=distinct)
    return Recipe(net, grown(depth, steps, batch=batch))


def _domain(problem: Any, factory: WeightsFactory) -> WeightsFactory:
    A = getattr(problem, "operator", problem)
    return partial(_in_domain, inner=factory) if isinstance(A, Composition) else factory


def _in_domain(linear_map: LinearMap, physics: LinearOperator, copies: int, *, inner: WeightsFactory) -> Weights:
    """In the domain of the signal, but for maps that have none (W1 and W2 of classic ISTA)."""
    factory = in_signal_domain(inner) if linear_map.transposed else inner
    return factory(linear_map, physics, copies)
