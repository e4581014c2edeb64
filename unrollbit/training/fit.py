"""fit: train a network through a sequence of stages, on the device, resumable."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

from unrollbit.networks import Network
from unrollbit.operators import unpackable
from unrollbit.training.beside import ahead_of_rows, beside, print_rows
from unrollbit.training.check import check_run, network_and_stages
from unrollbit.training.checkpoint import Checkpoints, Saving
from unrollbit.training.diverged import TrainingDiverged
from unrollbit.training.events import Consumer, Listeners
from unrollbit.training.fingerprint import check_resumable, differences, environment, run_fingerprint
from unrollbit.training.folder import RunFolder
from unrollbit.training.log import MetricsLog
from unrollbit.training.processes import StopTogether, from_first, is_everywhere, is_first, several
from unrollbit.training.progress import TrainingProgress
from unrollbit.training.recipe import Recipe
from unrollbit.training.run import Keep, TrainingRun
from unrollbit.training.stage import Stage
from unrollbit.training.validation import ResultWarning, shortfall


class TrainingReport(NamedTuple):
    """Result of ``fit``: seconds of training, steps, NMSE on validation signals (ratio, dB), and what was logged.

    ``untrained_nmse_db`` is that of the network as it was given, ``kept_step`` the step whose state the network has (0:
    that in which it was given), ``shortfall`` says in words what the result is no better than (None: it is better than
    all). ``rows`` are those of the table at the end (``unrollbit.baselines.compare``).
    """

    seconds: float
    steps: int
    nmse_db: float
    records: list[dict[str, Any]]
    untrained_nmse_db: float = float("nan")
    kept_step: int | None = None
    shortfall: str | None = None
    rows: Sequence[dict[str, Any]] = ()

    def __repr__(self) -> str:
        behind = "" if self.shortfall is None else ", no better than simpler estimates"
        return (
            f"TrainingReport({self.steps} steps in {self.seconds:.1f} s, NMSE {self.nmse_db:.1f} dB, "
            f"{self.untrained_nmse_db:.1f} untrained{behind})"
        )


def fit(
    net: Network | Recipe,
    problem: Any,
    stages: Sequence[Stage] | Stage | None = None,
    *,
    seed: int = 0,
    samples: int | None = None,
    teacher: Network | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    keep: Keep = "best",
    chunk: int = 50,
    checkpoint_seconds: float = 15.0,
    progress: bool = True,
    compare: bool | None = None,
    consumers: Sequence[Consumer] = (),
    model_parallel: int = 1,
) -> TrainingReport:
    """Train ``net`` in place on signals of ``problem``.

    Signals are drawn on the device inside the compiled step; ``chunk`` steps run per dispatch. All devices, those of
    other processes (``jax.distributed.initialize``) too, share each batch: all processes make the same call, the first
    one alone writes and shows anything, and what ends one of them ends all after the same step. With ``out``, metrics
    stream to ``out/metrics.jsonl`` and the state to ``out/checkpoints`` at least every ``checkpoint_seconds``;
    ``resume`` continues a killed run to the bit-identical result (same versions, devices and processes; to rounding
    with others). Ctrl-C or an error leaves in ``net`` what was trained until then, and in ``out`` a checkpoint of it.

    The network ends with its best state on validation signals: of those at the end of each stage (after an unquantised
    one: once it has become signs), and of some on the way, if ahead by 0.3 dB, in mean too. In a stage with penalties,
    which ask for more than accuracy, the last state counts as the best. Where none is better than the network as it was
    given, it stays as it was. The end is one table: the network beside the zero estimate, itself untrained, linear
    MMSE, the tuned classic solver of as many iterations and, on a grid, total variation. A result that is not ahead of
    them is told by a ``ResultWarning``.

    Args:
        net: an ``Unrolled`` or ``FullyConnected`` network, or a recipe, which brings its stages.
        problem: anything with ``sample(key, batch) -> (x, y)`` and ``split(name)``: a ``Problem``.
        stages: what to train, how, for how long; a ``Stage`` or several, see ``recipes``.
        seed: seed of the training signals.
        samples: train on this many fixed signals (certificates need a fixed training set); None: fresh ones.
        teacher: network that a ``Distillation`` loss follows, of the same measurements; it is not trained.
        out: run folder, which all processes must see; None keeps nothing on disk. One run at a time trains into it.
        resume: continue from the newest checkpoint in ``out``; start afresh if there is none.
        overwrite: replace the run that is in ``out``.
        keep: "best" (see above) or "last": the network ends with this state.
        chunk: steps per dispatch.
        checkpoint_seconds: longest time between checkpoints.
        progress: show a progress bar, and the table at the end, on stderr.
        compare: run the methods of that table, which takes seconds; None: if ``progress`` is shown. Without it only the
            zero estimate and the untrained network are looked at.
        consumers: called, in every process, with every ``Event`` of the run, once it holds the lock of its folder.
        model_parallel: devices over which each large matrix, with its gradient and moments, is split. The others share
            the batch.

    Raises:
        ValueError: no stages, a stage deeper than the network or of variables that it lacks, a batch that the devices
            do not divide, a ``model_parallel`` that does not divide their number, processes with different runs, a loss
            that lacks a teacher or estimates per layer, a teacher that no stage follows or of other physics, a penalty
            that is not defined for the network, a folder that holds a run or is being trained into, or ``resume`` of a
            run that was started otherwise. All this before anything is written.
        TypeError: what is no network, problem, stage or teacher.
        TrainingDiverged: the loss is not finite; the message names the step and what to try.
        OSError: the run folder cannot be written.

    Example:
        >>> from unrollbit import AMP, Stage, Unrolled, fit
        >>> from unrollbit.problems import SparseRecovery
        >>> problem = SparseRecovery(8, 16)
        >>> report = fit(Unrolled(AMP(), problem, 2), problem, Stage(20), progress=False)
        >>> report.steps, report.nmse_db < report.untrained_nmse_db
        (20, True)
    """
    net, stages = network_and_stages(net, stages)
    options = {"samples": samples, "teacher": teacher, "chunk": chunk, "keep": keep, "model_parallel": model_parallel}
    check_run(net, problem, stages, **options)
    if (reason := unpackable(net.operator)) is not None:
        warnings.warn(f"fit: {reason}", stacklevel=2)
    folder = None if out is None else RunFolder(out)
    if folder is None and (resume or overwrite):
        raise ValueError(f"fit: {'resume' if resume else 'overwrite'}=True needs the run folder: pass out=...")
    if resume and overwrite:
        raise ValueError("fit: resume continues a run and overwrite replaces it; pass one of them")
    if folder is not None:
        from_first(lambda: folder.check(resume=resume, overwrite=overwrite))
    described = {} if folder is None and not several() else run_fingerprint(net, problem, stages, teacher)
    described |= {"seed": seed, "samples": samples, "keep": keep}
    run = TrainingRun(net, problem, stages, seed=seed, **options)
    with contextlib.ExitStack() as held, StopTogether() as together:
        listeners = Listeners(together, [TrainingProgress()] if progress and is_first() else [])
        with together.agreeing():
            _check_same(described)
        if folder is not None:
            from_first(lambda: held.enter_context(folder.locked()))
            from_first(lambda: folder.check(resume=resume, overwrite=overwrite))  # somebody may have come first
            checkpoints = Checkpoints(folder.checkpoints)
            if resume:
                with together.agreeing():
                    _restore(run, checkpoints, described)
            else:
                from_first(folder.erase)
            description = {"run": described, "environment": environment()}
            listeners.saving = Saving(checkpoints, checkpoint_seconds, description)
        log = MetricsLog(None if folder is None or not is_first() else folder.metrics)
        listeners.alone += [log, *consumers]
        _train(run, listeners, folder)
    if compare is None:
        compare = progress
    rows = from_first(lambda: _beside(run, problem)) if compare else []
    return _report(run, from_first(lambda: log.records), rows, progress)


def _train(run: TrainingRun, listeners: Listeners, folder: RunFolder | None) -> None:
    """Iterate, tell; whatever ends it, the network has what was trained."""
    try:
        for event in run:
            listeners.tell(event)
    except BaseException as error:
        if not is_everywhere(error):  # nothing that needs the other processes can be done any more
            error.add_note("fit: has another process of this run ended? Start all of them again with resume")
            raise
        run.write_back()
        listeners.tell(run.event("interrupted"))
        if isinstance(error, KeyboardInterrupt):
            kept = "" if folder is None else f"; {folder.path} keeps it: continue with resume"
            raise KeyboardInterrupt(f"interrupted after step {run.step} of {run.total}{kept}") from None
        if isinstance(error, TrainingDiverged) and folder is not None:
            raise TrainingDiverged(f"{error} The last good state is in {folder.checkpoints}.") from None
        raise


def _check_same(described: dict[str, Any]) -> None:
    """Raise ``ValueError`` if the processes were given different runs."""
    if found := list(differences(from_first(lambda: described), described)):
        raise ValueError(f"fit: expected the same run in all processes, but of the first one {found[0]}")


def _beside(run: TrainingRun, problem: Any) -> list[dict[str, Any]]:
    """The rows of the table; whatever goes wrong in it, what was trained is not lost."""
    try:
        return beside(run, problem)
    except Exception as error:
        warnings.warn(f"fit: trained, but not compared with other methods: {error}", ResultWarning, stacklevel=3)
        return []


def _restore(run: TrainingRun, checkpoints: Checkpoints, described: dict[str, Any]) -> None:
    latest = from_first(checkpoints.latest)
    if latest is None:  # killed before the first checkpoint: nothing to lose
        return
    record = checkpoints.record(latest)
    check_resumable(record, described, checkpoints.folder.parent)
    run.restore(record, lambda template: checkpoints.restore(latest, template))


def _report(run: TrainingRun, records: list[dict[str, Any]], rows: list[dict[str, Any]], shown: bool) -> TrainingReport:
    spent, level, untrained = run.seconds, run.validation.nmse_db(run.net), run.untrained.nmse_db
    if rows and shown and is_first():
        print_rows(rows)
    references = {"the zero estimate": 0.0, "the untrained network": untrained}
    behind = ahead_of_rows(rows) or shortfall(level, references)
    kept = run.best.step if run.keep == "best" and run.best is not None else run.step
    if behind is not None and is_first():
        stays = "; the untrained values are kept" if kept == 0 else ""
        warnings.warn(f"fit: {behind}{stays}; try more steps or smaller rates", ResultWarning, stacklevel=3)
    return TrainingReport(spent, run.total, level, records, untrained, kept, behind, rows)
