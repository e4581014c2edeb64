"""What real signals are described by: their own samples, or orthonormal transforms in which they are sparse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.arguments import choice, integer, shown
from unrollbit.operators import LinearOperator, SubsampledDCT, Wavelet
from unrollbit.problems.prior import banded_prior, bands, matched_prior
from unrollbit.problems.samples import Samples
from unrollbit.shrinkage import Shrinkage

Transform = Literal["dct", "wavelet", "none"]
_LEVELS = 4


class Described:
    """What problems share whose signals ``s`` live on a ``grid`` and are described by unknowns ``x``.

    With a ``transform`` ``s = Psi x`` with an orthonormal synthesis ``Psi``, and the physics of ``x`` is ``Phi Psi``;
    with ``transform=None`` (the field, and TOML: "none") the unknowns are the samples themselves, ``s = x``, and the
    physics is ``Phi``. Goes before ``Problem`` in the list of bases.
    """

    operator: LinearOperator
    samples: Samples
    transform: Transform

    @property
    def grid(self) -> tuple[int, ...]:
        """``(n,)`` or ``(height, width)`` of the signals."""
        raise NotImplementedError

    @property
    def synthesis(self) -> LinearOperator | None:
        """``Psi``; None where the unknowns are samples."""
        return None if self.transform == "none" else self.operator.inner  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def measurement(self) -> LinearOperator:
        """``Phi``, which measures signals."""
        return self.operator if self.synthesis is None else self.operator.outer  # pyright: ignore[reportAttributeAccessIssue]

    @classmethod
    def measurement_of(cls, operator: LinearOperator, arguments: Mapping[str, Any]) -> LinearOperator:
        """``Phi`` of the ``Phi Psi`` of a file."""
        plain = arguments.get("transform", "none") in (None, "none")
        return operator if plain else operator.outer  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def signal_shape(self) -> tuple[int, ...] | None:
        """``grid`` where the unknowns are samples on it, None where they are coefficients."""
        return self.grid if self.transform == "none" else None

    def signal(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """``Psi x``, or ``x`` itself where the unknowns are samples."""
        return x if self.synthesis is None else transformed(self.synthesis, x)

    def prior(self) -> Shrinkage:
        """Bernoulli-Gaussian like the training signals: one for every band of coefficients, one for all samples."""
        if self.synthesis is None:
            return matched_prior(self.samples[0])
        return banded_prior(self.samples[0], bands(self.synthesis, self.grid))


def checked_transform(transform: Any) -> Transform:
    """The name of a transform, "none" for None; raises ``ValueError`` for an unknown one."""
    return choice("transform", "none" if transform is None else transform, get_args(Transform))


def checked_grid(shape: Any) -> tuple[int, ...]:
    """``(n,)`` or ``(height, width)``; raises ``ValueError`` for anything else."""
    sides = list(shape) if isinstance(shape, list | tuple) else [shape]
    if len(sides) not in (1, 2):
        raise ValueError(f"shape: expected n or (height, width), got {shown(shape)}")
    return tuple(integer("shape", side, 1) for side in sides)


def synthesis(transform: Transform, signal_shape: tuple[int, ...], wavelet: str) -> LinearOperator | None:
    """The orthonormal map ``Psi`` from coefficients to signals of ``signal_shape``, flattened; ``Psi.T`` analyses.

    Wavelets have as many levels as the sides have factors of two, at most 4. None for "none". Raises
    ``ValueError`` for an unknown name.
    """
    if not isinstance(wavelet, str):
        raise ValueError(f"wavelet: expected a name, such as 'db4', got {shown(wavelet)}")
    transform = checked_transform(transform)
    if transform == "none":
        return None
    if transform == "dct":
        return SubsampledDCT.full(signal_shape).T
    return Wavelet.of(signal_shape, wavelet, max(1, min(_LEVELS, *(_halvings(side) for side in signal_shape))))


def measured_through(phi: LinearOperator, psi: LinearOperator | None) -> LinearOperator:
    """The physics of the unknowns: ``Phi Psi``, or ``Phi`` where there is no transform."""
    return phi if psi is None else phi @ psi


def coefficients(psi: LinearOperator | None, signals: Sequence[Float[np.ndarray, "count n"]]) -> Samples:
    """``Psi^T s`` of the flat signals of the three subsets, float32; without a transform the signals."""
    stacked = jnp.asarray(np.concatenate(signals), jnp.float32)
    ends = np.cumsum([len(part) for part in signals])[:-1]
    train, validation, test = jnp.split(stacked if psi is None else transformed(psi.T, stacked), ends)
    return train, validation, test


@jax.jit
def transformed(psi: LinearOperator, x: Float[Array, "*batch n"]) -> Float[Array, "*batch p"]:
    """``Psi x``, compiled as one."""
    return psi(x)


def _halvings(side: int) -> int:
    return (side & -side).bit_length() - 1
