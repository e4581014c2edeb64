"""What state evolution must know of a step: residual, momentum and memory as numbers per layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from unrollbit.shrinkage import Shrinkage


@dataclass(frozen=True)
class FirstOrder:
    """The numbers of a first-order method, one per layer t = 0 .. K-1, from ``x_0 = x_{-1} = 0`` and ``v_{-1} = 0``::

        z_t     = x_t + extrapolation_t (x_t - x_{t-1})
        v_t     = y - A z_t + memory_t v_{t-1}
        u_t     = z_t + momentum_t (x_t - x_{t-1}) + step_t W_t^T v_t
        x_{t+1} = shrink(u_t; tau_t),     tau_t = ||v_t|| / (sqrt(m) level)

    ``scalars`` are those of the shrinkage, of all layers. ``memory`` None stands for the Onsager term
    ``(n / m) <shrink'(u_{t-1})>``, ``level`` None for ``tau_t = 1``.

    Source: Celentano, Montanari, Wu, "The estimation error of general first order methods", COLT 2020.
    """

    shrinkage: Shrinkage
    scalars: dict[str, Float[np.ndarray, "..."]]
    step: Float[np.ndarray, " K"]
    momentum: Float[np.ndarray, " K"]
    extrapolation: Float[np.ndarray, " K"]
    memory: Float[np.ndarray, " K"] | None
    level: float | None

    @classmethod
    def of(
        cls,
        shrinkage: Shrinkage,
        scalars: Mapping[str, Any],
        *,
        momentum: Any = 0.0,
        extrapolation: Any = 0.0,
        memory: Any = 0.0,
        level: Any = None,
    ) -> FirstOrder:
        """From the scalars of a network, ``step`` among them; a single number stands for all layers."""
        own = {name: np.asarray(value, np.float64) for name, value in scalars.items()}
        step = own["step"]

        def row(value: Any) -> Any:
            return None if value is None else np.broadcast_to(np.asarray(value, np.float64), step.shape)

        needed = {name: own[name] for name in shrinkage.scalars(1.0)}
        of_residual = None if level is None else float(level)
        return cls(shrinkage, needed, step, row(momentum), row(extrapolation), row(memory), of_residual)
