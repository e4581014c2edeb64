"""Theorems as code: bound, assumptions, measurement, report. So far: bit-counting generalization certificates."""

from unrollbit.theory import generalization
from unrollbit.theory.report import Report

__all__ = ["Report", "generalization"]
