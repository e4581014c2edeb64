"""The recipe of learned filter priors."""

from __future__ import annotations

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from unrollbit.algorithms import ForwardBackward, Levels
from unrollbit.arguments import choice, integer
from unrollbit.formats import Format, Uniform, UnitFilters
from unrollbit.networks import Unrolled
from unrollbit.operators.physics import grid_of_unknowns, physics_of
from unrollbit.shrinkage import Clips, Influence, MonotoneClips
from unrollbit.training.convex_energy import ConvexEnergy
from unrollbit.training.losses import MeanLogError
from unrollbit.training.recipe import Recipe, Setting, recipe
from unrollbit.training.stage import TRAINABLE

_KNOTS = (0.06, 0.16, 0.4, 1.0)  # in units of the root mean square of the signals: filter responses of photographs
_SLOPE = 0.6  # of the second clip, in units of what a step of the prior bears
_RISING = (0.6, 0.3, 0.02, 0.01)  # the same of functions that rise everywhere, steepest at 0
_HELD = ("momentum",)
_CERTIFIED: dict[str, dict[str, Any]] = {
    "no": {},
    "prior": {"penalties": (ConvexEnergy(),), "held": _HELD},
    "energy": {"penalties": (ConvexEnergy(concave=0.9),), "held": _HELD},
}
_CORRECTION = 0.04  # a typical correction of a data step, in the same units
_SIGNALS = 64
_RATES = {"scalars": 1e-2, "scales": 1e-3, "signs": 6e-3, "matrices": 1e-2}  # latents: times their size
_BOUND = 2.0  # of latents, in units of their size at the start


@recipe("algorithm", "distinct")
def learned_prior(
    problem: Any,
    depth: int = 8,
    *,
    planes: int = 1,
    filters: int | None = None,
    size: int | None = None,
    weights: Format | None = None,
    influence: Influence | None = None,
    levels: Literal["auto", "fixed", "signal", "noise"] = "auto",
    convex: Literal["no", "prior", "energy"] = "no",
    steps: int = 2000,
    **setting: Any,
) -> Recipe:
    """The default for images and for signals without a better prior: ``ForwardBackward`` with learned one-bit filters.

    The unknowns must be samples on a grid (``problem.signal_shape``). Filters start at the atoms of the cosine
    transform and influence functions at one clip; both are trained together with all scalars in one stage, with the
    mean over signals of the logarithm of their error.

    Args:
        problem: a ``Problem`` whose unknowns are samples on a grid.
        depth: number of layers.
        planes: sign planes of the filters; two come close to floats.
        filters, size: of each layer, and taps along each axis; None: 24 of 5 x 5 taps, and 12 of 13 for 1-D signals.
        weights: another format of the filters; ``UnitFilters`` goes around it.
        influence: the influence function; None: ``Clips`` with knots of the size of the signals, in 8 bits (measured on
            BSD68: 0.006 dB below 16 bits).
        levels: what thresholds follow: nothing ("fixed"), the level of each signal or of its noise; "auto": nothing
            where noisy signals are measured as they are or ``convex`` asks for it, else the level of the signal.
        convex: layers that can be certified, with fixed thresholds, no momentum and the penalty ``ConvexEnergy``.
            "prior": a convex prior (``MonotoneClips``), with which no layer makes differences of measurements larger;
            "energy": data term and prior together are convex (orthonormal physics), which costs less accuracy.
        steps: of training.

    Raises:
        ValueError: unknowns that are no samples on a grid, or an argument out of range.

    Sources: Chen and Pock, "Trainable nonlinear reaction diffusion", IEEE PAMI 39 (2017); Hammernik et al., "Learning a
    variational network", MRM 79 (2018).
    """
    shape, A, depth = grid_of_unknowns(problem), physics_of(problem), integer("depth", depth, 1)
    if shape is None:
        raise ValueError(
            "learned_prior: expected a problem whose unknowns are samples on a grid (its signal_shape); image and EEG "
            "problems have them with transform=None, arrays of your own with shape=(n,) or shape=(height, width)"
        )
    planes, followed = integer("planes", planes, 1), choice("levels", levels, ("auto", "fixed", "signal", "noise"))
    certified = _CERTIFIED[choice("convex", convex, tuple(_CERTIFIED))]
    unit = signal_size(problem)
    size = (5 if len(shape) == 2 else 13) if size is None else integer("size", size, 2)
    filters = min(24, size ** len(shape) - 1) if filters is None else filters
    if influence is None:
        knots = tuple(unit * knot for knot in _KNOTS)
        kind, slopes = (MonotoneClips, _RISING) if convex == "prior" else (Clips, (0.0, 1.0, 0.0, 0.0))
        influence = kind(knots, slopes, bits=8)
    if followed == "auto":
        followed = "fixed" if A.is_orthogonal or certified else "signal"
    rule = None if followed == "fixed" else Levels(unit, _CORRECTION, followed)
    options = {"influence": influence, "filters": filters, "size": size, "levels": rule}
    algorithm = ForwardBackward(signal_shape=shape, **options)
    setting = {"batch": 8, "loss": MeanLogError(), **setting}
    start = Setting(problem, depth, algorithm, **setting)
    filters_format = UnitFilters(Uniform(planes) if weights is None else weights)
    net = start.network(filters_format, scalars=started(algorithm, A, depth))
    stage = start.stage(steps, **_training(net), **certified)
    for penalty in stage.penalties:
        penalty.check(net)
    return Recipe(net, (stage,))


def _training(net: Unrolled) -> dict[str, Any]:
    """Learning rates of the kinds of variables that a network has; those of latents and their bound are in proportion
    to their size at the start.
    """
    held = {kind: jax.tree.leaves(nnx.state(net, own)) for kind, own in TRAINABLE.items()}
    rates = {kind: rate for kind, rate in _RATES.items() if held[kind]}
    if not held["signs"]:
        return {"rates": rates}
    size = float(np.mean([np.abs(latents).mean() for latents in held["signs"]]))
    return {"rates": {**rates, "signs": _RATES["signs"] * size}, "bounds": {"signs": _BOUND * size}}


def started(algorithm: ForwardBackward, A: Any, depth: int) -> dict[str, Any]:
    """Raw scalars at their start: data steps as far as the physics allows them, no momentum."""
    specs = algorithm.scalar_forms(A)
    values = {name: spec.initial_values(depth) for name, spec in specs.items()}
    values["momentum"] = np.zeros(depth)
    values["step"] = np.full(depth, 0.1 if A.is_orthogonal else 1.0)
    values["rho"] = np.full(depth, 1e-2) if A.inverts else np.geomspace(1e-3, 3e-2, depth)
    values["slopes"] *= _SLOPE / np.abs(values["slopes"]).max()
    return {name: jnp.asarray(specs[name].raw(own)) for name, own in values.items()}


def signal_size(problem: Any) -> float:
    """Root mean square of some training signals; 1 for physics without signals."""
    if not hasattr(problem, "sample"):
        return 1.0
    x = np.asarray(problem.sample(jax.random.key(0), _SIGNALS)[0], np.float64)
    return math.sqrt(np.mean(x**2)) or 1.0
