"""``unrollbit bits RUN|FILE``: the BitReport."""

from __future__ import annotations

import argparse
from pathlib import Path

from unrollbit.bits import DEFINITIONS
from unrollbit.cli.common import add_common, open_network, print_table, write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("network", type=Path, metavar="RUN|FILE", help="run folder or packed network")
    add_common(parser, out="folder for bits.json")


def run(options: argparse.Namespace) -> None:
    """Print every count and rate with its definition, and the counts of each map."""
    report = open_network(options.network).bits()
    figures = report.to_dict()
    rows = [(name, figures[name], definition) for name, definition in DEFINITIONS.items()]
    print_table(str(options.network), ("figure", "value", "definition"), rows)
    columns = (
        "map",
        "links",
        "active_links",
        "stored_weights",
        "weight_bits",
        "scale_bits",
        "mask_bits",
        "resident_bits",
    )
    print_table("by map", columns, [(name, *(figures["maps"][name][c] for c in columns[1:])) for name in report.maps])
    write_json(options.json, figures)
    if options.out is not None:
        write_json(options.out / "bits.json", figures)
