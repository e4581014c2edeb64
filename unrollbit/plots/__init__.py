"""Figures fit for a paper; every function returns a matplotlib ``Figure`` and touches no global state."""

from unrollbit.plots.certificates import bounds_per_layer, tightness_of_theorems
from unrollbit.plots.clouds import errors_of_signals
from unrollbit.plots.depth import curves_of_depth
from unrollbit.plots.differences import differences
from unrollbit.plots.formats import quality_at_bits
from unrollbit.plots.gaps import generalization_gaps
from unrollbit.plots.images import image_page, image_row
from unrollbit.plots.layers import nmse_per_layer
from unrollbit.plots.photographs import psnr_against_bytes
from unrollbit.plots.rates import accuracy_against_bits
from unrollbit.plots.robustness import accuracy_under_changes
from unrollbit.plots.signals import recovered_signal
from unrollbit.plots.style import legend_above, line_styles, paper_style, save
from unrollbit.plots.tradeoff import accuracy_against_total_bits
from unrollbit.plots.training import training_curves

__all__ = [
    "accuracy_against_bits",
    "accuracy_against_total_bits",
    "accuracy_under_changes",
    "bounds_per_layer",
    "curves_of_depth",
    "differences",
    "errors_of_signals",
    "generalization_gaps",
    "image_page",
    "image_row",
    "legend_above",
    "line_styles",
    "nmse_per_layer",
    "paper_style",
    "psnr_against_bytes",
    "quality_at_bits",
    "recovered_signal",
    "save",
    "tightness_of_theorems",
    "training_curves",
]
