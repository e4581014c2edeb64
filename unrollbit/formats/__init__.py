"""Weight formats: how a learned matrix is represented, trained, counted and stored."""

from unrollbit.formats.anchored import Anchored
from unrollbit.formats.base import Format, PackedWeights, Place, as_format
from unrollbit.formats.bitnet import BitNet
from unrollbit.formats.coherent import Coherent
from unrollbit.formats.cores import masked, mean_of, normalised_latents
from unrollbit.formats.designed import Designed
from unrollbit.formats.fixed import Fixed
from unrollbit.formats.full_precision import FullPrecision
from unrollbit.formats.little_bit import LittleBit
from unrollbit.formats.normalised import Normalised
from unrollbit.formats.one_bit import OneBit
from unrollbit.formats.one_bit_svid import OneBitSVID
from unrollbit.formats.representation import Representation
from unrollbit.formats.scales import Floats
from unrollbit.formats.shared_taps import SharedTaps
from unrollbit.formats.signal_domain import SignalDomain
from unrollbit.formats.stored import Entries, Signs, Stored, Trits
from unrollbit.formats.surrogates import Surrogate, binarise, clipped, identity, smooth_sign, tanh_sign
from unrollbit.formats.ternary import Ternary, ternarise
from unrollbit.formats.uniform import Uniform
from unrollbit.formats.unit_filters import UnitFilters
from unrollbit.formats.weights import Weights
from unrollbit.formats.wrapper import Start, Wrapper

__all__ = [
    "Anchored",
    "BitNet",
    "Coherent",
    "Designed",
    "Entries",
    "Fixed",
    "Floats",
    "Format",
    "FullPrecision",
    "LittleBit",
    "Normalised",
    "OneBit",
    "OneBitSVID",
    "PackedWeights",
    "Place",
    "Representation",
    "SharedTaps",
    "SignalDomain",
    "Signs",
    "Start",
    "Stored",
    "Surrogate",
    "Ternary",
    "Trits",
    "Uniform",
    "UnitFilters",
    "Weights",
    "Wrapper",
    "as_format",
    "binarise",
    "clipped",
    "identity",
    "masked",
    "mean_of",
    "normalised_latents",
    "smooth_sign",
    "tanh_sign",
    "ternarise",
]
