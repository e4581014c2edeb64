"""Activations: what a learned map is given, in few bits, and the normalisation around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.arguments import instance
from unrollbit.arrays import binary_unit, widened
from unrollbit.formats import Weights
from unrollbit.operators import LinearOperator
from unrollbit.specs import Specified

_NORMALISATIONS = ("none", "input", "output")
_EPSILON = 1e-5  # of the variance, relative to the mean square


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def quantise(x: Float[Array, "*batch n"], bits: int) -> Float[Array, "*batch n"]:
    """``clip(round(x s), -Q - 1, Q) / s``, ``s = Q / max |x|``, ``Q = 2^(bits - 1) - 1``, the maximum of each sample.

    Halves round to even. The derivative of the whole, scale and clip included, is 1 (straight through). A zero sample
    stays zero.

    Example:
        >>> import jax.numpy as jnp
        >>> quantise(jnp.array([3.0, -1.4, 0.4]), 3).tolist()
        [3.0, -1.0, 0.0]
    """
    Q = 2 ** (bits - 1) - 1
    wide = widened(x)
    largest = jnp.max(jnp.abs(wide), axis=-1, keepdims=True)
    s = Q / jnp.where(largest == 0, 1, largest)
    return (jnp.clip(jnp.round(wide * s), -Q - 1, Q) / s).astype(x.dtype)


@quantise.defjvp
def _quantise_jvp(bits: int, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return quantise(primals[0], bits), tangents[0]


def normalise(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """Layer normalisation ``(x - mean) / sqrt(variance + 1e-5 q)`` over the last axis, without parameters.

    q is the mean square of x: where it is 1, as in published networks, this is their layer, and multiples of x give
    the same. 0 stays 0.

    Example:
        >>> import jax.numpy as jnp
        >>> normalise(jnp.array([1.0, 3.0])).round(3).tolist()
        [-1.0, 1.0]
    """
    x = x / binary_unit(x)
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    variance, square = (jnp.mean(v * v, axis=-1, keepdims=True) for v in (centred, x))
    size = variance + _EPSILON * square
    return centred * jax.lax.rsqrt(jnp.where(size == 0, 1, size))


class ActivationRule(Specified):
    """The family of ``Activations``."""


@dataclass(frozen=True)
class Activations(ActivationRule):
    """What happens around the product of every learned map of a network: ``x -> after(W before(x))``.

    ========================  =====================================  ====================
    normalisation             ``before(x)``                          ``after(u)``
    ========================  =====================================  ====================
    ``"none"``                ``quantise(x, bits)``                  ``u``
    ``"input"``               ``quantise(normalise(x), bits)``       ``u``
    ``"output"``              ``quantise(x, bits)``                  ``normalise(u)``
    ========================  =====================================  ====================

    ``bits=None`` leaves ``quantise`` out, so that ``Activations()`` changes nothing. An option of the network, for
    weights of any format, and in full-precision stages of a training too. The physics A and maps that store nothing
    (``Fixed``) stay as they are, and so do the residual, its noise level and the shrinkages. Quantised values are
    floats on a grid of 2^bits - 1 levels: the products are still computed in floating point.

    **Layer normalisation takes the size of the residual away**, and its mean. A step ``x + W^T r`` of recovery must
    shrink as the residual r does; with ``normalise`` it has the same length close to the solution as far from it.
    Learned step sizes follow the error from layer to layer, but not that of each signal.
    Quantisation alone keeps the size: its error is at most half a level, ``max |x| / (2 Q)``. The norms are here to
    reproduce and compare the published layers.

    Published, and what differs here:

    - BitNet (1-bit, 2023): LayerNorm before the quantisation ("SubLN"), 8 bits, scaled to Q = 128 and clipped short of
      it. Before a ReLU it shifts to [0, Q], which is not done here.
    - BitNet b1.58 (2024): 8 bits per token. The released code has Q = 127, the range -128 .. 127 (-128 is never met)
      and ``max |x|`` floored at 1e-5, which is not done here: the unit of a measurement must not decide.
    - OneBit (2024): LayerNorm without parameters after the product, before the bias; activations of 16 bits.
    - The norms of BitNet's models have learned gains; here there are none.

    Args:
        bits: bits of a quantised input, 2 to 16; None: floats.
        normalisation: where layer normalisation acts.

    Raises:
        ValueError: bits or normalisation out of range.

    Sources: Wang et al., arXiv 2310.11453, section 2.1; Ma et al., arXiv 2402.17764, section 2; Xu et al. (OneBit),
    arXiv 2402.11295, section 3.2.

    Example:
        >>> import jax.numpy as jnp
        >>> from unrollbit import AMP, Unrolled
        >>> from unrollbit.operators import gaussian
        >>> net = Unrolled(AMP(), gaussian(8, 16), depth=4, activations=Activations(bits=8))
        >>> net(jnp.ones(8)).shape
        (16,)
    """

    bits: int | None = None
    normalisation: Literal["none", "input", "output"] = "none"

    def __post_init__(self) -> None:
        if self.bits is not None and (type(self.bits) is not int or not 2 <= self.bits <= 16):
            raise ValueError(
                f"Activations bits: expected an integer from 2 to 16, or None for floats, got {self.bits!r}"
            )
        if self.normalisation not in _NORMALISATIONS:
            expected = ", ".join(_NORMALISATIONS)
            raise ValueError(f"Activations normalisation: expected one of {expected}, got {self.normalisation!r}")

    def before(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """What the map is given in place of ``x``."""
        x = normalise(x) if self.normalisation == "input" else x
        return x if self.bits is None else quantise(x, self.bits)

    def after(self, u: Float[Array, "*batch m"]) -> Float[Array, "*batch m"]:
        """What the layer is given in place of the product ``u``."""
        return normalise(u) if self.normalisation == "output" else u

    def around(self, matrix: LinearOperator) -> Activated:
        """``matrix`` whose products, in both directions, are ``x -> after(W before(x))``."""
        return Activated(matrix, self)

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """Inverse of ``to_spec``; the kind may be left out, as there is one: ``{"bits": 8}``."""
        if not isinstance(spec, Mapping):
            raise ValueError(f"activations: expected a table such as {{bits = 8}}, got {spec!r}")
        return super().from_spec({"kind": cls.__name__, **spec})


@dataclass(frozen=True)
class Activated:
    """A learned map as a layer applies it: an operator in its products, but not linear."""

    matrix: LinearOperator
    activations: Activations

    @property
    def shape(self) -> tuple[int, int]:
        return self.matrix.shape

    @property
    def T(self) -> Activated:
        return Activated(self.matrix.T, self.activations)

    def __call__(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        return self.activations.after(self.matrix(self.activations.before(x)))


def for_maps(
    activations: Activations | None, maps: Mapping[str, Weights]
) -> tuple[Activations | None, tuple[str, ...]]:
    """The activations of a network and the names of the maps that they act on: those that store weights.

    None where they change nothing. Raises ``TypeError`` for what are no activations, ``ValueError`` where no map is
    learned.
    """
    if activations is None or instance("activations", activations, Activations, "Activations(bits=8)") == Activations():
        return None, ()
    learned = tuple(name for name, weights in maps.items() if weights.stored_weights())
    if not learned:
        raise ValueError("activations: they act on learned maps, and this network has none; leave them out")
    return activations, learned
