"""Worked cases of a user's own problem: for each its data and a TOML file (the same in Python: examples/own)."""

from unrollbit.cli.cases.table import CASES, Case, case_named

__all__ = ["CASES", "Case", "case_named"]
