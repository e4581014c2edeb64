"""``unrollbit bench``: packed products and networks against float32, both on as many threads."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from unrollbit.cli.arguments import add_common, positive
from unrollbit.cli.bench_timing import Timer, processor, read_bandwidth, take_threads
from unrollbit.cli.outputs import Outputs
from unrollbit.cli.tables import print_table

Row = dict[str, Any]
_NOTES = (
    "Medians (one thread: of CPU time), functions in turn. Speed-up: over the same product in float32 by jax.jit, in",
    "the faster of the forms X W^T and (W X^T)^T. Cold: calls go round copies of the matrix that do not fit in caches.",
    "Error: ||found - exact|| / ||exact|| against float64. Extra: peak of memory while one vector is multiplied, MiB.",
    "Roofline: time to read the packed bits from memory / time taken.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("--quick", action="store_true", help="three sizes, less than 3 minutes")
    parser.add_argument(
        "--kernels", metavar="PATH", help="portable, avx2, avx512, amx, neon or plain (default: the best here)"
    )
    parser.add_argument(
        "--sizes",
        type=positive,
        nargs="+",
        metavar="N",
        help="square matrices to multiply by, in place of the usual ones",
    )
    parser.add_argument("--threads", type=positive, default=1, metavar="N", help="threads of both sides (default: 1)")
    parser.add_argument("--only", choices=("products", "networks"), help="one of the two tables")
    add_common(parser, out="folder for bench.json")


def shapes(quick: bool) -> list[tuple[int, int, int]]:
    """(rows, columns, blocks) of the products."""
    square = (2048, 8192) if quick else (1024, 2048, 4096, 8192, 16384)
    return [(512, 256, 1), *((n, n, 1) for n in square), (128, 128, 64)]


def batches(quick: bool) -> tuple[int, ...]:
    """Numbers of vectors."""
    return (1, 8, 64) if quick else (1, 8, 64, 1024)


def run(options: argparse.Namespace) -> None:
    """Measure, print the tables, write the JSON."""
    reports = Outputs().reports(options.json, options.out, "bench.json")
    take_threads(options.threads)
    from unrollbit.cli import bench_networks, bench_products  # start JAX, which reads its flags then
    from unrollbit.kernels import kernels, use_kernels

    if options.kernels is not None and options.kernels not in kernels().available:
        raise ValueError(f"--kernels: expected one of {', '.join(kernels().available)}, got {options.kernels!r}")
    chosen = kernels()
    path = options.kernels or chosen.path
    why = "it was asked for" if options.kernels else chosen.reason
    print(f"path: {path} ({why}); available: {', '.join(chosen.available)}")
    timer, bandwidth = Timer(0.6 if options.quick else 1.5, options.threads), read_bandwidth(options.threads)
    products: list[Row] = []
    networks: list[Row] = []
    with use_kernels(path):
        if options.only != "networks":
            wanted = [(n, n, 1) for n in options.sizes] if options.sizes else shapes(options.quick)
            planned = bench_products.cases(wanted, batches(options.quick))
            total = sum(2 * (2 if case.batch == 1 else 1) for case in planned)
            rows = bench_products.measure(planned, path, ("hot", "cold"), timer, bandwidth, options.seed)
            products = with_progress(rows, total, "products")
        if options.only != "products":
            total = len(bench_networks.cases(options.quick))
            networks = with_progress(bench_networks.measure(timer, options.quick, path), total, "networks")
    result = {"processor": processor(), "path": path, "reason": why, "threads": options.threads, "quick": options.quick}
    result |= {"bandwidth_gb_per_s": bandwidth / 1e9, "rows": products, "networks": networks}
    reports.write(result)
    show(products, networks)


def with_progress(rows: Iterator[Row], total: int, label: str) -> list[Row]:
    """The rows, with a progress bar on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    found = []
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=total)
        for row in rows:
            found.append(row)
            progress.advance(task)
    return found


def show(products: list[Row], networks: list[Row]) -> None:
    """Both tables."""
    if products:
        columns = ("matrix", "batch", "direction", "cache", "float32, us", "packed, us", "speed-up", "error")
        lines = []
        for row in products:
            times = (row["float32_microseconds"], row["packed_microseconds"], row["speedup"])
            tail = (f"{row['relative_error']:.1e}", row["extra_mib"], row["roofline_share"])
            lines.append((row["matrix"], row["batch"], row["direction"], row["cache"], *times, *tail))
        print_table("Packed products", (*columns, "extra", "roofline"), lines, _NOTES)
    if networks:
        columns = (
            "network",
            "A",
            "float32, us",
            "packed, us",
            "speed-up",
            "difference",
            "memory, MB",
            "less by",
            "file",
        )
        lines = []
        for row in networks:
            times = (row["float32_microseconds"], row["packed_microseconds"], row["speedup"])
            memory = (row["packed_resident_bytes"] / 1e6, row["memory_ratio"])
            lines.append(
                (row["network"], row["physics"], *times, f"{row['difference']:.1e}", *memory, row["file_bytes"])
            )
        notes = (
            "16 layers of FISTA, one signal, end to end: load(file)(y) against the same network with dense float32",
            "matrices under jax.jit. Memory: maps and physics; less by: float32 / packed. File: bytes.",
        )
        print_table("Packed networks", columns, lines, notes)
