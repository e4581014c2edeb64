"""Learned scalars: a name, an initial value for every layer, a constraint, and the width they are stored in."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jaxtyping import Array

from unrollbit.pytrees import known

Constraint = Literal["free", "positive", "nonnegative"]
Width = Literal[32, 16, 8]

LARGEST_LOG = 88.0  # exp of a raw value above leaves float32
_ZERO = float(np.finfo(np.float32).tiny)  # stands for 0 where a logarithm is stored
_LARGEST_HALF = float(np.finfo(np.float16).max)
_STEPS = 127  # of a signed byte


@dataclass(frozen=True)
class ScalarSpec:
    """One learned scalar per layer (or a short vector or table: ``shape``).

    The raw parameter is unconstrained; ``constrained(raw)`` is what the algorithm sees: ``raw`` itself (``free``) or
    ``exp(raw)`` (``positive``, ``nonnegative``). Logarithmic step sizes and thresholds train stably at large
    learning rates, where absolute values do not.

    ``initial`` is a float for all layers, or a function from the depth ``K`` to an array ``(K, *shape)`` (momentum that
    follows the layer index, say). Where it has the unit of the signals (a threshold), it may be of any size.

    ``bits`` is the width of the raw values in a file: 32 or 16 (floats), or 8: signed bytes ``q`` of rows along the
    last axis, each with a bfloat16 step ``d``, ``raw = d q``. Training uses 32; networks round when they are built and
    when training ends.
    """

    initial: float | Array | Callable[[int], np.ndarray]
    constraint: Constraint = "free"
    shape: tuple[int, ...] = ()
    bits: Width = 32

    def initial_values(self, depth: int) -> np.ndarray:
        """Constrained initial values, float64, shape ``(depth, *shape)``; traced where ``initial`` is."""
        if not known(self.initial):
            return jnp.broadcast_to(self.initial, (depth, *self.shape))  # pyright: ignore[reportArgumentType, reportReturnType]
        if callable(self.initial):
            values = np.asarray(self.initial(depth), np.float64)
        else:
            values = np.full(depth, float(self.initial))
        if values.ndim == 1:
            values = values.reshape(depth, *(1,) * len(self.shape))
        return np.broadcast_to(values, (depth, *self.shape)).copy()

    def raw(self, values: np.ndarray) -> np.ndarray:
        """Raw parameter of constrained values; raises ``ValueError`` if they break the constraint."""
        if self.constraint == "free":
            return values
        if (values < 0).any() or (self.constraint == "positive" and (values == 0).any()):
            raise ValueError(f"initial value {values.min()} breaks the constraint {self.constraint!r}")
        return np.log(np.where(values == 0, _ZERO, values))


@dataclass(frozen=True)
class Held:
    """How the raw values of a scalar, (K, *shape), are held in a file: shape, dtype and bits."""

    shape: tuple[int, ...]
    bits: Width = 32

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of the array in a file: rows of bytes end with the two of their step."""
        return (*self.shape[:-1], self.shape[-1] + 2) if self.bits == 8 else self.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its dtype."""
        return np.dtype({32: np.float32, 16: np.float16, 8: np.uint8}[self.bits])

    @property
    def stored_bits(self) -> int:
        """Its bits, the steps of rows included."""
        return 8 * self.dtype.itemsize * math.prod(self.stored_shape)

    def encode(self, raw: np.ndarray) -> np.ndarray:
        """Raw values as the array of a file."""
        raw = np.asarray(raw, np.float32)
        if self.bits == 32:
            return raw
        if self.bits == 16:
            return np.clip(raw, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16)
        step = np.maximum(np.abs(raw).max(-1, keepdims=True) / _STEPS, _ZERO).astype(ml_dtypes.bfloat16)
        codes = np.clip(np.round(raw / step.astype(np.float32)), -_STEPS, _STEPS).astype(np.int8)
        return np.concatenate([codes.view(np.uint8), step.view(np.uint8)], axis=-1)

    def decode(self, array: np.ndarray) -> np.ndarray:
        """Raw values of the array of a file, float32."""
        if self.bits != 8:
            return np.asarray(array, np.float32)
        codes, step = np.ascontiguousarray(array[..., :-2]), np.ascontiguousarray(array[..., -2:])
        return codes.view(np.int8) * step.view(ml_dtypes.bfloat16).astype(np.float32)

    def rounded(self, raw: np.ndarray) -> np.ndarray:
        """Raw values as a file gives them back."""
        return self.decode(self.encode(raw))


def log(value: Any) -> Any:
    """The natural logarithm of a number, traced where it is."""
    return math.log(value) if known(value) else jnp.log(value)


def constrained(raw: Array, constraint: Constraint) -> Array:
    """Value of a raw parameter as the algorithm sees it (differentiable)."""
    return raw if constraint == "free" else jnp.exp(raw)
