"""Shrinkages that start from what the training signals look like."""

from __future__ import annotations

import numpy as np
from jaxtyping import Array, Float

from unrollbit.operators.base import LinearOperator
from unrollbit.shrinkage import BernoulliGaussian, Grouped

_SPARSITY = 0.5  # start: half of the coefficients of a band carry its energy
_SPARSEST, _DENSEST = 0.01, 0.9  # of a prior that is matched to signals
_BANDS = 12
_SMALLEST = 1e-8  # variance of a band relative to that of the largest


def banded_prior(signals: Float[Array, "count n"], groups: tuple[int, ...]) -> Grouped:
    """A Bernoulli-Gaussian prior per band of coefficients, whose variance starts at that of the training signals.

    The variance, sparsity and noise level of every band are learned per layer.
    """
    energy = np.mean(np.asarray(signals, np.float64) ** 2, axis=0)
    index = np.asarray(groups)
    variances = [float(energy[index == band].mean()) / _SPARSITY for band in range(index.max() + 1)]
    inner = BernoulliGaussian(sparsity=_SPARSITY, noise=1.0, learn_variance=True)
    smallest = _SMALLEST * max(variances) or 1.0  # bands that are empty in training may not be empty for ever
    return Grouped(inner, groups, (("variance", tuple(max(v, smallest) for v in variances)),))


def matched_prior(signals: Float[Array, "count n"]) -> BernoulliGaussian:
    """A Bernoulli-Gaussian prior with second and fourth moments like those of the signals; its variance is learned.

    Such signals have ``E x^4 / (E x^2)^2 = 3 / p``: p is near 0 for sparse signals and at its bound for those that are
    not sparse, for which the posterior mean is nearly linear.
    """
    values = np.asarray(signals, np.float64)
    largest = np.abs(values).max(initial=0.0) or 1.0
    square = np.square(values / largest)
    energy, fourth = float(square.mean()), float(np.square(square).mean())
    sparsity = min(max(3 * energy**2 / fourth, _SPARSEST), _DENSEST) if fourth > 0 else _SPARSITY
    variance = energy / sparsity * largest**2
    return BernoulliGaussian(sparsity=sparsity, variance=variance or 1.0, learn_variance=True)


def bands(synthesis: LinearOperator, signal_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The band of each coefficient: wavelet subbands, or geometric bands of the radial frequency of a DCT."""
    subbands = getattr(synthesis, "subbands", None)
    if subbands is not None:
        return tuple(int(band) for band in subbands())
    axes = np.meshgrid(*(np.arange(side) for side in signal_shape), indexing="ij")
    frequency = np.sqrt(sum(axis.astype(np.float64) ** 2 for axis in axes)).ravel()
    edges = np.unique(np.round(np.geomspace(1, frequency.max() + 1, _BANDS)))
    return tuple(
        int(band) for band in np.unique(np.searchsorted(edges, frequency, side="right"), return_inverse=True)[1]
    )
