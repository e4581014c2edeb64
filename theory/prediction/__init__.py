"""Predictions and held-out certificates: what is known of a network on signals that it has not seen."""

from unrollbit.theory.prediction.bit_errors import E2, with_sign_errors
from unrollbit.theory.prediction.calibration import calibrate
from unrollbit.theory.prediction.certificates import H1, Certificate, H1p, H1r, certificate, tolerance_limit
from unrollbit.theory.prediction.conditions import Spectrum, multiples, spectrum_of
from unrollbit.theory.prediction.error_bars import H2, calibrated, conformal_quantile, fitted
from unrollbit.theory.prediction.evolution import Evolution, state_evolution
from unrollbit.theory.prediction.filter_prior import C8, S6, Stage, filter_gain, lipschitz_constant, stages
from unrollbit.theory.prediction.held_out import HeldOut, Sized, decibels, sized
from unrollbit.theory.prediction.layers import E1, predict
from unrollbit.theory.prediction.optimum import O1, Limit, O1b, bayes_limit, genie_bound, optimum_db
from unrollbit.theory.prediction.robustness import H3, H4, H5
from unrollbit.theory.prediction.sample_bars import H2p, calibrated_map, fitted_map, local

__all__ = [
    "C8",
    "E1",
    "E2",
    "H1",
    "H2",
    "H3",
    "H4",
    "H5",
    "O1",
    "S6",
    "Certificate",
    "Evolution",
    "H1p",
    "H1r",
    "H2p",
    "HeldOut",
    "Limit",
    "O1b",
    "Sized",
    "Spectrum",
    "Stage",
    "bayes_limit",
    "calibrate",
    "calibrated",
    "calibrated_map",
    "certificate",
    "conformal_quantile",
    "decibels",
    "filter_gain",
    "fitted",
    "fitted_map",
    "genie_bound",
    "lipschitz_constant",
    "local",
    "multiples",
    "optimum_db",
    "predict",
    "sized",
    "spectrum_of",
    "stages",
    "state_evolution",
    "tolerance_limit",
    "with_sign_errors",
]
