"""Learned scalars: a name, an initial value for every layer, and a constraint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

Constraint = Literal["free", "positive", "nonnegative"]

LARGEST_LOG = 88.0  # exp of a raw value above leaves float32
_SMALLEST = 1e-12  # a non-negative scalar starts no lower, so that its logarithm exists


@dataclass(frozen=True)
class ScalarSpec:
    """One learned scalar per layer (or a short vector: ``shape``).

    The raw parameter is unconstrained; ``constrained(raw)`` is what the algorithm sees: ``raw`` itself (``free``) or
    ``exp(raw)`` (``positive``, ``nonnegative``). Logarithmic step sizes and thresholds train stably at large
    learning rates, where absolute values do not.

    ``initial`` is a float for all layers, or a function from the depth ``K`` to an array ``(K, *shape)`` (momentum that
    follows the layer index, say).
    """

    initial: float | Callable[[int], np.ndarray]
    constraint: Constraint = "free"
    shape: tuple[int, ...] = ()

    def initial_values(self, depth: int) -> np.ndarray:
        """Constrained initial values, float64, shape ``(depth, *shape)``."""
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
        return np.log(np.maximum(values, _SMALLEST))


def constrained(raw: Array, constraint: Constraint) -> Array:
    """Value of a raw parameter as the algorithm sees it (differentiable)."""
    return raw if constraint == "free" else jnp.exp(raw)
