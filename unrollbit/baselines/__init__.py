"""What a practitioner would use instead of a network: strong classic methods, tuned, and compared on equal signals."""

from unrollbit.baselines.base import Baseline, Compiled, Range
from unrollbit.baselines.biht import BIHT
from unrollbit.baselines.classic import Classic
from unrollbit.baselines.comparison import Signals, compare, drawn
from unrollbit.baselines.linear import GaussianPrior, LinearMMSE, Tikhonov
from unrollbit.baselines.omp import OMP
from unrollbit.baselines.suited import Grid, grid_of, suited, training_signals
from unrollbit.baselines.total_variation import TotalVariation
from unrollbit.baselines.tuning import Trial, Tuned, tune
from unrollbit.baselines.wavelet_fista import WaveletFISTA

__all__ = [
    "BIHT",
    "OMP",
    "Baseline",
    "Classic",
    "Compiled",
    "GaussianPrior",
    "Grid",
    "LinearMMSE",
    "Range",
    "Signals",
    "Tikhonov",
    "TotalVariation",
    "Trial",
    "Tuned",
    "WaveletFISTA",
    "compare",
    "drawn",
    "grid_of",
    "suited",
    "training_signals",
    "tune",
]
