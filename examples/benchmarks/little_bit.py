"""What a product with LittleBit's sign factors costs: time and memory beside the dense float32 product.

    python examples/benchmarks/little_bit.py            # 4096 x 4096, 0.1 bits per weight
    python examples/benchmarks/little_bit.py --size 8192 --bits 0.3 --batch 8

One thread. Times are medians of interleaved runs; the dense product is written as (W x^T)^T, which XLA runs fastest.
Memory is what XLA allocates for temporaries, and the arguments. The factors are random: no figure depends on their
values.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import jax
import jax.numpy as jnp
import numpy as np

from unrollbit.algorithms import LinearMap
from unrollbit.formats import LittleBit, PackedWeights, Place, Weights
from unrollbit.operators import Dense
from unrollbit.structures import Full


def random_weights(n: int, bits_per_weight: float, multiple: int) -> Weights:
    """Packed sign factors of an (n, n) matrix, with scales around 1."""
    format, structure = LittleBit(bits_per_weight, multiple=multiple), Full(n, n)
    random = np.random.RandomState(0)
    arrays = {}
    for name, stored in format.stored(structure, 1).items():
        values = random.standard_normal(stored.shape) if not stored.weights else None
        noise = random.randint(0, 256, stored.shape).astype(np.uint8)
        arrays[name] = noise if values is None else stored.encode(np.exp(0.1 * values))
    start = Dense(jnp.broadcast_to(jnp.zeros(()), (n, n)))
    packed = PackedWeights({"structure": structure.to_spec(), "copies": 1}, arrays)
    return format.read(Place(LinearMap(start, structure), start), packed, frozen=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=4096, metavar="N", help="rows and columns (default 4096)")
    parser.add_argument("--bits", type=float, default=0.1, metavar="B", help="bits per weight (default 0.1)")
    parser.add_argument("--multiple", type=int, default=8, metavar="K", help="the rank is a multiple of it (default 8)")
    parser.add_argument("--batch", type=int, default=1, metavar="M", help="vectors per product (default 1)")
    parser.add_argument("--repeats", type=int, default=25, metavar="R", help="interleaved runs (default 25)")
    options = parser.parse_args()
    n = options.size
    try:
        weights = random_weights(n, options.bits, options.multiple)
    except ValueError as error:
        parser.error(str(error))
    x = jnp.asarray(np.random.RandomState(1).standard_normal((options.batch, n)), jnp.float32)
    dense = jnp.asarray(weights.dense()[0])
    programs = {
        "dense float32, W x": (lambda W, x: (W @ x.T).T, dense),
        "sign factors, W x": (lambda w, x: w.apply(x), weights),
        "dense float32, W^T r": (lambda W, x: x @ W, dense),
        "sign factors, W^T r": (lambda w, x: w.apply_transpose(x), weights),
    }
    compiled = {name: jax.jit(f).lower(held, x).compile() for name, (f, held) in programs.items()}
    results = {name: np.asarray(compiled[name](held, x)) for name, (_, held) in programs.items()}
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(options.repeats):
        for name, (_, held) in programs.items():
            begun = time.perf_counter()
            compiled[name](held, x).block_until_ready()
            times[name].append(time.perf_counter() - begun)
    print(f"{n} x {n}, rank {weights.rank}, {weights.bits() / n**2:.4f} bits per weight, batch {options.batch}")
    print(f"{'product':24s} {'ms':>8s} {'speed-up':>9s} {'held, MiB':>10s} {'temporary, MiB':>15s} {'error':>8s}")
    for name in programs:
        product = name.split(", ")[1]
        yardstick = f"dense float32, {product}"
        median, memory = np.median(times[name]), compiled[name].memory_analysis()
        error = np.linalg.norm(results[name] - results[yardstick]) / np.linalg.norm(results[yardstick])
        held, temporary = memory.argument_size_in_bytes / 2**20, memory.temp_size_in_bytes / 2**20
        ratio = np.median(times[yardstick]) / median
        print(f"{name:24s} {1e3 * median:8.2f} {ratio:8.1f}x {held:10.2f} {temporary:15.2f} {error:8.1e}")


if __name__ == "__main__":
    main()
