"""Recovery of sparse signals: the field's standard benchmark."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.arguments import choice
from unrollbit.operators import Hadamard, LinearOperator, Rademacher, gaussian, ill_conditioned
from unrollbit.problems.base import Problem, Subset, checked_seed, checked_subset, fraction, positive_int, subset_key
from unrollbit.problems.measured import Measured
from unrollbit.problems.noise import Noise, noise_arguments, noise_of
from unrollbit.problems.registration import register_problem
from unrollbit.shrinkage import BernoulliGaussian

Matrix = Literal["gaussian", "rademacher", "hadamard", "ill-conditioned"]
_MATRICES = {
    "gaussian": gaussian,
    "rademacher": Rademacher,
    "hadamard": Hadamard,
    "ill-conditioned": ill_conditioned,
}


def measurement_matrix(matrix: Matrix, m: int, n: int, seed: int) -> LinearOperator:
    """Random physics by name. Raises ``ValueError`` for an unknown one."""
    return _MATRICES[choice("matrix", matrix, _MATRICES)](m, n, checked_seed(seed))


def bernoulli_gaussian(key: Array, shape: tuple[int, ...], sparsity: float) -> Float[Array, "..."]:
    """Signals whose entries are N(0, 1) with probability ``sparsity`` and 0 otherwise, float32."""
    support_key, value_key = jax.random.split(key)
    support = jax.random.uniform(support_key, shape, jnp.float32) < sparsity
    return jnp.where(support, jax.random.normal(value_key, shape, jnp.float32), 0.0)


class DrawsSparse(Measured):
    """What problems share whose signals are Bernoulli-Gaussian, measured by ``operator`` with ``noise``.

    Goes before ``Problem`` in the list of bases of a frozen dataclass with the fields below.
    """

    sparsity: float
    subset: Subset

    @functools.partial(jax.jit, static_argnames="batch")
    def sample(self, key: Array, batch: int) -> tuple[Float[Array, "batch n"], Float[Array, "batch m"]]:
        """Draw ``batch`` pairs of this subset; a function of ``key`` alone."""
        signal_key, noise_key = jax.random.split(subset_key(key, self.subset))
        x = bernoulli_gaussian(signal_key, (batch, self.operator.shape[1]), self.sparsity)
        return x, self.measured(x, noise_key)

    def split(self, name: Subset) -> Self:
        """The same problem drawing from another subset. Raises ``ValueError`` for an unknown name."""
        return self._with(subset=checked_subset(name))  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def energy(self) -> float:
        """``n x sparsity``: every non-zero entry has variance 1."""
        return self.operator.shape[1] * self.sparsity

    @property
    def bernoulli_gaussian(self) -> tuple[float, float]:
        """``(sparsity, 1)``."""
        return self.sparsity, 1.0

    def prior(self) -> BernoulliGaussian:
        """The shrinkage of these very signals."""
        return BernoulliGaussian(sparsity=min(self.sparsity, 0.99))


@register_problem("operator")
@dataclass(frozen=True, init=False)
class SparseRecovery(DrawsSparse, Problem):
    """``y = A x + noise`` with Bernoulli-Gaussian ``x``: each entry is N(0, 1) with probability ``sparsity``, else 0.

    The setting of Chen et al., "Learning to Optimize: A Primer and a Benchmark",
    JMLR 2022, is ``SparseRecovery(256, 512, sparsity=0.1, snr_db=None, matrix="gaussian")``.

    Example:
        >>> import jax
        >>> problem = SparseRecovery(32, 64)
        >>> x, y = problem.split("test").sample(jax.random.key(0), 5)
        >>> x.shape, y.shape
        ((5, 64), (5, 32))
    """

    operator: LinearOperator
    sparsity: float
    noise: Noise | None
    matrix: Matrix
    seed: int
    subset: Subset = "train"

    def __init__(
        self,
        m: int = 256,
        n: int = 512,
        sparsity: float = 0.1,
        snr_db: float | None = None,
        matrix: Matrix = "gaussian",
        seed: int = 0,
        noise: Noise | None = None,
    ) -> None:
        """Draw the physics from ``seed``.

        Args:
            m, n: number of measurements and of unknowns.
            sparsity: expected share of non-zero entries.
            snr_db: signal-to-noise ratio of each measurement in dB; None for no noise.
            matrix: "gaussian", "rademacher" (+-1), "hadamard" (single-pixel camera) or "ill-conditioned".
            seed: seed of the physics.
            noise: ``Gaussian`` of a stated SNR or standard deviation; ``snr_db`` is short for the first.

        Raises:
            ValueError: an argument out of range, or an unknown matrix.
        """
        operator = measurement_matrix(matrix, positive_int("m", m), positive_int("n", n), seed)
        self._set(operator, fraction("sparsity", sparsity), noise_of(noise, snr_db), matrix, seed)

    def to_spec(self) -> dict[str, Any]:
        m, n = self.operator.shape
        fields = ("sparsity", "matrix", "seed")
        spec = {"kind": "SparseRecovery", "m": m, "n": n, **{name: getattr(self, name) for name in fields}}
        return spec | noise_arguments(self.noise)
