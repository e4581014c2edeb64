"""Recipes: a named initialisation plus stages.

Every recipe takes the options of ``Setting``. ``algorithm``: by default ``AMP`` with the shrinkage that fits the
problem's signals where the physics is random-like, else the best classic solver (``unrollbit.training.chosen``);
``distilled`` has its teacher's. ``physics``: what the network holds in place of the problem's operator, as
``Preconditioned.of(A)`` for an ill-conditioned A or ``sign_planes(A, planes)`` for a network without floats;
measurements stay those of the problem. ``activations``: ``Activations(bits=8)`` for few bits at the input of its maps.
``distinct``: number of distinct matrices, default one per layer. ``batch`` and ``loss``: of the stages.
"""

from __future__ import annotations

from typing import Any

from unrollbit.algorithms import Algorithm
from unrollbit.arguments import integer, number, switch
from unrollbit.formats import Anchored, Designed, Format, FullPrecision, OneBit
from unrollbit.operators.physics import grid_of_unknowns
from unrollbit.training.distilled import distilled
from unrollbit.training.learned_prior import learned_prior
from unrollbit.training.recipe import Recipe, Setting, recipe

__all__ = [
    "Recipe",
    "default",
    "designed_signs",
    "distilled",
    "full_precision",
    "learned_prior",
    "learned_signs",
    "scalars_only",
    "two_stage",
]


STEPS = 1500  # of a default network's training
_PLANES = 3  # of what a default network adds to its anchor


@recipe()
def default(
    problem: Any,
    depth: int | None = None,
    *,
    planes: int | None = None,
    steps: int = STEPS,
    algorithm: Algorithm | None = None,
    distinct: int | None = 1,
    **setting: Any,
) -> Recipe:
    """What is safe for any problem: a network that starts as what one would use without training.

    Signals on a grid (``problem.signal_shape``), images say, get ``learned_prior`` of 8 layers, with filters of one
    bit. Elsewhere the physics decides (``unrollbit.training.chosen``): AMP where it is random-like, else FISTA or ADMM,
    tuned on validation signals; 16 layers. (Where the best thresholds stop most signals there is nothing to start from:
    AMP again, whose start may be worse than zero.) Their map is anchored, ``W = W_0 + V`` with the start value W_0 that
    the physics gives and V in three sign planes (or ``planes``) that all layers share (``distinct=1``), so that the
    network starts as that solver; ``two_stage`` trains it, three quarters of the steps in full precision. ``fit`` keeps
    the start if training does not get ahead of it.
    """
    depth = None if depth is None else integer("depth", depth, 1)
    if algorithm is None and grid_of_unknowns(problem) is not None:
        depth, planes = 8 if depth is None else depth, 1 if planes is None else planes
        return learned_prior(problem, depth, planes=planes, steps=steps, **setting)
    start = Setting(problem, 16 if depth is None else depth, algorithm, distinct=distinct, **setting)
    return two_stage(
        problem,
        start.depth,
        weights=Anchored(OneBit(planes=_PLANES if planes is None else planes), share=0.0),
        steps=steps,
        share=0.75,
        matrix_rate=start.matrix_rate,
        sign_rate=1e-2,
        algorithm=start.chosen,
        distinct=distinct,
        **setting,
    )


