"""What matrices are approximated by: signs of low coherence, sign factors between scales, rank-one magnitudes."""

from unrollbit.decompositions.cores import factor_cores, rank_one_cores
from unrollbit.decompositions.low_coherence import coherence_energy, design_cores, design_signs
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
    sign_paths,
)

__all__ = [
    "SVD",
    "SignFactors",
    "coherence_energy",
    "decomposed",
    "design_cores",
    "design_signs",
    "dual_svid",
    "factor_cores",
    "joint_rotation",
    "nearest_rotation",
    "rank_for",
    "rank_one",
    "rank_one_cores",
    "rate",
    "sign_paths",
]
