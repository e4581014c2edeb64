"""Theorems as code: bound, assumptions, measurement, report."""

from unrollbit.theory import audit, convergence, generalization, prediction, sensitivity, stability
from unrollbit.theory.instances import Attacked, Physics, Signal
from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.registry import Theorem, theorem, theorems
from unrollbit.theory.report import Report
from unrollbit.theory.settings import Settings
from unrollbit.theory.summary import Summary, summarise

__all__ = [
    "Attacked",
    "NormalForm",
    "Physics",
    "Report",
    "Settings",
    "Signal",
    "Summary",
    "Theorem",
    "audit",
    "convergence",
    "generalization",
    "prediction",
    "sensitivity",
    "stability",
    "summarise",
    "theorem",
    "theorems",
]
