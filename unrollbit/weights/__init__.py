"""Weight formats: how a learned matrix is represented, trained, counted and stored."""

from unrollbit.weights.anchored import Anchored, anchored
from unrollbit.weights.base import PackedWeights, Weights, WeightsFactory
from unrollbit.weights.design import coherence_energy, design_signs, designed
from unrollbit.weights.fixed import Fixed
from unrollbit.weights.full_precision import FullPrecision
from unrollbit.weights.one_bit import OneBit
from unrollbit.weights.surrogates import Surrogate, binarise, clipped, identity, smooth_sign, tanh_sign
from unrollbit.weights.wrappers import Normalised, Transformed, in_signal_domain, normalised

__all__ = [
    "Anchored",
    "Fixed",
    "FullPrecision",
    "Normalised",
    "OneBit",
    "PackedWeights",
    "Surrogate",
    "Transformed",
    "Weights",
    "WeightsFactory",
    "anchored",
    "binarise",
    "clipped",
    "coherence_energy",
    "design_signs",
    "designed",
    "identity",
    "in_signal_domain",
    "normalised",
    "smooth_sign",
    "tanh_sign",
]
