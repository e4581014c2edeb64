"""The product of one sign plane with vectors as a JAX primitive: how it is differentiated, batched and lowered."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float, UInt8

from unrollbit.kernels.looked_up import looked_up, tables_pay
from unrollbit.kernels.native import LEVELS, TARGET
from unrollbit.kernels.portable import Layout, product

signs_product_p = Primitive("signs_product")


def signs_product(
    bits: UInt8[Array, "blocks rows bytes"],
    x: Float[Array, "batch k"],
    *,
    columns: int,
    transpose: bool,
    path: str,
) -> Float[Array, "batch l"]:
    """``S x`` or ``S^T x`` for block-diagonal signs, float32, by the C extension or a GPU kernel."""
    blocks, rows, _ = bits.shape
    return signs_product_p.bind(
        bits, x, blocks=blocks, rows=rows, columns=columns, transpose=bool(transpose), path=path
    )


@functools.lru_cache(maxsize=1024)
def _compiled(**params: Any) -> Any:
    return jax.jit(functools.partial(signs_product_p.bind, **params))


@signs_product_p.def_impl
def _run(bits: Array, x: Array, **params: Any) -> Array:
    with jax.disable_jit(False):  # without jit, the compiled product would come back here
        return _compiled(**params)(bits, x)


@signs_product_p.def_abstract_eval
def _shape(bits: Any, x: Any, *, blocks: int, rows: int, columns: int, transpose: bool, path: str) -> Any:
    sizes = (blocks * columns, blocks * rows)
    return x.update(shape=(x.shape[0], sizes[0] if transpose else sizes[1]))


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


def _portable(bits: Array, x: Array, *, columns: int, transpose: bool, **params: Any) -> Array:
    blocks, rows, _ = bits.shape
    return product(Layout(blocks, rows, columns), bits[None], jnp.ones(1, x.dtype), None, x, transpose)


def _portable_on_cpu(bits: Array, x: Array, *, columns: int, transpose: bool, **params: Any) -> Array:
    blocks, rows, _ = bits.shape
    if not tables_pay(blocks, rows, columns, len(x), transpose):
        return _portable(bits, x, columns=columns, transpose=transpose)
    return jax.lax.map(lambda vector: looked_up(bits[0], vector, columns, transpose), x)


def _on_cpu(ctx: Any, bits: Any, x: Any, *, path: str, transpose: bool, **sizes: int) -> Any:
    if path not in LEVELS:
        function = functools.partial(_portable_on_cpu, transpose=transpose, **sizes)
        return mlir.lower_fun(function, multiple_results=False)(ctx, bits, x)
    numbers = {name: np.int64(size) for name, size in sizes.items()}
    attributes = {**numbers, "transpose": np.int64(transpose), "level": np.int64(LEVELS[path])}
    return jax.ffi.ffi_lowering(TARGET)(ctx, bits, x, **attributes)


def _on_gpu(bits: Array, x: Array, *, columns: int, transpose: bool, path: str, **params: Any) -> Array:
    if path == "portable":
        return _portable(bits, x, columns=columns, transpose=transpose)
    from unrollbit.kernels.pallas import signs_product_pallas  # takes long to import, and only GPUs need it

    return signs_product_pallas(bits, x, columns=columns, transpose=transpose)


mlir.register_lowering(signs_product_p, mlir.lower_fun(_portable, multiple_results=False))
mlir.register_lowering(signs_product_p, _on_cpu, platform="cpu")
mlir.register_lowering(signs_product_p, mlir.lower_fun(_on_gpu, multiple_results=False), platform="cuda")
