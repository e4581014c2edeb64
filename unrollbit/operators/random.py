"""Seeded random physics."""

from __future__ import annotations

from typing import Any

from unrollbit.operators.block import BlockDiagonal, blocks_by_recipe
from unrollbit.operators.dense import Dense, by_recipe


def gaussian(m: int, n: int, seed: int = 0) -> Dense:
    """``A`` with i.i.d. N(0, 1/m) entries, columns scaled to unit norm; (m, n) float32.

    The setting of Chen et al., "Learning to Optimize: A Primer and a Benchmark", JMLR 2022.
    """
    return by_recipe(_recipe("gaussian", m, n, seed))


def gaussian_blocks(count: int, m: int, n: int, seed: int = 0) -> BlockDiagonal:
    """``count`` diagonal blocks ``(m, n)``: i.i.d. normal entries, unit columns, drawn in order from one generator.

    Example:
        >>> gaussian_blocks(3, 2, 4, seed=1).shape
        (6, 12)
    """
    return blocks_by_recipe(_recipe("gaussian_blocks", count, m, n, seed))


def rademacher_blocks(count: int, m: int, n: int, seed: int = 0) -> BlockDiagonal:
    """``count`` diagonal blocks ``(m, n)`` of i.i.d. ``+-1/sqrt(m)``, drawn in order from one generator.

    Example:
        >>> rademacher_blocks(3, 4, 8, seed=1).shape
        (12, 24)
    """
    return blocks_by_recipe(_recipe("rademacher_blocks", count, m, n, seed))


def hadamard_blocks(count: int, m: int, n: int, seed: int = 0) -> BlockDiagonal:
    """``count`` diagonal blocks, each the ``(m, n)`` matrix of a ``Hadamard`` with a seed of its own.

    Raises ``ValueError`` unless ``n`` is a power of two and ``m <= n``.

    Example:
        >>> hadamard_blocks(3, 4, 8, seed=1).shape
        (12, 24)
    """
    return blocks_by_recipe(_recipe("hadamard_blocks", count, m, n, seed))


def ill_conditioned(m: int, n: int, seed: int = 0, condition: float = 50.0) -> Dense:
    """A Gaussian ``A`` whose singular values are replaced by a geometric series, then columns of unit norm.

    ``condition`` is the ratio of the largest to the smallest singular value before the columns are scaled.
    Raises ``ValueError`` if it is below 1.
    """
    return by_recipe((*_recipe("ill_conditioned", m, n, seed), condition))


def _recipe(name: str, *arguments: Any) -> tuple[Any, ...]:
    """With plain numbers: a recipe is written as JSON."""
    return name, *(value.item() if hasattr(value, "item") else value for value in arguments)
