"""One-bit unrolled networks for inverse problems, with bits counted and theory checked."""

from unrollbit.algorithms import ADMM, AMP, FISTA, ISTA, GradientDescent, solve
from unrollbit.bits import BitReport, count_bits
from unrollbit.kernels import packed_matmul
from unrollbit.metrics import nmse_db
from unrollbit.networks import Activations, FullyConnected, Unrolled, refine
from unrollbit.operators import LinearOperator
from unrollbit.packed import PackedNetwork, load, pack
from unrollbit.training import Stage, TrainingDiverged, fit, recipes
from unrollbit.weights import BitNet, FullPrecision, LittleBit, OneBit, OneBitSVID, Ternary

__version__ = "0.1.0"

__all__ = [
    "ADMM",
    "AMP",
    "FISTA",
    "ISTA",
    "Activations",
    "BitNet",
    "BitReport",
    "FullPrecision",
    "FullyConnected",
    "GradientDescent",
    "LinearOperator",
    "LittleBit",
    "OneBit",
    "OneBitSVID",
    "PackedNetwork",
    "Stage",
    "Ternary",
    "TrainingDiverged",
    "Unrolled",
    "count_bits",
    "fit",
    "load",
    "nmse_db",
    "pack",
    "packed_matmul",
    "recipes",
    "refine",
    "solve",
]
