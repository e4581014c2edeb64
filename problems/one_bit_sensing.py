"""One-bit compressive sensing: of every measurement only the sign is kept."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.arrays import over
from unrollbit.operators import LinearOperator
from unrollbit.problems.base import Problem, Subset, fraction, positive_int, subset_key
from unrollbit.problems.noise import Noise, noise_arguments, noise_of
from unrollbit.problems.registration import register_problem
from unrollbit.problems.sparse import DrawsSparse, Matrix, bernoulli_gaussian, measurement_matrix


@register_problem("operator")
@dataclass(frozen=True, init=False)
class OneBitCompressiveSensing(DrawsSparse, Problem):
    """``y = mu sign(A x + noise)``, Bernoulli-Gaussian ``x`` scaled to ``||x||^2 = n sparsity``: signs hide the length.

    ``mu = sqrt(pi / 2) ||x|| ||A||_F / sqrt(m n)``. For Gaussian A then ``y = A x + z`` with ``z`` uncorrelated to
    ``A x``, so that every solver of the linear problem estimates ``x`` in direction and length (Plan and
    Vershynin, "The generalized Lasso with non-linear observations", IEEE Trans. Inf. Theory 2016, section I).

    Example:
        >>> import jax
        >>> problem = OneBitCompressiveSensing(128, 64)
        >>> x, y = problem.sample(jax.random.key(0), 5)
        >>> x.shape, y.shape, len(set(abs(y).ravel().tolist()))
        ((5, 64), (5, 128), 1)
    """

    operator: LinearOperator
    sparsity: float
    noise: Noise | None
    matrix: Matrix
    seed: int
    level: float
    subset: Subset = "train"

    def __init__(
        self,
        m: int = 1024,
        n: int = 256,
        sparsity: float = 0.05,
        snr_db: float | None = None,
        matrix: Matrix = "gaussian",
        seed: int = 0,
        noise: Noise | None = None,
    ) -> None:
        """Draw the physics from ``seed``.

        Args:
            m, n: number of signs and of unknowns; m may exceed n, a sign being less than a measurement.
            sparsity: expected share of non-zero entries.
            snr_db: signal-to-noise ratio in dB before signs are taken; None for no noise.
            matrix: "gaussian", "rademacher" (+-1), "hadamard" (single-pixel camera) or "ill-conditioned".
            seed: seed of the physics.
            noise: ``Gaussian`` of a stated SNR or standard deviation; ``snr_db`` is short for the first.

        Raises:
            ValueError: an argument out of range, or an unknown matrix.
        """
        operator = measurement_matrix(matrix, positive_int("m", m), positive_int("n", n), seed)
        share = fraction("sparsity", sparsity)
        # ||A||_F^2 / m: the mean energy of a row; unit columns (all matrices here but "ill-conditioned") give n / m
        rows = float(jnp.mean(jnp.sum(operator.dense() ** 2, axis=1)))
        level = math.sqrt(math.pi / 2 * share * rows)
        self._set(operator, share, noise_of(noise, snr_db), matrix, seed, level)

    @functools.partial(jax.jit, static_argnames="batch")
    def sample(self, key: Array, batch: int) -> tuple[Float[Array, "batch n"], Float[Array, "batch m"]]:
        """Draw ``batch`` pairs of this subset; a function of ``key`` alone."""
        signal_key, noise_key = jax.random.split(subset_key(key, self.subset))
        drawn = bernoulli_gaussian(signal_key, (batch, self.operator.shape[1]), self.sparsity)
        norm = jnp.linalg.norm(drawn, axis=1, keepdims=True)
        x = over(drawn * jnp.float32(math.sqrt(self.energy)), norm)
        return x, self.measured(x, noise_key)

    def measured(self, x: Float[Array, "*batch n"], key: Array) -> Float[Array, "*batch m"]:
        """``mu sign(A x + noise)``, float32."""
        return jnp.where(super().measured(x, key) < 0, -self.level, self.level).astype(jnp.float32)

    def to_spec(self) -> dict[str, Any]:
        m, n = self.operator.shape
        fields = ("sparsity", "matrix", "seed")
        spec = {"kind": "OneBitCompressiveSensing", "m": m, "n": n, **{name: getattr(self, name) for name in fields}}
        return spec | noise_arguments(self.noise)
