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
    parser.add_argument(
        "--error-bar",
        action="store_true",
        help="also write X-error-bar.npy beside X.npy: a bar of ||x - truth|| for every signal, for a file that "
        "unrollbit calibrate wrote",
    )
    add_common(parser, out="folder for recover.json")


def run(options: argparse.Namespace) -> None:
    """Recover and write."""
    outputs = Outputs(options.network, options.measurements)
    estimates = outputs.file("X.npy", options.estimates, NUMPY)
    beside = options.estimates.with_name(f"{options.estimates.stem}-error-bar.npy")
    error_bars = outputs.file("--error-bar", beside, NUMPY) if options.error_bar else None
    reports = outputs.reports(options.json, options.out, "recover.json")
    if options.refine and error_bars is not None:
        raise ValueError("--error-bar: bars are calibrated for the network as it is; leave --refine out")
    import numpy as np

    from unrollbit.cli.measurements import recovered, with_error_bars
    from unrollbit.packed import load
    from unrollbit.packed.runtime import measurements_of

    network = load(options.network)
    A = network.network.operator
    m, n = A.shape
    y = measurements_of(options.measurements, m, A.complex_physics)
    if error_bars is None:
        x, bars = recovered(network, y, refined=options.refine), None
    else:
        x, bars = with_error_bars(network, y)
    if not np.isfinite(x).all():
        raise ValueError(
            f"{options.measurements}: the estimate is not finite; are the measurements far outside the trained range?"
        )
    estimates.write(lambda file: np.save(file, x))
    if error_bars is not None and bars is not None:
        error_bars.write(lambda file: np.save(file, bars))
    signals = y.size // m
    bar_file = None if error_bars is None else str(beside)
    reports.write({"signals": signals, "m": m, "n": n, "output": str(options.estimates), "error_bar": bar_file})
    print(
        f"wrote {options.estimates}: {signals} signal{'s' * (signals != 1)} of {n} unknowns from {m} measurements each"
    )
