"""Weight formats: how a learned matrix is represented, trained, counted and stored."""

from unrollbit.formats.anchored import Anchored, Fixed
from unrollbit.formats.base import Format, PackedWeights, Place, as_format
from unrollbit.formats.bitnet import BitNet, Ternary, ternarise
from unrollbit.formats.cores import mean_of, normalised_latents
from unrollbit.formats.normalised import Normalised, UnitFilters
from unrollbit.formats.one_bit import OneBit, Uniform
from unrollbit.formats.places import Coherent, Designed, SharedTaps, SignalDomain
from unrollbit.formats.representation import FullPrecision, Representation
from unrollbit.formats.stored import Entries, Floats, Signs, Stored, Trits
from unrollbit.formats.surrogates import Clipped, Identity, SmoothSign, Surrogate, TanhSign, binarise
from unrollbit.formats.svid import LittleBit, OneBitSVID
from unrollbit.formats.weights import Weights
from unrollbit.formats.wrapper import Wrapper
from unrollbit.operators.structured import masked

__all__ = [
    "Anchored",
    "BitNet",
    "Clipped",
    "Coherent",
    "Designed",
    "Entries",
    "Fixed",
    "Floats",
    "Format",
    "FullPrecision",
    "Identity",
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
    "SmoothSign",
    "Stored",
    "Surrogate",
    "TanhSign",
    "Ternary",
    "Trits",
    "Uniform",
    "UnitFilters",
    "Weights",
    "Wrapper",
    "as_format",
    "binarise",
    "masked",
    "mean_of",
    "normalised_latents",
    "ternarise",
]
