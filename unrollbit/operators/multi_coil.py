"""Several complex views of one image: receiver coils, coded masks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from unrollbit.arguments import choice
from unrollbit.operators.base import LinearOperator
from unrollbit.operators.checks import finite_array, set_field
from unrollbit.operators.conversion import Unknowns
from unrollbit.values import pytree


@pytree
@dataclass(frozen=True)
class MultiCoil(LinearOperator):
    """``y_c = B (s_c x)`` for every coil c: pixels times complex sensitivities ``s_c``, then the complex physics B.

    B is a real operator with complex measurements, such as ``SubsampledFourier``; since ``s_c x`` is complex it applies
    to real and imaginary parts: ``B (p + i q) = B p + i B q``. The measurement is complex, coil by coil: (C m,)
    numbers, stacked as (Re, Im). The image is real or, with ``unknowns="complex"``, (Re, Im) of a complex one.

    With ``SubsampledFourier`` this is parallel magnetic resonance imaging (keep both frequencies of a conjugate pair:
    ``s_c x`` has no symmetry), or coded diffraction with known phases. ``MultiCoil.of(B, maps)`` takes complex maps.

    Raises ``ValueError`` for physics without complex measurements and for maps of another size.

    Source: K. Pruessmann et al., "SENSE: sensitivity encoding for fast MRI", 1999, with the same signal model.

    Example:
        >>> import numpy as np
        >>> from unrollbit.operators import SubsampledFourier
        >>> maps = np.stack([np.full((4, 4), 1 + 1j), np.full((4, 4), 0.5)])
        >>> A = MultiCoil.of(SubsampledFourier.of((4, 4), [0, 1, 5]), maps)
        >>> A.shape, A.complex_physics
        ((12, 16), True)
    """

    operator: LinearOperator
    real: Float[Array, "coils n"]
    imaginary: Float[Array, "coils n"]
    unknowns: Unknowns = field(default="real", metadata={"static": True})

    def __post_init__(self) -> None:
        choice("unknowns", self.unknowns, get_args(Unknowns))
        if not self.operator.complex_physics:
            raise ValueError(
                f"MultiCoil: expected physics with complex measurements, such as SubsampledFourier, got {self.operator}"
            )
        n = self.operator.shape[1]
        for name in ("real", "imaginary"):
            values = finite_array(name, getattr(self, name), 2)
            if values.shape != (self.coils, n):
                raise ValueError(f"maps: expected one of {n} entries for each coil, got {values.shape}")
            set_field(self, name, values)

    @classmethod
    def of(
        cls, operator: LinearOperator, maps: Complex[np.ndarray, "coils ..."], unknowns: Unknowns = "real"
    ) -> MultiCoil:
        """``maps``: one complex sensitivity map for each coil, of the shape of the signal."""
        flat = np.asarray(maps)
        if flat.ndim < 2:
            raise ValueError(f"maps: expected one complex map for each coil, (coils, height, width), got {flat.shape}")
        flat = flat.reshape(len(flat), -1)
        return cls(operator, np.real(flat), np.imag(flat), unknowns)  # pyright: ignore[reportArgumentType]

    @property
    def coils(self) -> int:
        return self.real.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        m, n = self.operator.shape
        return self.coils * m, n * (2 if self.unknowns == "complex" else 1)

    @property
    def complex_physics(self) -> bool:
        return True

    def _apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        if self.unknowns == "complex":
            u, v = (part[..., None, :] for part in jnp.split(x, 2, -1))
            p, q = self.real * u - self.imaginary * v, self.real * v + self.imaginary * u
        else:
            p, q = self.real * x[..., None, :], self.imaginary * x[..., None, :]
        (a, b), (c, d) = (jnp.split(self.operator._apply(part), 2, -1) for part in (p, q))
        parts = [part.reshape(*x.shape[:-1], -1) for part in (a - d, b + c)]
        return jnp.concatenate(parts, -1)

    def _apply_adjoint(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        r, s = (part.reshape(*y.shape[:-1], self.coils, -1) for part in jnp.split(y, 2, -1))
        p = self.operator._apply_adjoint(jnp.concatenate([r, s], -1))
        q = self.operator._apply_adjoint(jnp.concatenate([s, -r], -1))
        u = jnp.sum(self.real * p + self.imaginary * q, axis=-2)
        if self.unknowns == "real":
            return u
        return jnp.concatenate([u, jnp.sum(self.real * q - self.imaginary * p, axis=-2)], -1)

    def column_norms(self) -> Float[Array, " n"]:
        """Those of B times ``sqrt(sum_c |s_c|^2)``: complex factors turn a column, and scale it."""
        norms = self.operator.column_norms() * jnp.sqrt(jnp.sum(self.real**2 + self.imaginary**2, axis=0))
        return jnp.tile(norms, self.shape[1] // len(norms))

    def prepare(self) -> LinearOperator:
        made: Any = MultiCoil(self.operator.prepare(), self.real, self.imaginary, self.unknowns)
        return made

    def resident_bits(self) -> int:
        """The maps at their width, and the operator."""
        maps = sum(8 * part.size * part.dtype.itemsize for part in (self.real, self.imaginary))
        return maps + self.operator.resident_bits()
