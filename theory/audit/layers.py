"""Stability, sensitivity and convergence of a network in normal form, on given signals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from unrollbit.theory import convergence as C
from unrollbit.theory import sensitivity as N
from unrollbit.theory import stability as S
from unrollbit.theory.audit.settings import Settings
from unrollbit.theory.normal_form import NormalForm, real
from unrollbit.theory.numerics import norms
from unrollbit.theory.report import Report, not_applicable
from unrollbit.theory.statements import STATEMENTS
from unrollbit.theory.trajectory import recover

IN_NORMAL_FORM = "the network has a normal form"
_INSIDE = 0.999  # share of the radius of the linear region in which S4 is measured
_FALSE_SUPPORT = 3  # C2u allows supports this many times those of the signals
_CHUNK = 20  # draws of bit errors at a time: their masks take memory

Signals = Float[np.ndarray, "S n"]
Measurements = Float[np.ndarray, "S m"]


def deterministic(form: NormalForm, x: Signals, y: Measurements, settings: Settings) -> Iterator[Report]:
    """Reports of every theorem of the three families as they are found, one per signal (or perturbation) and theorem.

    ``y`` are the measurements that the layers see. Raises ``ValueError`` for shapes that do not fit, numbers that are
    not real and finite and (when it comes to it) a radius that rounding loses beside y; ``TypeError`` where ``form`` or
    ``settings`` are something else.
    """
    if not isinstance(form, NormalForm):
        raise TypeError(f"expected the normal form of a network (normal_form(net)), got {type(form).__name__}")
    if not isinstance(settings, Settings):
        raise TypeError(f"expected Settings, got {type(settings).__name__}")
    m, n = form.A.shape
    x, y = real("signals", x), real("measurements", y)
    if x.ndim != 2 or x.shape[1] != n or y.shape != (len(x), m) or not len(x):
        raise ValueError(f"expected signals (S, {n}) and measurements (S, {m}), got {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("expected finite signals and measurements, got NaN or infinity")
    return _deterministic(form, x, y, settings)


def _deterministic(form: NormalForm, x: Signals, y: Measurements, settings: Settings) -> Iterator[Report]:
    yield from convergence(form, x, y, settings)
    for index, measured in enumerate(y[: settings.attacked]):
        yield from stability(form, measured, settings, index)
        yield from sensitivity(form, measured, settings, index)


def outside(reason: str, names: Sequence[str] | None = None) -> list[Report]:
    """Reports of theorems (None: all of the three families) for a network that has no normal form."""
    if names is None:
        names = [name for name, statement in STATEMENTS.items() if statement.family != "generalization"]
    return [not_applicable(name, {f"{IN_NORMAL_FORM} (it has not: {reason})": False}) for name in names]


def stability(form: NormalForm, y: Float[np.ndarray, " m"], settings: Settings, index: int = 0) -> Iterator[Report]:
    """S1 to S5 at perturbations that ascent finds."""
    seed = settings.seeded(index)
    with np.errstate(invalid="ignore", divide="ignore"):  # squares of a tiny radius underflow: refused below
        others = y + S.adversarial(form, y, settings.radius, seed=seed)
    if not (others[0] != y).any():
        raise ValueError(
            f"radius: {settings.radius:g} is lost to rounding beside measurements of norm {float(norms(y)):.3g}; "
            "expected a larger one"
        )
    yield S.S1(form, y, others)
    yield S.S1h(form, y, others)
    yield S.S2(form, y, others)
    yield S.S3(form, y, others, settings.radius)
    rho = S.linear_region_radius(form, y) if form.soft else settings.radius
    inner = min(_INSIDE * rho, settings.radius)
    near = y + S.adversarial(form, y, inner, seed=seed) if inner > 0 else others
    yield S.S4(form, y, near if (near != y).any() else others)
    yield S.S5(form, y, others[0])


def sensitivity(form: NormalForm, y: Float[np.ndarray, " m"], settings: Settings, index: int = 0) -> Iterator[Report]:
    """N1 to N6: the worst of greedy and random flips, an error of the scale, bit errors, quantisation."""
    count = min(settings.flips, int(form.mask.sum()))
    flips = [
        *N.greedy_flips(form, y, count),
        *(N.random_flips(form, count, settings.seeded(index + i)) for i in range(5)),
    ]
    perturbed = [N.flipped(form, each) for each in flips]
    clean = recover(form, y)
    worst = max(perturbed, key=lambda other: float(norms(recover(other, y) - clean)))
    errors = [worst] if form.form == "lista" else [worst, N.with_scale_error(form, settings.scale_error)]
    for other in errors:
        yield N.N1(form, other, y)
        yield N.N1path(form, other, y)
        yield N.N1free(form, other, y)
    yield N.N2(form, worst)
    yield N.N2u(form, y, count, perturbed)
    if form.copies < form.depth or form.magnitudes is None or form.form == "lista":
        squared = np.zeros(settings.draws)  # not applicable: nothing to measure
    else:
        chunks = range(0, settings.draws, _CHUNK)
        seeds = (settings.seeded(index + 1000 * (i + 1)) for i in chunks)
        errors_of = (N.random_bit_errors(form, settings.rate, _CHUNK, seed) for seed in seeds)
        squared = np.concatenate([N.squared_deviations(form, y, each) for each in errors_of])
    yield N.N3(form, y, settings.rate, squared)
    if form.magnitudes is not None:
        yield not_applicable("N6", {"the network is in full precision": False})
    else:
        identity, output = N.N6(form, y)
        yield identity if identity.status == "violated" else output


def convergence(form: NormalForm, x: Signals, y: Measurements, settings: Settings) -> Iterator[Report]:
    """C1 to C7 on all signals; those around a reference solution (C4, C5) on as many as are attacked."""
    for signal, measured in zip(x, y, strict=True):
        yield C.C1(form, signal, measured)
        yield C.C1(form, signal, measured, support=True)
        yield C.C1b(form, signal, measured)
        yield C.C2(form, signal, measured)
        yield C.C2u(form, signal, measured, max(1, _FALSE_SUPPORT * int((signal != 0).sum())))
        yield C.C3(form, signal, measured)
        yield C.C3b(form, signal, measured)
        yield C.C7(form, signal, measured, float(norms(measured - form.A @ signal)))
    for signal, measured in zip(x[: settings.attacked], y, strict=False):
        yield C.C3a(form, signal, measured)
        yield C.C4(form, measured)
        yield C.C5(form, measured)
    yield C.C6(form.A)
