"""``unrollbit demo``: the main job from end to end, in a few minutes on two cores."""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrollbit.cli.arguments import add_common, positive
from unrollbit.cli.outputs import NETWORK_FILE, REPORT_FILE, Outputs
from unrollbit.cli.parallel import DEFAULT_WORKERS, in_parallel
from unrollbit.cli.tables import print_table

if TYPE_CHECKING:
    from unrollbit.cli.demo_tasks import Outcome

PROBLEMS = ("sparse", "single-pixel", "blocks", "eeg", "patches")
_COLUMNS = {
    "problem": "problem",
    "method": "method",
    "layers": "layers",
    "nmse_db": "NMSE (dB)",
    "nmse_db_mean_of_db": "mean of dB",
    "failures": "failures",
    "bits_per_link": "bits/link",
    "resident_bits_per_link": "resident bits/link",
    "file_bytes": "file (bytes)",
    "seconds": "training (s)",
}
_NOTES = [
    "NMSE: 10 log10(sum of errors / sum of energies) on test signals; mean of dB: mean over signals;",
    "failures: share of signals worse than -20 dB.",
    "bits/link: stored (weight + scale + mask) bits over the links of the dense network, structural zeros included;",
    "with A at hand, W = A stores scalars only. resident bits/link: all linear maps in memory while the network runs,",
    "A included, over the same links.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "--problems",
        nargs="+",
        choices=PROBLEMS,
        default=list(PROBLEMS),
        metavar="NAME",
        help=f"among {', '.join(PROBLEMS)}",
    )
    parser.add_argument("--workers", type=positive, default=DEFAULT_WORKERS, help="trainings side by side")
    add_common(parser, out="folder of the report (default runs/demo)")


def run(options: argparse.Namespace) -> None:
    """Train everything, write report, figures and networks."""
    out = options.out or Path("runs/demo")
    outputs = Outputs()
    kept, wanted = outputs.reports(None, out), outputs.reports(options.json)
    if (out / NETWORK_FILE).exists() and not (out / REPORT_FILE).exists():
        raise ValueError(f"--out: {out} holds a network that is not of a demo, and nothing is written over one")
    from unrollbit.cli.demo_figures import draw_figures
    from unrollbit.cli.demo_tasks import all_tasks, run_task

    begun = time.perf_counter()
    tasks = all_tasks(options.seed, out, options.problems)
    outcomes: list[Outcome] = []
    for outcome in in_parallel(run_task, tasks, options.workers, _describe):
        outcomes.append(outcome)
        kept.write(_report(outcomes, options.seed, begun, finished=False))
    result = _report(outcomes, options.seed, begun, finished=True)
    kept.write(result)
    wanted.write(result)
    shipped = out / "networks" / f"{options.problems[0]}-one-bit.safetensors"
    shutil.copyfile(shipped, out / NETWORK_FILE)
    figures = draw_figures(outcomes, out)
    rows = [[row.get(key) for key in _COLUMNS] for row in result["rows"]]
    print_table("unrollbit demo", list(_COLUMNS.values()), rows, _NOTES)
    print(f"{result['seconds']:.0f} s. Report: {out / REPORT_FILE}; {len(figures)} figures in {out / 'figures'};")
    print(f"packed one-bit network: {out / NETWORK_FILE} ({(out / NETWORK_FILE).stat().st_size:,} bytes)")


def _describe(outcome: Outcome) -> str:
    best = outcome.rows[-1]
    return f"{outcome.task.problem}, {best['method']}: {best['nmse_db_mean_of_db']:.1f} dB mean of dB"


def _report(outcomes: list[Outcome], seed: int, begun: float, *, finished: bool) -> dict[str, Any]:
    from unrollbit.cli.demo_tasks import rank

    rows = [row for outcome in outcomes for row in outcome.rows]
    if any(row["problem"] == "single-pixel" and row["method"] == "one-bit" for row in rows):
        same = next(row for row in rows if row["problem"] == "single-pixel" and row["method"] == "one-bit")
        rows.append({**same, "method": "W = A", "note": "A has entries +-1: W = A is the one-bit network itself"})
    rows.sort(key=lambda row: (PROBLEMS.index(row["problem"]), rank(row["method"]), row["method"]))
    return {"seed": seed, "finished": finished, "seconds": time.perf_counter() - begun, "rows": rows}
