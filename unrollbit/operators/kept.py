"""What operators share that keep some entries of a whole: of a transform of a signal, or of the signal itself."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.operators.base import LinearOperator
from unrollbit.operators.checks import set_field
from unrollbit.sizes import check_seed, check_signal_shape, positive_integer
from unrollbit.specs import Spec, check_fields


@dataclass(frozen=True)
class Kept(LinearOperator):
    """Some entries of a transform (or of none) of a signal ``(n,)`` or an image ``(height, width)``, by flat indices.

    Either ``kept`` lists them, or ``count`` of them are drawn from ``seed``, or both are None: all of them.
    """

    signal_shape: tuple[int, ...] = field(metadata={"static": True})
    count: int = field(metadata={"static": True})
    seed: int | None = field(default=None, metadata={"static": True})
    kept: tuple[int, ...] | None = field(default=None, metadata={"static": True})

    def __post_init__(self) -> None:
        sides, count = check_signal_shape(self.signal_shape), positive_integer("count", self.count)
        n = math.prod(sides)
        if self.kept is not None:
            flat = np.asarray(self.kept)
            if flat.ndim != 1 or flat.size == 0 or not np.issubdtype(flat.dtype, np.integer):
                raise ValueError(
                    f"indices: expected a non-empty list of integers, got {self.kept!r:.200}; flatten 2-D ones first"
                )
            if flat.min() < 0 or flat.max() >= n or np.unique(flat).size != flat.size or flat.size != count:
                raise ValueError(
                    f"indices: expected {count} distinct integers in [0, {n}), got {flat.min()}..{flat.max()}"
                )
            set_field(self, "kept", tuple(int(i) for i in flat))
        elif self.seed is not None:
            set_field(self, "seed", check_seed(self.seed))
            available = self._candidates(sides).size
            if count > available:
                raise ValueError(f"count: expected at most {available} coefficients of a {sides} signal, got {count}")
        elif count != n:
            raise ValueError(f"count: expected all {n} entries without a seed, got {self.count!r}")
        set_field(self, "signal_shape", sides)
        set_field(self, "count", count)

    @classmethod
    def of(cls, signal_shape: Any, indices: Sequence[int] | np.ndarray | None = None) -> Self:
        """Keep the coefficients with these flat (row-major) indices, in this order; or ``of(mask)``: those that are
        True in a boolean array of the signal's shape.

        Raises ``ValueError`` unless they are distinct integers in ``[0, n)``.
        """
        if indices is None:
            mask = np.asarray(signal_shape)
            if mask.dtype != bool or mask.ndim == 0:
                raise ValueError(
                    f"{cls.__name__}.of: expected a shape and indices, or a boolean mask, got {signal_shape!r:.200}"
                )
            signal_shape, indices = mask.shape, np.flatnonzero(mask)
        return cls(signal_shape, max(1, np.size(indices)), None, indices)  # pyright: ignore[reportArgumentType]

    @classmethod
    def random(cls, signal_shape: int | tuple[int, ...], count: int, seed: int = 0) -> Self:
        """Draw ``count`` coefficients from ``RandomState(seed)``; raises ``ValueError`` if there are not as many."""
        return cls(signal_shape, count, seed)  # pyright: ignore[reportArgumentType]

    @classmethod
    def full(cls, signal_shape: int | tuple[int, ...]) -> Self:
        """The whole transform: all coefficients in their natural order."""
        sides = check_signal_shape(signal_shape)
        return cls(sides, math.prod(sides))

    def resized(self, signal_shape: tuple[int, ...]) -> LinearOperator:
        """The whole transform of another shape; kept entries are those of one shape."""
        return self.full(signal_shape) if self.seed is None and self.kept is None else super().resized(signal_shape)

    @staticmethod
    def _candidates(signal_shape: tuple[int, ...]) -> np.ndarray:
        """The coefficients that ``random`` draws from."""
        return np.arange(math.prod(signal_shape))

    @property
    def indices(self) -> np.ndarray:
        """Flat indices of the kept coefficients, in the order of the measurements."""
        return _indices(type(self), self.signal_shape, self.count, self.seed, self.kept)

    def _keep(self, image: Array) -> Array:
        axes = len(self.signal_shape)
        return image.reshape(*image.shape[:-axes], -1)[..., self.indices]

    def _place(self, values: Array) -> Array:
        full = jnp.zeros((*values.shape[:-1], math.prod(self.signal_shape)), values.dtype)
        return self._image(full.at[..., self.indices].set(values, unique_indices=True))

    def _image(self, x: Array) -> Array:
        return x.reshape(*x.shape[:-1], *self.signal_shape)

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-len(self.signal_shape), 0))

    def resident_bits(self) -> int:
        """Kept indices of 32 bits."""
        return 0 if self.seed is None and self.kept is None else 32 * self.count

    def to_spec(self) -> Spec:
        spec: Spec = {"kind": type(self).__name__, "signal_shape": list(self.signal_shape)}
        if self.kept is None:
            return {**spec, "count": self.count, "seed": self.seed}
        bitmap = _bitmap(self.indices)
        shorter = bitmap is not None and bitmap.nbytes < self.indices.nbytes
        return {**spec, "bitmap": bitmap} if shorter else {**spec, "indices": self.indices}

    @classmethod
    def _from_fields(cls, given: dict[str, Any]) -> LinearOperator:
        for name, indices in (("indices", np.asarray), ("bitmap", _set_bits)):
            if name in given:
                check_fields(cls, given, ("signal_shape", name))
                return cls.of(given["signal_shape"], indices(given[name]))
        if "count" not in given and "seed" not in given:
            check_fields(cls, given, ("signal_shape",))
            return cls.full(given["signal_shape"])
        check_fields(cls, given, ("signal_shape", "count", "seed"))
        return cls(given["signal_shape"], given["count"], given["seed"])


def _bitmap(indices: np.ndarray) -> np.ndarray | None:
    """One bit an entry up to the last kept one, the least significant of a byte first; None unless they ascend."""
    if (np.diff(indices) <= 0).any():
        return None
    kept = np.zeros(indices[-1] + 1, bool)
    kept[indices] = True
    return np.packbits(kept, bitorder="little")


def _set_bits(bitmap: np.ndarray) -> np.ndarray:
    """The inverse of ``_bitmap``."""
    return np.flatnonzero(np.unpackbits(np.asarray(bitmap, np.uint8), bitorder="little"))


@functools.lru_cache(maxsize=32)
def _indices(
    kind: Any, signal_shape: tuple[int, ...], count: int, seed: int | None, kept: tuple[int, ...] | None
) -> np.ndarray:
    if kept is not None:
        chosen = np.array(kept, np.int32)
    elif seed is None:
        chosen = np.arange(math.prod(signal_shape), dtype=np.int32)
    else:
        chosen = np.random.RandomState(seed).permutation(kind._candidates(signal_shape))[:count].astype(np.int32)
    chosen.flags.writeable = False
    return chosen
