"""What a certificate costs in accuracy: one-bit ISTA trained with penalties of several strengths.

Two sweeps of one network (64 x 96, 8 layers, one matrix, about 3 non-zeros, 20 000 training signals). The limit of
``SupportContraction`` goes from none to 0.7; every network then gets a certified error for each fresh signal (C2) and
certified Lipschitz constants (S1h for all measurements, S3 in a ball). The weight of ``FlipPenalty`` goes from 0 up;
every network gets a certificate of its risk (G3a with the flip code). Prints a table and draws one figure.

    python examples/certificate_tradeoff.py [--quick] [--seed N] [--out FOLDER]
"""

from __future__ import annotations

import os

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"  # one core

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from unrollbit import ISTA, Unrolled, fit
from unrollbit.plots.style import GREY, TEXT, line_styles, paper_style
from unrollbit.problems import SparseRecovery
from unrollbit.theory.convergence import C2
from unrollbit.theory.generalization import G3a, clipped_losses, network_code
from unrollbit.theory.normal_form import NormalForm, normal_form
from unrollbit.theory.stability import ball_constants, half_linearised_constants
from unrollbit.theory.trajectory import jacobians, recover
from unrollbit.training import FlipPenalty, Penalty, SupportContraction, grown, training_set

SAMPLES = 20_000
LIMITS = (None, 2.0, 1.4, 1.0, 0.7)
FLIP_WEIGHTS = (0.0, 30.0, 100.0, 300.0, 1000.0)
RADIUS = 1e-3
SIGNALS, BALLS = 300, 24

Point = dict[str, Any]


def trained(problem: SparseRecovery, steps: int, seed: int, penalties: Sequence[Penalty], sign_rate: float) -> Unrolled:
    """One-bit ISTA, trained layer by layer with these penalties."""
    net = Unrolled(ISTA(regularisation=0.3), problem, 8, distinct=1)
    rates = {"scalars": 1e-2, "scales": 1e-3, "signs": sign_rate}
    stages = grown(net.depth, steps, rates=rates, penalties=tuple(penalties))
    fit(net, problem, stages, seed=seed, samples=SAMPLES)
    return net


def fresh(problem: SparseRecovery, count: int) -> tuple[Float[np.ndarray, "count n"], Float[np.ndarray, "count m"]]:
    """Test signals that are not zero."""
    x, y = (np.asarray(part, np.float64) for part in problem.split("test").sample(jax.random.key(1), 2 * count))
    kept = (x != 0).any(1)
    return x[kept][:count], y[kept][:count]


def accuracy(form: NormalForm, x: Float[np.ndarray, "N n"], y: Float[np.ndarray, "N m"]) -> Point:
    """Median relative error, and the NMSE in dB."""
    squares = ((recover(form, y) - x) ** 2).sum(1)
    sizes = (x**2).sum(1)
    return {
        "error": float(np.median(np.sqrt(squares / sizes))),
        "nmse_db": float(10 * np.log10(squares.sum() / sizes.sum())),
    }


def contraction(problem: SparseRecovery, limit: float | None, steps: int, seed: int) -> Point:
    """A network with restricted norms below ``limit`` where training reaches it, and its C2, S1h and S3."""
    penalties = () if limit is None else (SupportContraction(100.0, limit, outside=0.1, signals=4),)
    form = normal_form(trained(problem, steps, seed, penalties, 1e-3))
    x, y = fresh(problem, SIGNALS)
    certified = np.array([C2(form, a, b).bound for a, b in zip(x, y, strict=True)]) / np.linalg.norm(x, axis=1)
    return {
        "label": "none" if limit is None else f"{limit:g}",
        **accuracy(form, x, y),
        "C2": float(np.median(certified)),
        "says something": float(np.mean(certified < 1)),
        "S1h": float(half_linearised_constants(form)[-1]),
        "S3": float(np.median([ball_constants(form, at, [RADIUS])[0] for at in y[:BALLS]])),
        "slope": float(np.median([np.linalg.norm(jacobians(form, at)[-1], 2) for at in y[:BALLS]])),
    }


