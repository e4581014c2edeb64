"""Processes that train together: what the first of them does for all, and how all of them stop at the same step."""

from __future__ import annotations

import contextlib
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

T = TypeVar("T")
_TOLD = 256  # bytes that a process tells the others of what went wrong
_HEAD = 512  # bytes of a message that most fit into
_FINE, _INTERRUPTED, _FAILED = range(3)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # the second: of Slurm and of clouds, before they take a machine away


class OtherProcessError(RuntimeError):
    """Another process of the run has failed; the message is its own."""

    exit_code = 2


def several() -> bool:
    """Whether there are other processes."""
    return jax.process_count() > 1


def is_first() -> bool:
    """Whether this process writes files and talks to people."""
    return jax.process_index() == 0


def from_first(call: Callable[[], T]) -> T:
    """Call a function in the first process; all processes get its value, or raise what it raises.

    All of them must come here. Values are pickled.
    """
    if not several():
        return call()
    outcome: tuple[bool, Any] = False, None
    if is_first():
        try:
            outcome = True, call()
        except BaseException as error:
            _broadcast(_pickled((False, error)))
            _everywhere(error)
            raise
    done, value = pickle.loads(_broadcast(_pickled(outcome)))  # of this very run
    if not done:
        raise _everywhere(value)
    return value


def is_everywhere(error: BaseException) -> bool:
    """Whether all processes have come to an error together, so that they can still do things together."""
    return not several() or getattr(error, "everywhere", False)


class StopTogether:
    """While a network trains: what goes wrong in one process, an interrupt say, ends the run in all, at the same step.

    With one process, nothing. A second interrupt ends a process at once.
    """

    def __init__(self) -> None:
        self._interrupted = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if several() and threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._interrupt) for number in _SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    @contextlib.contextmanager
    def agreeing(self) -> Iterator[None]:
        """Around what a process does by itself. Its errors, and interrupts, are raised in all when it is done."""
        if not several():
            yield
            return
        own: BaseException | None = None
        try:
            yield
        except BaseException as error:
            own = error
        if own is None and self._interrupted:
            own = KeyboardInterrupt()
        self._interrupted = False
        if (error := _agreed(own)) is not None:
            raise _everywhere(error)

    def _interrupt(self, number: int, frame: Any) -> None:
        del frame
        if self._interrupted:
            raise KeyboardInterrupt(f"interrupted twice (signal {number})")
        self._interrupted = True


def _everywhere(error: BaseException) -> BaseException:
    error.everywhere = True  # pyright: ignore[reportAttributeAccessIssue]
    return error


def _agreed(own: BaseException | None) -> BaseException | None:
    """This process's error, or what another one says."""
    code = _FINE if own is None else _INTERRUPTED if isinstance(own, KeyboardInterrupt) else _FAILED
    told = np.zeros(_TOLD, np.uint8)
    message = bytes([code]) + str(own or "").encode()[: _TOLD - 1]
    told[: len(message)] = np.frombuffer(message, np.uint8)
    found = multihost_utils.process_allgather(told)
    if own is not None:
        return own
    for process, (code, *text) in enumerate(found):
        if code == _INTERRUPTED:
            return KeyboardInterrupt()
        if code == _FAILED:
            message = bytes(text).rstrip(b"\0").decode(errors="replace")
            return OtherProcessError(f"process {process} has failed: {message}")
    return None


def _pickled(outcome: tuple[bool, Any]) -> bytes:
    try:
        return pickle.dumps(outcome)
    except Exception:  # an error that holds what cannot be pickled
        return pickle.dumps((False, OtherProcessError(f"process 0 has failed: {outcome[1]}")))


def _broadcast(data: bytes) -> bytes:
    """The bytes of the first process: one message, and a second for what it does not hold."""
    message = len(data).to_bytes(8, "little") + data
    head = _sent(message[:_HEAD], _HEAD)
    rest = int.from_bytes(head[:8], "little") + 8 - _HEAD
    if rest > 0:  # few sizes: each is compiled
        head += _sent(message[_HEAD:], 1 << (rest - 1).bit_length())[:rest]
    return head[8 : rest + _HEAD]


def _sent(message: bytes, size: int) -> bytes:
    padded = np.zeros(size, np.uint8)
    if is_first():
        padded[: len(message)] = np.frombuffer(message, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(padded)).tobytes()
