"""Several processes for one command: started on this machine, or by a cluster."""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import IO, Any, TypeVar

from unrollbit.cli.arguments import index_number, positive

T = TypeVar("T")
_LAUNCHER = "UNROLLBIT_LAUNCHER"  # in the environment of a process that another one started: the other's number
_GRACE = 20.0  # seconds that the others have to end when one has
_SHOWN = 2000  # characters of what a process that failed has said
_joined = False


def add_processes(parser: argparse.ArgumentParser) -> None:
    """The arguments by which a process finds the others."""
    group = parser.add_argument_group("several processes", "They share every batch. The first one writes and reports.")
    group.add_argument("--processes", type=positive, metavar="N", help="start N on this machine, or (--process) of N")
    group.add_argument("--process", type=index_number, metavar="I", help="this one is number I of N, from 0")
    group.add_argument("--coordinator", metavar="HOST:PORT", help="where number 0 runs, and a port that is free there")
    group.add_argument(
        "--distributed", action="store_true", help="as Slurm, Open MPI, Kubernetes or a cloud TPU says to each process"
    )


def join(options: argparse.Namespace, arguments: Sequence[str]) -> int | None:
    """Meet the other processes; None where this one is to do its part of the command.

    Where it is to start them, it waits until they have ended, and returns their exit code. Raises ``ValueError`` for
    arguments that do not say who the others are.
    """
    alone = (options.processes, options.process, options.coordinator) == (None, None, None)
    if not alone and (options.distributed or options.processes is None):
        raise ValueError("--process and --coordinator go with --processes N, and none of the three with --distributed")
    if alone and not options.distributed:
        return None
    if options.distributed or options.process is not None:
        _meet(options)
        return None
    if options.coordinator is not None:
        raise ValueError("--coordinator HOST:PORT: which of the processes is this? Say --process I")
    return None if options.processes == 1 else _Local(options.processes, arguments).wait()


def from_first(call: Callable[[], T]) -> T:
    """``unrollbit.training.processes.from_first``; where there is one process, without a wait for its import."""
    if not _joined:
        return call()
    from unrollbit.training.processes import from_first as from_the_first

    return from_the_first(call)


def _meet(options: argparse.Namespace) -> None:
    global _joined
    _end_with_launcher()
    import jax

    given: dict[str, Any] = {}
    if not options.distributed:
        if options.coordinator is None or not options.process < options.processes:
            raise ValueError(
                "--process I of --processes N: expected I < N and --coordinator HOST:PORT, the same for all of them"
            )
        given = {"num_processes": options.processes, "process_id": options.process}
        given["coordinator_address"] = options.coordinator
    jax.config.update("jax_enable_preemption_service", False)  # it would keep SIGTERM from ending a process
    try:
        jax.distributed.initialize(**given)
    except ValueError as error:
        raise ValueError(
            f"--distributed: no Slurm, Open MPI, Kubernetes or TPU says who the other processes are ({error}); say it: "
            "--processes N --process I --coordinator HOST:PORT"
        ) from error
    _joined = True


def _end_with_launcher() -> None:
    """A process that another one started is told to end when that is killed (Linux)."""
    launcher = os.environ.pop(_LAUNCHER, None)
    if launcher is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != int(launcher):
        raise KeyboardInterrupt


class _Local:
    """``count`` processes of this command on this machine, each with its share of the cores."""

    def __init__(self, count: int, arguments: Sequence[str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        each = len(cores) // count
        self._said: list[IO[str]] = []
        self._members: list[subprocess.Popen[bytes]] = []
        for number in range(count):
            said = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  (for as long as they run)
            self._said.append(said)
            if each:  # inherited: XLA has as many threads as cores that it may use
                os.sched_setaffinity(0, cores[number * each : (number + 1) * each])
            own = {_LAUNCHER: str(os.getpid()), "JAX_LOCAL_DEVICE_IDS": str(number)}
            own["JAX_COORDINATOR_BIND_ADDRESS"] = address
            command = [sys.executable, "-m", "unrollbit", *arguments, "--process", str(number)]
            self._members.append(
                subprocess.Popen(
                    [*command, "--coordinator", address],
                    env={**os.environ, **own},
                    stdin=subprocess.DEVNULL,
                    stdout=None if number == 0 else subprocess.DEVNULL,
                    stderr=None if number == 0 else said,
                    process_group=0,  # a terminal interrupts this process alone, which tells them
                )
            )
            if each:
                os.sched_setaffinity(0, cores)

    def wait(self) -> int:
        """Their exit code: that of the first process, unless another one failed before it."""
        before = {number: signal.signal(number, self._forward) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            codes = self._codes()
            while None in codes and not any(codes):
                time.sleep(0.05)
                codes = self._codes()
            failed = next((i for i, code in enumerate(codes) if code), None)
            deadline = time.monotonic() + _GRACE
            while None in self._codes() and time.monotonic() < deadline:
                time.sleep(0.05)
            return self._outcome(failed)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            for member in self._members:
                if member.poll() is None:
                    member.kill()
                member.wait()

    def _codes(self) -> list[int | None]:
        return [member.poll() for member in self._members]

    def _forward(self, number: int, frame: Any) -> None:
        del frame
        for member in self._members:
            if member.poll() is None:
                member.send_signal(number)

    def _outcome(self, failed: int | None) -> int:
        """``failed``: which has ended first, and not well."""
        if failed is None:
            return 0
        code, first = self._members[failed].returncode, self._members[0].poll()
        if failed and code > 0 and first:  # all of them have failed alike, and the first has said why
            return abs(first) if first > 0 else 1
        if failed == 0 and code > 0:
            return code
        self._said[failed].seek(0)
        said = self._said[failed].read()[-_SHOWN:].strip()
        how = f"was killed (signal {-code})" if code < 0 else f"has failed (exit code {code})"
        raise OSError(f"process {failed} {how}; what it trained is kept: continue with --resume\n{said}".strip())
