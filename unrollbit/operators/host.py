"""Operators of other libraries that do not run in JAX."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from unrollbit.operators.linear_pair import LinearPair
from unrollbit.operators.unspecified import Unspecified
from unrollbit.values import Keyed, pytree


class Foreign(Keyed):
    """An object with ``matvec`` and ``rmatvec`` (SciPy, PyLops), on rows of (Re, Im) or of real numbers.

    Compared by the object that it holds. It takes arrays of its ``dtype``; ``matmat`` and ``rmatmat``, where it has
    them, take all rows in one call.
    """

    def __init__(self, operator: Any, *, complex_unknowns: bool = False) -> None:
        self.operator, self.complex_unknowns = operator, complex_unknowns
        dtype = np.dtype(getattr(operator, "dtype", None) or np.float64)
        self.complex_measurements = complex_unknowns or dtype.kind == "c"
        self.dtype = dtype if dtype.kind in "fc" else np.dtype(np.float64)
        m, n = (int(side) for side in operator.shape)
        self.shape = m * (1 + self.complex_measurements), n * (1 + self.complex_unknowns)

    @property
    def key(self) -> tuple[int, bool]:
        return id(self.operator), self.complex_unknowns

    def __repr__(self) -> str:
        return f"{type(self.operator).__module__.partition('.')[0]}.{type(self.operator).__name__}"

    def forward(self, x: Float[np.ndarray, "rows n"]) -> Float[np.ndarray, "rows m"]:
        """``A x`` for each row."""
        return self._product(x, self.complex_unknowns, self.complex_measurements, "matvec", "matmat")

    def adjoint(self, y: Float[np.ndarray, "rows m"]) -> Float[np.ndarray, "rows n"]:
        """``A^T y`` of the real map, ``Re A^H (r + i s)``, for each row."""
        return self._product(y, self.complex_measurements, self.complex_unknowns, "rmatvec", "rmatmat")

    def _product(self, rows: np.ndarray, takes_complex: bool, gives_complex: bool, one: str, many: str) -> np.ndarray:
        given = rows.astype(np.real(np.zeros(0, self.dtype)).dtype)
        if takes_complex:
            real, imaginary = np.split(given, 2, axis=-1)
            given = real + 1j * imaginary
        product = getattr(self.operator, many, None)
        if product is not None and len(given) > 1:
            out = np.asarray(product(np.ascontiguousarray(given.T))).T
        else:
            out = np.stack([np.asarray(getattr(self.operator, one)(row)).ravel() for row in given])
        return np.concatenate([np.real(out), np.imag(out)], -1) if gives_complex else np.real(out)


@pytree
@dataclass(frozen=True)
class Host(Unspecified, abstract=True):
    """``A`` of another library, which runs outside of JAX: every product is a call back to Python.

    ``solve``, training and transformations (``jit``, ``vmap``, ``grad``) run with it; a GPU waits for it, and what the
    object holds in memory is not counted. ``as_operator`` makes one of a large SciPy or PyLops operator.
    """

    foreign: Foreign = field(metadata={"static": True})

    def __repr__(self) -> str:
        return f"Host({self.foreign}, {' x '.join(map(str, self.shape))})"

    @property
    def shape(self) -> tuple[int, int]:
        return self.foreign.shape

    @property
    def complex_physics(self) -> bool:
        return self.foreign.complex_measurements

    def _apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        return self._pair(x)

    def _apply_adjoint(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        return self._pair.T(y)

    @property
    def _pair(self) -> LinearPair:
        m, n = self.shape
        return LinearPair(_Call(self.foreign, "forward", m), _Call(self.foreign, "adjoint", n))

    def resident_bits(self) -> int:
        """Those that the object says it holds (``nbytes``), else 0."""
        return 8 * int(getattr(self.foreign.operator, "nbytes", 0))

    def description(self) -> str:
        return f"as measured ({self.foreign}, outside of JAX; what it holds is not counted)"


@dataclass(frozen=True)
class _Call:
    """A product of a foreign operator as a function of JAX; equal for equal operators."""

    foreign: Foreign
    name: str
    size: int

    def __call__(self, x: Array) -> Array:
        rows = x.reshape(-1, x.shape[-1])
        result = jax.ShapeDtypeStruct((rows.shape[0], self.size), x.dtype)
        out = jax.pure_callback(partial(_on_host, self.foreign, self.name), result, rows, vmap_method="sequential")
        return out.reshape(*x.shape[:-1], self.size)


def _on_host(foreign: Foreign, name: str, rows: Any) -> np.ndarray:
    rows = np.asarray(rows)
    return np.asarray(getattr(foreign, name)(rows), rows.dtype)
