"""Weight formats: how a learned matrix is represented, trained, counted and stored."""

from unrollbit.weights.anchored import Anchored, anchored
from unrollbit.weights.base import PackedWeights, Weights, WeightsFactory
from unrollbit.weights.bitnet import BitNet
from unrollbit.weights.coherence import from_coherence
from unrollbit.weights.design import coherence_energy, design_signs, designed
from unrollbit.weights.fixed import Fixed
from unrollbit.weights.full_precision import FullPrecision
from unrollbit.weights.little_bit import LittleBit
from unrollbit.weights.one_bit import OneBit
from unrollbit.weights.one_bit_svid import OneBitSVID
from unrollbit.weights.quantised import Frozen, Quantised
from unrollbit.weights.sharing import shared
from unrollbit.weights.surrogates import Surrogate, binarise, clipped, identity, smooth_sign, tanh_sign
from unrollbit.weights.ternary import Ternary, ternarise
from unrollbit.weights.wrappers import Normalised, Transformed, in_signal_domain, normalised

QUANTISED: tuple[type[Quantised], ...] = (OneBit, OneBitSVID, BitNet, Ternary, LittleBit)  # formats that a config names

__all__ = [
    "QUANTISED",
    "Anchored",
    "BitNet",
    "Fixed",
    "Frozen",
    "FullPrecision",
    "LittleBit",
    "Normalised",
    "OneBit",
    "OneBitSVID",
    "PackedWeights",
    "Quantised",
    "Surrogate",
    "Ternary",
    "Transformed",
    "Weights",
    "WeightsFactory",
    "anchored",
    "binarise",
    "clipped",
    "coherence_energy",
    "design_signs",
    "designed",
    "from_coherence",
    "identity",
    "in_signal_domain",
    "normalised",
    "shared",
    "smooth_sign",
    "tanh_sign",
    "ternarise",
]
