"""Predictions and held-out certificates: what is known of a network on signals that it has not seen."""

from unrollbit.theory.prediction.bit_errors import E2, with_sign_errors
from unrollbit.theory.prediction.conditions import Spectrum, multiples, spectrum_of
from unrollbit.theory.prediction.evolution import Evolution, state_evolution
from unrollbit.theory.prediction.held_out import HeldOut
from unrollbit.theory.prediction.layers import E1, predict

__all__ = [
    "E1",
    "E2",
    "Evolution",
    "HeldOut",
    "Spectrum",
    "multiples",
    "predict",
    "spectrum_of",
    "state_evolution",
    "with_sign_errors",
]
