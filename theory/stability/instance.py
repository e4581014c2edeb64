"""Measurements that are moved: what stability is checked on."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from jaxtyping import Float

from unrollbit.theory.instances import Attacked
from unrollbit.theory.numerics import norms
from unrollbit.theory.stability.attack import adversarial


class Moved(Attacked):
    """A signal whose measurements are moved by at most ``radius``, in directions that ascent finds."""

    @property
    def radius(self) -> float:
        """Largest norm of a perturbation."""
        return self.settings.radius * self.size

    @cached_property
    def others(self) -> Float[np.ndarray, "P m"]:
        """Measurements within ``radius`` of y; raises ``ValueError`` where rounding loses the radius beside y."""
        found = self.within(self.radius) if self.radius > 0 else self.y[None]
        if not (found != self.y).any():
            raise ValueError(
                f"radius: {self.settings.radius:g} is lost to rounding beside measurements of norm "
                f"{float(norms(self.y)):.3g}; expected a larger one"
            )
        return found

    def within(self, radius: float) -> Float[np.ndarray, "P m"]:
        """Measurements within another radius of y."""
        return self.y + adversarial(self.form, self.y, radius, seed=self.settings.seeded(self.index))
