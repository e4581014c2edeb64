"""Total variation of images and of signals on a grid."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.arrays import norm, over
from unrollbit.baselines.base import Compiled, Range
from unrollbit.baselines.ridge import ridge_of
from unrollbit.operators import Composition, LinearOperator
from unrollbit.values import pytree

_MOVE = 0.05  # of the level of a signal: how far the penalty may move an entry in one iteration


@pytree
@dataclass(frozen=True)
class TotalVariation(Compiled):
    """``argmin_x ||y - A x||^2 / 2 + lambda TV(x)`` on a grid of any number of axes, by ``iterations`` of a primal-dual
    method: Chambolle and Pock's with the exact data step, where ``unrollbit.baselines.ridge`` has one, else Condat's
    and Vu's with a gradient step.

    ``TV(x)`` is isotropic: the sum over entries of the length of the vector of forward differences along all axes (0
    at the last entry). ``lambda = weight * level^power``, where ``level = ||y|| / (a sqrt(n))`` of the signal (a: RMS
    norm of the columns of A) is about its root mean square. Power 0 is the textbook's one weight for all and fits noise
    of one variance; 2 fits noise whose variance follows the energy of the signal (a stated SNR). ``tune`` tries both.

    ``synthesis``: the unknowns are coefficients, ``x = Psi c`` has the total variation, and the estimate is c.

    Sources: Rudin, Osher, Fatemi 1992; Chambolle, Pock 2011; Condat 2013; Vu 2013.

    Example:
        >>> from unrollbit.operators import Subsampling
        >>> step = jnp.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
        >>> x = TotalVariation((6,), weight=0.3, power=0, iterations=400)(Subsampling.full(6), step)
        >>> np.allclose(x, [0.1, 0.1, 0.1, 0.9, 0.9, 0.9], atol=1e-3)
        True
    """

    name: ClassVar[str] = "total variation"
    choices: ClassVar[dict[str, tuple[Any, ...]]] = {"power": (0, 2)}
    signal_shape: tuple[int, ...] = field(metadata={"static": True})
    synthesis: LinearOperator | None = None
    weight: float = 1e-2
    power: int = field(default=2, metadata={"static": True})
    iterations: int = field(default=200, metadata={"static": True})

    def physics(self, A: LinearOperator) -> LinearOperator:
        """What measures the signal on its grid."""
        if self.synthesis is None:
            return A
        parts = A.split
        return Composition(A, self.synthesis.T) if parts is None or parts[1] != self.synthesis else parts[0]

    def constants(self, A: LinearOperator) -> dict[str, Any]:
        phi = self.physics(A.bare)
        ridge = ridge_of(phi)
        return {"phi": phi, "ridge": ridge, "column": phi.column_rms()}

    def estimate(self, A: LinearOperator, constants: dict[str, Any], y: Array) -> Array:
        phi, ridge = constants["phi"].prepare(), constants["ridge"]
        square = 1.04 * ridge.square  # the norm may be an estimate
        level = norm(y, keepdims=True) / (constants["column"] * math.sqrt(phi.shape[1]))
        level = jnp.where(level > 0, level, 1)
        limit = self.weight * level**self.power
        step, steps = _MOVE * level / limit, 4 * len(self.signal_shape)  # of the primal; ||D||^2 <= steps
        if not ridge.exact:
            step = 1 / (1 / step + square)  # 1 / step - steps * dual >= ||A||^2 / 2
        dual = 1 / (step * steps) if ridge.exact else (1 / step - square / 2) / steps
        x = ridge(y, 1 / step) if ridge.exact else _matched(phi, y)
        adjoint = differences_adjoint(self.signal_shape)

        def iterate(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
            x, p = carry
            if ridge.exact:
                moved = x - step * adjoint(p)
                following = moved + ridge(y - phi(moved), 1 / step)
            else:
                following = x + step * (phi.T(y - phi(x)) - adjoint(p))
            p = p + dual[..., None] * differences(2 * following - x, self.signal_shape)
            return (following, p / jnp.maximum(1, norm(p, -2, keepdims=True) / limit[..., None])), None

        p = jnp.zeros((*x.shape[:-1], len(self.signal_shape), x.shape[-1]), x.dtype)
        (x, _), _ = jax.lax.scan(iterate, (x, p), None, length=self.iterations)
        return x if self.synthesis is None else self.synthesis.T(x)

    def ranges(self, A: LinearOperator, x: Array, y: Array) -> dict[str, Range]:
        """The weight, for signals of the median level from 1e-4 to 1 of ``a^2 level``."""
        column = float(self.physics(A).column_rms())
        level = float(np.median(np.asarray(norm(jnp.asarray(y))))) / (column * math.sqrt(A.shape[1])) or 1.0
        unit = column**2 * level ** (1 - self.power)
        return {"weight": Range(1e-4 * unit, unit)}


def differences(x: Float[Array, "*batch n"], shape: tuple[int, ...]) -> Float[Array, "*batch axes n"]:
    """Forward differences along every axis of the grid, 0 at its end."""
    grid = x.reshape(*x.shape[:-1], *shape)
    found = []
    for axis in range(-len(shape), 0):
        end = [(0, 0)] * grid.ndim
        end[axis] = (0, 1)
        found.append(jnp.pad(jnp.diff(grid, axis=axis), end).reshape(x.shape))
    return jnp.stack(found, axis=-2)


def differences_adjoint(shape: tuple[int, ...]) -> Any:
    """The adjoint of ``differences``: minus the divergence."""

    def adjoint(p: Float[Array, "*batch axes n"]) -> Float[Array, "*batch n"]:
        total = jnp.zeros((*p.shape[:-2], *shape), p.dtype)
        for index, axis in enumerate(range(-len(shape), 0)):
            part = p[..., index, :].reshape(total.shape)
            inside = jax.lax.slice_in_dim(part, 0, shape[axis] - 1, axis=axis % total.ndim)
            before, after = [(0, 0)] * total.ndim, [(0, 0)] * total.ndim
            before[axis], after[axis] = (1, 0), (0, 1)
            total = total + jnp.pad(inside, before) - jnp.pad(inside, after)
        return total.reshape(*p.shape[:-2], -1)

    return adjoint


def _matched(A: LinearOperator, y: Array) -> Array:
    """A start for gradient steps: the multiple of ``A^T y`` that fits the measurement best."""
    x = A.T(y)
    image = A(x)
    power = jnp.sum(image * image, -1, keepdims=True)
    return x * jnp.where(power > 0, over(jnp.sum(image * y, -1, keepdims=True), power), 0)
