"""What a training run tells those who listen: progress bar, log, checkpoints, a user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from unrollbit.training.processes import StopTogether

if TYPE_CHECKING:
    from unrollbit.training.run import TrainingRun

Kind = Literal["started", "compiling", "trained", "stage ended", "interrupted", "finished"]


@dataclass(frozen=True)
class Event:
    """Something that happened after ``step`` of all ``total`` steps, in the stage called ``stage``.

    - ``started``: nothing is trained yet, or (``step > 0``) a run goes on from a checkpoint.
    - ``compiling``: the program of a stage is about to be compiled, which takes seconds.
    - ``trained``: some steps are done; ``record`` has their figures, as in ``metrics.jsonl``.
    - ``stage ended``: the last step of a stage is done; ``record`` is that of its last steps.
    - ``interrupted``: by Ctrl-C, a loss that is not finite, or an error; what was trained is in the network.
    - ``finished``: the network is as ``fit`` returns it.

    ``run`` can be asked for more, such as ``run.seconds`` and ``run.snapshot()``.
    """

    kind: Kind
    step: int
    total: int
    stage: str
    run: TrainingRun = field(repr=False)
    record: Mapping[str, Any] = field(default_factory=dict)


Consumer = Callable[[Event], None]


@dataclass
class Listeners:
    """Who is told of events: first those that each process has for itself, then what all processes do together."""

    together: StopTogether
    alone: list[Consumer] = field(default_factory=list)
    saving: Consumer | None = None

    def tell(self, event: Event) -> None:
        """Call them. What one of them raises is raised in all processes."""
        with self.together.agreeing():
            for listener in self.alone:
                listener(event)
        if self.saving is not None:
            self.saving(event)
