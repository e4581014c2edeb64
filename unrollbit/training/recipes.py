"""Recipes: a named initialisation plus stages.

Every recipe takes ``algorithm`` (default: ``AMP`` with the shrinkage that fits the problem's signals; ``distilled`` has
its teacher's), ``physics``, what the network holds in place of the problem's operator: ``Preconditioned.of(A)`` for an
ill-conditioned A, ``sign_planes(A, planes)`` for a network without floats, and ``activations``: ``Activations(bits=8)``
for few bits at the input of its maps. Measurements stay those of the problem.
"""

from __future__ import annotations

from typing import Any

from unrollbit.algorithms import Algorithm
from unrollbit.formats import Anchored, Designed, Format, FullPrecision, OneBit
from unrollbit.networks import Activations
from unrollbit.operators import LinearOperator
from unrollbit.training.distilled import distilled
from unrollbit.training.losses import Loss
from unrollbit.training.recipe import Recipe, initialised
from unrollbit.training.stage import Stage, grown

__all__ = [
    "Recipe",
    "designed_signs",
    "distilled",
    "full_precision",
    "learned_signs",
    "scalars_only",
    "two_stage",
]


def two_stage(
    problem: Any,
    depth: int = 16,
    *,
    algorithm: Algorithm | None = None,
    physics: LinearOperator | None = None,
    activations: Activations | None = None,
    weights: Format | None = None,
    planes: int = 1,
    distinct: int | None = None,
    steps: int = 1500,
    batch: int = 64,
    sign_rate: float = 3e-4,
    loss: Loss | None = None,
) -> Recipe:
    """The default: train in full precision with growing depth, then take the signs and train on.

    Works for every algorithm and problem. 60 % of the steps go to full precision. ``weights`` defaults to ``OneBit``
    with one scale per matrix and plane, in the domain of the signal where the physics is a composition ``A = Phi Psi``.
    """
    format = OneBit(planes=planes) if weights is None else weights
    net = initialised(problem, depth, format, algorithm, physics, activations, distinct)
    common: dict[str, Any] = {"batch": batch} if loss is None else {"batch": batch, "loss": loss}
    growing = grown(depth, round(0.6 * steps), quantised=False, **common)
    rates = {"scalars": 1e-2, "signs": sign_rate, "scales": 1e-3}
    final = Stage(steps=max(1, round(0.4 * steps)), rates=rates, name="one-bit", **common)
    return Recipe(net, (*growing, final))


def designed_signs(
    problem: Any,
    depth: int = 16,
    *,
    algorithm: Algorithm | None = None,
    physics: LinearOperator | None = None,
    activations: Activations | None = None,
    planes: int = 1,
    distinct: int | None = None,
    steps: int = 1300,
    batch: int = 64,
    sign_rate: float = 1e-3,
    anchored: bool = False,
    noise: float = 0.0,
    seed: int = 0,
) -> Recipe:
    """Best for sparse recovery: signs of least coherence with A, columns normalised, depth grown layer by layer.

    Untied signs are trained further (straight-through, at ``sign_rate``); tied or cycled ones (and all with
    ``sign_rate=0``) stay as designed, since training makes them worse. With several planes their scale ratio is
    trained. ``anchored`` designs the signs of V in ``W = A + V``: A is at hand anyway, and one plane on top of it is
    worth about two without. ``noise`` is the noise variance over the squared error per unknown that the signs are
    designed for (0: none). Source: ``design_signs``.
    """
    if not isinstance(anchored, bool):
        raise ValueError(f"anchored: expected true or false, got {anchored!r}")
    scale = "none" if planes == 1 and not anchored else "global"
    signs = Designed(OneBit(planes, scale), noise=noise, seed=seed)
    net = initialised(problem, depth, Anchored(signs) if anchored else signs, algorithm, physics, activations, distinct)
    rates = {"scalars": 1e-2}
    if scale != "none":
        rates["scales"] = 1e-3
    if sign_rate > 0 and (distinct is None or distinct == depth):
        rates["signs"] = sign_rate
    return Recipe(net, grown(depth, steps, rates=rates, batch=batch))


def learned_signs(
    problem: Any,
    depth: int = 16,
    *,
    algorithm: Algorithm | None = None,
    physics: LinearOperator | None = None,
    activations: Activations | None = None,
    weights: Format | None = None,
    distinct: int | None = None,
    steps: int = 1000,
    batch: int = 64,
    sign_rate: float = 1e-2,
) -> Recipe:
    """Best for real signals and +-1 physics: the physics' signs, learned straight-through at a high rate.

    Untied matrices differ where it helps: K sign matrices together stand for values between -1 and 1. ``weights``: any
    quantised format instead of ``OneBit``; it starts at its best approximation of the physics.
    """
    net = initialised(
        problem, depth, OneBit() if weights is None else weights, algorithm, physics, activations, distinct
    )
    rates = {"scalars": 1e-2, "scales": 1e-3, "signs": sign_rate}
    return Recipe(net, grown(depth, steps, rates=rates, batch=batch))


def scalars_only(
    problem: Any,
    depth: int = 16,
    *,
    weights: Format,
    algorithm: Algorithm | None = None,
    physics: LinearOperator | None = None,
    activations: Activations | None = None,
    steps: int = 1300,
    batch: int = 64,
) -> Recipe:
    """Maps stay as they start (``W = A``, designed signs, ALISTA's matrix); only steps, thresholds and memory learn."""
    net = initialised(problem, depth, weights, algorithm, physics, activations, 1)
    return Recipe(net, grown(depth, steps, rates={"scalars": 1e-2}, batch=batch))


def full_precision(
    problem: Any,
    depth: int = 16,
    *,
    algorithm: Algorithm | None = None,
    physics: LinearOperator | None = None,
    activations: Activations | None = None,
    distinct: int | None = None,
    steps: int = 1300,
    batch: int = 64,
    matrix_rate: float = 1e-3,
) -> Recipe:
    """The same cell with float32 matrices that start at A: what one-bit networks are measured against."""
    rates = {"scalars": 1e-2, "matrices": matrix_rate}
    net = initialised(problem, depth, FullPrecision(), algorithm, physics, activations, distinct)
    return Recipe(net, grown(depth, steps, rates=rates, batch=batch))
