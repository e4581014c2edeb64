"""The contract of a shrinkage: the non-linearity of an iterative recovery algorithm."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from unrollbit.pytrees import register_numbers
from unrollbit.scalars import ScalarSpec
from unrollbit.specs import Specified

Scalars = Mapping[str, Any]  # of one layer: arrays, or numbers


class Shrinkage(Specified, abc.ABC):
    """``shrink(u, scalars, tau)``: the estimate of ``x`` from ``u = x + noise``.

    A shrinkage owns its learned scalars; each is one number, or ``n`` numbers where ``Grouped`` gives every group of
    unknowns its own. ``tau`` is the noise level of ``u`` (standard deviation; shape broadcasts against ``u``),
    estimated from the residual by the algorithm, or 1. It has the unit of ``u`` and may be 0: what divides by it keeps
    value and gradient finite there, relative to its other quantities of that unit. Subclasses are frozen dataclasses
    and pytrees whose ``float`` fields are leaves; ``to_spec()``/``from_spec()`` write and read them.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        register_numbers(cls)

    separable: bool = True
    """The Jacobian with respect to ``u`` is diagonal almost everywhere (what ``divergence`` needs)."""

    linear: bool = False
    """Linear in ``u``: nothing shrinks."""

    convex: bool = False
    """The proximal map of a convex penalty at every fixed ``tau``: it and ``2 shrink - 1`` are nonexpansive."""

    @abc.abstractmethod
    def scalars(self, weight: float | Float[Array, ""]) -> dict[str, ScalarSpec]:
        """Declare the learned scalars; ``weight`` multiplies the penalty in the proximal step (step size x lambda)."""

    @abc.abstractmethod
    def __call__(self, u: Float[Array, "*batch n"], scalars: Scalars, tau: Array | float) -> Float[Array, "*batch n"]:
        """The shrunken ``u``; same shape and dtype."""

    def penalty(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch"] | None:
        """``g(x)`` if this is the proximal map of ``weight * g``, else None (the objective is then undefined)."""
        return None

    @property
    def has_variance(self) -> bool:
        """Whether this is the posterior mean of a signal of which ``posterior_variance`` is known."""
        return type(self).posterior_variance is not Shrinkage.posterior_variance

    def posterior_variance(
        self, u: Float[Array, "*batch n"], scalars: Scalars, tau: Array | float
    ) -> Float[Array, "*batch n"]:
        """The posterior variance of every entry where this is a posterior mean. Raises ``ValueError`` elsewhere."""
        raise ValueError(f"{type(self).__name__} is no posterior mean")

    def lipschitz(self, scalars: Mapping[str, np.ndarray]) -> float | None:
        """A Lipschitz constant in ``u`` at every fixed ``tau`` for all these scalars; None where none is known."""
        del scalars
        return 1.0 if self.convex else None

    def thresholds(self, scalars: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """The thresholds of the soft threshold that this is at ``tau = 1`` (0: none); None for another function."""
        del scalars
        return None
