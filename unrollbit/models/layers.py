"""Flax's layers with their kernel in a weight format."""

from __future__ import annotations

import abc
import functools
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from unrollbit.arrays import in_dtype, widened
from unrollbit.formats import Weights
from unrollbit.models.convolution import patches
from unrollbit.operators import LinearOperator
from unrollbit.structures import Blocks, Full, Structure


class QuantisedLayer(nnx.Module):
    """A layer of Flax whose kernel is held in a format: the same attributes, but ``weights`` in place of ``kernel``.

    A subclass, ``class QuantisedLinear(QuantisedLayer, nnx.Linear, of=nnx.Linear)``, says how the kernel is a matrix
    (out, in), or one for each group of features, and how the layer is applied. ``of`` names the class that it stands
    for; what is of a class below that one is left alone, for it may compute something else.

    Scales of 16 bits take part in the forward pass as a file holds them (rounded, straight through in the backward
    pass): the layer equals its file at every moment of a training.
    """

    kinds: ClassVar[dict[type[nnx.Module], type[QuantisedLayer]]] = {}
    weights: Weights
    bias: nnx.Param | None
    dtype: Any
    param_dtype: Any
    promote_dtype: Any
    preferred_element_type: Any

    def __init_subclass__(cls, *, of: type[nnx.Module] | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if of is not None:
            QuantisedLayer.kinds[of] = cls

    def __init__(self, layer: Any, weights: Weights) -> None:
        """``layer``: of Flax, or quantised already; its kernel is not looked at."""
        for name, value in vars(layer).items():
            if name not in ("kernel", "weights") and not name.startswith("_pytree__"):
                setattr(self, name, value)
        self.weights = weights

    def __repr__(self) -> str:
        m, n = self.weights.shape
        return f"{type(self).__name__}({self.weights.format.name}, {m} x {n}{', packed' * self.weights.packed})"

    __str__ = __repr__  # Flax's would print every variable

    @staticmethod
    def kind_of(layer: Any) -> type[QuantisedLayer]:
        """The class that holds a layer in a format: its own, if it is quantised already."""
        return type(layer) if isinstance(layer, QuantisedLayer) else QuantisedLayer.kinds[type(layer)]

    @staticmethod
    @abc.abstractmethod
    def structure(layer: Any) -> Structure:
        """Where the matrix of a layer may be non-zero: everywhere, or in blocks."""

    @staticmethod
    @abc.abstractmethod
    def to_core(layer: Any, kernel: Array) -> Float[Array, "..."]:
        """A kernel of Flax as the core of that structure."""

    @staticmethod
    @abc.abstractmethod
    def to_kernel(layer: Any, core: Array) -> Array:
        """Inverse of ``to_core``."""

    @staticmethod
    def refused(layer: Any) -> str | None:
        """Why this one cannot be quantised, or None."""
        del layer
        return None

    @property
    def kernel(self) -> Array:
        """The kernel that the weights stand for, in Flax's shape."""
        core = self.matrix().core(self.weights.structure)
        return type(self).to_kernel(self, core).astype(self.param_dtype)

    def matrix(self) -> LinearOperator:
        """The matrix as the forward pass has it."""
        return (self.weights if self.weights.packed else as_stored(self.weights)).layer()

    def _promoted(self, inputs: Array) -> tuple[Array, Array | None]:
        """Inputs and bias in the dtype in which Flax computes the layer."""
        stand_in = jnp.zeros((), self.param_dtype)  # of the kernel, whose dtype takes part
        bias = None if self.bias is None else self.bias[...]
        inputs, _, bias = self.promote_dtype((inputs, stand_in, bias), dtype=self.dtype)
        return inputs, bias

    def _product(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        y = in_dtype(self.matrix(), widened(x).dtype)(x)
        return y if self.preferred_element_type is None else y.astype(self.preferred_element_type)


def as_stored(weights: Weights) -> Weights:
    """The same weights with scales as a file holds them; differentiable."""
    variables = {name: type(variable)(variable[...]) for name, variable in weights.variables.items()}
    held = Weights(weights.format, weights.structure, weights.copies, variables)
    held.round_scales()
    return held


def _unsharded(out_sharding: Any) -> None:
    if out_sharding is not None:
        raise ValueError("a quantised layer: expected out_sharding=None; constrain its output instead")


class QuantisedLinear(QuantisedLayer, nnx.Linear, of=nnx.Linear):
    """``y = W x + b`` over the last axis; W (out, in) is the transpose of Flax's kernel."""

    @staticmethod
    def structure(layer: Any) -> Structure:
        return Full(layer.out_features, layer.in_features)

    @staticmethod
    def to_core(layer: Any, kernel: Array) -> Array:
        return kernel.T

    @staticmethod
    def to_kernel(layer: Any, core: Array) -> Array:
        return core.T

    def __call__(self, inputs: Array, out_sharding: Any = None) -> Array:
        _unsharded(out_sharding)
        x, bias = self._promoted(inputs)
        y = self._product(x)
        return y if bias is None else y + bias


class QuantisedLinearGeneral(QuantisedLayer, nnx.LinearGeneral, of=nnx.LinearGeneral):
    """A product over any axes: W has all output features as rows and all input features as columns; batch axes, each
    of whose indices has a matrix of its own, are the blocks of a block-diagonal one.
    """

    @staticmethod
    def structure(layer: Any) -> Structure:
        m, n = math.prod(layer.out_features), math.prod(layer.in_features)
        return Blocks(math.prod(layer.batch_axis.values()), m, n) if layer.batch_axis else Full(m, n)

    @staticmethod
    def to_core(layer: Any, kernel: Array) -> Array:
        structure = QuantisedLinearGeneral.structure(layer)
        *count, m, n = structure.core_shape
        return kernel.reshape(*count, n, m).swapaxes(-1, -2)

    @staticmethod
    def to_kernel(layer: Any, core: Array) -> Array:
        shape = (*layer.batch_axis.values(), *layer.in_features, *layer.out_features)
        return core.swapaxes(-1, -2).reshape(shape)

    def __call__(self, inputs: Array, out_sharding: Any = None) -> Array:
        _unsharded(out_sharding)
        x, bias = self._promoted(inputs)
        own = tuple(sorted(axis % x.ndim for axis in self.axis))
        batch_axes: Any = self.batch_axis  # Flax's annotation says less than it is
        lead = tuple(sorted(axis % x.ndim for axis in batch_axes))
        rest = tuple(axis for axis in range(x.ndim) if axis not in (*own, *lead))
        batch, free = tuple(x.shape[axis] for axis in lead), tuple(x.shape[axis] for axis in rest)
        x = x.transpose(*rest, *lead, *own).reshape(*free, -1)
        y = self._product(x).reshape(*free, *batch, *self.out_features)
        count = len(free)
        y = jnp.moveaxis(y, range(count, count + len(batch)), range(len(batch)))  # Flax has them in front
        if bias is None:
            return y
        return y + bias.reshape(*batch, *(1,) * count, *self.out_features)


class QuantisedConv(QuantisedLayer, nnx.Conv, of=nnx.Conv):
    """A convolution whose taps are a matrix: a row for each output feature, a column for each tap and input feature;
    groups of features are the blocks of a block-diagonal one.

    It trains as Flax's convolution. On packed bits, a group of n inputs and m outputs at p places (pixels, times the
    batch) either multiplies the p n numbers of its patches by the bits, or expands its m n taps inside the call, for
    Flax's convolution: whichever are fewer.
    """

    @staticmethod
    def structure(layer: Any) -> Structure:
        *taps, features, out = layer.kernel_shape
        groups = layer.feature_group_count
        n = math.prod(taps) * features
        return Full(out, n) if groups == 1 else Blocks(groups, out // groups, n)

    @staticmethod
    def to_core(layer: Any, kernel: Array) -> Array:
        structure = QuantisedConv.structure(layer)
        n = structure.core_shape[-1]
        return kernel.reshape(n, -1).T.reshape(structure.core_shape)

    @staticmethod
    def to_kernel(layer: Any, core: Array) -> Array:
        return core.reshape(-1, core.shape[-1]).T.reshape(layer.kernel_shape)

    @staticmethod
    def refused(layer: Any) -> str | None:
        return None if layer.mask is None else "its kernel is masked"

    def __call__(self, inputs: Array, out_sharding: Any = None) -> Array:
        if not self.weights.packed:
            return nnx.Conv.__call__(self, inputs, out_sharding)
        _unsharded(out_sharding)
        if not inputs.size:
            return nnx.Conv.__call__(self, inputs)
        x, bias = self._promoted(inputs)
        batch = x.shape[: -len(self.kernel_size) - 1]
        x = x.reshape(math.prod(batch), *x.shape[len(batch) :])
        *places, _ = jax.eval_shape(functools.partial(patches, self), x).shape
        if math.prod(places) > self.out_features // self.feature_group_count:
            return nnx.Conv.__call__(self, inputs)
        y = self._product(patches(self, x))
        y = y if bias is None else y + bias
        return y.reshape(*batch, *y.shape[1:])
