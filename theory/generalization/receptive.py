"""G5: each part of the output pays only for the bits that it can see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from unrollbit.theory.generalization.certificate import certificate, checked_sample
from unrollbit.theory.generalization.divergence import klinv
from unrollbit.theory.generalization.losses import checked_losses, part_losses
from unrollbit.theory.generalization.occam import occam_width, scaled_risk
from unrollbit.theory.generalization.protocol import DECLARED, Protocol
from unrollbit.theory.generalization.sample import Sample
from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import at_most
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, not_applicable
from unrollbit.theory.trajectory import recover

Parts = Sequence[Sequence[int]]


def equal_parts(n: int, count: int) -> tuple[range, ...]:
    """The unknowns 0 .. n-1 in ``count`` consecutive parts of equal size: the blocks of block-diagonal physics."""
    if count < 1 or n % count:
        raise ValueError(f"equal_parts: expected a number of parts that divides {n}, got {count}")
    return tuple(range(start, start + n // count) for start in range(0, n, n // count))


def receptive_columns(form: NormalForm, part: Sequence[int]) -> Bool[np.ndarray, "K n"]:
    """Row k: the columns ``C_{k+1}`` of W_k on which the estimate of the unknowns ``part`` depends.

    ``C_K = part``, and ``C_k = C_{k+1} u {j: A_rj != 0 for a row r with M_ri != 0, i in C_{k+1}}``.
    """
    n = form.A.shape[1]
    chosen = np.zeros(n, bool)
    if not len(part) or min(part) < 0 or max(part) >= n:
        raise ValueError(f"receptive_columns: expected a part of the unknowns 0 .. {n - 1}, got {list(part)}")
    chosen[list(part)] = True
    found = np.zeros((form.depth, n), bool)
    seen = form.A != 0
    for k in range(form.depth - 1, -1, -1):
        found[k] = chosen
        rows = form.mask[:, chosen].any(axis=1)
        chosen = chosen | seen[rows].any(axis=0)
    return found


def part_bits(form: NormalForm, parts: Parts, scalars: int, *, width: int = 32) -> tuple[int, ...]:
    """``b_p`` of every part: the signs in its receptive columns (layers that share a matrix: in their union) and all
    scalars.
    """
    per_column = form.mask.sum(axis=0)
    bits = []
    for part in parts:
        columns = receptive_columns(form, part)
        stored = [columns[first :: form.copies].any(axis=0) for first in range(form.copies)]
        signs = sum(per_column[used].sum() for used in stored)
        bits.append(int(signs) + width * scalars)
    return tuple(bits)


@theorem(
    "generalization",
    "each part pays for the bits that it sees",
    "risk",
    on=Sample,
    examine=lambda at: _by_blocks(at),
    certainty="probable",
    meaning="on new signals the risk is at most {bound:.3g}, part by part",
)
def G5(
    form: NormalForm,
    losses: Float[np.ndarray, "N parts"],
    parts: Parts,
    *,
    variant: Literal["kl", "occam"] = "kl",
    scalars: int | None = None,
    width: int = 32,
    delta: float = 0.05,
    B: float = 1.0,
    test_losses: Float[np.ndarray, "Nt parts"] | None = None,
    test_risk: float | None = None,
    protocol: Protocol = DECLARED,
) -> Report:
    """Receptive-field bound for a loss that is the average over P parts of clipped losses, ``l_p = b_p ln 2 + ln(P /
    delta)``::

        occam   R <= R_train + (B / P) sum_p sqrt(l_p / (2 N))
        kl      R <= (1 / P) sum_p B klinv(R_train_p / B, l_p / N)

    Proof: G1 or G3a for each part at confidence delta / P, averaged. Block-diagonal physics with P blocks divides b_p
    by P. For one part these are G1 and G3a.

    Args:
        form: a network in the form ista or gd.
        losses: training losses by part, from ``part_losses``.
        parts: the unknowns of each part, fixed before data.
        scalars: stored scalars of ``width`` bits; None: 2 K (steps and thresholds).
    """
    values, assumptions = checked_sample("G5", losses, 0.0, delta, B, ndim=2)
    N, P = values.shape
    if len(parts) != P or variant not in ("kl", "occam"):
        raise ValueError(f"G5: expected losses of {len(parts)} parts and variant kl or occam, got {P} and {variant!r}")
    assumptions |= {
        "the network is ista or gd": form.form in ("ista", "gd"),
        "the shrinkage is the soft threshold": form.soft,
        "the matrices are one-bit: signs times a scale of their layer, row or column": _one_bit(form),
    }
    bits = part_bits(form, parts, 2 * form.depth if scalars is None else scalars, width=width)
    if variant == "occam":
        bound = float(values.mean()) + sum(occam_width(b, N, delta=delta / P, B=B) for b in bits) / P
    else:
        lengths = [b * math.log(2) + math.log(P / delta) for b in bits]
        risks = [scaled_risk(values[:, p], B) for p in range(P)]
        bound = B * sum(klinv(risk, length / N) for risk, length in zip(risks, lengths, strict=True)) / P
    if test_losses is not None:
        test, _ = checked_losses("test_losses", test_losses, B, ndim=2)
        if test.shape[1] != P:
            raise ValueError(f"G5: expected test losses of {P} parts, got shape {test.shape}")
        test_losses = test.mean(axis=1)
    return certificate("G5", bound, assumptions, protocol, B=B, test_losses=test_losses, test_risk=test_risk)


def _one_bit(form: NormalForm) -> bool:
    """Whether the magnitudes of every G_k are equal along its rows or along its columns, where the mask allows any."""
    sizes = np.abs(form.G.swapaxes(1, 2))
    largest = np.where(form.mask, sizes, 0.0)
    smallest = np.where(form.mask, sizes, np.inf)
    tops = largest.max(axis=(1, 2))[:, None]
    by_axis = [at_most(largest.max(axis), smallest.min(axis), tops).all(axis=1) for axis in (1, 2)]
    return bool((by_axis[0] | by_axis[1]).all())


def _by_blocks(at: Sample) -> Report:
    """The parts are the blocks of the physics."""
    blocks = at.net.operator.mask().blocks
    applicable = {
        "the physics is block-diagonal": blocks > 1,
        "the network is ista or gd": at.form.form in ("ista", "gd"),
        "its matrices are one-bit with a single magnitude per layer": at.form.magnitudes is not None,
    }
    if not all(applicable.values()):
        return not_applicable("G5", applicable)
    parts, c = equal_parts(at.form.A.shape[1], blocks), at.c / blocks
    losses, test = (part_losses(recover(at.form, pairs.y), pairs.x, parts, c) for pairs in at.pairs)
    report = G5(at.form, losses, parts, scalars=at.code.scalars, delta=at.settings.delta, test_losses=test)
    x = at.pairs[1].x
    return at.judged(report, float(part_losses(np.zeros(x.shape), x, parts, c).mean()))  # clipped part by part
