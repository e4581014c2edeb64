"""Any Flax model with its kernels in a weight format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax.numpy as jnp
from flax import nnx
from flax.nnx import filterlib

from unrollbit.arguments import shown
from unrollbit.formats import Format, Weights, as_format
from unrollbit.models.layers import QuantisedLayer
from unrollbit.models.selection import ENDS, Path, named, selected

M = TypeVar("M", bound=nnx.Module)


def quantise(model: M, format: Format, *, where: filterlib.Filter = ..., keep: filterlib.Filter = ENDS) -> M:
    """A copy of a Flax NNX model whose kernels are held in a weight format, each started at its own decomposition
    (signs and mean magnitude, SVID, Dual-SVID, absmean ...).

    ``nnx.Linear``, ``nnx.LinearGeneral`` (so the projections of ``nnx.MultiHeadAttention``) and ``nnx.Conv`` (taps as a
    matrix) become the same layer with ``weights`` in place of ``kernel``. Biases, norms, embeddings and the model's own
    code stay as they are, and so does ``model``, which may serve as the teacher. A layer that stands in two places
    stands there in the copy.

    **The first and the last layer are kept** by default, as is usual: an embedding is a layer here, so of a language
    model its embedding and its head, of a convolutional net the first and the last convolution, in the order in which
    the model's constructor makes them. ``count_bits(copy).kept`` names all that is held in floats.

    The copy trains with any loop and optax: signs have their pseudo-gradient (straight through), scales train as
    logarithms, and nothing is to be clipped or called after a step. Signs have latents near 1 in all formats, so that
    learning rates of signs do not depend on the size of the kernel.

    Args:
        model: an ``nnx.Module``.
        format: ``OneBit()``, ``OneBitSVID()``, ``BitNet()``, ``Ternary()``, ``LittleBit(bits_per_weight=0.55)`` ...
        where: a filter of Flax: a type (``nnx.Conv``), ``nnx.PathContains("mlp")`` or ``(path, layer) -> bool``.
        keep: such a filter of what stays in floats; ``"ends"``: the first and the last layer; None: nothing.

    Raises:
        TypeError: no NNX module, or no format.
        ValueError: no layer to quantise, a stack of layers that ``nnx.vmap`` made, a masked convolution, or a format
            that cannot hold a kernel (its path is named).

    Example:
        >>> from unrollbit import OneBitSVID, count_bits
        >>> rngs = nnx.Rngs(0)
        >>> first, second, third = (nnx.Linear(64, 64, use_bias=False, rngs=rngs) for _ in range(3))
        >>> student = quantise(nnx.Sequential(first, nnx.relu, second, nnx.relu, third), OneBitSVID())
        >>> student(jnp.ones((4, 64))).shape, count_bits(student).bits_per_link  # 1 + 16 (64 + 64) / 64^2
        ((4, 64), 1.5)
    """
    if not isinstance(model, nnx.Module):
        raise TypeError(f"model: expected an nnx.Module, got {shown(model)}")
    format = as_format(format)
    chosen = {path: _started(path, layer, format) for path, layer in selected(model, where, keep).items()}
    return replaced(model, chosen.__getitem__, chosen)


def replaced(model: M, weights: Callable[[Path], Weights], paths: Any) -> M:
    """A copy of a model with these weights at these paths."""

    def at(path: Path, node: Any) -> Any:
        if path not in paths:
            return node
        return QuantisedLayer.kind_of(node)(node, weights(path))

    return nnx.recursive_map(at, nnx.clone(model))


def _started(path: Path, layer: Any, format: Format) -> Weights:
    kind = QuantisedLayer.kind_of(layer)
    structure, kernel = kind.structure(layer), layer.kernel[...]
    if kernel.size != structure.size:
        raise ValueError(
            f"quantise: {named(path)}: expected a kernel of {structure.size} entries, got shape {kernel.shape}; "
            "layers that nnx.vmap stacks are to be made one by one, in an nnx.List"
        )
    try:
        return format.from_cores(kind.to_core(layer, kernel).astype(jnp.float32)[None], structure)
    except ValueError as error:
        raise ValueError(f"quantise: {named(path)}, a matrix {structure.shape}: {error}") from error
