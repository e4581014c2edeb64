"""The trainings of ``unrollbit demo``: which problems, which networks, with what effort."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from unrollbit.algorithms import FISTA, solve
from unrollbit.baselines import Signals, compare
from unrollbit.cli.accuracy import accuracy, classic_solvers, draw_test
from unrollbit.formats import Fixed, FullPrecision
from unrollbit.networks import FullyConnected, Network
from unrollbit.packed import load, pack
from unrollbit.problems import (
    BlockSparseRecovery,
    EEGCompressiveRecovery,
    Problem,
    SinglePixelCamera,
    SparseRecovery,
)
from unrollbit.training import LogNMSE, Stage, fit, recipes

DEPTH = 16
_PRIOR_DEPTH = 8  # of filters
ORDER = (
    "ista",
    "fista",
    "fista converged",
    "linear MMSE",
    "tikhonov",
    "wavelet fista",
    "total variation",
    "omp",
    "amp, true prior",
    "dense relu",
    "full precision",
    "W = A",
    "one-bit",
    "one-bit, 2 planes",
    "A + one-bit, tied",
)
TEST_SIGNALS, _COMPARED = 2000, 500
_IMAGE = "camera"

PROBLEMS: dict[str, Callable[[int], Problem]] = {
    "sparse": lambda seed: SparseRecovery(256, 512, matrix="gaussian", seed=seed),
    "single-pixel": lambda seed: SparseRecovery(256, 512, matrix="hadamard", seed=seed),
    "blocks": lambda seed: BlockSparseRecovery(blocks=8, m=32, n=64, seed=seed),
    "eeg": lambda seed: EEGCompressiveRecovery(ratio=0.5, seed=seed),
    "patches": lambda seed: SinglePixelCamera(size=16, transform="dct", seed=seed),
}

# Classic solvers need a transform in which real signals are sparse, filters the samples themselves: the same signals
# and measurements, described in two ways.
SAMPLES: dict[str, Callable[[int], Problem]] = {
    "eeg": lambda seed: EEGCompressiveRecovery(ratio=0.5, transform=None, seed=seed),
    "patches": lambda seed: SinglePixelCamera(size=16, transform=None, seed=seed),
}


class Training(NamedTuple):
    """A network and how to train it."""

    network: Network
    stages: tuple[Stage, ...]


def _recipe(maker: Callable[..., recipes.Recipe], **options: Any) -> Callable[[Problem, int], Training]:
    return lambda problem, seed: Training(*maker(problem, DEPTH, **options))


def _designed(**options: Any) -> Callable[[Problem, int], Training]:
    def build(problem: Problem, seed: int) -> Training:
        return Training(*recipes.designed_signs(problem, DEPTH, seed=seed, **options))

    return build


def _dense_relu(problem: Problem, seed: int) -> Training:
    """The configuration that ``examples/search_dense_relu.py`` finds best on validation signals."""
    net = FullyConnected(problem, DEPTH, 512, skip=True, seed=seed)
    rates = {"matrices": 1e-3, "scalars": 1e-3}
    return Training(net, (Stage(2000, rates=rates, batch=64, loss=LogNMSE(), name="dense relu"),))


_W_IS_A = partial(recipes.scalars_only, weights=Fixed())


def _priors(**options: Any) -> dict[str, Callable[[Problem, int], Training]]:
    """Learned filter priors: of floats, of one and of two signs a tap."""
    formats = {"full precision": {"weights": FullPrecision()}, "one-bit": {}, "one-bit, 2 planes": {"planes": 2}}
    return {
        method: lambda problem, seed, own=own: Training(*recipes.learned_prior(problem, _PRIOR_DEPTH, **own, **options))
        for method, own in formats.items()
    }


METHODS: dict[str, dict[str, Callable[[Problem, int], Training]]] = {
    "sparse": {
        "full precision": _recipe(recipes.full_precision, steps=1000),
        "W = A": _recipe(_W_IS_A, steps=1000),
        "one-bit": _designed(steps=1000),
        "one-bit, 2 planes": _designed(planes=2, distinct=1, steps=1000),
        "A + one-bit, tied": _designed(anchored=True, distinct=1, steps=1000),
    },
    "single-pixel": {
        "full precision": _recipe(recipes.full_precision, steps=1000),
        "one-bit": _recipe(_W_IS_A, steps=1000),
    },
    "blocks": {
        "full precision": _recipe(recipes.full_precision, steps=1000),
        "W = A": _recipe(_W_IS_A, steps=1000),
        "one-bit": _designed(steps=1200, sign_rate=1e-2),
        "one-bit, 2 planes": _designed(planes=2, distinct=1, steps=1000),
        "dense relu": _dense_relu,
    },
    "eeg": _priors(filters=14, size=15, batch=32, steps=800),
    "patches": _priors(batch=16, steps=800),
}


@dataclass(frozen=True)
class Task:
    """One row of the report (or, for ``classic``, three)."""

    problem: str
    method: str
    seed: int
    out: Path

    @property
    def cost(self) -> float:
        """Rough seconds, to start long tasks first."""
        size = {"sparse": 40, "single-pixel": 40, "blocks": 35, "eeg": 20, "patches": 35}[self.problem]
        return size * {"full precision": 1.8, "dense relu": 1.5}.get(self.method, 1.0)


class Outcome(NamedTuple):
    """Rows for the report, curves and pictures for the figures, training records."""

    task: Task
    rows: list[dict[str, Any]]
    curves: dict[str, list[float]]
    examples: dict[str, np.ndarray]
    records: list[dict[str, Any]]


def all_tasks(seed: int, out: Path, problems: list[str]) -> list[Task]:
    """Every task of the demo, the longest first."""
    tasks = [Task(problem, method, seed, out) for problem in problems for method in ["classic", *METHODS[problem]]]
    return sorted(tasks, key=lambda task: -task.cost)


def rank(method: str) -> int:
    """Place of a method in tables and figures."""
    return ORDER.index(method)


def problem_of(task: Task) -> Problem:
    """What a task recovers."""
    described = PROBLEMS if task.method == "classic" else {**PROBLEMS, **SAMPLES}
    return described[task.problem](task.seed)


def run_task(task: Task) -> Outcome:
    """Train and evaluate one network (or run the classic solvers) on the task's problem."""
    problem = problem_of(task)
    x, y, _ = draw_test(problem, task.seed + 1, TEST_SIGNALS)
    if task.method == "classic":
        return _classic(task, problem, x, y)
    training = METHODS[task.problem][task.method](problem, task.seed)
    begun = time.perf_counter()
    report = fit(training.network, problem, training.stages, seed=task.seed, progress=False)
    seconds = time.perf_counter() - begun
    facts = {"command": f"unrollbit demo --seed {task.seed}", "seed": task.seed, "seconds": round(seconds, 1)}
    name = f"{task.problem}-{task.method}".replace(", ", "-").replace(" = ", "-is-").replace(" ", "-")
    path = pack(training.network, problem=problem, training=facts).save(task.out / "networks" / f"{name}.safetensors")
    packed = load(path)  # what is reported is what the file gives
    figures = accuracy(packed.network, problem, x, y)
    bits = packed.bits()
    row = {
        "problem": task.problem,
        "method": task.method,
        "layers": training.network.depth,
        **{key: value for key, value in figures.items() if not key.endswith("per_layer")},
        "bits_per_link": bits.bits_per_link,
        "bits_per_active_link": bits.bits_per_active_link,
        "resident_bits_per_link": bits.resident_bits_per_link,
        "file_bytes": path.stat().st_size,
        "seconds": seconds,
    }
    curve = figures["nmse_db_mean_of_db_per_layer"]
    curves = {} if curve is None else {task.method: curve}
    return Outcome(task, [row], curves, _examples(task, problem, packed, task.method), report.records)


