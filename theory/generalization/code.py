"""Code lengths: the bits that certificates count."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Num


def log2_binomial(n: int, k: int) -> float:
    """``log2 C(n, k)``, by ``lgamma``."""
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2)


def flip_length(entries: int, flips: int) -> float:
    """``log2(P + 1) + log2 C(P, f)``: bits of P signs of which f differ from a reference that is known beforehand.

    First f is named, then the set of flipped signs: a prefix code, ``sum_f C(P, f) 2^-length = 1``. Raises
    ``ValueError`` unless ``0 <= f <= P``.
    """
    if not 0 <= flips <= entries:
        raise ValueError(f"flip_length: expected 0 <= flips <= {entries} entries, got {flips}")
    return math.log2(entries + 1) + log2_binomial(entries, flips)


def mask_length(m: int, n: int, entries: int) -> float:
    """``log2(mn + 1) + log2 C(mn, P)``: bits of a mask of P entries that was learned; one set by physics costs none."""
    return flip_length(m * n, entries)


def b_raw(entries: int | Sequence[int], scalars: int, *, width: int = 32) -> float:
    """``stored signs + width x stored scalars``; ``entries`` of every stored matrix, masked ones left out."""
    return float(sum(_per_matrix(entries)) + width * scalars)


def b_flip(entries: int | Sequence[int], flips: int | Sequence[int | None], scalars: int, *, width: int = 32) -> float:
    """``sum over stored matrices [log2(P + 1) + log2 C(P, f)] + width x stored scalars``.

    ``flips`` are counted per matrix, which is how they are coded; None for a matrix that has no reference, whose signs
    are then stored as they are.
    """
    matrices = _per_matrix(entries)
    counts = [flips] if isinstance(flips, int | np.integer) else list(flips)
    if len(counts) != len(matrices):
        raise ValueError(f"b_flip: expected flips of each of {len(matrices)} stored matrices, got {len(counts)}")
    coded = [float(P) if f is None else flip_length(P, f) for P, f in zip(matrices, counts, strict=True)]
    return sum(coded) + width * scalars


def code_length(
    entries: int | Sequence[int],
    scalars: int,
    *,
    flips: int | Sequence[int | None] | None = None,
    mask_bits: float = 0.0,
    width: int = 32,
) -> float:
    """Bits of a prefix code of a one-bit network: ``min(b_raw, b_flip) + 1``, the last bit saying which, plus
    ``mask_bits`` of learned masks.

    Args:
        entries: P of every stored matrix (an int for one matrix), tied ones once.
        scalars: number of stored scalars of ``width`` bits.
        flips: signs that differ from ``sign(A)``, of every stored matrix; None where there is no reference.

    Example:
        >>> code_length(8192, 20)
        8833.0
        >>> round(code_length(8192, 20, flips=270))
        2361
        >>> code_length([6, 6], 0, flips=[0, 6]) < code_length([6, 6], 0, flips=[3, 3])
        True
    """
    if scalars < 0 or width < 1 or mask_bits < 0:
        raise ValueError(f"code_length: expected scalars, mask_bits >= 0 and width >= 1; got {scalars}, {width}")
    raw = b_raw(entries, scalars, width=width)
    shortest = raw if flips is None else min(raw, b_flip(entries, flips, scalars, width=width))
    return shortest + mask_bits + 1.0


def flips_from(
    signs: Num[np.ndarray, "*L m n"], reference: Num[np.ndarray, "m n"], mask: Bool[np.ndarray, "m n"] | None = None
) -> tuple[int, ...]:
    """Per stored matrix, the number of entries of the mask whose sign differs from the reference's; ``sign(0) = +1``.

    ``signs`` is one matrix or a stack of L. The reference must be known before the data, ``sign(A)`` say: counting
    from the initial value of training would be wrong where that was drawn or fitted.

    Example:
        >>> flips_from(np.array([[1.0, -2.0], [0.0, -1.0]]), np.array([[1.0, 1.0], [1.0, 1.0]]))
        (2,)
    """
    stack = np.asarray(signs)
    reference = np.asarray(reference)
    stack = stack[None] if stack.ndim == 2 else stack
    mask = np.ones(reference.shape, bool) if mask is None else np.asarray(mask, bool)
    if stack.ndim != 3 or stack.shape[1:] != reference.shape or mask.shape != reference.shape:
        raise ValueError(
            f"flips_from: expected signs (L, m, n) and a reference and mask of their shape (m, n), got "
            f"{stack.shape}, {reference.shape} and {mask.shape}"
        )
    return tuple(int(count) for count in (((stack < 0) != (reference < 0)) & mask).sum((1, 2)))


def _per_matrix(entries: int | Sequence[int]) -> list[int]:
    matrices = [int(entries)] if isinstance(entries, int | np.integer) else [int(P) for P in entries]
    if any(P < 0 for P in matrices):
        raise ValueError(f"entries: expected numbers of stored entries >= 0, got {matrices}")
    return matrices
