"""``unrollbit init CASE``: the commented TOML of a worked case, to start from."""

from __future__ import annotations

import argparse
from pathlib import Path

from unrollbit.cli.arguments import add_result, seed_number
from unrollbit.cli.outputs import NEW, Outputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("case", nargs="?", metavar="CASE", help="the worked case; --list shows them")
    parser.add_argument("--list", action="store_true", dest="listed", help="list the cases")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where to write the TOML, beside its data (default CASE.toml)"
    )
    parser.add_argument("--data", action="store_true", help="also write the data of the example beside it")
    parser.add_argument(
        "--seed", type=seed_number, default=0, metavar="N", help="random seed of that data (default: 0)"
    )
    add_result(parser)


def run(options: argparse.Namespace) -> None:
    """Write a TOML file, and data if it is wanted; nothing that is there already is replaced."""
    from unrollbit.cli.cases import CASES, case_named
    from unrollbit.cli.tables import print_table

    outputs = Outputs()
    reports = outputs.reports(options.json)
    if options.listed:
        reports.write({"cases": {case.name: case.summary for case in CASES.values()}})
        print_table("Worked cases", ("case", "what"), [(case.name, case.summary) for case in CASES.values()])
        return
    if options.case is None:
        raise ValueError("init: expected a CASE; unrollbit init --list shows them")
    case = case_named(options.case)
    file: Path = options.out or Path(f"{case.name}.toml")
    if file.is_dir():
        file = file / f"{case.name}.toml"
    if file.exists():
        raise ValueError(f"--out: {file} is there already; choose another name")
    if options.data and (there := case.written_in(file.parent)):
        raise ValueError(f"--data: {file.parent / there[0]} is there already; choose another folder with --out")
    folder = outputs.folder("--out", file.parent)
    config = outputs.file("--out", file, NEW, into=folder)
    if options.data:
        for name in case.data:
            outputs.file("--data", folder / name, NEW, into=folder)
        case.write_data(folder, options.seed)
    config.write_text(case.text())
    reports.write({"case": case.name, "config": str(file), "data": list(case.data) if options.data else []})
    print(f"{file}: edit it, then: unrollbit train {file}")
