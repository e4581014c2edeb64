"""``unrollbit bits RUN|FILE``: the BitReport."""

from __future__ import annotations

import argparse

from unrollbit.cli.arguments import add_common, add_network
from unrollbit.cli.outputs import Outputs
from unrollbit.cli.tables import print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_network(parser)
    add_common(parser, out="folder for bits.json")


def run(options: argparse.Namespace) -> None:
    """Print every count and rate with its definition, and the counts of each map."""
    reports = Outputs(options.network).reports(options.json, options.out, "bits.json")
    from unrollbit.bits import DEFINITIONS
    from unrollbit.packed import load

    report = load(options.network).bits()
    figures = report.to_dict()
    reports.write(figures)
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
