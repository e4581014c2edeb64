"""Flipped signs of a one-bit network: their size, any few of them, and random ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import finite, norms, spectral_norm
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, equality, not_applicable, upper_bound
from unrollbit.theory.sensitivity.deviation import sizes
from unrollbit.theory.sensitivity.flips import flip_deviations, flips_between, random_bit_errors
from unrollbit.theory.sensitivity.instance import Perturbed
from unrollbit.theory.trajectory import run

_ONE_MAGNITUDE = "the entries of a layer have one magnitude"
_CHUNK = 20  # draws of bit errors at a time: their masks take memory
_FEWEST_DRAWS = 200  # below it, 3.5 standard errors are no safe margin for the heavy tail of rare flips


@theorem(
    "sensitivity",
    "size of a sign-flip perturbation",
    "spectral norm",
    on=Perturbed,
    examine=lambda at: N2(at.form, at.worst),
    meaning="flipped signs change W by at most {bound:.3g}",
)
def N2(form: NormalForm, other: NormalForm) -> Report:
    """Size of a set of f sign flips, at most f_r in a row and f_c in a column, in every layer::

        ||G_k - G^_k||_F = 2 gamma_k sqrt(f),    ||G_k - G^_k|| <= 2 gamma_k min(sqrt(f), sqrt(f_r f_c))

    ``gamma_k`` is the magnitude of the entries (step x scale). The report is of the bound on the spectral norm, in the
    layer with the largest ratio; it is violated too if the identity fails. Raises ``ValueError`` if ``other`` is not
    ``form`` with flipped signs. Theorem N2.
    """
    flips = flips_between(form, other)
    gamma = form.magnitudes
    assumptions = {_ONE_MAGNITUDE: gamma is not None}
    if gamma is None:
        return not_applicable("N2", assumptions)
    count = flips.sum(axis=(1, 2))
    rows, columns = flips.sum(axis=2).max(axis=1), flips.sum(axis=1).max(axis=1)
    change = form.G - other.G
    frobenius = 2 * gamma * np.sqrt(count)
    found = norms(change.reshape(len(change), -1))
    identity = equality("N2", frobenius[0], found[0], assumptions, bounds=frobenius, measurements=found)
    if identity.status == "violated":
        return identity
    bounds = 2 * gamma * np.minimum(np.sqrt(count), np.sqrt(rows * columns))
    sizes = spectral_norm(change)
    k = int(np.argmax(sizes / np.where(bounds > 0, bounds, 1.0)))
    return upper_bound("N2", bounds[k], sizes[k], math.inf, assumptions, bounds=bounds, measurements=sizes)


@theorem(
    "sensitivity",
    "any f sign flips per layer",
    "output deviation",
    on=Perturbed,
    examine=lambda at: _any_flips(at),
    meaning="wherever signs flip, the estimate moves by at most {bound:.3g}",
)
def N2u(form: NormalForm, y: Float[np.ndarray, " m"], flips: int, perturbed: Sequence[NormalForm]) -> Report:
    """Any at most f flips in every layer (tied: of the shared matrix), wherever they are::

        D_0 = 0,  D_{k+1} = (c_k + g_k sqrt(f) ||A||) D_k + g_k Phi_f(r_k),  g_k = 2 gamma_k,
        Phi_f(r) = sqrt(f) max_{1 <= q <= min(f, m)} (sum of the q largest |r_i|) / sqrt(q)

    for ``ista``, ``gd`` and ``admm``; a shrinkage with another Lipschitz constant multiplies every layer by it.
    Measured is the largest deviation of the ``perturbed`` networks, which are ``form`` with at most f flips in every
    layer (``random_flips``, ``greedy_flips``); without any, the bound is not measured. Vacuous if the bound is not
    below ``||f(y)||``. Raises ``ValueError`` for f < 1 and for other perturbed networks. Theorem N2u.

    Example:
        >>> from unrollbit.theory.random_forms import random_form, sparse_signals
        >>> from unrollbit.theory.sensitivity import flipped, greedy_flips
        >>> form = random_form("gd", 0, m=24, n=16)
        >>> y = sparse_signals(form, 1, 1)[1][0]
        >>> N2u(form, y, 2, [flipped(form, flips) for flips in greedy_flips(form, y, 2)]).status
        'holds'
    """
    y = _one(form, y)
    if flips < 1:
        raise ValueError(f"N2u: expected at least 1 flip, got {flips}")
    most = max((int(flips_between(form, each).sum(axis=(1, 2)).max()) for each in perturbed), default=0)
    if most > flips:
        raise ValueError(f"N2u: expected networks with at most {flips} flips in a layer, got one with {most}")
    gamma = form.magnitudes
    assumptions = _assumptions(form)
    clean = run(form, y)
    runs = [run(each, y) for each in perturbed]
    apart = np.stack([norms(each.x - clean.x)[1:] for each in runs]).max(0) if runs else None
    if gamma is None or not all(assumptions.values()):
        return not_applicable("N2u", assumptions, None if apart is None else apart[-1])
    spread, gain = math.sqrt(flips) * float(spectral_norm(form.A)), _gain(form)
    D, bounds = 0.0, []
    for k in range(form.depth):
        g = 2 * gamma[k]
        D = (form.factors[k] + gain * g * spread) * D + gain * g * _worst(clean.r[k], flips)
        bounds.append(D)
    measured = None if apart is None else apart[-1]
    trivial = float(norms(clean.output))
    size = sizes(clean, *runs)
    return upper_bound("N2u", D, measured, trivial, assumptions, size=size, bounds=bounds, measurements=apart)


@theorem(
    "sensitivity",
    "random bit errors",
    "RMS output deviation",
    on=Perturbed,
    examine=lambda at: N3(at.form, at.y, at.settings.rate, _bit_errors(at)),
    meaning="random bit errors move the estimate by at most {bound:.3g} (RMS)",
)
def N3(form: NormalForm, y: Float[np.ndarray, " m"], rate: float, deviations: Float[np.ndarray, " draws"]) -> Report:
    """Root mean square of the deviation when every stored sign flips independently with probability p (``rate``)::

        R_0 = 0,  R_{k+1}^2 = (c'_k R_k + 2 p ||G_k r_k||)^2 + 4 gamma_k^2 p (1 - p) (||N r_k|| + ||N A|| R_k)^2

    with ``H'_k = I - (1 - 2p) G_k A``, ``c'_k = ||H'_k||`` (ADMM: ``1/2 + ||H'_k - I/2||``), and N diagonal with the
    square roots of the numbers of stored entries in the rows of W. For untied ``ista``, ``gd`` and ``admm``; another
    Lipschitz constant multiplies every layer. The fluctuations of different layers are orthogonal, so variances add.
    Equality for one layer of gradient descent.

    ``deviations`` holds ``||f^(y) - f(y)||`` of at least 200 draws (``flip_deviations`` of ``random_bit_errors``);
    measured is the root of the mean of their squares. Violated if the root of ``mean - 3.5 standard errors`` exceeds
    the bound: with few flips in a draw (p times stored entries below 5) the tail is heavy, and more draws are needed.
    Vacuous if the bound is not below ``||f(y)||``. Raises ``ValueError`` for a rate outside [0, 1] and for fewer draws.
    Theorem N3.
    """
    y = _one(form, y)
    deviations = np.asarray(deviations, np.float64)
    if not 0 <= rate <= 1:
        raise ValueError(f"rate: expected a bit-error rate in [0, 1], got {rate}")
    if deviations.ndim != 1 or len(deviations) < _FEWEST_DRAWS or not ((deviations >= 0) & (deviations < np.inf)).all():
        raise ValueError(
            f"deviations: expected at least {_FEWEST_DRAWS} finite numbers >= 0, one per draw, got shape "
            f"{deviations.shape}"
        )
    unit = float(deviations.max()) or 1.0  # in which squares stay in range
    squared = np.square(deviations / unit)
    mean = float(squared.mean())
    measured = unit * math.sqrt(mean)
    gamma = form.magnitudes
    assumptions = {"every layer has signs of its own (untied)": form.copies == form.depth} | _assumptions(form)
    if gamma is None or not all(assumptions.values()):
        return not_applicable("N3", assumptions, measured)
    n, gain = form.A.shape[1], _gain(form)
    mean_H = np.eye(n) - (1 - 2 * rate) * form.G @ form.A
    factors = (1 + spectral_norm(2 * mean_H - np.eye(n))) / 2 if form.form == "admm" else spectral_norm(mean_H)
    stored = np.sqrt(form.mask.sum(axis=1))
    spread = float(spectral_norm(stored[:, None] * form.A))
    clean = run(form, y)
    R, bounds = 0.0, []
    for k in range(form.depth):
        shift = factors[k] * R + 2 * rate * float(norms(form.G[k] @ clean.r[k]))
        fluctuation = 2 * gamma[k] * math.sqrt(rate * (1 - rate)) * (float(norms(stored * clean.r[k])) + spread * R)
        R = gain * math.hypot(shift, fluctuation)
        bounds.append(R)
    margin = 3.5 * float(squared.std(ddof=1)) / math.sqrt(len(squared))
    sure = unit * math.sqrt(max(mean - margin, 0.0))
    trivial, size = float(norms(clean.output)), float(sizes(clean)[-1])
    report = upper_bound("N3", R, sure, trivial, assumptions, size=size, bounds=bounds)
    return replace(report, measured=measured, tightness=measured / R if R else None)


def _worst(r: Float[np.ndarray, " m"], flips: int) -> float:
    """``Phi_f(r)``."""
    sums = np.cumsum(np.sort(np.abs(r))[::-1])[: min(flips, len(r))]
    return math.sqrt(flips) * float((sums / np.sqrt(np.arange(1, len(sums) + 1))).max())


def _gain(form: NormalForm) -> float:
    return 1.0 if form.form == "admm" else form.lipschitz


def _assumptions(form: NormalForm) -> dict[str, bool]:
    assumptions = {
        "the form is ista, gd or admm": form.form != "lista",
        _ONE_MAGNITUDE: form.magnitudes is not None,
    }
    if form.form == "admm":
        assumptions["the shrinkage is a proximal map of a convex penalty"] = form.convex
    return assumptions


def _one(form: NormalForm, y: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    y = np.asarray(y, np.float64)
    if y.shape != (len(form.A),):
        raise ValueError(f"y: expected shape ({len(form.A)},), got {y.shape}")
    return finite("y", y)


def _any_flips(at: Perturbed) -> Report:
    if not at.count:
        return not_applicable("N2u", {"the network stores signs": False})
    return N2u(at.form, at.y, at.count, at.perturbed)


def _bit_errors(at: Perturbed) -> Float[np.ndarray, " draws"]:
    """Deviations of draws; zeros where N3 is not applicable."""
    form, draws = at.form, at.settings.draws
    if form.copies < form.depth or not all(_assumptions(form).values()):
        return np.zeros(draws)
    seeds = (at.settings.seeded(at.index + 1000 * (i + 1)) for i in range(0, draws, _CHUNK))
    errors = (random_bit_errors(form, at.settings.rate, _CHUNK, seed) for seed in seeds)
    return np.concatenate([flip_deviations(form, at.y, each) for each in errors])
