"""The product of one sign plane with vectors as a JAX primitive: how it is differentiated, batched and lowered."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float, UInt8

from unrollbit.kernels.backends import BACKENDS
from unrollbit.kernels.primitive import primitive
from unrollbit.kernels.unpacked import PORTABLE, platforms_of

signs_product_p = primitive("signs_product")


def signs_product(
    bits: UInt8[Array, "blocks rows bytes"],
    x: Float[Array, "batch k"],
    *,
    columns: int,
    transpose: bool,
    path: str,
) -> Float[Array, "batch l"]:
    """``S x`` or ``S^T x`` for block-diagonal signs, float32, by the backend of a name."""
    return signs_product_p.bind(bits, x, columns=columns, transpose=bool(transpose), path=path)


@signs_product_p.def_abstract_eval
def _shape(bits: Any, x: Any, *, columns: int, transpose: bool, path: str) -> Any:
    blocks, rows, _ = bits.shape
    return x.update(shape=(x.shape[0], blocks * (columns if transpose else rows)), weak_type=False)


def _transpose(cotangent: Any, bits: Array, x: Any, *, transpose: bool, **params: Any) -> tuple[None, Any]:
    if isinstance(cotangent, ad.Zero):
        return None, ad.Zero(x.aval)
    return None, signs_product_p.bind(bits, cotangent, transpose=not transpose, **params)


# Linear in x: the derivative is the product itself, its transpose the transposed product from the same bits.
ad.defjvp(signs_product_p, None, lambda tangent, bits, x, **params: signs_product_p.bind(bits, tangent, **params))
ad.primitive_transposes[signs_product_p] = _transpose


def _batch(arguments: tuple[Array, Array], axes: tuple[Any, Any], **params: Any) -> tuple[Array, int]:
    bits, x = arguments
    if axes[0] is None:  # one matrix, more vectors
        x = jnp.moveaxis(x, axes[1], 0)
        out = signs_product_p.bind(bits, x.reshape(-1, x.shape[-1]), **params)
        return out.reshape(*x.shape[:2], -1), 0
    bits = jnp.moveaxis(bits, axes[0], 0)
    if axes[1] is None:
        return jax.lax.map(lambda own: signs_product_p.bind(own, x, **params), bits), 0
    return jax.lax.map(lambda own: signs_product_p.bind(*own, **params), (bits, jnp.moveaxis(x, axes[1], 0))), 0


batching.primitive_batchers[signs_product_p] = _batch


def _lower(ctx: Any, bits: Any, x: Any, *, path: str, **params: Any) -> Any:
    """By the backend that was chosen; in pure JAX where the program will run elsewhere.

    That is so for other platforms than the backend's, and for ``jax.export``: an exported program may be loaded by a
    process without this library, on another processor.
    """
    backend = BACKENDS[path]
    exported = ctx.is_forward_compat()
    if exported or platforms_of(ctx) != (backend.platform,):
        backend = PORTABLE
    return backend.lower(ctx, bits, x, **params)


mlir.register_lowering(signs_product_p, _lower)
