"""Theorems as code: bound, assumptions, measurement, report."""

from unrollbit.theory import audit, convergence, generalization, sensitivity, stability
from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.report import Report
from unrollbit.theory.summary import Summary, summarise

__all__ = [
    "NormalForm",
    "Report",
    "Summary",
    "audit",
    "convergence",
    "generalization",
    "sensitivity",
    "stability",
    "summarise",
]
