"""The backend for NVIDIA GPUs."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from jax.interpreters import mlir
from jaxtyping import Array

from unrollbit.kernels.backend import Backend


def _product(bits: Array, x: Array, **params: Any) -> Array:
    from unrollbit.kernels.pallas import signs_product_pallas  # takes long to import, and only GPUs need it

    return signs_product_pallas(bits, x, **params)


def _obstacle() -> str:
    """JAX has announced that Triton will go: without it products take the form for every device, in XLA alone."""
    found = find_spec("jax.experimental.pallas") and find_spec("jax.experimental.pallas.triton")
    return "" if found else "this JAX has no Triton for Pallas"


PALLAS = Backend(
    "pallas",
    "cuda",
    mlir.lower_fun(_product, multiple_results=False),
    obstacle=_obstacle,
    why="JAX runs on an NVIDIA GPU",
)
