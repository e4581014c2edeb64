"""All theorems on one network: perturbations are found, bounds computed and compared."""

from unrollbit.theory.audit.generalization import generalization
from unrollbit.theory.audit.held_out import held_out
from unrollbit.theory.audit.layers import IN_NORMAL_FORM, deterministic, outside
from unrollbit.theory.settings import Settings

__all__ = ["IN_NORMAL_FORM", "Settings", "deterministic", "generalization", "held_out", "outside"]
