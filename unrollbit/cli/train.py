"""``unrollbit train CONFIG.toml``: train into a run folder."""

from __future__ import annotations

import argparse
import shutil
import sys
import tomllib
from pathlib import Path

from unrollbit.cli.arguments import add_common, add_import
from unrollbit.cli.outputs import NETWORK_FILE, Outputs
from unrollbit.cli.tables import print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "config", type=Path, metavar="CONFIG.toml", help="problem, network and stages; see examples/configs"
    )
    parser.add_argument("--resume", action="store_true", help="continue a killed run from its newest checkpoint")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    add_import(parser)
    add_common(parser, out="run folder (default: runs/NAME of the config)", seed=None)


def run(options: argparse.Namespace) -> None:
    """Train, write the run folder, report."""
    out = options.out or Path("runs") / options.config.stem
    kept = out / "config.toml"
    outputs = Outputs(options.config)
    reports = outputs.reports(options.json)
    outputs.folder("--out", out)
    from unrollbit.cli.config import build_run, read_config
    from unrollbit.cli.run_folder import train_into
    from unrollbit.plots import save, training_curves
    from unrollbit.training.check import check_run

    config = read_config(options.config)
    if options.resume:
        if not kept.exists():
            raise ValueError(f"{out}: nothing to resume (no config.toml); start without --resume")
        if tomllib.loads(kept.read_text(encoding="utf-8")) != config:
            raise ValueError(f"{options.config} differs from {kept}: resume needs the config the run was started with")
    elif out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty: pass --resume to continue it, or another --out")
    try:
        described = build_run(config, options.config.parent.resolve())
    except (TypeError, AttributeError, KeyError) as error:  # a value of a kind that no constructor expects
        raise ValueError(f"{options.config}: a value has the wrong type ({error})") from error
    seed = described.seed if options.seed is None else options.seed
    # a refused config leaves no run folder
    check_run(described.network, described.stages, samples=described.samples, teacher=described.teacher)
    out.mkdir(parents=True, exist_ok=True)
    if not options.resume:
        shutil.copyfile(options.config, kept)
    named = options.config.name if options.config.is_absolute() else options.config.as_posix()
    command = f"unrollbit train {named} --seed {seed}"
    report, packed = train_into(out, config, described, seed, command, options.resume, progress=not options.quiet)
    save(training_curves(report.records), out / "training")
    bits, path = packed.bits(), out / NETWORK_FILE
    result = {
        "out": str(out),
        "network": str(path),
        "seconds": report.seconds,
        "steps": report.steps,
        "validation_nmse_db": report.nmse_db,
        "bits_per_link": bits.bits_per_link,
        "file_bytes": path.stat().st_size,
    }
    reports.write(result)
    print_table("trained", ("figure", "value"), list(result.items()))
    print(f"next: unrollbit evaluate {out}", file=sys.stderr)
