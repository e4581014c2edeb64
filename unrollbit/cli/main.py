"""``unrollbit COMMAND``: parses arguments, runs a command, turns mistakes into one clear line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from unrollbit.training.diverged import TrainingDiverged

COMMANDS = {
    "demo": "train and compare networks on five problems in a few minutes: table, figures, packed network",
    "train": "train the network of a TOML file into a run folder",
    "evaluate": "accuracy per layer on fresh test signals, beside classic solvers",
    "bits": "bits per link of a network, and what its file holds",
    "theory": "every theorem on a network: bound beside measurement, what applies and what is vacuous; figures",
    "card": "the model card of a packed network: accuracy on fresh signals of several seeds, bits, how to use",
    "reproduce": "train and compare the networks of a published table or figure, or of one of our own",
    "bench": "packed products and networks against float32: time, error, memory",
    "recover": "apply a packed network to your own measurements",
}


def build_parser() -> argparse.ArgumentParser:
    """The parser with all commands."""
    from unrollbit import __version__

    parser = argparse.ArgumentParser(prog="unrollbit", description="One-bit unrolled networks for inverse problems.")
    parser.add_argument("--version", action="version", version=f"unrollbit {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        import_module(f"unrollbit.cli.{name}").add_arguments(command)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 (training failed), 2 (the user's mistake), 130 (interrupted)."""
    options = build_parser().parse_args(arguments)
    try:
        import_module(f"unrollbit.cli.{options.command}").run(options)
    except TrainingDiverged as error:
        return _complain(str(error), 1)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        return _complain(str(error), 2)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    return 0


def _complain(message: str, code: int) -> int:
    print("unrollbit: error: " + " ".join(message.split()), file=sys.stderr)
    return code