@recipe()
def two_stage(
    problem: Any,
    depth: int = 16,
    *,
    weights: Format | None = None,
    planes: int = 1,
    steps: int = 1500,
    share: float = 0.6,
    matrix_rate: float = 1e-3,
    sign_rate: float = 3e-4,
    **setting: Any,
) -> Recipe:
    """Train in full precision with growing depth, then take the signs, fit scalars and scales to them, and train on.

    Works for every algorithm and problem. ``share`` of the steps goes to full precision; after the hand-over a quarter
    of the others re-fits steps, momenta, thresholds and scales, which fitted other matrices. ``weights`` defaults to
    ``OneBit`` with one scale per matrix and plane, in the domain of the signal where the physics is a composition
    ``A = Phi Psi``.
    """
    share = number("share", share, lambda value: 0 < value < 1, "a share between 0 and 1")
    start = Setting(problem, depth, **setting)
    first = round(share * steps)
    growing = start.grown(first, quantised=False, rates={"scalars": 1e-2, "matrices": matrix_rate})
    again = max(1, round((1 - share) / 4 * steps))
    refit = start.stage(again, rates={"scalars": 1e-2, "scales": 1e-2}, name="refit")
    rates = {"scalars": 1e-2, "signs": sign_rate, "scales": 1e-3}
    final = start.stage(max(1, steps - first - again), rates=rates, name="one-bit")
    return Recipe(start.network(OneBit(planes=planes) if weights is None else weights), (*growing, refit, final))


@recipe()
def designed_signs(
    problem: Any,
    depth: int = 16,
    *,
    planes: int = 1,
    steps: int = 1300,
    sign_rate: float = 1e-3,
    anchored: bool = False,
    noise: float = 0.0,
    seed: int = 0,
    **setting: Any,
) -> Recipe:
    """Best for sparse recovery: signs of least coherence with A, columns normalised, depth grown layer by layer.

    Untied signs are trained further (straight-through, at ``sign_rate``); tied or cycled ones (and all with
    ``sign_rate=0``) stay as designed, since training makes them worse. With several planes their scale ratio is
    trained. ``anchored`` designs the signs of V in ``W = A + V``: A is at hand anyway, and one plane on top of it is
    worth about two without. ``noise`` is the noise variance over the squared error per unknown that the signs are
    designed for (0: none). Source: ``design_signs``.
    """
    start, anchored = Setting(problem, depth, **setting), switch("anchored", anchored)
    scale = "none" if planes == 1 and not anchored else "global"
    signs = Designed(OneBit(planes, scale), noise=noise, seed=seed)
    rates = {"scalars": 1e-2}
    if scale != "none":
        rates["scales"] = 1e-3
    if sign_rate > 0 and start.distinct in (None, depth):
        rates["signs"] = sign_rate
    return Recipe(start.network(Anchored(signs) if anchored else signs), start.grown(steps, rates=rates))


@recipe()
def learned_signs(
    problem: Any,
    depth: int = 16,
    *,
    weights: Format | None = None,
    steps: int = 1000,
    sign_rate: float = 1e-2,
    **setting: Any,
) -> Recipe:
    """Best for real signals and +-1 physics: the physics' signs, learned straight-through at a high rate.

    Untied matrices differ where it helps: K sign matrices together stand for values between -1 and 1. ``weights``: any
    quantised format instead of ``OneBit``; it starts at its best approximation of the physics.
    """
    start = Setting(problem, depth, **setting)
    rates = {"scalars": 1e-2, "scales": 1e-3, "signs": sign_rate}
    return Recipe(start.network(OneBit() if weights is None else weights), start.grown(steps, rates=rates))


@recipe("distinct")
def scalars_only(problem: Any, depth: int = 16, *, weights: Format, steps: int = 1300, **setting: Any) -> Recipe:
    """Maps stay as they start (``W = A``, designed signs, ALISTA's matrix); only steps, thresholds and memory learn."""
    start = Setting(problem, depth, distinct=1, **setting)
    return Recipe(start.network(weights), start.grown(steps, rates={"scalars": 1e-2}))


@recipe()
def full_precision(
    problem: Any, depth: int = 16, *, steps: int = 1300, matrix_rate: float = 1e-3, **setting: Any
) -> Recipe:
    """The same cell with float32 matrices that start at A: what one-bit networks are measured against."""
    start = Setting(problem, depth, **setting)
    rates = {"scalars": 1e-2, "matrices": matrix_rate}
    return Recipe(start.network(FullPrecision()), start.grown(steps, rates=rates))
