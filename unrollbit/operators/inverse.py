"""Regularised inverses of physics: what a data step applies to residuals."""

from __future__ import annotations

import abc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.values import pytree

if TYPE_CHECKING:
    from unrollbit.operators.base import LinearOperator

_SOLVED = 1e-12  # share of the squared residual at which conjugate gradients stop
LARGEST_SVD = 2**22  # entries of a matrix that is decomposed: half a minute and 64 MB


class RegularisedInverse(abc.ABC):
    """``inverse(r, rho) = (A^T A + rho ||A||^2 I)^{-1} A^T r``, the data step of proximal algorithms and, with
    measurements in the place of residuals, a linear estimate (Tikhonov).

    ``rho`` > 0 is relative to the squared norm of A: it means the same for physics in any unit. It is a number, or one
    for each signal, (*batch, 1). A pytree, so that it passes through compiled programs. ``LinearOperator.inverse``
    gives that of an operator; physics that knows a better linear estimator returns that from it.
    """

    @abc.abstractmethod
    def __call__(self, r: Float[Array, "*batch m"], rho: Float[Array, "..."]) -> Float[Array, "*batch n"]: ...

    @property
    def exact(self) -> bool:
        """Whether it is the inverse of the formula to rounding: neither cut short nor another estimator."""
        return True

    def resident_bits(self) -> int:
        """Bits held beside the physics."""
        return sum(leaf.size * leaf.dtype.itemsize * 8 for leaf in jax.tree.leaves(self))


@pytree
@dataclass(frozen=True)
class EstimateInverse(RegularisedInverse):
    """``W r / (1 + rho)`` with the linear estimate W of physics that it inverts (``A W A = A``): exact for tight
    frames, and the estimator of least mean squared error for physics that knows the covariance of its signals.
    """

    operator: Any

    def __call__(self, r: Array, rho: Array) -> Array:
        return self.operator.linear_estimate(r) / (1 + rho)

    @property
    def exact(self) -> bool:
        return self.operator.frame_constant is not None

    def resident_bits(self) -> int:
        return 0  # the physics itself


@pytree
@dataclass(frozen=True)
class SpectralInverse(RegularisedInverse):
    """``V diag(s / (s^2 + rho s_1^2)) U^T r`` from the singular value decomposition ``A = U diag(s) V^T``."""

    U: Float[Array, "m k"]
    s: Float[Array, " k"]
    V: Float[Array, "n k"]

    def __call__(self, r: Array, rho: Array) -> Array:
        gain = self.s / self.s[0]
        return ((r @ self.U) * (gain / (gain**2 + rho) / self.s[0])) @ self.V.T


@pytree
@dataclass(frozen=True)
class PeriodicInverse(RegularisedInverse):
    """``F^* conj(h) / (|h|^2 + rho max |h|^2) F r`` for a periodic convolution with the transfer function h."""

    real: Float[Array, "*frequencies"]
    imaginary: Float[Array, "*frequencies"]
    signal_shape: tuple[int, ...] = field(metadata={"static": True})

    @classmethod
    def of(cls, kernel: Array, signal_shape: tuple[int, ...]) -> PeriodicInverse:
        """That of the convolution with a kernel centred at ``(size - 1) // 2``."""
        places = (
            (np.arange(taps) - (taps - 1) // 2) % side for taps, side in zip(kernel.shape, signal_shape, strict=True)
        )
        period = jnp.zeros(signal_shape, jnp.result_type(float)).at[np.ix_(*places)].add(kernel)
        transfer = jnp.fft.rfftn(period)
        return cls(transfer.real, transfer.imag, tuple(signal_shape))

    def __call__(self, r: Array, rho: Array) -> Array:
        axes = tuple(range(-len(self.signal_shape), 0))
        power = self.real**2 + self.imaginary**2
        rho = jnp.reshape(rho, (*jnp.shape(rho)[:-1], *(1,) * len(axes)))
        gain = 1 / (power + rho * jnp.max(power))
        spectrum = jnp.fft.rfftn(r.reshape(*r.shape[:-1], *self.signal_shape), axes=axes)
        filtered = spectrum * (gain * jax.lax.complex(self.real, -self.imaginary))
        return jnp.fft.irfftn(filtered, s=self.signal_shape, axes=axes).reshape(r.shape).astype(r.dtype)


@pytree
@dataclass(frozen=True)
class ConjugateGradients(RegularisedInverse):
    """``steps`` steps of conjugate gradients from 0 for ``(A^T A + rho ||A||^2 I) x = A^T r``: for any operator.

    Source: Hestenes and Stiefel, "Methods of conjugate gradients for solving linear systems", J. Res. NBS 49 (1952).
    """

    operator: Any
    square: Float[Array, ""]
    steps: int = field(default=10, metadata={"static": True})

    @property
    def exact(self) -> bool:
        return False

    def __call__(self, r: Array, rho: Array) -> Array:
        A, weight = self.operator, rho * self.square

        def body(carry: tuple[Array, ...], _: None) -> tuple[tuple[Array, ...], None]:
            x, left, p, energy = carry
            q = A.T(A(p)) + weight * p
            unsolved = energy > enough
            step = quotient(energy, jnp.sum(p * q, -1, keepdims=True), unsolved)
            x, left = x + step * p, left - step * q
            following = jnp.sum(left * left, -1, keepdims=True)
            return (x, left, left + quotient(following, energy, unsolved) * p, following), None

        left = A.T(r)
        energy = jnp.sum(left * left, -1, keepdims=True)
        enough = _SOLVED * jax.lax.stop_gradient(energy)
        start = jnp.zeros_like(left), left, left, energy
        return jax.lax.scan(body, start, None, length=self.steps)[0][0]

    def resident_bits(self) -> int:
        return 0  # the physics itself


def quotient(a: Array, b: Array, unsolved: Array) -> Array:
    """``a / b``, and 0 (with a zero gradient) where the system is solved."""
    usable = unsolved & (b > 0)
    return jnp.where(usable, a / jnp.where(usable, b, 1), 0)


def inverse_of(A: LinearOperator) -> RegularisedInverse:
    """By a linear estimate that inverts, by the decomposition of a small matrix, else by conjugate gradients."""
    if A.inverts:
        return EstimateInverse(A.prepare())
    m, n = A.shape
    if m * n > LARGEST_SVD:
        return ConjugateGradients(A.prepare(), jnp.asarray(float(A.norm()) ** 2))
    U, s, Vt = np.linalg.svd(np.asarray(A.dense(), np.float64), full_matrices=False)
    kept = s > s[0] * np.finfo(np.float64).eps * max(m, n)
    dtype = jnp.result_type(float)
    return SpectralInverse(*(jnp.asarray(part, dtype) for part in (U[:, kept], s[kept], Vt[kept].T)))
