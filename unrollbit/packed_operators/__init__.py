"""Matrices that are held and run as packed bits."""

from unrollbit.packed_operators.low_rank import LowRank, MaskedLowRank
from unrollbit.packed_operators.packed_signs import PackedSigns
from unrollbit.packed_operators.planes import plane_scales, sign_planes, uniform_signs

__all__ = ["LowRank", "MaskedLowRank", "PackedSigns", "plane_scales", "sign_planes", "uniform_signs"]
