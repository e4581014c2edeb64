"""Linear estimators: one matrix for all signals."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.arguments import number
from unrollbit.baselines.base import Compiled, Range
from unrollbit.baselines.ridge import ConvergedGradients, Ridge, ridge_of
from unrollbit.operators import Adjoint, Composition, Dense, LinearOperator, SubsampledDCT
from unrollbit.operators.inverse import LARGEST_SVD
from unrollbit.values import Value, pytree

_LARGEST = 4096  # unknowns whose covariance matrix is formed
_ENOUGH = 2  # signals an unknown for that
_PROBES = 32  # random signs that a diagonal is estimated with
_FLOOR = 1e-4  # of its mean: estimates of small entries may come out negative


@pytree
@dataclass(frozen=True)
class GaussianPrior(Value):
    """``x = mean + K z`` with white ``z``: the covariance of x is ``K K^T``.

    K is ``root``, a matrix, or ``basis diag(root)`` with an orthonormal ``basis`` (None: the unknowns themselves).
    """

    mean: Float[Array, " n"]
    root: Float[Array, "n n"] | Float[Array, " n"]
    basis: LinearOperator | None = None

    def coloured(self, z: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """``K z``."""
        if self.root.ndim == 2:
            return z @ self.root.T
        return self.root * z if self.basis is None else self.basis(self.root * z)

    def coloured_adjoint(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """``K^T x``."""
        if self.root.ndim == 2:
            return x @ self.root
        return self.root * (x if self.basis is None else self.basis.T(x))

    def ridge(self, A: LinearOperator) -> Ridge | ConvergedGradients:
        """Ridge regression with ``A K``: by its decomposition or, where that is too large, by conjugate gradients."""
        if math.prod(A.shape) <= LARGEST_SVD:
            return A.derived(("ridge", self), lambda: ridge_of(Dense(_images(A, self).T)))
        return A.derived(("ridge", self), lambda: ConvergedGradients(Coloured(A.prepare(), self), _diagonal(A, self)))


@pytree
@dataclass(frozen=True)
class Coloured:
    """``A K`` and its adjoint, as ridge regression applies them."""

    operator: LinearOperator
    prior: GaussianPrior

    def __call__(self, z: Array) -> Array:
        return self.operator(self.prior.coloured(z))

    def T(self, r: Array) -> Array:
        return self.prior.coloured_adjoint(self.operator.T(r))


@jax.jit
def _images(A: LinearOperator, prior: GaussianPrior) -> Float[Array, "n m"]:
    return A(prior.coloured(jnp.eye(A.shape[1])))


@jax.jit
def _diagonal(A: LinearOperator, prior: GaussianPrior) -> Float[Array, " n"]:
    """About the diagonal of ``K^T A^T A K``, from random signs in the basis of K, where A of a blur is nearly diagonal.

    Source: Bekas, Kokiopoulou, Saad, "An estimator for the diagonal of a matrix", Appl. Numer. Math. 57 (2007).
    """
    scale = jnp.abs(prior.root) if prior.root.ndim == 1 else jnp.linalg.norm(prior.root, axis=0)
    kept = jnp.where(scale > 0, scale, 1)
    signs = jax.random.rademacher(jax.random.key(0), (_PROBES, A.shape[1]), jnp.float32)
    both = Coloured(A.prepare(), prior)
    values = jnp.mean(signs * both.T(both(signs / kept)) / kept, 0)
    return scale**2 * jnp.maximum(values, _FLOOR * jnp.mean(values))


@dataclass(frozen=True)
class Linear(Compiled):
    """The posterior mean for a Gaussian prior and white noise of variance ``noise``:
    ``mean + K (K^T A^T A K + noise I)^{-1} K^T A^T (y - A mean)``.
    """

    noise: float = 1e-2

    def __post_init__(self) -> None:
        if not isinstance(self.noise, jax.Array):  # which has been computed
            wanted = "a number > 0 (the shape of a grid goes to signal_shape=)"
            number("noise", self.noise, lambda noise: noise > 0, wanted)

    def prior(self, A: LinearOperator) -> GaussianPrior:
        """The prior of the unknowns."""
        raise NotImplementedError

    def constants(self, A: LinearOperator) -> Any:
        prior = self.prior(A)
        return prior, prior.ridge(A)

    def estimate(self, A: LinearOperator, constants: Any, y: Array) -> Array:
        prior, ridge = constants
        return prior.mean + prior.coloured(ridge(y - A(prior.mean), jnp.asarray(self.noise)))

    def ranges(self, A: LinearOperator, x: Array, y: Array) -> dict[str, Range]:
        """The variance of the noise from 1e-6 to 0.1 of the mean square of a measurement."""
        square = float(np.mean(np.asarray(y, np.float64) ** 2)) or 1.0
        return {"noise": Range(1e-6 * square, 0.1 * square, 6)}


@pytree
@dataclass(frozen=True)
class LinearMMSE(Linear):
    """Linear minimum-mean-square-error estimation with the mean and covariance of training signals.

    ``LinearMMSE.of(x)`` takes them from signals ``(N, n)``. Up to 4,096 unknowns the covariance is a full matrix; on a
    grid that takes twice as many signals as unknowns, or it fits those signals and no others. Else it is diagonal in a
    basis: the DCT of the grid, where there is one (a stationary covariance), or the unknowns themselves. Conjugate
    gradients solve what is too large to be decomposed.

    Source: Kay, "Fundamentals of statistical signal processing: estimation theory", 1993, chapter 12.

    Example:
        >>> from unrollbit.operators import gaussian
        >>> A, x = gaussian(4, 8), np.random.RandomState(0).randn(500, 8) * np.arange(8)
        >>> LinearMMSE.of(x, noise=0.01)(A, A(x)).shape
        (500, 8)
    """

    name: ClassVar[str] = "linear MMSE"
    gaussian: GaussianPrior = None  # pyright: ignore[reportAssignmentType]

    @classmethod
    def of(
        cls,
        x: Float[Array, "N n"],
        signal_shape: tuple[int, ...] | None = None,
        synthesis: LinearOperator | None = None,
        noise: float = 1e-2,
    ) -> Self:
        """Mean and covariance of the signals in ``x``, coefficients of ``synthesis`` if given."""
        rows = np.asarray(x, np.float64)
        n, mean = rows.shape[1], rows.mean(0)
        centred = rows - mean
        stationary = cosines(signal_shape, synthesis)
        if n <= _LARGEST and (stationary is None or len(rows) >= _ENOUGH * n):
            values, vectors = np.linalg.eigh(centred.T @ centred / len(rows))
            root, basis = vectors * np.sqrt(np.maximum(values, 0)), None
        else:
            basis = stationary
            inside = centred if basis is None else np.asarray(_analysed(basis, jnp.asarray(centred, jnp.float32)))
            root = np.sqrt(np.mean(np.square(inside, dtype=np.float64), 0))
        return cls(noise, GaussianPrior(jnp.asarray(mean, jnp.float32), jnp.asarray(root, jnp.float32), basis))

    def prior(self, A: LinearOperator) -> GaussianPrior:
        return self.gaussian


@pytree
@dataclass(frozen=True)
class Tikhonov(Linear):
    """``argmin_x ||y - A x||^2 + noise ||D x||^2``: D takes differences along the axes of a grid (0 at its end, so
    that constants are not penalised), or is the identity without ``signal_shape``.

    ``synthesis``: the unknowns are coefficients, and D acts on ``Psi c``. ``D^T D`` is diagonal in the DCT.
    ``noise`` is the weight of the penalty.

    Example:
        >>> from unrollbit.operators import Dense
        >>> x = Tikhonov(1.0)(Dense.of([[2.0, 0.0], [0.0, 1.0]]), jnp.array([4.0, 2.0]))
        >>> np.allclose(x, [1.6, 1.0])
        True
    """

    name: ClassVar[str] = "tikhonov"
    signal_shape: tuple[int, ...] | None = field(default=None, metadata={"static": True})
    synthesis: LinearOperator | None = None

    def prior(self, A: LinearOperator) -> GaussianPrior:
        n = A.shape[1]
        if self.signal_shape is None:
            return GaussianPrior(jnp.zeros(n), jnp.ones(n))
        sides = [4 * np.sin(np.pi * np.arange(side) / (2 * side)) ** 2 for side in self.signal_shape]
        values = sum(np.meshgrid(*sides, indexing="ij")).ravel()  # pyright: ignore[reportAttributeAccessIssue]
        values[0] = _CONSTANT * (values[1:].min() if n > 1 else 1.0)
        return GaussianPrior(jnp.zeros(n), jnp.asarray(values**-0.5), cosines(self.signal_shape, self.synthesis))

    def ranges(self, A: LinearOperator, x: Array, y: Array) -> dict[str, Range]:
        """The weight from 1e-5 to 1 of the mean square of the columns of A."""
        square = float(A.column_rms()) ** 2
        return {"noise": Range(1e-5 * square, square, 6)}


_CONSTANT = 1e-2  # eigenvalue of constants under D^T D relative to the smallest other: hardly penalised


def cosines(signal_shape: tuple[int, ...] | None, synthesis: LinearOperator | None) -> LinearOperator | None:
    """Synthesis of the unknowns from the DCT coefficients of their grid; None without a grid."""
    if signal_shape is None or math.prod(signal_shape) == 1:
        return None
    basis = Adjoint(SubsampledDCT.full(signal_shape))
    return basis if synthesis is None else Composition(synthesis.T, basis)


@jax.jit
def _analysed(basis: LinearOperator, x: Array) -> Array:
    return basis.T(x)
