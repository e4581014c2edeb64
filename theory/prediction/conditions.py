"""What state evolution assumes, measured on the physics, the maps and the signals before anything is compared."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from unrollbit.networks import Network
from unrollbit.operators import LinearOperator

_PROBES = 64
CLOSE = 0.05  # relative, of W - c A
_CLOSE_MOMENTS = (0.05, 0.1)  # relative: what 64 unknowns of independent entries still meet
_LARGEST_ENTRY = 2.0  # of an entry's square, relative to that expected of m n Gaussian ones
_ERRORS = 5.0  # standard errors
_COLUMNS = 256  # that entries are looked at of

SPECTRUM = "the singular values of A are those of independent entries"
DENSE = "no entry of A is much larger than the others"
MULTIPLE = "W is a multiple of A in every layer (within 5 %)"
INDEPENDENT = "the unknowns are independent with one distribution"
NOISE = "the noise does not depend on the signal"


@dataclass(frozen=True)
class Spectrum:
    """``moments``: second and third moment of the eigenvalues of A A^T (their mean 1) over those of Marchenko-Pastur,
    ``1 + c`` and ``1 + 3c + c^2`` with c = m/n; ``largest``: the largest squared entry over ``2 ln(m n) / m`` of the
    mean square of a column.
    """

    moments: tuple[float, float]
    largest: float

    def conditions(self) -> dict[str, bool]:
        """In words."""
        return {
            SPECTRUM: all(abs(a - 1) <= limit for a, limit in zip(self.moments, _CLOSE_MOMENTS, strict=True)),
            DENSE: self.largest <= _LARGEST_ENTRY,
        }


def spectrum_of(A: LinearOperator, seed: int = 0) -> Spectrum:
    """Measured by products with 64 random vectors; per block where A is block-diagonal.

    Orthogonal rows have moments of 1 / (1 + c) and 1 / (1 + 3c + c^2): where m is far below n they do not differ.
    """
    (m, n), blocks = A.shape, A.mask().blocks
    random = np.random.RandomState(seed)
    z = jnp.asarray(random.choice([-1.0, 1.0], (_PROBES, m)), jnp.float32)
    back = A.T(z)
    around = A(back)
    # z^T G z, z^T G^2 z and z^T G^3 z for G = A A^T, of which the means are traces
    pairs = (back, back), (around, around), (A.T(around), A.T(around))
    first, second, third = (float(jnp.mean(jnp.sum(jnp.square(a), axis=-1))) / m for a, _ in pairs)
    c = m / n
    moments = second / first**2 / (1 + c), third / first**3 / (1 + 3 * c + c * c)
    columns = random.permutation(n)[:_COLUMNS]
    entries = np.asarray(A(jax.nn.one_hot(columns, n, dtype=jnp.float32)), np.float64)
    rows = m // blocks
    squares = entries**2
    mean = squares.sum() / len(columns) / rows
    return Spectrum(moments, float(squares.max() / mean / (2 * math.log(rows * n / blocks))))


def multiples(net: Network, seed: int = 0) -> tuple[Float[np.ndarray, " K"], float]:
    """The factors c_k of ``W_k = c_k A`` by least squares, and the largest ``||W_k - c_k A|| / ||c_k A||`` (Frobenius
    norms, by products with 64 random vectors).
    """
    A, weights = net.operator, net.maps[net.transposed[0]]
    z = jnp.asarray(np.random.RandomState(seed).choice([-1.0, 1.0], (_PROBES, A.shape[0])), jnp.float32)
    back = np.asarray(A.T(z), np.float64)
    factors, apart = [], []
    for copy in range(min(weights.copies, net.depth)):
        learned = np.asarray(weights.apply_transpose(z, copy), np.float64)
        factors.append(float(np.vdot(learned, back) / np.vdot(back, back)))
        apart.append(float(np.linalg.norm(learned - factors[-1] * back) / np.linalg.norm(factors[-1] * back)))
    return np.array(factors)[np.arange(net.depth) % len(factors)], max(apart)


def like_independent_unknowns(x: Float[np.ndarray, "N n"]) -> bool:
    """Whether signals look like independent draws of one scalar: energies of unknowns and of signals scatter, and
    neighbours correlate, no more than those do (5 standard errors).
    """
    squares = np.asarray(x, np.float64) ** 2
    N, n = squares.shape
    total, spread = squares.mean(), squares.var()
    if spread == 0:
        return True
    far = []
    for energies, count in ((squares.mean(0), N), (squares.mean(1), n)):  # variance of means against that expected
        if len(energies) > 1:
            kurtosis = float(np.mean((squares - total) ** 4) / spread**2)
            error = math.sqrt((2 + (kurtosis - 3) / count) / len(energies))
            far.append(abs(energies.var(ddof=1) * count / spread - 1) / error)
    if n > 1:
        for values, size in ((x, total), (squares - total, spread)):
            far.append(abs(np.mean(values[:, 1:] * values[:, :-1])) / size * math.sqrt(N * (n - 1)))
    return bool(max(far, default=0.0) <= _ERRORS)


def like_independent_noise(signal: Float[np.ndarray, "N m"], noise: Float[np.ndarray, "N m"]) -> bool:
    """Whether noise correlates with what is measured no more than independent noise does (5 standard errors)."""
    sizes = float(np.linalg.norm(signal) * np.linalg.norm(noise))
    rounding = np.finfo(np.float32).eps * float(np.linalg.norm(signal)) ** 2
    return abs(float(np.vdot(signal, noise))) <= float(_ERRORS * sizes / math.sqrt(signal.size) + _ERRORS * rounding)