def flips(problem: SparseRecovery, weight: float, steps: int, seed: int) -> Point:
    """A network whose flips from the signs of A cost ``weight``, and its G3a."""
    penalties = [SupportContraction(100.0, 1.0, outside=0.1, signals=4)]
    net = trained(problem, steps, seed, [*penalties, FlipPenalty(weight)] if weight else penalties, 2e-3)
    form, code = normal_form(net), network_code(net)
    pairs = training_set(problem, seed, SAMPLES)
    losses = clipped_losses(recover(form, np.asarray(pairs.y)), np.asarray(pairs.x), problem.energy)
    x, y = fresh(problem, 10 * SIGNALS)
    return {
        "label": f"{100 * (code.flip_share or 0):.2g} %",
        "weight": weight,
        **accuracy(form, x, y),
        "G3a": G3a(losses, code.bits).bound,
        "G3a raw": G3a(losses, code.raw_bits + 1).bound,
        "risk": float(clipped_losses(recover(form, y), x, problem.energy).mean()),
    }


def draw(norms: Sequence[Point], codes: Sequence[Point]) -> Figure:
    """Certificates against accuracy: C2, the Lipschitz constants, G3a."""
    with paper_style():
        figure = Figure(figsize=(TEXT, 2.75), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        _curves(left, norms, {"certified (C2)": "C2", "measured": "error"})
        left.axhline(1.0, color=GREY, linewidth=0.8)
        left.annotate(
            "zero estimate", (0.98, 1.0), (0, -9), ("axes fraction", "data"), "offset points", color=GREY, ha="right"
        )
        left.set_ylim(top=2.2)
        left.set(title="error of a signal (and the limit)", ylabel="median relative error", xlabel="median error (dB)")
        _curves(middle, norms, {"everywhere (S1h)": "S1h", "in a ball (S3)": "S3", "Jacobian": "slope"})
        middle.set(title="Lipschitz constant", ylabel="median constant", xlabel="median error (dB)")
        _curves(right, codes, {"signs (G3a)": "G3a raw", "flips (G3a)": "G3a", "test risk": "risk"})
        right.set(title="risk (and the share of flips)", ylabel="clipped risk", xlabel="median error (dB)")
        for axes, points, key in ((left, norms, "C2"), (right, codes, "G3a")):
            for place, point in enumerate(points):
                axes.annotate(
                    point["label"], (_decibels(point), point[key]), (0, 5 + 7 * (place % 2)),
                    textcoords="offset points", fontsize=6, color=GREY, ha="center",
                )  # fmt: skip
        for axes in (left, middle, right):
            axes.margins(x=0.16)
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=1)
    return figure


def _curves(axes: Axes, points: Sequence[Point], keys: dict[str, str]) -> None:
    axes.set_yscale("log")
    points = sorted(points, key=_decibels)
    for (label, key), style in zip(keys.items(), line_styles(), strict=False):
        axes.plot([_decibels(p) for p in points], [p[key] for p in points], label=label, **style)


def _decibels(point: Point) -> float:
    return 20 * float(np.log10(point["error"]))


def show(console: Console, title: str, points: Sequence[Point]) -> None:
    """A table of the points."""
    table = Table(title=title)
    for name in points[0]:
        table.add_column(name, justify="right")
    for point in points:
        table.add_row(*(value if isinstance(value, str) else f"{value:.4g}" for value in point.values()))
    console.print(table)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two networks a sweep, briefly trained")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training signals")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "figures", help="folder of the figure")
    options = parser.parse_args()
    problem = SparseRecovery(64, 96, sparsity=0.03)
    steps = 60 if options.quick else 1600
    limits = LIMITS[::3] if options.quick else LIMITS
    weights = FLIP_WEIGHTS[::3] if options.quick else FLIP_WEIGHTS
    norms = [contraction(problem, limit, steps, options.seed) for limit in limits]
    codes = [flips(problem, weight, steps, options.seed) for weight in weights]
    console = Console()
    show(console, "support contraction", norms)
    show(console, "flips from the signs of A", codes)
    options.out.mkdir(parents=True, exist_ok=True)
    with paper_style():
        draw(norms, codes).savefig(options.out / "certificate-tradeoff.png", dpi=200)
    console.print(f"wrote {options.out / 'certificate-tradeoff.png'}")


if __name__ == "__main__":
    main()
