"""A JAX function as an operator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.operators.base import transpose_of
from unrollbit.operators.linear_pair import LinearPair
from unrollbit.operators.unspecified import Unspecified
from unrollbit.values import pytree


@pytree
@dataclass(frozen=True)
class Function(Unspecified, abstract=True):
    """``A x = f(x)`` for a linear function of JAX, its adjoint derived by transposing the program.

    ``f`` takes one signal of ``in_shape`` and gives an array of any shape, real or complex; both are flattened row by
    row. Complex results are measurements (Re, Im); a complex ``in_shape`` (``complex_unknowns``) takes unknowns (Re,
    Im). ``adjoint``, if given, takes one result and is the adjoint of ``f`` in the (Hermitian) inner product.

    ``as_operator(f, shape=...)`` makes one, after checking that f is linear and the adjoint its adjoint.

    Example:
        >>> import jax.numpy as jnp
        >>> from unrollbit.operators import as_operator
        >>> A = as_operator(lambda image: image.sum(0), shape=(2, 3), matrix=False)
        >>> A.shape, A.T(jnp.array([1.0, 2.0, 3.0]))
        ((3, 6), Array([1., 2., 3., 1., 2., 3.], dtype=float32))
    """

    function: Callable[[Array], Array] = field(metadata={"static": True})
    in_shape: tuple[int, ...] = field(metadata={"static": True})
    out_shape: tuple[int, ...] = field(metadata={"static": True})
    complex_measurements: bool = field(default=False, metadata={"static": True})
    complex_unknowns: bool = field(default=False, metadata={"static": True})
    adjoint: Callable[[Array], Array] | None = field(default=None, metadata={"static": True})

    def __repr__(self) -> str:
        name = getattr(self.function, "__name__", type(self.function).__name__)
        return f"Function({name}, {self.in_shape} -> {self.out_shape}{', complex' * self.complex_measurements})"

    @property
    def shape(self) -> tuple[int, int]:
        m, n = math.prod(self.out_shape), math.prod(self.in_shape)
        return m * (1 + self.complex_measurements), n * (1 + self.complex_unknowns)

    @property
    def complex_physics(self) -> bool:
        return self.complex_measurements

    def _apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        return self._forward(x) if self.adjoint is None else self._pair(x)

    def _apply_adjoint(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        return transpose_of(self._forward, self.shape[1], y) if self.adjoint is None else self._pair.T(y)

    @property
    def _forward(self) -> _Rows:
        return _Rows(self.function, self.in_shape, self.complex_unknowns, self.complex_measurements)

    @property
    def _pair(self) -> LinearPair:
        assert self.adjoint is not None
        backward = _Rows(self.adjoint, self.out_shape, self.complex_measurements, self.complex_unknowns)
        return LinearPair(self._forward, backward)

    def resident_bits(self) -> int:
        """Those of the arrays that the program of the function holds."""
        program = jax.make_jaxpr(self._forward)(jax.ShapeDtypeStruct((self.shape[1],), jnp.float32))
        return sum(8 * constant.nbytes for constant in map(jnp.asarray, program.consts))

    def description(self) -> str:
        return "as measured (a function of JAX)"


@dataclass(frozen=True)
class _Rows:
    """A function of single arrays of ``shape``, on the last axis of ``x``; complex numbers are (Re, Im)."""

    function: Callable[[Array], Array]
    shape: tuple[int, ...]
    takes_complex: bool
    gives_complex: bool

    def __call__(self, x: Array) -> Array:
        return jax.vmap(self.single)(x.reshape(-1, x.shape[-1])).astype(x.dtype).reshape(*x.shape[:-1], -1)

    def single(self, x: Array) -> Array:
        if self.takes_complex:
            x = jax.lax.complex(*jnp.split(x, 2))
        out = jnp.ravel(self.function(x.reshape(self.shape)))
        return jnp.concatenate([out.real, out.imag]) if self.gives_complex else out.real
