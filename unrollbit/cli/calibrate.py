"""``unrollbit calibrate RUN|FILE``: certificates on fresh signals, and error bars, into a copy of a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from unrollbit.cli.arguments import add_data, add_network, add_result, positive, seed_number
from unrollbit.cli.outputs import NETWORK_FILE, NEW, Outputs

SIGNALS = 2000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_network(parser)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="CALIBRATED",
        help="where to write the same network with its certificates (default: NAME-calibrated.safetensors beside it)",
    )
    parser.add_argument(
        "--signals",
        type=positive,
        default=SIGNALS,
        metavar="N",
        help=f"fresh signals; of a data set as many as there are (default {SIGNALS})",
    )
    parser.add_argument("--confidence", type=float, default=0.95, help="of the certificates (default 0.95)")
    parser.add_argument("--level", type=float, default=0.9, help="share of signals that error bars cover (default 0.9)")
    parser.add_argument("--seed", type=seed_number, default=0, metavar="S", help="seed of the signals (default 0)")
    add_data(parser)
    add_result(parser)


def run(options: argparse.Namespace) -> None:
    """Draw, certify, write."""
    outputs = Outputs(options.network)
    path: Path = options.network / NETWORK_FILE if options.network.is_dir() else options.network
    beside = path.with_name(f"{path.stem}-calibrated.safetensors")
    calibrated, reports = outputs.file("--out", options.out or beside, NEW), outputs.reports(options.json)
    for name in ("confidence", "level"):
        if not 0 < getattr(options, name) < 1:
            raise ValueError(f"--{name}: expected a number between 0 and 1, got {getattr(options, name)}")
    from unrollbit.cli.certificates import sentences
    from unrollbit.cli.networks import problem_of
    from unrollbit.cli.theorem_table import check_size
    from unrollbit.packed import load
    from unrollbit.theory.prediction import calibrate

    packed = load(options.network)
    problem = problem_of(packed, data=options.data)
    check_size("--signals", options.signals, problem)
    certificates = calibrate(
        packed.network,
        problem,
        signals=options.signals,
        confidence=options.confidence,
        level=options.level,
        seed=options.seed,
    )
    file = packed.certified(certificates).save(calibrated.path)
    reports.write({"network": file.name, "certificates": load(file).certificates})
    print("\n".join(sentences(certificates)))
    print(f"wrote {file}")
