"""Tune the dense ReLU network: what a network that knows no physics reaches on block-sparse signals in a few minutes.

Random search with successive halving: every trial is trained briefly, the best third longer, the best of those longest,
each time from its start (the cosine schedule has to fit the steps). Trials are chosen by the NMSE ratio on the
validation split; the test split is used once, for the winner. A trial's steps follow from its share of ``--budget`` and
its arithmetic, not from a clock, so the same arguments give the same search.

    python examples/search_dense_relu.py [--budget MINUTES] [--seed N] [--trials N] [--json FILE] [--out FOLDER]
"""

from __future__ import annotations

import os

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"  # one core

import argparse
import json
import random
from pathlib import Path
from typing import Any

import jax
from flax import nnx
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from unrollbit import FullyConnected, Stage, TrainingDiverged, fit
from unrollbit.problems import BlockSparseRecovery, Problem
from unrollbit.training import LogNMSE, Loss, MeanSquaredError

DEPTH = 16
CHOICES: dict[str, tuple[Any, ...]] = {
    "width": (256, 512, 1024),
    "skip": (True, True, False),
    "rate": (2.5e-4, 5e-4, 1e-3, 2e-3),
    "batch": (32, 64, 256),
    "warmup": (0.02, 0.1, 0.3),
    "loss": ("LogNMSE", "LogNMSE", "MeanSquaredError"),
}
# The first trial; the others are drawn.
BY_HAND = dict(zip(CHOICES, (512, True, 1e-3, 64, 0.02, "LogNMSE"), strict=True))
LOSSES: dict[str, Loss] = {"LogNMSE": LogNMSE(), "MeanSquaredError": MeanSquaredError()}
SHARES = (0.35, 0.35, 0.30)  # of the budget: short runs, longer ones, the winner
KEPT = 3  # one trial in so many goes on
SPEED = 6e10  # nominal multiplications and additions a second of one core: turns minutes into steps
SIGNALS = 4096  # of the validation and of the test split


def build(problem: Problem, trial: dict[str, Any], seed: int) -> FullyConnected:
    """The untrained network of a trial."""
    return FullyConnected(problem, DEPTH, trial["width"], skip=trial["skip"], seed=seed)


def stage(problem: Problem, trial: dict[str, Any], seconds: float) -> Stage:
    """The steps that ``seconds`` of one core allow: 6 operations a weight and signal, 30 a weight for Adam."""
    (m, n), width = problem.operator.shape, trial["width"]
    weights = width * (m + n) + (DEPTH - 2) * width**2
    steps = max(20, round(seconds * SPEED / (weights * (6 * trial["batch"] + 30))))
    rates = {"matrices": trial["rate"], "scalars": trial["rate"]}
    return Stage(steps, rates=rates, batch=trial["batch"], loss=LOSSES[trial["loss"]], warmup=trial["warmup"])


def evaluate(net: FullyConnected, problem: Problem, seed: int) -> dict[str, float]:
    """NMSE in dB (ratio, mean of dB) and failures on signals of the problem's subset."""
    x, y = problem.sample(jax.random.key(seed), SIGNALS)
    return problem.metrics(jax.jit(lambda net, y: net(y))(net, y), x)


def run(
    problem: Problem, trial: dict[str, Any], seconds: float, seed: int, out: Path | None = None
) -> tuple[FullyConnected, dict[str, Any]]:
    """Train a trial from its start; the network and its row of the table."""
    net, plan = build(problem, trial, seed), stage(problem, trial, seconds)
    row = {**trial, "steps": plan.steps, "parameters": sum(p.size for p in jax.tree.leaves(nnx.state(net, nnx.Param)))}
    try:
        report = fit(net, problem, [plan], seed=seed, out=out, progress=False)
    except TrainingDiverged:
        return net, row | {"seconds": None, "nmse_db": 1e3, "nmse_db_mean_of_db": 1e3, "failures": 1.0}
    return net, row | {"seconds": round(report.seconds, 1)} | evaluate(net, problem.split("validation"), seed)


def draw_trials(count: int, seed: int) -> list[dict[str, Any]]:
    """Different trials: one found by hand, the others at random; what ``CHOICES`` names twice is twice as likely."""
    generator, trials = random.Random(seed), [BY_HAND]
    while len(trials) < count:
        trial = {name: generator.choice(values) for name, values in CHOICES.items()}
        if trial not in trials:
            trials.append(trial)
    return trials


def show(rows: list[dict[str, Any]], console: Console) -> None:
    table = Table(title="validation NMSE in dB, best last")
    columns = [*CHOICES, "round", "steps", "parameters", "seconds", "ratio", "mean of dB"]
    for column in columns:
        table.add_column(column, justify="right")
    for row in sorted(rows, key=lambda row: -row["nmse_db"]):
        cells = [f"{row[name]}" for name in columns[:-2]]
        table.add_row(*cells, f"{row['nmse_db']:.2f}", f"{row['nmse_db_mean_of_db']:.2f}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=0, help="seed of trials, matrices and signals")
    parser.add_argument("--budget", type=float, default=10.0, metavar="MINUTES", help="training time of one core")
    parser.add_argument("--trials", type=int, default=18, help="number of trials in the first round")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table and the winner here")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="run folder of the winner (metrics, checkpoints)")
    options = parser.parse_args()
    if options.budget <= 0 or options.trials < 1:
        parser.error("expected --budget > 0 and --trials >= 1")

    problem = BlockSparseRecovery(blocks=8, m=32, n=64, sparsity=0.1)
    trials, rows, console = draw_trials(options.trials, options.seed), [], Console(width=140)
    counts = (len(trials), max(1, len(trials) // KEPT), 1)
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("search", total=60 * options.budget)
        for number, (count, share) in enumerate(zip(counts, SHARES, strict=True), start=1):
            seconds, results = 60 * options.budget * share / count, []
            for trial in trials[:count]:
                out = options.out if number == len(counts) else None
                net, row = run(problem, trial, seconds, options.seed, out)
                results.append((row["nmse_db"], len(results), trial))
                rows.append(row | {"round": number})
                best = min(row["nmse_db"] for row in rows)
                bar.update(task, advance=seconds, description=f"round {number} of {len(counts)}, best {best:.2f} dB")
            trials = [trial for *_, trial in sorted(results, key=lambda result: result[:2])]

    show(rows, console)
    winner, plan = rows[-1], stage(problem, trials[0], seconds)
    test = evaluate(net, problem.split("test"), options.seed)
    console.print(f"winner: {trials[0]}\nstage: {plan.to_spec()}")
    for name, result in (("validation", winner), ("test", test)):
        console.print(f"{name}: {result['nmse_db']:.2f} dB ratio, {result['nmse_db_mean_of_db']:.2f} dB mean of dB")
    if options.json is not None:
        record = {"trials": rows, "winner": winner, "stage": plan.to_spec(), "test": test, "seed": options.seed}
        options.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
