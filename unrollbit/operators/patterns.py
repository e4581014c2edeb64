"""One-bit patterns for the blocks of an image: block compressive sensing with its linear estimate."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from unrollbit.operators.base import LinearOperator
from unrollbit.operators.checks import finite_array, set_field
from unrollbit.operators.norms import Norm
from unrollbit.signbits import pack_signs, unpack_signs
from unrollbit.sizes import check_signal_shape, positive_integer
from unrollbit.specs import Spec, check_fields
from unrollbit.values import is_known, pytree

_COMPUTED: Any = object()


@pytree
@dataclass(frozen=True)
class BlockPatterns(LinearOperator):
    """Every ``size x size`` block of an image measured by the same +-1 patterns: ``y_b = S x_b / size``.

    ``packed`` holds the signs S, ``(patterns, ceil(size^2 / 8))`` bytes (see ``unrollbit.signbits``), of pixels row by
    row; ``variances`` the second moments of the 2-D DCT coefficients of a block, held in bfloat16. They make the linear
    estimate ``W y`` of least mean squared error, ``W = C S^T (S C S^T)^-1 size`` with ``C = D^T diag(variances) D``.
    Blocks follow each other row by row; both sides of the image are multiples of ``size``. ``BlockPatterns.of(signs,
    ...)`` takes a +-1 matrix; ``learned_patterns`` and ``hadamard_patterns`` find one.

    Raises ``ValueError`` for sides that are no multiples of the size, signs or variances of another shape, variances
    that are not positive, and more patterns than pixels or dependent ones.

    Example:
        >>> import jax.numpy as jnp
        >>> A = BlockPatterns.of([[1, 1, 1, 1], [1, -1, 1, -1]], (4, 6), 2)
        >>> A.shape, A.physics_bits(), A(jnp.ones(24))[:2]
        ((12, 24), 80, Array([2., 0.], dtype=float32))

    Source: L. Gan, "Block compressed sensing of natural images", 2007.
    """

    signal_shape: tuple[int, int] = field(metadata={"static": True})
    size: int = field(metadata={"static": True})
    packed: UInt8[Array, "patterns bytes"]
    variances: Array
    estimator: Float[Array, "pixels patterns"] = field(default=_COMPUTED, compare=False, repr=False)
    expanded: Float[Array, "patterns pixels"] | None = field(default=None, compare=False, repr=False)  # of ``prepare``

    def __post_init__(self) -> None:
        set_field(self, "size", positive_integer("size", self.size))
        sides = check_signal_shape(self.signal_shape)
        if len(sides) != 2 or any(side % self.size for side in sides):
            raise ValueError(
                f"signal_shape: expected the two sides of an image, multiples of the block of {self.size} pixels, got "
                f"{sides}; pad the image"
            )
        set_field(self, "signal_shape", sides)
        pixels = self.size**2
        if self.expanded is not None:
            return
        if self.packed.ndim != 2 or self.packed.shape[1] != -(-pixels // 8) or self.packed.dtype != jnp.uint8:
            raise ValueError(
                f"packed: expected bytes of shape (patterns, {-(-pixels // 8)}), got {self.packed.dtype} "
                f"{self.packed.shape}"
            )
        if not 1 <= self.packed.shape[0] <= pixels:
            raise ValueError(f"packed: expected 1 to {pixels} patterns for as many pixels, got {self.packed.shape[0]}")
        held = jnp.asarray(finite_array("variances", self.variances, 1), jnp.bfloat16)
        if held.shape != (pixels,) or (is_known(held) and not bool((held > 0).all())):
            raise ValueError(f"variances: expected {pixels} numbers > 0, got {held.shape}")
        set_field(self, "packed", jnp.asarray(self.packed))
        set_field(self, "variances", held)
        if self.estimator is _COMPUTED:
            signs = np.asarray(self.signs(), np.float64)
            set_field(self, "estimator", jnp.asarray(_estimator(signs, np.asarray(held, np.float64)), jnp.float32))

    @classmethod
    def of(
        cls,
        signs: Any,
        signal_shape: tuple[int, int],
        size: int,
        variances: Any = None,
    ) -> Self:
        """The operator of a ``(patterns, size^2)`` matrix of +-1; without ``variances`` those of white blocks.

        Raises ``ValueError`` for entries that are not +-1.
        """
        matrix = np.asarray(signs)
        if matrix.ndim != 2 or matrix.shape[1] != size**2 or not np.isin(matrix, (-1, 1)).all():
            raise ValueError(f"signs: expected a (patterns, {size**2}) matrix of +-1, got shape {matrix.shape}")
        white = np.ones(size**2) if variances is None else np.asarray(variances)
        return cls(signal_shape, size, jnp.asarray(pack_signs(matrix)), jnp.asarray(white, jnp.float32))

    @property
    def shape(self) -> tuple[int, int]:
        n = math.prod(self.signal_shape)
        return n // self.size**2 * self.patterns, n

    @property
    def patterns(self) -> int:
        """Measurements of a block."""
        return self.estimator.shape[1]

    def signs(self, dtype: Any = jnp.float32) -> Float[Array, "patterns pixels"]:
        """The +-1 matrix S."""
        if self.expanded is not None:
            return self.expanded.astype(dtype)
        return unpack_signs(self.packed, self.size**2, dtype)

    def prepare(self) -> Self:
        """With the signs as floats in place of bits."""
        return self if self.expanded is not None else replace(self, packed=None, expanded=self.signs())

    def resized(self, signal_shape: tuple[int, ...]) -> Self:
        return replace(self, signal_shape=signal_shape)

    def fitting(self, signal_shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(-(-side // self.size) * self.size for side in signal_shape)

    def _apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        y = self._blocks(x) @ (self.signs(x.dtype).T / self.size)
        return y.reshape(*x.shape[:-1], -1)

    def _apply_adjoint(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        return self._image(y, self.signs(y.dtype) / self.size)

    def linear_estimate(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        return self._image(y, self.estimator.T.astype(y.dtype))

    @property
    def inverts(self) -> bool:
        return True

    @property
    def block_gram(self) -> Float[np.ndarray, "k k"]:
        signs = np.asarray(self.signs(), np.float64)
        return signs @ signs.T / self.size**2

    def _blocks(self, x: Array) -> Array:
        """``(..., blocks, size^2)`` of images."""
        (height, width), side = self.signal_shape, self.size
        tiles = x.reshape(*x.shape[:-1], height // side, side, width // side, side)
        return tiles.swapaxes(-3, -2).reshape(*x.shape[:-1], -1, side * side)

    def _image(self, y: Array, patterns: Array) -> Array:
        """The image whose blocks are ``patterns^T y_b``."""
        (height, width), side = self.signal_shape, self.size
        blocks = y.reshape(*y.shape[:-1], -1, self.patterns) @ patterns
        tiles = blocks.reshape(*y.shape[:-1], height // side, width // side, side, side)
        return tiles.swapaxes(-3, -2).reshape(*y.shape[:-1], -1)

    def norm(self) -> Norm:
        """``||S|| / size``, exact by SVD."""
        return self.derived("norm", self._computed_norm)

    def _computed_norm(self) -> Norm:
        return Norm(float(np.linalg.norm(np.asarray(self.signs(), np.float64), 2)) / self.size, exact=True)

    def column_norms(self) -> Float[Array, " n"]:
        """``sqrt(patterns) / size``: every entry of a block is ``+-1 / size``."""
        return jnp.full(self.shape[1], math.sqrt(self.patterns) / self.size)

    def to_spec(self) -> Spec:
        held = {"signs": pack_signs(np.asarray(self.signs())), "variances": np.asarray(self.variances)}
        return {"kind": "BlockPatterns", "signal_shape": list(self.signal_shape), "size": self.size, **held}

    @classmethod
    def _from_fields(cls, given: dict[str, Any]) -> Self:
        check_fields(cls, given, ("signal_shape", "size", "signs", "variances"))
        packed = np.asarray(given["signs"], np.uint8)
        return cls(tuple(given["signal_shape"]), given["size"], packed, given["variances"])  # pyright: ignore[reportArgumentType]


def covariance(variances: Float[np.ndarray, " pixels"], size: int) -> Float[np.ndarray, "pixels pixels"]:
    """``C = D^T diag(variances) D`` with the orthonormal 2-D DCT D of a block: pixels with DCT coefficients that are
    uncorrelated.
    """
    D = dct_atoms(size)
    return D.T * variances @ D


def dct_atoms(size: int) -> Float[np.ndarray, "coefficients pixels"]:
    """The orthonormal 2-D DCT of ``size x size`` blocks, an atom a row."""
    import scipy.fft  # takes a while, and no other operator needs it

    line = np.asarray(scipy.fft.dct(np.eye(size), axis=0, norm="ortho"))
    return np.kron(line, line)


def _estimator(signs: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """``W`` with ``A W = I`` of ``A = signs / size``, in float64. Raises ``ValueError`` for dependent patterns."""
    size = math.isqrt(signs.shape[1])
    CS = covariance(variances, size) @ signs.T
    gram = signs @ CS
    if np.linalg.matrix_rank(signs) < len(signs):
        raise ValueError("signs: expected independent patterns, got some that follow from others; leave those out")
    return size * np.linalg.solve(gram, CS.T).T


@jax.jit
def unexplained(signs: Float[Array, "patterns pixels"], C: Float[Array, "pixels pixels"]) -> Float[Array, ""]:
    """Mean squared error per pixel of the best linear estimate of x with covariance C from ``signs x``::

    (tr C - tr((S C S^T + eps I)^-1 S C^2 S^T)) / pixels,   eps = 1e-5 of the mean diagonal of S C S^T
    """
    SC = signs @ C
    gram = SC @ signs.T
    gram = gram + 1e-5 * jnp.mean(jnp.diagonal(gram)) * jnp.eye(len(signs), dtype=gram.dtype)
    explained = jnp.sum(jax.scipy.linalg.solve(gram, SC, assume_a="pos") * SC)
    return (jnp.trace(C) - explained) / C.shape[0]
