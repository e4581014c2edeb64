"""What a person sees while a network trains."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from unrollbit.training.events import Event

_NAN = float("nan")


class TrainingProgress:
    """Consumer that shows a bar over all steps with loss, NMSE and time left; plain lines without a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = Console(stderr=True) if console is None else console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}  loss {task.fields[loss]:.3f}  NMSE {task.fields[nmse]:.1f} dB"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("compiling", total=None, loss=_NAN, nmse=_NAN)

    def __call__(self, event: Event) -> None:
        match event.kind:
            case "started":
                self._bar.update(self._task, total=event.total, completed=event.step)
                self._bar.start()
            case "compiling":
                self._bar.update(self._task, description=f"{event.stage}: compiling")
                self._print(f"{event.stage}: compiling")
            case "trained":
                loss, nmse = event.record["loss"], event.record["nmse_db"]
                self._bar.update(self._task, completed=event.step, description=event.stage, loss=loss, nmse=nmse)
            case "stage ended":
                self._print(_summary(event))
            case "interrupted" | "finished":
                self._bar.stop()

    def _print(self, line: str) -> None:
        """Where there is no terminal, and so no bar."""
        if not self._console.is_terminal:
            self._console.print(line, highlight=False, markup=False)


def _summary(event: Event) -> str:
    figures = [f"step {event.step}"]
    if event.record:  # none if a run was resumed right here
        figures += [f"loss {event.record['loss']:.3f}", f"NMSE {event.record['nmse_db']:.1f} dB"]
    return f"{event.stage}: {', '.join(figures)}, {event.run.seconds:.0f} s"
