"""``unrollbit COMMAND``: parses arguments, runs a command, turns mistakes into one clear line."""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from importlib import import_module
from typing import Any, TextIO

from unrollbit.cli.arguments import LazyParser
from unrollbit.cli.tables import choose_form
from unrollbit.extensions import import_extension

COMMANDS = {
    "demo": "train and compare networks on five problems in a few minutes: table, figures, packed network",
    "init": "write the commented TOML of a worked case, to start your own problem from",
    "train": "train the network of a TOML file into a run folder",
    "evaluate": "accuracy per layer on fresh test signals, beside classic solvers",
    "bits": "bits per link of a network, and what its file holds",
    "theory": "every theorem on a network: bound beside measurement, what applies and what is vacuous; figures",
    "calibrate": "certify a network on fresh signals and give it error bars: a copy of its file with both",
    "card": "the model card of a packed network: accuracy on fresh signals of several seeds, bits, how to use",
    "reproduce": "train and compare the networks of a published table or figure, or of one of our own",
    "bench": "packed products and networks against float32: time, error, memory",
    "export": "a packed network for where this library is not: C99, StableHLO, ONNX",
    "recover": "apply a packed network to your own measurements",
}
_MISTAKE, _INTERRUPTED, _PIPE_CLOSED = 2, 130, 141  # the last two: 128 + the number of the signal, as shells count


def build_parser() -> argparse.ArgumentParser:
    """The parser with all commands; a command's module is imported when its arguments are parsed."""
    from unrollbit import __version__

    parser = argparse.ArgumentParser(prog="unrollbit", description="One-bit unrolled networks for inverse problems.")
    parser.add_argument("--version", action="version", version=f"unrollbit {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=LazyParser)
    for name, summary in COMMANDS.items():
        described = summary[0].upper() + summary[1:] + "."
        commands.add_parser(name, help=summary, description=described, fill=partial(_call, name, "add_arguments"))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 (training failed), 2 (the user's mistake), 130 (interrupted)."""
    for stream in (sys.stdout, sys.stderr):
        _never_refuse(stream)
    try:
        options = build_parser().parse_args(arguments)
        if hasattr(options, "processes"):  # before anything else begins JAX
            code = import_module("unrollbit.cli.launch").join(options, sys.argv[1:] if arguments is None else arguments)
            if code is not None:
                return code
        choose_form(getattr(options, "table", "text"))
        for name in getattr(options, "imports", ()):
            import_extension(name)
        _call(options.command, "run", options)
        sys.stdout.flush()
    except BaseException as error:
        code, message = _explained(error)
        if code is None:
            raise
        return _complain(message, code)
    return 0


def _call(command: str, function: str, argument: Any) -> None:
    getattr(import_module(f"unrollbit.cli.{command}"), function)(argument)


def _never_refuse(stream: TextIO) -> None:
    """Characters that a terminal's encoding lacks are printed as escapes: a result is never lost to printing it."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def _explained(error: BaseException) -> tuple[int | None, str]:
    """Exit code and message of what ended a command; (None, "") for a defect, whose traceback is wanted."""
    chain = list(_chain(error))
    for part in chain:
        if isinstance(part, KeyboardInterrupt):
            return _INTERRUPTED, str(part) or "interrupted"
    if isinstance(error, BrokenPipeError):  # the reader, head or a pager, has seen enough
        return _PIPE_CLOSED, ""
    for part in chain:  # whatever a library makes of a full disk
        if isinstance(part, OSError) and part.errno in (errno.ENOSPC, errno.EDQUOT):
            return _MISTAKE, f"{part.strerror or 'no space left on the disk'}: {part.filename or 'standard output'}"
        if isinstance(part, MemoryError) or "RESOURCE_EXHAUSTED" in str(part):
            return _MISTAKE, f"out of memory ({str(part).splitlines()[0] if str(part) else 'allocation failed'})"
    if isinstance(error, ValueError | OSError | ModuleNotFoundError):
        return _MISTAKE, str(error)
    return getattr(error, "exit_code", None), str(error)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and what it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _complain(message: str, code: int) -> int:
    try:
        if message:
            print("unrollbit: error: " + " ".join(message.split()), file=sys.stderr)
        sys.stdout.flush()
    except OSError:  # nothing can be printed; Python would try again at its end, and complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code
