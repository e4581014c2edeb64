"""What a person sees while a network trains."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from unrollbit.training.events import Event

_SILENT = 20.0  # seconds between two lines where there is no bar


class TrainingProgress:
    """Consumer that shows a bar over all steps with loss, NMSE and time left; plain lines without a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = Console(stderr=True) if console is None else console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}  {task.fields[figures]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("compiling", total=None, figures="")
        self._printed = time.monotonic()

    def __call__(self, event: Event) -> None:
        match event.kind:
            case "started":
                self._bar.update(self._task, total=event.total, completed=event.step)
                self._bar.start()
            case "compiling":
                self._bar.update(self._task, description=f"{event.stage}: compiling")
                self._print(f"{event.stage}: compiling")
            case "trained":
                figures = _figures(event.record)
                self._bar.update(self._task, completed=event.step, description=event.stage, figures=figures)
                if time.monotonic() - self._printed > _SILENT:
                    self._print(f"{event.stage}: step {event.step} of {event.total}, {figures}")
            case "stage ended":
                self._print(_summary(event))
            case "interrupted" | "finished":
                self._bar.stop()

    def _print(self, line: str) -> None:
        """Where there is no terminal, and so no bar."""
        if not self._console.is_terminal:
            self._console.print(line, highlight=False, markup=False)
            self._printed = time.monotonic()


def _figures(record: Mapping[str, float]) -> str:
    return f"loss {record['loss']:.3f}, NMSE of training batches {record['nmse_db']:.1f} dB"


def _summary(event: Event) -> str:
    figures = [f"step {event.step}"]
    if event.record:  # none if a run was resumed right here
        figures.append(_figures(event.record))
    return f"{event.stage}: {', '.join(figures)}, {event.run.seconds:.0f} s"
