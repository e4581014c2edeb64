"""Seeded random matrices as arrays, identical on every machine and version (``numpy.random.RandomState``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from unrollbit.operators.hadamard import Hadamard
from unrollbit.sizes import LARGEST_COUNT, check_entries, check_seed, positive_integer, positive_integers

Recipe = tuple[Any, ...]  # (name, *arguments)


class Formula(NamedTuple):
    """How a recipe makes its array."""

    make: Callable[..., np.ndarray]
    axes: int  # 2: a matrix; 3: blocks along the diagonal
    exact_signs: bool  # a draw times something positive: no rounding turns a sign


def made(recipe: Sequence[Any], axes: int) -> np.ndarray:
    """The array of a recipe ``[name, *arguments]``, float32.

    Raises ``ValueError`` for an unknown recipe, wrong arguments, or an array of another number of axes.
    """
    if not isinstance(recipe, list | tuple) or not recipe:
        raise ValueError(f"matrix recipe: expected a list [name, arguments], got {recipe!r}")
    name, *arguments = recipe
    if not isinstance(name, str) or name not in RECIPES:
        raise ValueError(f"unknown matrix recipe {name!r}; expected one of {sorted(RECIPES)}")
    formula, kinds = RECIPES[name], {2: "a matrix (Dense)", 3: "blocks (BlockDiagonal)"}
    if formula.axes != axes:
        raise ValueError(f"matrix recipe {name!r} makes {kinds[formula.axes]}, not {kinds[axes]}")
    try:
        return formula.make(*arguments).astype(np.float32)
    except TypeError as error:
        raise ValueError(f"matrix recipe {name!r} does not take the arguments {arguments}") from error


def has_exact_signs(recipe: Recipe | None) -> bool:
    """Whether the signs of what a recipe makes (or of a given array) are the same on every machine."""
    return recipe is None or RECIPES[recipe[0]].exact_signs


def gaussian(m: int, n: int, seed: int = 0) -> np.ndarray:
    """I.i.d. normal entries, columns of unit norm."""
    return _unit_columns(_normal(m, n, seed))


def gaussian_blocks(count: int, m: int, n: int, seed: int = 0) -> np.ndarray:
    """Blocks like ``gaussian``, drawn in order from one generator."""
    positive_integer("count", count, LARGEST_COUNT)
    positive_integer("m", m)
    return _unit_columns(_normal(count * m, n, seed).reshape(count, m, n))


def rademacher_blocks(count: int, m: int, n: int, seed: int = 0) -> np.ndarray:
    """Blocks of i.i.d. ``+-1/sqrt(m)``, drawn in order from one generator."""
    shape = tuple(positive_integer(name, size) for name, size in zip(("count", "m", "n"), (count, m, n), strict=True))
    check_entries("rademacher_blocks", *shape)
    bits = np.random.RandomState(check_seed(seed)).randint(0, 2, shape)
    return (1 - 2 * bits) / np.sqrt(m)


def hadamard_blocks(count: int, m: int, n: int, seed: int = 0) -> np.ndarray:
    """Blocks that are matrices of a ``Hadamard`` with seeds of their own."""
    positive_integer("count", count, LARGEST_COUNT)
    check_entries("hadamard_blocks", count, Hadamard(m, n).m, n)
    seeds = np.random.RandomState(check_seed(seed)).randint(0, 2**31 - 1, count)
    return np.stack([np.asarray(Hadamard(m, n, int(own)).dense(), np.float32) for own in seeds])


def ill_conditioned(m: int, n: int, seed: int = 0, condition: float = 50.0) -> np.ndarray:
    """Normal entries with a geometric series of singular values, then columns of unit norm."""
    if isinstance(condition, bool) or not 1 <= condition < np.inf:
        raise ValueError(f"condition: expected a ratio of singular values >= 1, got {condition}")
    u, s, vt = np.linalg.svd(_normal(m, n, seed), full_matrices=False)
    return _unit_columns((u * np.geomspace(1.0, 1.0 / condition, len(s))) @ vt)


def _normal(m: int, n: int, seed: int) -> np.ndarray:
    positive_integers(m=m, n=n)
    check_entries("a random matrix", m, n)
    return np.random.RandomState(check_seed(seed)).standard_normal((m, n))


def _unit_columns(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.linalg.norm(matrix, axis=-2, keepdims=True)


RECIPES: dict[str, Formula] = {
    "gaussian": Formula(gaussian, 2, True),
    "gaussian_blocks": Formula(gaussian_blocks, 3, True),
    "hadamard_blocks": Formula(hadamard_blocks, 3, True),
    "ill_conditioned": Formula(ill_conditioned, 2, False),
    "rademacher_blocks": Formula(rademacher_blocks, 3, True),
}
