"""Exports of packed networks to where this library is not: C99, StableHLO, ONNX."""

from unrollbit.export.c99 import export_c
from unrollbit.export.onnx_file import export_onnx
from unrollbit.export.stablehlo import export_stablehlo

__all__ = ["export_c", "export_onnx", "export_stablehlo"]
