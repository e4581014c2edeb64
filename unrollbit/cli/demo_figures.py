"""The figures of ``unrollbit demo``."""

from __future__ import annotations

from pathlib import Path

from unrollbit.cli.demo_tasks import Outcome
from unrollbit.plots import accuracy_against_bits, image_row, nmse_per_layer, recovered_signal, save, training_curves


def draw_figures(outcomes: list[Outcome], out: Path) -> list[Path]:
    """NMSE per layer, recovered signals, the rebuilt image, training curves, accuracy against bits; PDF and PNG."""
    folder = out / "figures"
    written: list[Path] = []
    problems = list(dict.fromkeys(outcome.task.problem for outcome in outcomes))
    for problem in problems:
        own = [outcome for outcome in outcomes if outcome.task.problem == problem]
        curves = {name: curve for outcome in own for name, curve in outcome.curves.items()}
        written += save(nmse_per_layer(dict(sorted(curves.items()))), folder / f"nmse_per_layer_{problem}")
        written += _examples(problem, own, folder)
        for outcome in own:
            if outcome.task.method == "one-bit":
                written += save(training_curves(outcome.records), folder / f"training_{problem}")
        points = [row for outcome in own for row in outcome.rows if row["bits_per_link"]]
        points = [{**row, "nmse_db": row["nmse_db_mean_of_db"]} for row in points]
        written += save(accuracy_against_bits(points), folder / f"accuracy_against_bits_{problem}")
    return written


def _examples(problem: str, outcomes: list[Outcome], folder: Path) -> tuple[Path, ...]:
    pictures = {name: picture for outcome in outcomes for name, picture in outcome.examples.items()}
    if not pictures:
        return ()
    truth = pictures.pop("truth")
    chosen = {name: pictures[name] for name in ("full precision", "one-bit", "one-bit, 2 planes") if name in pictures}
    if truth.ndim == 2:
        return save(image_row({"truth": truth, **chosen}), folder / f"image_{problem}")
    return save(recovered_signal(truth, chosen), folder / f"signal_{problem}")
