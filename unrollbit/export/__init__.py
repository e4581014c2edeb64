"""Exports of packed networks to where this library is not: C99."""

from unrollbit.export.c99 import export_c

__all__ = ["export_c"]
