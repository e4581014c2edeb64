"""The backend for NVIDIA GPUs."""

from __future__ import annotations

from typing import Any

from jax.interpreters import mlir
from jaxtyping import Array

from unrollbit.kernels.backend import Backend


def _product(bits: Array, x: Array, **params: Any) -> Array:
    from unrollbit.kernels.pallas import signs_product_pallas  # takes long to import, and only GPUs need it

    return signs_product_pallas(bits, x, **params)


PALLAS = Backend("pallas", "cuda", mlir.lower_fun(_product, multiple_results=False), why="JAX runs on an NVIDIA GPU")
