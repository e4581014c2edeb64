"""Deconvolution of spikes: seismic traces, spectra, spike trains."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float

from unrollbit.arguments import choice, number
from unrollbit.operators import Convolution
from unrollbit.problems.base import Problem, Subset, checked_seed, fraction, positive_int
from unrollbit.problems.noise import Noise, noise_arguments, noise_of
from unrollbit.problems.registration import register_problem
from unrollbit.problems.sparse import DrawsSparse

Pulse = Literal["ricker", "gaussian"]

_OWN = "; for a pulse of your own: Problem.from_arrays(Convolution.of(pulse, n, 'zero'), spikes), each signal a row"


def pulse(shape: Pulse, width: float) -> Float[np.ndarray, " taps"]:
    """A pulse of unit norm, ``2 ceil(4 width) + 1`` samples: ``ricker`` (1 - t^2/width^2) exp(-t^2 / (2 width^2)),
    the negative second derivative of a Gaussian, or ``gaussian`` exp(-t^2 / (2 width^2)); ``width`` in samples.

    Raises ``ValueError`` for an unknown shape or a width that is not positive.
    """
    choice("pulse", shape, get_args(Pulse), _OWN)
    width = number("width", width, lambda samples: samples > 0, "a number of samples > 0")
    reach = math.ceil(4 * width)
    t = np.arange(-reach, reach + 1) / width
    values = np.exp(-0.5 * t**2) * (1 - t**2 if shape == "ricker" else 1)
    return (values / np.linalg.norm(values)).astype(np.float32)


@register_problem("operator")
@dataclass(frozen=True, init=False)
class SparseDeconvolution(DrawsSparse, Problem):
    """``y = h * x + noise``: Bernoulli-Gaussian spikes ``x`` seen through a pulse ``h``, with zeros outside.

    ``A`` is a Toeplitz band; a one-bit filter in its place is a one-bit Toeplitz matrix (``shared`` weights).

    Example:
        >>> import jax
        >>> problem = SparseDeconvolution(n=64)
        >>> x, y = problem.sample(jax.random.key(0), 5)
        >>> x.shape, y.shape, problem.operator.kernel.shape
        ((5, 64), (5, 64), (17,))
    """

    operator: Convolution
    pulse: str
    width: float
    sparsity: float
    noise: Noise | None
    seed: int
    subset: Subset = "train"

    def __init__(
        self,
        n: int = 256,
        pulse: Pulse = "ricker",
        width: float = 2.0,
        sparsity: float = 0.05,
        snr_db: float | None = None,
        seed: int = 0,
        noise: Noise | None = None,
    ) -> None:
        """Nothing about the physics is random.

        Args:
            n: number of samples.
            pulse, width: see ``pulse`` of this module.
            sparsity: expected share of spikes.
            snr_db: signal-to-noise ratio of each measurement in dB; None for no noise.
            seed: kept beside the other arguments; signals are drawn from the key of ``sample``.
            noise: ``Gaussian`` of a stated SNR or standard deviation; ``snr_db`` is short for the first.

        Raises:
            ValueError: an argument out of range or an unknown pulse.
        """
        taps = _pulse(pulse, width)
        n = positive_int("n", n)
        if len(taps) > n:
            raise ValueError(f"n: expected at least the {len(taps)} samples of the pulse, got {n}")
        phi = Convolution.of(taps, n, "zero")
        share = fraction("sparsity", sparsity)
        self._set(phi, pulse, float(width), share, noise_of(noise, snr_db), checked_seed(seed))

    def to_spec(self) -> dict[str, Any]:
        fields = ("pulse", "width", "sparsity", "seed")
        spec = {"kind": "SparseDeconvolution", "n": self.operator.shape[1]}
        spec |= {name: getattr(self, name) for name in fields}
        return spec | noise_arguments(self.noise)


_pulse = pulse  # the constructor's argument has its name
