"""The command line."""

from unrollbit.cli.main import main

__all__ = ["main"]
