"""What matrices are approximated by: signs of low coherence, sign factors between scales, rank-one magnitudes."""

from unrollbit.decompositions.low_coherence import Design, coherence_energy, design_signs
from unrollbit.decompositions.rank_one import rank_one
from unrollbit.decompositions.sign_factors import (
    SVD,
    SignFactors,
    decomposed,
    dual_svid,
    joint_rotation,
    nearest_rotation,
    rank_for,
    rate,
)

__all__ = [
    "SVD",
    "Design",
    "SignFactors",
    "coherence_energy",
    "decomposed",
    "design_signs",
    "dual_svid",
    "joint_rotation",
    "nearest_rotation",
    "rank_for",
    "rank_one",
    "rate",
]
