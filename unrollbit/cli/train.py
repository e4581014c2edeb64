"""``unrollbit train CONFIG.toml``: train into a run folder."""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path
from typing import Any

from unrollbit.cli.arguments import add_common, add_import, positive
from unrollbit.cli.launch import add_processes, from_first
from unrollbit.cli.outputs import NETWORK_FILE, Outputs, Reports
from unrollbit.cli.tables import print_table

_FIGURES = ("training.pdf", "training.png")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "config", type=Path, metavar="CONFIG.toml", help="problem, network and stages; see examples/configs"
    )
    parser.add_argument("--resume", action="store_true", help="continue a killed run from its newest checkpoint")
    parser.add_argument("--overwrite", action="store_true", help="replace the run that is in the run folder")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="folder in which the data that the config names is; default: that of the config",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no table of baselines at the end")
    parser.add_argument(
        "--model-parallel",
        type=positive,
        default=1,
        metavar="D",
        help="split every large matrix over D devices (default: 1); the others share the batch",
    )
    add_processes(parser)
    add_import(parser)
    add_common(parser, out="run folder (default: runs/NAME of the config)", seed=None)


def run(options: argparse.Namespace) -> None:
    """Train, write the run folder, report."""
    out = options.out or Path("runs") / options.config.stem
    kept = out / "config.toml"
    config, reports = from_first(lambda: _checked(options, out, kept))
    from unrollbit.cli.config import build_run
    from unrollbit.cli.run_folder import train_into
    from unrollbit.plots import save, training_curves
    from unrollbit.training import Event
    from unrollbit.training.processes import is_first

    try:
        described = build_run(config, options.config.parent.resolve(), options.data and options.data.resolve())
    except (TypeError, AttributeError, KeyError) as error:  # a value of a kind that no constructor expects
        raise ValueError(f"{options.config}: a value has the wrong type ({error})") from error
    seed = described.seed if options.seed is None else options.seed
    text = options.config.read_bytes()

    def begin(event: Event) -> None:
        """Once all is checked and the folder is ours: what is left of another run goes, the config comes."""
        if event.kind == "started" and not options.resume and is_first():
            for name in (NETWORK_FILE, *_FIGURES):
                (out / name).unlink(missing_ok=True)
            kept.write_bytes(text)

    named = options.config.name if options.config.is_absolute() else options.config.as_posix()
    command = f"unrollbit train {named}{' --data FOLDER' * (options.data is not None)} --seed {seed}"
    fitting = {"resume": options.resume, "overwrite": options.overwrite, "progress": not options.quiet}
    fitting["model_parallel"] = options.model_parallel
    report, packed = train_into(out, config, described, seed, command, **fitting, consumers=[begin])
    if not is_first():
        return
    save(training_curves(report.records), out / "training")
    bits, path = packed.bits(), out / NETWORK_FILE
    result = {
        "out": str(out),
        "network": str(path),
        "seconds": report.seconds,
        "steps": report.steps,
        "validation_nmse_db": report.nmse_db,
        "untrained_nmse_db": report.untrained_nmse_db,
        "kept_step": report.kept_step,
        "bits_per_link": bits.bits_per_link,
        "file_bytes": path.stat().st_size,
    }
    reports.write(result)
    behind = [] if report.shortfall is None else [f"warning: {report.shortfall}"]
    print_table("trained", ("figure", "value"), list(result.items()), behind)
    print(f"next: unrollbit evaluate {out}", file=sys.stderr)


def _checked(options: argparse.Namespace, out: Path, kept: Path) -> tuple[dict[str, Any], Reports]:
    """The config, and where the result goes as JSON, if the run can be written where it is to be."""
    outputs = Outputs(options.config)
    reports = outputs.reports(options.json)
    outputs.folder("--out", out)
    from unrollbit.cli.config import read_config

    config = read_config(options.config)
    if options.resume:
        if not kept.exists():
            raise ValueError(f"{out}: nothing to resume (no config.toml); start without --resume")
        if tomllib.loads(kept.read_text(encoding="utf-8")) != config:
            raise ValueError(f"{options.config} differs from {kept}: resume needs the config the run was started with")
    elif out.exists() and any(out.iterdir()) and not options.overwrite:
        raise ValueError(
            f"{out} is not empty: pass --resume to continue it, --overwrite to replace the run in it, or another --out"
        )
    return config, reports
