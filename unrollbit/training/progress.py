"""What a person sees while a network trains."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class TrainingProgress:
    """A bar over all steps with loss, NMSE and time left; plain lines without a terminal; silent unless ``shown``."""

    def __init__(self, total: int, done: int, *, shown: bool) -> None:
        console = Console(stderr=True)
        self._console = console if shown and not console.is_terminal else None
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}  loss {task.fields[loss]:.3f}  NMSE {task.fields[nmse]:.1f} dB"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not shown or not console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=total, completed=done, loss=float("nan"), nmse=float("nan"))

    def update(self, done: int, stage: str, loss: float, nmse: float) -> None:
        """Show the state after ``done`` steps."""
        self._bar.update(self._task, completed=done, description=stage, loss=loss, nmse=nmse)

    def stage_finished(self, stage: str, done: int, loss: float, nmse: float, seconds: float) -> None:
        """A line per stage where there is no terminal."""
        if self._console is not None:
            self._console.print(f"{stage}: step {done}, loss {loss:.3f}, NMSE {nmse:.1f} dB, {seconds:.0f} s")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
