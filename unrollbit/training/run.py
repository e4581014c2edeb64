"""A training run: its state, its steps, and the events that they are."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from flax import nnx

from unrollbit.networks import Network
from unrollbit.training.diverged import TrainingDiverged
from unrollbit.training.events import Event, Kind
from unrollbit.training.hand_over import hand_over, hands_over_after, trained_network
from unrollbit.training.placement import Placement
from unrollbit.training.program import FixedSamples, Program, TrainingState
from unrollbit.training.stage import Stage
from unrollbit.training.validation import Scored, Validation
from unrollbit.variables import TRAINED

Keep = Literal["best", "last"]
_TIE = 0.3  # dB: what two states may differ by on other signals


class _Position(NamedTuple):
    """The state after ``step`` steps of the run; one object, so that an interrupt finds both or neither."""

    state: TrainingState
    step: int


class TrainingRun:
    """Iterate to train: each event is what has just happened or, for ``compiling``, what comes next.

    Between two events the run can be saved (``snapshot``); a new run of the same arguments that is given the snapshot
    (``restore``) before it is iterated ends bit for bit as this one. ``write_back`` puts what is trained so far into
    the network at any time.
    """

    def __init__(
        self,
        net: Network,
        problem: Any,
        stages: Sequence[Stage],
        *,
        seed: int = 0,
        samples: int | None = None,
        teacher: Network | None = None,
        keep: Keep = "best",
        chunk: int = 50,
        model_parallel: int = 1,
    ) -> None:
        self.net, self.stages, self.keep = net, tuple(stages), keep
        self._placement = Placement(model_parallel)
        nnx.update(net, self._placement.split(_trained(net)))  # nothing else keeps a large matrix on one device
        self.total = sum(stage.steps for stage in self.stages)
        self._teacher, self._chunk, self._key = teacher, chunk, jax.random.key(seed)
        own = getattr(problem, "training_problem", None)
        self._elsewhere = None if own is None else own()  # crops, or other physics, in place of what is recovered
        source = problem if self._elsewhere is None else self._elsewhere
        self._source = self._placement.data(source if samples is None else training_set(source, seed, samples))
        self.validation = Validation(problem, self._key, net.operator.shape[1], self._placement)
        self.untrained = Scored(_trained(net), float("nan"), float("nan"), 0)  # scored when the run begins
        self.best: Scored | None = None
        self._index, self._work = 0, net
        self._program = self._program_of(0)
        self._at = _Position(self._program.start(), 0)
        self._in_network = self._at
        self._elapsed, self._began = 0.0, time.perf_counter()

    @property
    def step(self) -> int:
        """Steps done."""
        return self._at.step

    @property
    def seconds(self) -> float:
        """Time spent, that before a resume included."""
        return self._elapsed + time.perf_counter() - self._began

    @property
    def stage_name(self) -> str:
        """Name of the stage that is trained."""
        return self.stages[self._index].name or f"stage {self._index + 1}"

    def __iter__(self) -> Iterator[Event]:
        yield self.event("started")
        self.untrained = self.untrained._replace(**self._levels())
        record: dict[str, Any] = {}
        for index in range(self._index, len(self.stages)):
            if index != self._index:
                self._begin(index)
            end = self._first_step(index + 1)
            if self.step < end:
                yield self.event("compiling")
                self._program.compile(self._at.state, self._source)
            while self.step < end:
                record = self._advance(end)
                yield self.event("trained", record)
            self._leave(index)
            yield self.event("stage ended", record)
        self._finish()
        yield self.event("finished", record)

    def snapshot(self) -> tuple[Any, dict[str, Any]]:
        """What ``restore`` needs: a pytree of arrays, and a record of JSON values."""
        best = self.best
        record = {"step": self.step, "stage": self._index, "seconds": self.seconds}
        record["best"] = (
            None if best is None else {"nmse_db": best.nmse_db, "mean_of_db": best.mean_of_db, "step": best.step}
        )
        return {"training": self._at.state, "best": _trained(self.net) if best is None else best.state}, record

    def restore(self, record: dict[str, Any], read: Callable[[Any], Any]) -> None:
        """Go on from a snapshot; ``read`` returns its arrays in the form of the pytree that it is given."""
        self._begin(record["stage"])
        arrays = read({"training": self._at.state, "best": _trained(self.net)})
        self._at, self._elapsed = _Position(arrays["training"], record["step"]), record["seconds"]
        self._began = time.perf_counter()
        self.best = None if record["best"] is None else Scored(arrays["best"], **record["best"])

    def write_back(self) -> None:
        """Put what is trained so far into the network, rounded as a file would hold it."""
        self._put_into_network()
        self._round()

    def event(self, kind: Kind, record: dict[str, Any] | None = None) -> Event:
        """An event of now."""
        return Event(kind, self.step, self.total, self.stage_name, self, record or {})

    def _first_step(self, index: int) -> int:
        return sum(stage.steps for stage in self.stages[:index])

    def _program_of(self, index: int) -> Program:
        self._work = trained_network(self.net, self._work, self.stages[index])
        key = jax.random.fold_in(self._key, index)
        options = {"unit": self.validation.unit, "elsewhere": self._elsewhere, "placement": self._placement}
        return Program(self._work, self.stages[index], key, self._teacher, **options)

    def _begin(self, index: int) -> None:
        before = self._work
        self._program = self._program_of(index)
        self._index, self._at = index, _Position(self._program.start(), self._first_step(index))
        if self._work is self.net or self._work is not before:  # else a stand-in, trained already, goes on
            self._in_network = self._at

    def _advance(self, end: int) -> dict[str, Any]:
        """Train to the end of a chunk, at most to ``end``; returns its record."""
        stage, local = self.stages[self._index], self.step - self._first_step(self._index)
        interval = self.validation.interval(stage, self.net.depth)
        count = min(self._chunk, end - self.step, interval - local % interval)
        state, losses, nmses, healthy = self._program.run(self._at.state, self._source, local, count)
        losses, nmses = np.asarray(losses)[:count], np.asarray(nmses)[:count]
        if not (healthy and np.isfinite(losses).all()):  # the state before this chunk, which is finite, stays
            bad = np.flatnonzero(~np.isfinite(losses))
            raise TrainingDiverged(self._divergence(self.step + (int(bad[0]) if bad.size else count)))
        self._at = _Position(state, self.step + count)
        loss, nmse = float(losses.mean()), float(10 * np.log10(np.maximum(nmses.mean(), 1e-14)))
        record = {"step": self.step, "stage": self._index, "name": self.stage_name, "loss": loss, "nmse_db": nmse}
        record |= {"depth": stage.depth or self.net.depth, "seconds": round(self.seconds, 2)}
        if self._is_candidate(interval, local + count, stage):
            record["validation_nmse_db"] = self._score(stage, ended=local + count == stage.steps)
        return record

    def _is_candidate(self, interval: int, local: int, stage: Stage) -> bool:
        """Whether the network is to be scored: when it stands for itself again, and now and then on the way."""
        if local == stage.steps:
            return hands_over_after(self.stages, self._index)
        return self.keep == "best" and stage.quantised and local % interval == 0

    def _score(self, stage: Stage, ended: bool) -> float:
        """Penalties ask for more than accuracy: with them, the last state is the best. So is the end of a stage, where
        rates have come to zero, unless another is ahead in the mean of dB too: few hard signals rule the ratio.
        """
        self._put_into_network()
        now, best = Scored(_trained(self.net), **self._levels(), step=self.step), self.best
        tie = _TIE if ended else 0.0
        behind = best is not None and now.nmse_db >= best.nmse_db + tie
        if stage.penalties or not behind or (ended and best is not None and now.mean_of_db < best.mean_of_db):
            self.best = now
        return now.nmse_db

    def _levels(self) -> dict[str, float]:
        level, mean = self.validation.levels(self.net)
        return {"nmse_db": level, "mean_of_db": mean}

    def _leave(self, index: int) -> None:
        if hands_over_after(self.stages, index):
            self._put_into_network()
        else:  # the next stage trains the stand-in further
            self._program.write_back(self._work, self._at.state)

    def _put_into_network(self) -> None:
        if self._in_network is self._at:
            return
        self._program.write_back(self._work, self._at.state)
        if self._work is not self.net:
            hand_over(self.net, self._work)
        self._in_network = self._at

    def _finish(self) -> None:
        if self.keep == "best" and self.best is not None:
            if self._is_spoilt(self.best):
                self.best = self.untrained
            nnx.update(self.net, _copied(self.best.state))
        self._round()

    def _is_spoilt(self, best: Scored) -> bool:
        """Whether training has led away from where it began."""
        start = self.untrained.nmse_db
        wanted = not any(stage.penalties for stage in self.stages)  # they ask for more than accuracy
        return wanted and math.isfinite(start) and not best.nmse_db <= start

    def _round(self) -> None:
        self.net.round()

    def _divergence(self, step: int) -> str:
        stage = self.stages[self._index]
        lower = {kind: rate / 3 for kind, rate in stage.rates.items()}
        return (
            f"the loss is not finite at step {step} ({self.stage_name}). Try smaller learning rates, for example "
            f"rates={lower}, a longer warmup than {stage.warmup}, or a smaller clip than {stage.clip}."
        )


def training_set(problem: Any, seed: int, samples: int) -> FixedSamples:
    """The fixed signals that ``fit(..., seed=seed, samples=samples)`` trains on: ``.x`` (N, n) and ``.y`` (N, m)."""
    return FixedSamples.draw(problem, jax.random.fold_in(jax.random.key(seed), 2**31 - 1), samples)


def _trained(net: Network) -> nnx.State:
    """A copy of what training leaves behind in a network."""
    return _copied(nnx.state(net, TRAINED))


def _copied(state: nnx.State) -> nnx.State:
    return jax.tree.map(lambda leaf: leaf, state)  # containers of its own; the arrays never change
