"""What proofs must know of steps with a learned prior: slopes, data steps and momentum as numbers per layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Array, Float


@dataclass(frozen=True)
class PriorSteps:
    """Layers ``v = x_k + momentum_k (x_k - x_{k-1})``, ``u = v - K_k^T phi_k(K_k v)``,
    ``x_{k+1} = u - step_k B_k(A u - y)`` with ``B_k r = (A^T A + rho_k ||A||^2 I)^{-1} A^T r``, from ``x_0 = B_0 y``.

    ``lowest`` and ``highest`` are the slopes of the influence functions of every filter; ``rises`` says that none can
    be negative, whatever the scalars.
    """

    momentum: Float[Array | np.ndarray, " K"]
    step: Float[Array | np.ndarray, " K"]
    rho: Float[Array | np.ndarray, " K"]
    lowest: Float[Array | np.ndarray, "K C"]
    highest: Float[Array | np.ndarray, "K C"]
    rises: bool

    @property
    def convex(self) -> bool:
        """Whether all influence functions rise: their potentials are convex."""
        return bool((self.lowest >= 0).all())
