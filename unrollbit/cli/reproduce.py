"""``unrollbit reproduce STUDY``: a published table or figure, or one of our own, trained from nothing."""

from __future__ import annotations

import argparse
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from unrollbit.cli.common import add_common, check_outputs, positive, write_json
from unrollbit.cli.parallel import DEFAULT_WORKERS

STUDIES = (
    "open-l2o",
    "all-signs",
    "depth",
    "ablation",
    "robustness",
    "hard-signals",
    "theory",
    "formats",
    "physics",
    "pibinn",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subcommand per study."""
    parser.epilog = (
        "Every study takes --quick, --workers, --seed, --out and --json; see unrollbit reproduce STUDY --help."
    )
    studies = parser.add_subparsers(dest="study", metavar="STUDY", required=True)
    for name in STUDIES:
        module = _module(name)
        study = studies.add_parser(
            name, help=module.SUMMARY, description=module.SUMMARY[0].upper() + module.SUMMARY[1:]
        )
        study.add_argument("--quick", action="store_true", help="a few minutes: fewer networks, steps and signals")
        study.add_argument("--workers", type=positive, default=DEFAULT_WORKERS, help="trainings side by side")
        add_common(
            study, out=f"folder of networks, tables and figures (default runs/{name}, with --quick runs/{name}-quick)"
        )
        module.add_arguments(study)


def run(options: argparse.Namespace) -> None:
    """Run a study; what its folder holds already is kept."""
    out: Path = options.out or Path("runs") / (options.study + "-quick" * options.quick)
    check_outputs(out, options.json)
    begun = time.perf_counter()
    result = _module(options.study).run(options, out)
    result = {"study": options.study, "seed": options.seed, "quick": options.quick, **result}
    result["seconds"] = time.perf_counter() - begun
    write_json(out / "report.json", result)
    write_json(options.json, result)
    print(f"{result['seconds']:.0f} s. Report: {out / 'report.json'}; figures: {out / 'figures'}")


def _module(name: str) -> Any:
    return import_module(f"unrollbit.cli.studies.{name.replace('-', '_')}")
