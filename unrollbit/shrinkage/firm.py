"""Firm threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.pytrees import known
from unrollbit.scalars import ScalarSpec
from unrollbit.shrinkage.base import Scalars, Shrinkage

_SMALLEST_WIDTH = 1e-6  # relative to the threshold: the slope between the thresholds is 1 + threshold / width


@dataclass(frozen=True)
class Firm(Shrinkage):
    """Firm threshold: 0 up to ``t = tau theta``, ``u`` beyond ``t + s`` with ``s = tau omega``, linear in between.

        sign(u) * min(max(|u| - t, 0) (t + s) / s, |u|)

    It is the proximal map of the minimax concave penalty ``t|x| - x^2 / (2 gamma)`` (constant beyond ``gamma t``) with
    ``gamma = 1 + s/t``, whose shape depends on the scalars: ``penalty`` is None.

    Scalars: ``threshold`` (theta >= 0, starts at ``weight``), ``width`` (omega > 0, starts at ``relative_width *
    weight``).

    Source: Gao and Bruce, "WaveShrink with firm shrinkage", Statistica Sinica 7 (1997); Zhang, Ann. Stat. 38 (2010),
    for the penalty.

    Example:
        >>> import jax.numpy as jnp
        >>> scalars = {"threshold": jnp.array(1.0), "width": jnp.array(1.0)}
        >>> Firm()(jnp.array([0.5, 1.5, 3.0]), scalars, 1.0)
        Array([0., 1., 3.], dtype=float32)
    """

    relative_width: float = 1.0

    def __post_init__(self) -> None:
        if not self.relative_width > 0:
            raise ValueError(f"Firm: relative_width must be positive, got {self.relative_width}")

    def scalars(self, weight: float | Float[Array, ""]) -> dict[str, ScalarSpec]:
        width = 1.0 if known(weight) and weight == 0 else self.relative_width * weight  # at weight 0 any width will do
        return {"threshold": ScalarSpec(weight, "nonnegative"), "width": ScalarSpec(width, "positive")}

    def __call__(self, u: Float[Array, "*batch n"], scalars: Scalars, tau: Array | float) -> Float[Array, "*batch n"]:
        slope = 1 + _ratio(jnp.asarray(scalars["threshold"]), jnp.asarray(scalars["width"]))  # tau cancels
        magnitude = jnp.abs(u)
        risen = slope * jnp.maximum(magnitude - tau * scalars["threshold"], 0)
        return (jnp.sign(u) * jnp.minimum(risen, magnitude)).astype(u.dtype)

    def lipschitz(self, scalars: Mapping[str, np.ndarray]) -> float:
        """``1 + theta / omega``, the slope between the thresholds (the largest one of these scalars)."""
        threshold = np.asarray(scalars["threshold"], np.float64)
        width = np.maximum(scalars["width"], _SMALLEST_WIDTH * threshold)
        return float(np.max(1 + threshold / np.where(width > 0, width, 1)))


def _ratio(threshold: Array, width: Array) -> Array:
    """``threshold / max(width, 1e-6 threshold)``, in units of the larger of the two: 1 / width^2 may not be a float."""
    larger = jax.lax.stop_gradient(jnp.maximum(threshold, width))
    unit = jnp.where(larger > 0, larger, 1)
    return (threshold / unit) / jnp.maximum(width / unit, _SMALLEST_WIDTH)
