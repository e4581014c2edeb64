"""Decompositions of cores: of every block of a matrix, and of copies, which often start equal. NumPy, exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Array, Bool, Float

from unrollbit.decompositions.rank_one import rank_one
from unrollbit.decompositions.sign_factors import SignFactors, decomposed, sign_paths


def rank_one_cores(
    cores: Float[Array, "copies *blocks m n"], exists: Bool[np.ndarray, "*blocks m n"] | None = None
) -> tuple[Float[np.ndarray, "copies rows"], Float[np.ndarray, "copies columns"]]:
    """``rank_one`` of every block of every copy, over entries that exist: vectors of all blocks in a row.

    Example:
        >>> rows, columns = rank_one_cores(np.ones((1, 2, 3, 4)))  # one copy of two blocks
        >>> rows.shape, columns.shape
        ((1, 6), (1, 8))
    """

    masks = None if exists is None else np.reshape(exists, (-1, *np.shape(exists)[-2:]))

    def vectors(core: np.ndarray) -> list[np.ndarray]:
        blocks = core.reshape(-1, *core.shape[-2:])
        pairs = [rank_one(block, None if masks is None else masks[k]) for k, block in enumerate(blocks)]
        return [np.concatenate(parts) for parts in zip(*pairs, strict=True)]

    rows, columns = (np.stack(values) for values in zip(*_each_copy(cores, vectors), strict=True))
    return rows, columns


def factor_cores(
    cores: Float[Array, "copies *blocks m n"], rank: int, paths: int = 1, *, rotate: bool = False, turns: bool = False
) -> SignFactors:
    """``sign_paths`` of every copy: factors (copies, paths, *blocks, m, r) and (copies, paths, *blocks, r, n) of mean
    magnitude 1, and scales (copies, paths, ...) of all blocks in a row.

    ``turns``: copy k begins with singular value ``k rank + 1``, cyclically, not with the largest.

    Example:
        >>> factor_cores(np.eye(8)[None], 4).left.shape
        (1, 1, 8, 4)
    """
    svds = _each_copy(cores, lambda core: [decomposed(block) for block in core.reshape(-1, *core.shape[-2:])])
    found = []
    for k, blocks in enumerate(svds):
        same = k > 0 and blocks is svds[0] and not turns
        first = k * rank if turns else 0
        found.append(found[0] if same else sign_paths(blocks, rank, paths, rotate=rotate, first=first))
    lead, blocks = (len(found), paths), cores.shape[1:-2]

    def stacked(name: str) -> np.ndarray:
        array = np.array([[[getattr(block, name) for block in path] for path in one] for one in found])
        if array.ndim == 4:
            return array.reshape(*lead, -1)
        array = array.reshape(*lead, *blocks, *array.shape[-2:])
        size = np.abs(array).mean(tuple(range(2, array.ndim)), keepdims=True)
        return array / np.where(size > 0, size, 1.0)

    return SignFactors(*map(stacked, SignFactors._fields))


def _each_copy(cores: Array, compute: Callable[[np.ndarray], Any]) -> list[Any]:
    """``compute`` of every core, once for copies that are equal."""
    host = np.asarray(cores)
    found = [compute(host[0])]
    for core in host[1:]:
        found.append(found[0] if np.array_equal(core, host[0]) else compute(core))
    return found
