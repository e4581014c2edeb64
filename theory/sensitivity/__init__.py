"""Sensitivity (theorems N): what a network of the same form with other weights, scalars or physics makes of it."""

from unrollbit.theory.sensitivity.deviation import N1, N1free, N1path
from unrollbit.theory.sensitivity.flips import (
    flip_deviations,
    flipped,
    flips_between,
    greedy_flips,
    random_bit_errors,
    random_flips,
)
from unrollbit.theory.sensitivity.quantisation import N6, Quantisation, quantised
from unrollbit.theory.sensitivity.sign_flips import N2, N3, N2u
from unrollbit.theory.sensitivity.sources import with_operator_error, with_scale_error

__all__ = [
    "N1",
    "N2",
    "N3",
    "N6",
    "N1free",
    "N1path",
    "N2u",
    "Quantisation",
    "flip_deviations",
    "flipped",
    "flips_between",
    "greedy_flips",
    "quantised",
    "random_bit_errors",
    "random_flips",
    "with_operator_error",
    "with_scale_error",
]
