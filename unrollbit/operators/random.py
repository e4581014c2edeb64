"""Seeded random matrices, identical on every machine and version (``numpy.random.RandomState``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from unrollbit.operators.base import LinearOperator
from unrollbit.operators.block import BlockDiagonal
from unrollbit.operators.dense import Dense
from unrollbit.operators.hadamard import Hadamard
from unrollbit.sizes import LARGEST_COUNT, check_entries, check_seed, positive_integer, positive_integers


def gaussian(m: int, n: int, seed: int = 0) -> Dense:
    """``A`` with i.i.d. N(0, 1/m) entries, columns scaled to unit norm; (m, n) float32.

    The setting of Chen et al., "Learning to Optimize: A Primer and a Benchmark", JMLR 2022.
    """
    matrix = _unit_columns(_normal(m, n, seed))
    return Dense(jnp.asarray(matrix, jnp.float32), _recipe("gaussian", m, n, seed))


def gaussian_blocks(count: int, m: int, n: int, seed: int = 0) -> BlockDiagonal:
    """``count`` diagonal blocks ``(m, n)``: i.i.d. normal entries, unit columns, drawn in order from one generator.

    Example:
        >>> gaussian_blocks(3, 2, 4, seed=1).shape
        (6, 12)
    """
    positive_integer("count", count, LARGEST_COUNT)
    positive_integer("m", m)
    normal = _normal(count * m, n, seed).reshape(count, m, n)
    core = np.stack([_unit_columns(block) for block in normal])
    return BlockDiagonal(jnp.asarray(core, jnp.float32), _recipe("gaussian_blocks", count, m, n, seed))


def rademacher_blocks(count: int, m: int, n: int, seed: int = 0) -> BlockDiagonal:
    """``count`` diagonal blocks ``(m, n)`` of i.i.d. ``+-1/sqrt(m)``, drawn in order from one generator.

    Example:
        >>> rademacher_blocks(3, 4, 8, seed=1).shape
        (12, 24)
    """
    shape = tuple(positive_integer(name, size) for name, size in zip(("count", "m", "n"), (count, m, n), strict=True))
    check_entries("rademacher_blocks", *shape)
    bits = np.random.RandomState(check_seed(seed)).randint(0, 2, shape)
    core = jnp.asarray((1 - 2 * bits) / np.sqrt(m), jnp.float32)
    return BlockDiagonal(core, _recipe("rademacher_blocks", count, m, n, seed))


def hadamard_blocks(count: int, m: int, n: int, seed: int = 0) -> BlockDiagonal:
    """``count`` diagonal blocks, each the ``(m, n)`` matrix of a ``Hadamard`` with a seed of its own.

    Raises ``ValueError`` unless ``n`` is a power of two and ``m <= n``.

    Example:
        >>> hadamard_blocks(3, 4, 8, seed=1).shape
        (12, 24)
    """
    positive_integer("count", count, LARGEST_COUNT)
    check_entries("hadamard_blocks", count, Hadamard(m, n).m, n)
    seeds = np.random.RandomState(check_seed(seed)).randint(0, 2**31 - 1, count)
    core = jnp.stack([Hadamard(m, n, int(own)).dense().astype(jnp.float32) for own in seeds])
    return BlockDiagonal(core, _recipe("hadamard_blocks", count, m, n, seed))


def ill_conditioned(m: int, n: int, seed: int = 0, condition: float = 50.0) -> Dense:
    """A Gaussian ``A`` whose singular values are replaced by a geometric series, then columns of unit norm.

    ``condition`` is the ratio of the largest to the smallest singular value before the columns are scaled.
    Raises ``ValueError`` if it is below 1.
    """
    if isinstance(condition, bool) or not 1 <= condition < np.inf:
        raise ValueError(f"condition: expected a ratio of singular values >= 1, got {condition}")
    u, s, vt = np.linalg.svd(_normal(m, n, seed), full_matrices=False)
    series = np.geomspace(1.0, 1.0 / condition, len(s))
    matrix = _unit_columns((u * series) @ vt)
    recipe = (*_recipe("ill_conditioned", m, n, seed), float(condition))
    return Dense(jnp.asarray(matrix, jnp.float32), recipe)


def _normal(m: int, n: int, seed: int) -> np.ndarray:
    positive_integers(m=m, n=n)
    check_entries("a random matrix", m, n)
    return np.random.RandomState(check_seed(seed)).standard_normal((m, n))


def _unit_columns(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.linalg.norm(matrix, axis=0)


def _recipe(name: str, *integers: int) -> tuple[Any, ...]:
    return name, *(int(value) for value in integers)


_RECIPES: dict[str, Callable[..., LinearOperator]] = {
    "gaussian": gaussian,
    "gaussian_blocks": gaussian_blocks,
    "hadamard_blocks": hadamard_blocks,
    "ill_conditioned": ill_conditioned,
    "rademacher_blocks": rademacher_blocks,
}


def from_recipe(recipe: Sequence[Any], expected: type[LinearOperator] = LinearOperator) -> LinearOperator:
    """Regenerate the matrix of a stored recipe ``[name, *arguments]``.

    Raises ``ValueError`` for an unknown recipe, wrong arguments, or an operator that is not of the ``expected`` class.
    """
    if not isinstance(recipe, list | tuple) or not recipe:
        raise ValueError(f"matrix recipe: expected a list [name, arguments], got {recipe!r}")
    name, *arguments = recipe
    if not isinstance(name, str) or name not in _RECIPES:
        raise ValueError(f"unknown matrix recipe {name!r}; expected one of {sorted(_RECIPES)}")
    try:
        operator = _RECIPES[name](*arguments)
    except TypeError as error:
        raise ValueError(f"matrix recipe {name!r} does not take the arguments {arguments}") from error
    if not isinstance(operator, expected):
        raise ValueError(f"matrix recipe {name!r} makes a {type(operator).__name__}, not a {expected.__name__}")
    return operator
