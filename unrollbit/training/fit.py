"""fit: train a network through a sequence of stages, on the device, resumable."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array

from unrollbit.metrics import nmse_db
from unrollbit.networks import Network
from unrollbit.training.check import check_run
from unrollbit.training.checkpoint import Checkpoints, MetricsFile, environment
from unrollbit.training.diverged import TrainingDiverged
from unrollbit.training.fingerprint import run_fingerprint
from unrollbit.training.program import FixedSamples, Program
from unrollbit.training.progress import TrainingProgress
from unrollbit.training.stage import Stage
from unrollbit.variables import TRAINED

_VALIDATION_SIGNALS = 1024


class TrainingReport(NamedTuple):
    """Result of ``fit``: seconds of training, steps, NMSE on validation signals (ratio, dB), and what was logged."""

    seconds: float
    steps: int
    nmse_db: float
    records: list[dict[str, Any]]


def fit(
    net: Network,
    problem: Any,
    stages: Sequence[Stage],
    *,
    seed: int = 0,
    samples: int | None = None,
    teacher: Network | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    chunk: int = 50,
    checkpoint_seconds: float = 15.0,
    progress: bool = True,
) -> TrainingReport:
    """Train ``net`` in place on signals of ``problem``.

    Signals are drawn on the device inside the compiled step; ``chunk`` steps run per dispatch. All local devices
    share each batch. With ``out``, metrics stream to ``out/metrics.jsonl`` and the state to ``out/checkpoints`` at
    least every ``checkpoint_seconds``; ``resume`` continues a killed run to the bit-identical result (same versions
    and devices).

    Args:
        net: an ``Unrolled`` or ``FullyConnected`` network.
        problem: anything with ``sample(key, batch) -> (x, y)`` and ``split(name)``: a ``Problem``.
        stages: what to train, how, for how long; see ``Stage`` and ``recipes``.
        seed: seed of the training signals.
        samples: train on this many fixed signals (certificates need a fixed training set); None: fresh ones.
        teacher: network that a ``Distillation`` loss follows, of the same measurements; it is not trained.
        out: run folder; None keeps nothing on disk.
        resume: continue from the newest checkpoint in ``out``; start afresh if there is none.
        chunk: steps per dispatch.
        checkpoint_seconds: longest time between checkpoints.
        progress: show a progress bar on stderr.

    Raises:
        ValueError: no stages, a stage deeper than the network, a batch that the devices do not divide, a loss that
            lacks a teacher or estimates per layer, a teacher that no stage follows or of other physics, a penalty that
            is not defined for the network, or ``resume`` of a run that was started otherwise.
        TypeError: a teacher that is no network.
        TrainingDiverged: the loss is not finite; the message names the step and what to try.
    """
    stages = tuple(stages)
    check_run(net, stages, samples=samples, teacher=teacher, chunk=chunk)
    if resume and out is None:
        raise ValueError("fit: resume=True needs the run folder: pass out=...")
    key = jax.random.key(seed)
    source = problem if samples is None else training_set(problem, seed, samples)
    fingerprint = run_fingerprint(net, problem, stages, teacher) | {"seed": seed, "samples": samples}
    folder = None if out is None else Path(out)
    if folder is not None and not resume:  # a later resume must not find another run's state
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    checkpoints = None if folder is None else Checkpoints(folder / "checkpoints")
    start = _resume_point(checkpoints, fingerprint, folder) if resume and checkpoints is not None else None
    first, elapsed = (0, 0.0) if start is None else (start["stage"], start["seconds"])
    done = sum(stage.steps for stage in stages[:first])
    total = sum(stage.steps for stage in stages)
    log = None if folder is None else MetricsFile(folder / "metrics.jsonl", keep_until=start["step"] if start else -1)
    records: list[dict[str, Any]] = [] if log is None else log.records
    began, saved = time.perf_counter(), time.perf_counter()
    work = net  # a full-precision stand-in during unquantised stages

    def seconds() -> float:
        return elapsed + time.perf_counter() - began

    with TrainingProgress(total, done if start is None else start["step"], shown=progress) as bar:
        for index, stage in enumerate(stages):
            if index < first:
                continue
            work = _stage_network(net, work, stage)
            label = stage.name or f"stage {index + 1}"
            program = Program(work, stage, jax.random.fold_in(key, index), teacher)
            state, step = program.start(), 0
            if start is not None and index == first and checkpoints is not None:
                state = checkpoints.restore(start["step"], state)
                step = start["step"] - done
            loss = nmse = float("nan")
            while step < stage.steps:
                count = min(chunk, stage.steps - step)
                candidate, losses, nmses, healthy = program.run(state, source, step, count)
                losses, nmses = np.asarray(losses)[:count], np.asarray(nmses)[:count]
                if not (healthy and np.isfinite(losses).all()):  # keep the state before this chunk: it is finite
                    program.write_back(work, state)
                    _save(checkpoints, done + step, state, fingerprint, index, seconds())
                    _finish(net, work, checkpoints, log)
                    bad = np.flatnonzero(~np.isfinite(losses))
                    at = done + step + (int(bad[0]) if bad.size else count)
                    raise TrainingDiverged(_divergence_message(at, label, stage, folder))
                state, step = candidate, step + count
                loss, nmse = float(losses.mean()), float(10 * np.log10(np.maximum(nmses.mean(), 1e-14)))
                record = {"step": done + step, "stage": index, "name": label, "loss": loss, "nmse_db": nmse}
                record |= {"depth": stage.depth or net.depth, "seconds": round(seconds(), 2)}
                (records.append if log is None else log.write)(record)
                bar.update(done + step, label, loss, nmse)
                if time.perf_counter() - saved > checkpoint_seconds or step == stage.steps:
                    _save(checkpoints, done + step, state, fingerprint, index, seconds())
                    saved = time.perf_counter()
            done += stage.steps
            program.write_back(work, state)
            bar.stage_finished(label, done, loss, nmse, seconds())
    spent = seconds()
    _finish(net, work, checkpoints, log)
    return TrainingReport(spent, total, _validation_nmse_db(net, problem, key), list(records))


def training_set(problem: Any, seed: int, samples: int) -> FixedSamples:
    """The fixed signals that ``fit(..., seed=seed, samples=samples)`` trains on: ``.x`` (N, n) and ``.y`` (N, m)."""
    return FixedSamples.draw(problem, jax.random.fold_in(jax.random.key(seed), 2**31 - 1), samples)


def _stage_network(net: Network, work: Network, stage: Stage) -> Network:
    """The network to train in a stage: ``net``, or a full-precision stand-in that hands its matrices back later."""
    if stage.quantised:
        if work is not net:
            _take_over(net, work)
        return net
    if work is not net:
        return work
    return net.unquantised()


def _take_over(net: Network, work: Network) -> None:
    for name, weights in net.maps.items():
        nnx.update(weights, nnx.state(weights.quantised_from(work.maps[name]), TRAINED))
    nnx.update(net.scalars, nnx.state(work.scalars))


def _finish(net: Network, work: Network, checkpoints: Checkpoints | None, log: MetricsFile | None) -> None:
    if work is not net:
        _take_over(net, work)
    for weights in net.maps.values():
        weights.round_scales()
    if checkpoints is not None:
        checkpoints.close()
    if log is not None:
        log.close()


def _save(
    checkpoints: Checkpoints | None, step: int, state: Any, fingerprint: dict[str, Any], stage: int, seconds: float
) -> None:
    if checkpoints is not None and step != checkpoints.latest():
        record = {"step": step, "stage": stage, "seconds": seconds, "run": fingerprint, "environment": environment()}
        checkpoints.save(step, state, record)


def _resume_point(checkpoints: Checkpoints, fingerprint: dict[str, Any], folder: Path | None) -> dict[str, Any] | None:
    step = checkpoints.latest()
    if step is None:  # killed before the first checkpoint: nothing to lose
        return None
    record = checkpoints.record(step)
    if record["run"] != fingerprint:
        raise ValueError(
            f"resume: the run in {folder} was started with another network, problem, seed, stages or teacher: "
            "use a new one"
        )
    if record["environment"] != environment():
        warnings.warn(
            f"resume: the run was started under {record['environment']}, now it is {environment()}; "
            "the result may differ in the last bits",
            stacklevel=3,
        )
    return record


def _divergence_message(step: int, label: str, stage: Stage, folder: Path | None) -> str:
    kept = "" if folder is None else f" The last good state is in {folder / 'checkpoints'}."
    lower = {kind: rate / 3 for kind, rate in stage.rates.items()}
    return (
        f"the loss is not finite at step {step} ({label}).{kept} Try smaller learning rates, for example "
        f"rates={lower}, a longer warmup than {stage.warmup}, or a smaller clip than {stage.clip}."
    )


def _validation_nmse_db(net: Network, problem: Any, key: Array) -> float:
    x, y = problem.split("validation").sample(key, _VALIDATION_SIGNALS)
    return float(nmse_db(jax.jit(lambda net, y: net(y))(net, jnp.asarray(y)), x))
