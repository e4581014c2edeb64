"""Exports of packed networks to where this library is not: C99, StableHLO."""

from unrollbit.export.c99 import export_c
from unrollbit.export.stablehlo import export_stablehlo

__all__ = ["export_c", "export_stablehlo"]
