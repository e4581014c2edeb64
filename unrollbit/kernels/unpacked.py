"""The backend in pure JAX, for every platform."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters import mlir
from jaxtyping import Array

from unrollbit.kernels.backend import Backend
from unrollbit.kernels.looked_up import looked_up, tables_pay
from unrollbit.kernels.portable import Layout, product


def platforms_of(ctx: Any) -> tuple[str, ...]:
    """For which platforms a rule is asked to lower."""
    return tuple(ctx.platforms or ctx.module_context.platforms)


def _lower(ctx: Any, bits: Any, x: Any, **params: Any) -> Any:
    function = _by_tables if platforms_of(ctx) == ("cpu",) else _unpacked
    return mlir.lower_fun(functools.partial(function, **params), multiple_results=False)(ctx, bits, x)


def _unpacked(bits: Array, x: Array, *, columns: int, transpose: bool) -> Array:
    blocks, rows, _ = bits.shape
    return product(Layout(blocks, rows, columns), bits[None], jnp.ones(1, x.dtype), None, x, transpose)


def _by_tables(bits: Array, x: Array, *, columns: int, transpose: bool) -> Array:
    blocks, rows, _ = bits.shape
    if not tables_pay(blocks, rows, columns, x.shape[0], transpose):
        return _unpacked(bits, x, columns=columns, transpose=transpose)
    return jax.lax.map(lambda vector: looked_up(bits[0], vector, columns, transpose), x)


def _pays(layout: Layout, batch: Any, masked: bool, transpose: bool) -> bool:
    return not masked and tables_pay(*layout, batch, transpose)


PORTABLE = Backend("portable", None, _lower, pays=_pays)
