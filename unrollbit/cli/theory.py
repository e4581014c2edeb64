"""``unrollbit theory RUN|FILE``: every theorem on a trained network, bound beside measurement."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from unrollbit.cli.arguments import add_common, add_data, add_network, positive
from unrollbit.cli.outputs import Outputs

_UNLUCKY = {
    "probable": "which happens with probability delta at most",
    "limit": "a statement about the limit of many unknowns, which is off here",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_network(parser)
    parser.add_argument("--signals", type=positive, default=50, help="held-out test signals (default: 50)")
    parser.add_argument("--attacked", type=positive, default=10, help="of them, how many to attack (default: 10)")
    parser.add_argument(
        "--radius", type=float, default=1e-3, help="size of perturbations, relative to that of y (default: 0.001)"
    )
    parser.add_argument("--flips", type=positive, default=1, help="sign flips per layer for N2, N2u (default: 1)")
    parser.add_argument("--rate", type=float, default=1e-3, help="bit error rate for N3 (default: 0.001)")
    parser.add_argument("--delta", type=float, default=0.05, help="failure probability of G (default: 0.05)")
    parser.add_argument(
        "--sample", type=positive, default=50_000, help="signals for G where the run had no fixed set (default: 50000)"
    )
    parser.add_argument(
        "--held-out",
        type=positive,
        default=2000,
        help="fresh signals for E, H and O, and as many to check (default: 2000)",
    )
    add_data(parser)
    add_common(parser, out="folder of the figures (default: theory/ in the run folder, or NAME-theory)", seed=1)


def run(options: argparse.Namespace) -> None:
    """Check, print the table, draw the figures."""
    begun = time.perf_counter()
    outputs = Outputs(options.network)
    folder, reports = outputs.folder("--out", _folder(options)), outputs.reports(options.json)
    from unrollbit.cli.networks import problem_of
    from unrollbit.cli.theorem_table import (
        check_size,
        draw_figures,
        draw_signals,
        every_theorem,
        print_theorems,
        with_progress,
    )
    from unrollbit.packed import load
    from unrollbit.theory import audit
    from unrollbit.theory.registry import known
    from unrollbit.theory.summary import summarise

    settings = audit.Settings(
        attacked=options.attacked,
        radius=options.radius,
        flips=options.flips,
        rate=options.rate,
        delta=options.delta,
        sample=options.sample,
        held_out=options.held_out,
        seed=options.seed,
    )
    packed = load(options.network)
    problem = problem_of(packed, data=options.data)
    check_size("--signals", options.signals, problem)
    check_size("--sample", options.sample, problem)
    check_size("--held-out", 2 * options.held_out, problem)
    x, y = draw_signals(problem, options.seed, options.signals)
    found, form = every_theorem(packed, problem, x, y, settings)
    summaries = summarise(with_progress(found))
    rows = [summary.row() for summary in summaries]
    figures = draw_figures(rows, folder)
    result = {
        "network": options.network.name,
        "normal_form": form,
        "signals": len(x),
        "settings": vars(settings),
        "violated": sum(summary.violated_instances for summary in summaries),
        "figures": [path.name for path in figures],
        "seconds": time.perf_counter() - begun,
        "rows": rows,
    }
    reports.write(result)
    print_theorems(options.network, form, summaries)
    print(f"{result['seconds']:.0f} s. Figures: {', '.join(map(str, figures))}", file=sys.stderr)
    broken = [row.theorem for row in summaries if row.violated_instances]
    for certainty, words in _UNLUCKY.items():
        off = [name for name in broken if known(name).certainty == certainty]
        if off:
            print(f"violated: {', '.join(off)}, {words}", file=sys.stderr)
    broken = [name for name in broken if known(name).certainty == "proven"]
    if broken:
        raise ValueError(f"violated: {', '.join(broken)}. A proven bound cannot be: please report this network")


def _folder(options: argparse.Namespace) -> Path:
    if options.out is not None:
        return options.out
    path: Path = options.network
    return path / "theory" if path.is_dir() else path.with_name(f"{path.stem}-theory")
