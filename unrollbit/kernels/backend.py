"""What one way to compute products with packed signs consists of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array

from unrollbit.kernels.portable import Layout
from unrollbit.kernels.tape import Tape

Player = Callable[[Array], Array]  # measurements of the shape that a tape was recorded for -> what it computes


def _nothing() -> str:
    return ""


def _always(layout: Layout, batch: Any, masked: bool, transpose: bool) -> bool:
    return True


class Backend(NamedTuple):
    """One way to compute products with packed signs. ``unrollbit.kernels.add_backend`` puts it into the table.

    Args:
        name: what ``use_kernels``, ``UNROLLBIT_KERNELS`` and ``path`` call it.
        platform: the XLA platform that it runs on (``cpu``, ``cuda``, ...); None: every one.
        lower: a lowering rule of JAX, ``lower(context, bits, x, *, columns, transpose)``, for ``S x`` or ``S^T x`` of
            block-diagonal signs: bits (blocks, rows, bytes) and x (batch, k), uint8 and float32, give (batch, l). Of a
            function of JAX: ``jax.interpreters.mlir.lower_fun(function, multiple_results=False)``.
        obstacle: says why it does not run here; empty if it does.
        why: why it is taken, for people.
        automatic: whether it is taken unasked. Of those that run, the last one in the table is.
        pays: ``pays(layout, batch, masked, transpose)``: whether one product per sign plane is faster than a product
            with all planes unpacked together.
        player: makes a function that runs a tape; None where whole networks run by XLA.
    """

    name: str
    platform: str | None
    lower: Callable[..., Any]
    obstacle: Callable[[], str] = _nothing
    why: str = ""
    automatic: bool = True
    pays: Callable[[Layout, Any, bool, bool], bool] = _always
    player: Callable[[Tape], Player] | None = None
