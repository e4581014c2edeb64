"""Packed products on an NVIDIA GPU beside cuBLAS: time, and error against float64.

    python examples/benchmarks/gpu.py                          # sizes to 16384 x 16384, batches 1, 8 and 64
    python examples/benchmarks/gpu.py --sizes 8192 --batches 1

A chain of up to 16 products with different matrices is compiled and run as a whole, as the layers of a network are.
Times are of one of its products, the best of five runs. From 8192 x 8192 on, the matrices do not fit the cache. JAX
multiplies float32 in TensorFloat-32 unless asked for more (`highest`); bfloat16 has matrices and vectors in bfloat16
and sums in float32.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.cli.bench import print_table, with_progress
from unrollbit.cli.bench_products import relative_error, signs
from unrollbit.kernels import kernels, packed_matmul

_CACHE = 2**26  # bytes of the matrices of a chain, if it may be so long: more than the 50 MB of an H100
_MOST, _CALLS, _RUNS, _CHECKED = 16, 10, 5, 4
Product = Callable[[Array, Array], Array]


def products(n: int, transpose: bool) -> dict[str, tuple[Any, Product]]:
    """By name: the dtype of the matrix (None: packed), and the product."""

    def floats(W: Array, x: Array, precision: Any = None) -> Array:
        right = W if transpose else W.T
        return jnp.dot(x.astype(W.dtype), right, precision=precision, preferred_element_type=jnp.float32)

    return {
        "packed": (None, lambda bits, x: packed_matmul(bits[None, None], x, n, transpose=transpose)),
        "float32": (jnp.float32, floats),
        "float32, highest": (jnp.float32, functools.partial(floats, precision="highest")),
        "bfloat16": (jnp.bfloat16, floats),
    }


def seconds_of(product: Product, matrices: list[Array], x: Array) -> float:
    """Of one product in a chain of them."""

    @jax.jit
    def chain(matrices: list[Array], x: Array) -> Array:
        for W in matrices:
            x = product(W, x) / np.float32(x.shape[1] ** 0.5)  # keeps its size
        return x

    chain(matrices, x).block_until_ready()
    best = float("inf")
    for _ in range(_RUNS):
        started = time.perf_counter()
        for _ in range(_CALLS):
            last = chain(matrices, x)
        last.block_until_ready()
        best = min(best, time.perf_counter() - started)
    return best / _CALLS / len(matrices)


def measure(sizes: list[int], batches: list[int]) -> Iterator[dict[str, Any]]:
    """Rows as they come."""
    random = np.random.RandomState(0)
    for n in sizes:
        packed = [jnp.asarray(random.randint(0, 256, (n, n // 8), np.uint8)) for _ in range(_length(n * n // 8))]
        first = signs(np.asarray(packed[0]), n, np.float64)
        for transpose in (False, True):
            vectors = {batch: jnp.asarray(random.standard_normal((batch, n)), jnp.float32) for batch in batches}
            right = first if transpose else first.T
            exact = {batch: np.asarray(x[:_CHECKED], np.float64) @ right for batch, x in vectors.items()}
            rows = {batch: dict[str, float]() for batch in batches}
            for name, (dtype, product) in products(n, transpose).items():
                held = packed
                if dtype is not None:
                    held = [_unpacked(bits, n, dtype) for bits in packed[: _length(n * n * np.dtype(dtype).itemsize)]]
                for batch, x in vectors.items():
                    found = jax.jit(product)(held[0], x)[:_CHECKED]
                    rows[batch][name] = 1e6 * seconds_of(product, held, x)
                    rows[batch][f"{name}, error"] = relative_error(found, exact[batch])
            for batch in batches:
                yield {"n": n, "batch": batch, "direction": "transpose" if transpose else "forward", **rows[batch]}


def _length(size: int) -> int:
    """Matrices of so many bytes in a chain."""
    return max(2, min(_MOST, -(-_CACHE // size)))


def _unpacked(bits: Array, n: int, dtype: Any) -> Array:
    return (1 - 2 * jnp.unpackbits(bits, axis=1, count=n, bitorder="little").astype(jnp.int8)).astype(dtype)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[2048, 4096, 8192, 16384], help="square matrices")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64], help="vectors")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows as JSON")
    options = parser.parse_args()
    if min(*options.sizes, *options.batches, 8) < 1 or any(n % 8 for n in options.sizes):
        parser.error("sizes must be multiples of 8, batches positive")
    if kernels().path != "pallas":
        parser.error(f"this needs an NVIDIA GPU and JAX for it; {kernels().reason}")
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}")
    total = 2 * len(options.sizes) * len(options.batches)
    rows = with_progress(measure(options.sizes, options.batches), total, "products")
    names = tuple(products(8, False))
    lines = []
    for row in rows:
        speed = tuple(row[name] / row["packed"] for name in names[1:])
        errors = tuple(f"{row[f'{name}, error']:.0e}" for name in names)
        lines.append((row["n"], row["batch"], row["direction"], row["packed"], *speed, *errors))
    columns = ("n", "batch", "direction", "packed, us", *(f"over {name}" for name in names[1:]))
    print_table("Packed products: speed-up", (*columns, *(f"{name}: error" for name in names)), lines)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
