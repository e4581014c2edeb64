"""The figures of ``unrollbit demo``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unrollbit.cli.demo_tasks import Outcome, rank
from unrollbit.plots import accuracy_against_bits, image_row, nmse_per_layer, recovered_signal, save, training_curves

_YLABEL = "NMSE, mean of dB (dB)"
_SHOWN = ("fista", "full precision", "one-bit", "one-bit, 2 planes")


def draw_figures(outcomes: list[Outcome], out: Path) -> list[Path]:
    """NMSE per layer, recovered signals, the rebuilt image, training curves, accuracy against bits; PDF and PNG."""
    folder = out / "figures"
    written: list[Path] = []
    problems = list(dict.fromkeys(outcome.task.problem for outcome in outcomes))
    for problem in problems:
        own = [outcome for outcome in outcomes if outcome.task.problem == problem]
        curves = {name: curve for outcome in own for name, curve in outcome.curves.items()}
        figure = nmse_per_layer({name: curves[name] for name in sorted(curves, key=rank)}, ylabel=_YLABEL)
        written += save(figure, folder / f"nmse_per_layer_{problem}")
        written += _examples(problem, own, folder)
        for outcome in own:
            if outcome.task.method == "one-bit":
                records = [{**record, "stage": record["name"]} for record in outcome.records]
                written += save(training_curves(records), folder / f"training_{problem}")
        points = [row for outcome in own for row in outcome.rows if row["bits_per_link"]]
        points = [{**row, "nmse_db": row["nmse_db_mean_of_db"]} for row in sorted(points, key=_row_rank)]
        written += save(accuracy_against_bits(points, ylabel=_YLABEL), folder / f"accuracy_against_bits_{problem}")
    return written


def _examples(problem: str, outcomes: list[Outcome], folder: Path) -> tuple[Path, ...]:
    pictures = {name: picture for outcome in outcomes for name, picture in outcome.examples.items()}
    if not pictures:
        return ()
    truth = pictures.pop("truth")
    chosen = {name: pictures[name] for name in _SHOWN if name in pictures}
    if truth.ndim == 2:
        return save(image_row({"truth": truth, **chosen}), folder / f"image_{problem}")
    return save(recovered_signal(truth, chosen), folder / f"signal_{problem}")


def _row_rank(row: Mapping[str, Any]) -> int:
    return rank(row["method"])