def _classic(task: Task, problem: Problem, x: Any, y: Any) -> Outcome:
    rows, curves, examples = [], {}, {}
    for solver in classic_solvers(problem, x, y, DEPTH, task.seed):
        if solver["method"] == "fista":
            examples = _examples(task, problem, partial(_fista, problem, solver["regularisation"]), "fista")
        curve = solver.pop("nmse_db_mean_of_db_per_layer")
        solver.pop("nmse_db_per_layer")
        if curve is not None:
            curves[solver["method"]] = curve
        blank = dict.fromkeys(("bits_per_link", "resident_bits_per_link", "file_bytes"))
        rows.append({"problem": task.problem, "layers": solver.pop("iterations"), **solver, **blank, "seconds": 0.0})
    blank = dict.fromkeys(("layers", "bits_per_link", "resident_bits_per_link", "file_bytes"))
    for row in compare(problem, signals=Signals(x, y).spread(_COMPARED), iterations=DEPTH, timed=False):
        if row["method"] not in ("zero", *(row["method"] for row in rows)):
            rows.append({"problem": task.problem, **row, **blank, "seconds": 0.0})
    return Outcome(task, rows, curves, examples, [])


def _fista(problem: Problem, regularisation: float, y: Any) -> Any:
    return solve(FISTA(regularisation=regularisation), problem, y, DEPTH).x


def _examples(task: Task, problem: Problem, recover: Callable[[Any], Any], name: str) -> dict[str, np.ndarray]:
    """What the figures show of a method: one recovered signal, or a whole rebuilt test image."""
    test: Any = problem.split("test")
    if _IMAGE in test.pictures():
        x, y = test.image(_IMAGE)
        pictures = {"truth": test.assemble(x, _IMAGE), name: test.assemble(recover(y), _IMAGE)}
        return {key: np.clip(picture, 0, 1) for key, picture in pictures.items()}
    pairs = test.all()
    x, y = test.sample(jax.random.key(task.seed), 1) if pairs is None else (part[:1] for part in pairs)
    signals = {"truth": test.signal(x)[0], name: test.signal(recover(y))[0]}
    return {key: np.asarray(signal) for key, signal in signals.items()}
