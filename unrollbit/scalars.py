"""Learned scalars: a name, an initial value for every layer, and a constraint."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.pytrees import known

Constraint = Literal["free", "positive", "nonnegative"]

LARGEST_LOG = 88.0  # exp of a raw value above leaves float32
_ZERO = float(np.finfo(np.float32).tiny)  # stands for 0 where a logarithm is stored


@dataclass(frozen=True)
class ScalarSpec:
    """One learned scalar per layer (or a short vector: ``shape``).

    The raw parameter is unconstrained; ``constrained(raw)`` is what the algorithm sees: ``raw`` itself (``free``) or
    ``exp(raw)`` (``positive``, ``nonnegative``). Logarithmic step sizes and thresholds train stably at large
    learning rates, where absolute values do not.

    ``initial`` is a float for all layers, or a function from the depth ``K`` to an array ``(K, *shape)`` (momentum that
    follows the layer index, say). Where it has the unit of the signals (a threshold), it may be of any size.
    """

    initial: float | Array | Callable[[int], np.ndarray]
    constraint: Constraint = "free"
    shape: tuple[int, ...] = ()

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


def log(value: Any) -> Any:
    """The natural logarithm of a number, traced where it is."""
    return math.log(value) if known(value) else jnp.log(value)


def constrained(raw: Array, constraint: Constraint) -> Array:
    """Value of a raw parameter as the algorithm sees it (differentiable)."""
    return raw if constraint == "free" else jnp.exp(raw)
