"""A network beside everything that a practitioner would use instead, on the same signals."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from unrollbit.baselines.base import Baseline
from unrollbit.baselines.suited import suited, training_signals
from unrollbit.baselines.tuning import tune
from unrollbit.operators.physics import grid_of_unknowns, physics_of

Recovery = Callable[[Array], Array]
Tell = Callable[[str], Any]  # takes words about what begins now
_ENTRIES = 2**18  # of the unknowns that parameters are tuned on, and that are recovered at a time
_TESTED_ON = 512
_TIMED = 0.2  # seconds


class Signals(NamedTuple):
    """Pairs of unknowns (N, n) and measurements (N, m)."""

    x: Float[Array, "N n"]
    y: Float[Array, "N m"]

    def spread(self, count: int) -> Signals:
        """At most ``count`` of them, spread evenly: data sets are ordered, and their first signals are of one kind."""
        rows = np.unique(np.linspace(0, len(self.x) - 1, min(count, len(self.x))).round().astype(int))
        return Signals(self.x[rows], self.y[rows])


def silent(words: str) -> None:
    """For who does not want to be told."""


def compare(
    problem: Any,
    network: Recovery | Mapping[str, Recovery] | None = None,
    *,
    signals: tuple[Array, Array] | None = None,
    baselines: Sequence[Baseline] | None = None,
    iterations: int | None = None,
    converged: int = 200,
    tuned_on: int = 64,
    seed: int = 0,
    timed: bool = True,
    tell: Tell = silent,
) -> list[dict[str, Any]]:
    """How methods recover the same signals: rows with ``method``, ``nmse_db`` (ratio of sums), ``psnr_db`` (mean over
    images; None without images) and ``milliseconds`` (of one signal alone, compiled; None unless ``timed``), then
    the problem's other metrics and ``parameters``, the tuned ones.

    First the networks as they were given, then the zero estimate, the measurements themselves where they are pictures
    of the unknowns (a blur, noise), and the baselines. Parameters are tuned on
    validation signals for the lowest NMSE in the ratio, for images for the highest mean PSNR.

    Args:
        problem: a ``Problem``; its physics, signals and grid say which baselines are suited.
        network: a network (a function from y to x), or several by name; a single one is called "network".
        signals: pairs ``(x, y)`` to recover; None: up to 512 test signals.
        baselines: which; None: those that suit the problem (``suited``).
        iterations: of the classic solver, to be compared with a network of as many layers; None: the network's depth,
            or 100.
        converged: iterations of the methods that are run until they have converged.
        tuned_on: most validation signals that parameters are tuned on (fewer where they are long).
        seed: of signals that are drawn.
        timed: measure ``milliseconds``.
        tell: called with words about what begins, on long work.

    Example:
        >>> from unrollbit.problems import SparseRecovery
        >>> rows = compare(SparseRecovery(16, 32), timed=False)
        >>> rows[0]["method"], rows[0]["nmse_db"]
        ('zero', 0.0)
    """
    networks = network if isinstance(network, Mapping) else {} if network is None else {"network": network}
    test = Signals(*(drawn(problem, "test", _TESTED_ON, seed) if signals is None else signals))
    tuning = drawn(problem, "validation", min(tuned_on, max(8, _ENTRIES // test.x.shape[1])), seed)
    if baselines is None:
        depths = [net.depth for net in networks.values() if hasattr(net, "depth")]
        count = iterations or (max(depths) if depths else 100)
        baselines = suited(problem, training_signals(problem, seed), tuning, count, converged)
    reduction = "ratio" if _psnr(problem, tuning.x, tuning.x) is None else "mean_of_db"
    rows = []
    for name, net in networks.items():
        tell(f"{name}: recovering {len(test.x)} signals")
        rows.append(_row(name, _compiled(net), problem, test, timed))
    rows.append(_row("zero", lambda y: jnp.zeros((*y.shape[:-1], test.x.shape[1]), y.dtype), problem, test, False))
    if _are_pictures(problem):
        rows.append(_row("measurements", lambda y: y, problem, test, False))
    for baseline in baselines:
        tell(f"{baseline.name}: tuning on {len(tuning.x)} signals")
        tuned = tune(baseline, problem, *tuning, reduction=reduction)
        row = _row(baseline.name, _of(tuned.baseline, problem), problem, test, timed)
        rows.append({**row, "parameters": tuned.parameters})
    return rows


def drawn(problem: Any, subset: str, count: int, seed: int) -> Signals:
    """Up to ``count`` pairs of a subset: of a data set spread evenly, of a distribution drawn afresh."""
    part = problem.split(subset)
    pairs = part.all() if hasattr(part, "all") else None
    if pairs is None:
        return Signals(*part.sample(jax.random.key(seed), count))
    return Signals(*pairs).spread(count)


def _are_pictures(problem: Any) -> bool:
    """Whether measurements lie on the grid of the unknowns, and so are an estimate."""
    return grid_of_unknowns(problem) is not None and physics_of(problem).measured_shape == grid_of_unknowns(problem)


def _compiled(net: Recovery) -> Recovery:
    """A module as one compiled function; what is none compiles by itself."""
    return partial(_applied, net) if isinstance(net, nnx.Module) else net


@jax.jit
def _applied(net: Any, y: Array) -> Array:
    return net(y)


def _of(baseline: Baseline, problem: Any) -> Recovery:
    A = physics_of(problem)
    return lambda y: baseline(A, y)


def _row(name: str, recover: Recovery, problem: Any, signals: Signals, timed: bool) -> dict[str, Any]:
    x, y = signals
    size = max(1, _ENTRIES // x.shape[1])
    parts = [recover(y[start : start + size]) for start in range(0, len(y), size)]
    figures = problem.metrics(jnp.concatenate(parts), x)
    return {
        "method": name,
        "nmse_db": figures["nmse_db"],
        "psnr_db": figures.get("psnr_db"),
        "milliseconds": _milliseconds(recover, y[:1]) if timed else None,
        **{name: value for name, value in figures.items() if name not in ("nmse_db", "psnr_db")},
        "parameters": {},
    }


def _psnr(problem: Any, x_hat: Array, x: Array) -> float | None:
    return problem.metrics(x_hat[:1], x[:1]).get("psnr_db")


def _milliseconds(recover: Recovery, y: Array) -> float:
    """The median time of a call, after one that compiles."""
    jax.block_until_ready(recover(y))
    times, began = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - began < _TIMED:
        start = time.perf_counter()
        jax.block_until_ready(recover(y))
        times.append(time.perf_counter() - start)
        if len(times) >= 100:
            break
    return 1e3 * float(np.median(times))
