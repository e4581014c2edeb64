"""Timing on one thread or several: functions take turns, so that what else the machine does meets them alike."""

from __future__ import annotations

import itertools
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

Function = Callable[[], Any]
_FLAGS = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
_SHORTEST, _TURN = 3e-4, 5e-3  # seconds of a sample, and of all samples of a turn
_LEAST, _MOST = 5, 200  # rounds
_BEYOND = (2**28, 2**30)  # bytes that do not fit the caches: four times the last level, within these bounds
_MOST_COPIES = 2**16
_SETTLING = 2e-3  # seconds: XLA's threads spin after a call, on the core of whatever is timed next


def take_threads(count: int) -> None:
    """Bind this process to as many cores, before JAX and BLAS start their threads.

    Raises ``ValueError`` for more threads than there are cores.
    """
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if count > len(cores):
            raise ValueError(f"threads: expected at most {len(cores)}, as many as there are cores, got {count}")
        os.sched_setaffinity(0, cores[-count:])
    if count == 1:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAGS}".strip()
    for name in ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # the first one is XLA's
        os.environ[name] = str(count)


class Timer:
    """Median times of functions that run in turn."""

    def __init__(self, seconds: float, threads: int = 1) -> None:
        """``seconds``: what one comparison may take, about; every function runs 5 times at least.

        One thread is timed by the CPU time of the process, which other processes on the machine disturb less than the
        clock on the wall. Several are timed by that clock.
        """
        self.seconds, self._clock = seconds, time.process_time if threads == 1 else time.perf_counter

    def compare(self, functions: Mapping[str, Function]) -> dict[str, float]:
        """Seconds per call by name: the median over samples of all rounds; in a round every function has its turn.

        Samples are short, so that what now and then takes a slice of the core falls into few of them.
        """
        repeats = {name: self._repeats(function) for name, function in functions.items()}
        times: dict[str, list[float]] = {name: [] for name in functions}
        begun, rounds = time.perf_counter(), 0
        while rounds < _LEAST or (rounds < _MOST and time.perf_counter() - begun < self.seconds):
            rounds += 1
            for name, function in functions.items():
                function()  # what the other functions left in the caches is not what a loop would find there
                time.sleep(_SETTLING)
                turn = time.perf_counter()
                while True:
                    started = self._clock()
                    for _ in range(repeats[name]):
                        function()
                    times[name].append((self._clock() - started) / repeats[name])
                    if time.perf_counter() - turn > _TURN:
                        break
        return {name: statistics.median(spent) for name, spent in times.items()}

    def _repeats(self, function: Function) -> int:
        function()  # compiles
        started = time.perf_counter()
        function()
        return max(1, int(_SHORTEST / max(time.perf_counter() - started, 1e-9)))


def in_turn(function: Callable[[Any], Any], matrix: Any) -> Function:
    """Calls with copies of a matrix that together do not fit the caches: each time it comes from memory, as do the
    matrices of a network with many layers. At most 65536 copies, for small matrices.
    """
    count = min(_MOST_COPIES, -(-beyond_caches() // matrix.nbytes))
    copies = itertools.cycle([matrix, *(matrix.copy() for _ in range(count - 1))])
    return lambda: function(next(copies))


def beyond_caches() -> int:
    """Bytes that do not fit the caches of this machine."""
    try:
        size = Path("/sys/devices/system/cpu/cpu0/cache/index3/size").read_text(encoding="ascii").strip()
        last = int(size.removesuffix("K")) * 1024
    except (OSError, ValueError):
        last = 0
    return min(max(4 * last, _BEYOND[0]), _BEYOND[1])


def processor() -> str:
    """The processor's own name, where the system tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def read_bandwidth(threads: int = 1) -> float:
    """Bytes per second that threads read from memory: the best of ten sums over what does not fit the caches."""
    values = np.ones(beyond_caches() // 8)
    parts, clock = np.array_split(values, threads), time.process_time if threads == 1 else time.perf_counter
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(10):
            started = clock()
            list(pool.map(np.sum, parts))
            best = min(best, clock() - started)
    return values.nbytes / best


def extra_mebibytes(function: Function) -> float | None:
    """Peak of resident memory while a function runs, beyond what is resident before; None where the system does not
    say (other systems than Linux).
    """
    resident = _status("VmRSS")
    if resident is None:
        return None
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forgets the peak so far
    except OSError:
        return None
    before = _status("VmRSS")
    function()
    peak = _status("VmHWM")
    return None if before is None or peak is None else max(0.0, (peak - before) / 1024)


def _status(name: str) -> int | None:
    """A figure of the process in kibibytes."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)
