"""``unrollbit export FILE``: a packed network as C99."""

from __future__ import annotations

import argparse
from pathlib import Path

from unrollbit.cli.arguments import add_json, add_network
from unrollbit.cli.outputs import C_SOURCE, MARKDOWN, Outputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_network(parser)
    parser.add_argument(
        "--c",
        type=Path,
        metavar="DIR",
        required=True,
        help="folder for unrollbit_recover.h, unrollbit_recover.c and a README.md that says what they take; made if it "
        "is missing",
    )
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    """Write the files that are asked for."""
    outputs = Outputs(options.network)
    reports = outputs.reports(options.json)
    folder = outputs.folder("--c", options.c)
    from unrollbit.export.c99 import HEADER, README, SOURCE, c_files

    kinds = {HEADER: C_SOURCE, SOURCE: C_SOURCE, README: MARKDOWN}
    files = {name: outputs.file("--c", folder / name, kind, into=folder) for name, kind in kinds.items()}
    program, texts = c_files(options.network)
    for name, file in files.items():
        file.write_text(texts[name])
    m, n = program.shape
    sizes = {"data_bytes": program.data_bytes, "work_bytes": program.work_bytes, "operations": program.operations}
    reports.write({"m": m, "n": n, **sizes})
    print(
        f"wrote {folder / SOURCE}: {n} unknowns from {m} measurements; {program.data_bytes:,} bytes of constants, "
        f"{program.work_bytes:,} bytes of work"
    )
