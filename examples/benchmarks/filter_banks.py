"""Networks with learned filters on a photograph of 256 x 256, and their filter banks alone: milliseconds of a call.

Run it once for each number of threads; the times of one thread over those of two say what the second one is worth.

    pip install -e .
    python examples/benchmarks/filter_banks.py --threads 1
    python examples/benchmarks/filter_banks.py --threads 2
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from unrollbit.cli.bench_timing import Timer, take_threads

NETWORKS = Path(__file__).parents[1] / "networks"
NAMES = ("set11-25", "denoising-25-convex", "denoising-25-2plane")
SIDES = (256, 256)


def functions() -> dict[str, Any]:
    """What is timed, by name."""
    import jax  # reads its flags
    import numpy as np

    from unrollbit import load
    from unrollbit.structures import FilterBank

    random = np.random.RandomState(0)

    def uniform(count: int) -> jax.Array:
        return jax.numpy.asarray(random.uniform(size=count), np.float32)

    def call(function: Any, *arguments: Any) -> Any:
        return lambda: function(*arguments).block_until_ready()

    found = {}
    for name in NAMES:
        packed = load(NETWORKS / f"{name}.safetensors")
        whole = packed.with_physics(packed.network.operator.resized(SIDES), SIDES)
        found[name] = call(whole, uniform(whole.network.operator.shape[0]))
    for channels, size in ((24, 5), (48, 7)):
        bank = FilterBank(SIDES, channels, (size, size))
        taps = jax.numpy.sign(uniform(bank.size).reshape(bank.core_shape) - 0.5)
        name = f"{channels} filters of {size} x {size}"
        found[f"{name}, direct"] = call(jax.jit(bank.matvec), taps, uniform(bank.shape[1]))
        found[f"{name}, transposed"] = call(jax.jit(bank.rmatvec), taps, uniform(bank.shape[0]))
    return found


def main() -> None:
    """Print a line for each function."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0, help="of all measurements, about")
    options = parser.parse_args()
    take_threads(options.threads)
    started = time.perf_counter()
    for name, seconds in Timer(options.seconds, options.threads).compare(functions()).items():
        print(f"{name:36} {1e3 * seconds:8.2f} ms")
    print(f"{options.threads} threads, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
