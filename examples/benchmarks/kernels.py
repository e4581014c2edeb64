"""Packed products and networks in full: sizes to 16384 x 16384, batches to 1024, beside JAX, NumPy and PyTorch.

    python examples/benchmarks/kernels.py                     # everything (about 20 minutes, 7 GB of memory)
    python examples/benchmarks/kernels.py --sizes 2048 8192 --batches 1 64 --only products
    python examples/benchmarks/kernels.py --only recovery     # 16 layers against FISTA and Lasso to equal NMSE
    python examples/benchmarks/kernels.py --threads 2 --sizes 8192 --only products

One thread (`--threads`: as many on both sides), medians (one thread: of CPU time), all functions in turn, on the same
bits. PyTorch's columns need `torch` (the extra `benchmarks`): float32, bfloat16, and int8 with activations rounded per
vector to 8 bits (`torch._int_mm`; batches of 32 or more), which is not as exact. The first tables are those of
`unrollbit bench`, which has `--quick` and `--json` too.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from unrollbit import FISTA, load, nmse_db, solve
from unrollbit.baselines import Classic, tune
from unrollbit.cli import bench, bench_networks, bench_products
from unrollbit.cli.bench_timing import Timer, read_bandwidth, take_threads
from unrollbit.cli.networks import problem_of
from unrollbit.kernels import kernels

Row = dict[str, Any]
_SIZES, _BATCHES = (512, 1024, 2048, 4096, 8192, 16384), (1, 8, 64, 1024)
_SIGNALS = 200
_NETWORK = Path(__file__).resolve().parents[1] / "networks" / "open-l2o-b-1plane.safetensors"


def others(sizes: list[int], batches: list[int], timer: Timer) -> Iterator[Row]:
    """Times of other libraries, both directions, hot caches."""
    random = np.random.RandomState(0)
    for n in sizes:
        bits = random.randint(0, 256, (1, n, n // 8), np.uint8)
        W = bench_products.signs(bits[0], n, np.float32)
        packed, held = jnp.asarray(bits), jnp.asarray(W)
        case = bench_products.Case(n, n, 1)
        for batch in batches:
            x = random.standard_normal((batch, n)).astype(np.float32)
            for transpose in (False, True):
                product, vectors = bench_products.packed(n, transpose, kernels().path), jnp.asarray(x)
                functions: dict[str, Any] = {"packed": partial(_finished, product, packed, vectors)}
                functions["jax"] = bench_products.float_product(case, transpose, held, vectors)
                functions["numpy"] = partial(np.matmul, x, W if transpose else W.T)
                functions |= _torch_products(W, x, transpose)
                seconds = timer.compare(functions)
                row = {name: seconds[name] / seconds["packed"] for name in seconds if name != "packed"}
                direction = "transpose" if transpose else "forward"
                yield {"n": n, "batch": batch, "direction": direction, "packed_ms": 1e3 * seconds["packed"], **row}


def _finished(function: Any, *arguments: Any) -> None:
    jax.block_until_ready(function(*arguments))


def _torch_products(W: np.ndarray, x: np.ndarray, transpose: bool) -> dict[str, Any]:
    if importlib.util.find_spec("torch") is None:
        return {}
    import torch

    matrix, vectors = torch.from_numpy(W), torch.from_numpy(x)
    right = matrix if transpose else matrix.T
    short, few = right.bfloat16(), vectors.bfloat16()
    functions = {
        "torch float32": lambda: torch.matmul(vectors, right),
        "torch bfloat16": lambda: torch.matmul(few, short),
    }
    if len(x) >= 32:
        eight = right.to(torch.int8)

        def rounded() -> Any:
            scale = vectors.abs().amax(1, keepdim=True) / 127
            return torch._int_mm((vectors / scale).round().to(torch.int8), eight).float() * scale

        functions["torch int8"] = rounded
    return functions


def networks_in_torch(timer: Timer) -> Iterator[Row]:
    """Networks of the second table beside the same layers written plainly in PyTorch, one signal."""
    import torch

    for case in bench_networks.cases(True):
        floats, packed, y = bench_networks.build(case)
        values = {name: torch.tensor(np.asarray(found)) for name, found in floats.values().items()}
        A = torch.tensor(np.asarray(floats.operator.dense()))
        W = torch.tensor(np.asarray(floats.maps["W"].dense()))
        signal = torch.tensor(np.asarray(y))

        def layers(values: Any = values, A: Any = A, W: Any = W, signal: Any = signal) -> Any:
            x = z = torch.zeros(1, A.shape[1])
            for k in range(bench_networks.DEPTH):
                u = z + values["step"][k] * ((signal - z @ A.T) @ W[k % len(W)])
                last, x = x, torch.nn.functional.softshrink(u, float(values["threshold"][k]))
                z = x + values["momentum"][k] * (x - last)
            return x

        with torch.inference_mode():
            error = bench_products.relative_error(layers(), np.asarray(packed(y), np.float64))
            functions = {
                "packed": lambda packed=packed, y=y: packed(y).block_until_ready(),
                "jax": partial(_finished, bench_networks.forward, floats, y),
                "torch": layers,
            }
            seconds = timer.compare(functions)
        ratios = {name: seconds[name] / seconds["packed"] for name in ("jax", "torch")}
        yield {"network": case.name, "m": case.m, "n": case.n, **ratios, "difference": error}


def recovery(timer: Timer) -> list[Row]:
    """A network of the shelf, from its file, against solvers that run until their NMSE is as good."""
    from sklearn.linear_model import Lasso

    packed = load(_NETWORK)
    problem = problem_of(packed)
    x, y = problem.split("test").sample(jax.random.key(1), _SIGNALS)
    reached = float(nmse_db(packed(y), x))
    A = np.asarray(problem.operator.dense(), np.float64)
    one = y[:1]
    rows: list[Row] = [{"method": f"packed network, {packed.network.depth} layers", "nmse_db": reached}]
    functions = {rows[0]["method"]: lambda: packed(one).block_until_ready()}
    tuning = problem.split("validation").sample(jax.random.key(2), _SIGNALS)
    for iterations in (16, 32, 64, 128, 256, 512, 1024):
        best = tune(Classic(FISTA(), iterations), problem, *tuning).baseline.algorithm
        level = float(nmse_db(solve(best, problem.operator, y, iterations).x, x))
        if level <= reached or iterations == 1024:
            rows.append({"method": f"FISTA, {iterations} iterations", "nmse_db": level})
            functions[rows[-1]["method"]] = partial(_finished, solve, best, problem.operator, one, iterations)
            break
    weight = best.regularisation / len(A)  # scikit-learn's objective is divided by the number of measurements
    for tolerance in (1e-2, 1e-3, 1e-4, 1e-6):
        lasso = Lasso(alpha=weight, fit_intercept=False, tol=tolerance, max_iter=10_000)
        estimates = np.stack([lasso.fit(A, signal).coef_ for signal in np.asarray(y, np.float64)[:50]])
        level = float(nmse_db(jnp.asarray(estimates), x[:50]))
        if level <= reached or tolerance == 1e-6:
            rows.append({"method": f"scikit-learn Lasso, tolerance {tolerance:g}", "nmse_db": level})
            signal = np.asarray(one[0], np.float64)
            functions[rows[-1]["method"]] = partial(lasso.fit, A, signal)
            break
    seconds = timer.compare(functions)
    for row in rows:
        row["milliseconds"] = 1e3 * seconds[row["method"]]
    return rows


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(_SIZES), metavar="N", help="square matrices")
    parser.add_argument("--batches", type=int, nargs="+", default=list(_BATCHES), metavar="B", help="vectors")
    parser.add_argument("--only", choices=("products", "networks", "others", "recovery"), help="one of the tables")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of both sides")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result as JSON")
    options = parser.parse_args()
    if min(*options.sizes, *options.batches, options.threads) < 1 or any(n % 8 for n in options.sizes):
        parser.error("sizes must be multiples of 8, batches and threads positive")
    take_threads(options.threads)  # before JAX starts its threads
    bandwidth = read_bandwidth(options.threads)
    print(f"path: {kernels().path} ({kernels().reason}); memory is read at {bandwidth / 1e9:.1f} GB/s")
    started, timer = time.perf_counter(), Timer(2.0, options.threads)
    result: dict[str, Any] = {"path": kernels().path, "threads": options.threads, "bandwidth_gb_per_s": bandwidth / 1e9}
    if options.only in (None, "products"):
        cases = bench_products.cases([*((n, n, 1) for n in options.sizes), (128, 128, 64)], options.batches)
        found = bench_products.measure(cases, kernels().path, ("hot", "cold"), timer, bandwidth)
        result["rows"] = list(found)
    if options.only in (None, "networks"):
        result["networks"] = list(bench_networks.measure(timer, False, kernels().path))
    bench.show(result.get("rows", []), result.get("networks", []))
    if options.only in (None, "others"):
        result["others"] = list(others(options.sizes, options.batches, timer))
        names = ("jax", "numpy", "torch float32", "torch bfloat16", "torch int8")
        lines = [
            (r["n"], r["batch"], r["direction"], r["packed_ms"], *(r.get(k) for k in names)) for r in result["others"]
        ]
        columns = ("n", "batch", "direction", "packed, ms", *names)
        bench.print_table("Packed products: speed-up over", columns, lines)
        if importlib.util.find_spec("torch") is not None:
            result["networks_in_torch"] = list(networks_in_torch(timer))
            columns = ("network", "m", "n", "jax", "torch", "difference")
            rows = [{**row, "difference": f"{row['difference']:.1e}"} for row in result["networks_in_torch"]]
            lines = [tuple(row[name] for name in columns) for row in rows]
            bench.print_table("Packed networks: speed-up over", columns, lines)
    if options.only in (None, "recovery"):
        result["recovery"] = recovery(timer)
        lines = [(r["method"], r["nmse_db"], r["milliseconds"]) for r in result["recovery"]]
        bench.print_table("One signal, (256, 512)", ("method", "NMSE, dB", "ms"), lines)
    print(f"{time.perf_counter() - started:.0f} s")
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
