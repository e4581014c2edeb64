"""``unrollbit recover FILE Y.npy X.npy``: apply a packed network to measurements."""

from __future__ import annotations

import argparse
from pathlib import Path

from unrollbit.cli.arguments import add_common, add_network
from unrollbit.cli.outputs import NUMPY, Outputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_network(parser)
    parser.add_argument(
        "measurements", type=Path, metavar="Y.npy", help="measurements, shape (m,) or (..., m), real numbers"
    )
    parser.add_argument(
        "estimates",
        type=Path,
        metavar="X.npy",
        help="where to write the estimates, shape (n,) or (..., n); its folder must exist",
    )
    parser.add_argument(
        "--refine", action="store_true", help="repeat the last layers for signals that have not settled (slower)"
    )
    add_common(parser, out="folder for recover.json")


def run(options: argparse.Namespace) -> None:
    """Recover and write."""
    outputs = Outputs(options.network, options.measurements)
    estimates = outputs.file("X.npy", options.estimates, NUMPY)
    reports = outputs.reports(options.json, options.out, "recover.json")
    import numpy as np

    from unrollbit.cli.measurements import recovered
    from unrollbit.packed import load
    from unrollbit.packed.runtime import measurements_of

    network = load(options.network)
    A = network.network.operator
    m, n = A.shape
    y = measurements_of(options.measurements, m, A.complex_physics)
    x = recovered(network, y, refined=options.refine)
    if not np.isfinite(x).all():
        raise ValueError(
            f"{options.measurements}: the estimate is not finite; are the measurements far outside the trained range?"
        )
    estimates.write(lambda file: np.save(file, x))
    signals = y.size // m
    reports.write({"signals": signals, "m": m, "n": n, "output": str(options.estimates)})
    print(
        f"wrote {options.estimates}: {signals} signal{'s' * (signals != 1)} of {n} unknowns from {m} measurements each"
    )
