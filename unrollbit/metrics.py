"""How well signals and images are recovered."""

from __future__ import annotations

import functools
import math
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.arguments import choice, integer, number, shown
from unrollbit.arrays import as_real, binary_unit, over, widened

_PSNR_FLOOR = 1e-14  # of the squared error relative to the squared peak: at most 140 dB, -inf is not JSON
SSIM_WINDOW = 11  # pixels a side, which an image must have
_SSIM_SIGMA, _SSIM_K1, _SSIM_K2 = 1.5, 0.01, 0.03

Reduction = Literal["ratio", "mean_of_db"]


def nmse_db(
    x_hat: Float[Array, "*batch n"],
    x: Float[Array, "*batch n"],
    *,
    reduction: Reduction = "ratio",
    floor: float = 1e-14,
    added: float = 0.0,
) -> Float[Array, ""]:
    """Normalised mean squared error in dB.

    - ``ratio``: ``10 log10(sum ||x_hat - x||^2 / sum ||x||^2)``, both sums over the batch; a few bad signals decide it.
    - ``mean_of_db``: the mean over signals of ``10 log10(||x_hat - x||^2 / ||x||^2)``, as Open-L2O prints it. Signals
      that are zero have no relative error and are left out.

    ``added`` is added to the squared error of every signal: Open-L2O adds 1e-10, so that its scale ends near -117 dB
    for signals of energy 50. Relative errors are floored at ``floor`` (1e-14 is -140 dB). Where every signal is zero,
    the result is the floor if every estimate is zero too, else 0 dB. Raises ``ValueError`` for unequal shapes or an
    unknown reduction.

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([[1.0, 0.0], [10.0, 0.0]])
        >>> x_hat = jnp.array([[0.0, 0.0], [9.0, 0.0]])
        >>> round(float(nmse_db(x_hat, x)), 2), round(float(nmse_db(x_hat, x, reduction="mean_of_db")), 2)
        (-17.03, -10.0)
    """
    choice("reduction", reduction, get_args(Reduction))
    floor = number("floor", floor, lambda value: value > 0, "a relative error > 0")
    added = number("added", added, lambda value: value >= 0, "a squared error >= 0")
    return _nmse_db(*_pair(x_hat, x, "nmse_db"), floor, math.sqrt(added), reduction)


@functools.partial(jax.jit, static_argnames="reduction")
def _nmse_db(x_hat: Array, x: Array, floor: float, added: float, reduction: Reduction) -> Array:
    """The same for checked arguments; ``added`` is the root of what is added."""
    error, energy, unit = _energies(x_hat, x)
    error = error + (added / unit) ** 2
    share = (unit / jnp.max(unit)) ** 2
    together = _relative_db(jnp.sum(share * error), jnp.sum(share * energy), floor)
    if reduction == "ratio":
        return together
    counted = energy > 0
    mean = jnp.sum(jnp.where(counted, _relative_db(error, energy, floor), 0)) / jnp.maximum(jnp.sum(counted), 1)
    return jnp.where(jnp.any(counted), mean, together)


def failures(
    x_hat: Float[Array, "*batch n"], x: Float[Array, "*batch n"], threshold_db: float = -20.0
) -> Float[Array, ""]:
    """Share of signals (0 to 1) whose own NMSE is worse than ``threshold_db``.

    A zero signal fails unless it is recovered as 0; an estimate with NaN or infinite entries fails. Raises
    ``ValueError`` for unequal shapes.

    Example:
        >>> import jax.numpy as jnp
        >>> failures(jnp.array([[1.0, 0.5], [1.0, 0.0]]), jnp.array([[1.0, 0.0], [1.0, 0.0]]))
        Array(0.5, dtype=float32)
    """
    threshold_db = number("threshold_db", threshold_db, lambda _: True, "a number of dB")
    return _failures(*_pair(x_hat, x, "failures"), 10 ** (threshold_db / 10))


@jax.jit
def _failures(x_hat: Array, x: Array, threshold: float) -> Array:
    error, energy, _ = _energies(x_hat, x)
    return jnp.mean(~(error <= threshold * energy), dtype=error.dtype)  # NaN is a failure


def psnr_db(x_hat: Float[Array, "*batch n"], x: Float[Array, "*batch n"], *, peak: float = 1.0) -> Float[Array, ""]:
    """Peak signal-to-noise ratio of flattened images, the mean over images of ``10 log10(peak^2 / MSE)``, in dB.

    At most 140 dB an image. Raises ``ValueError`` for unequal shapes.

    Example:
        >>> import jax.numpy as jnp
        >>> psnr_db(jnp.full((1, 4), 0.1), jnp.zeros((1, 4))).round(3)
        Array(20., dtype=float32)
    """
    peak = _peak(peak)
    x_hat, x = _pair(x_hat, x, "psnr_db")
    return jnp.mean(-_db(jnp.mean(((x_hat - x) / peak) ** 2, axis=-1), _PSNR_FLOOR))


def ssim(
    x_hat: Float[Array, "*batch n"], x: Float[Array, "*batch n"], shape: tuple[int, int], peak: float = 1.0
) -> Float[Array, ""]:
    """Structural similarity of flattened images, the mean over images; 1 for equal images.

    Gaussian window of 11 x 11 pixels with sigma 1.5, K1 = 0.01, K2 = 0.03, averaged over the pixels whose window lies
    inside the image. ``shape`` is (height, width), ``peak`` the range of the pixel values. Raises ``ValueError`` for
    unequal shapes, a last axis that is not height x width, and images smaller than the window.

    Source: Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", IEEE Trans. Image Process. 13 (2004).

    Example:
        >>> import jax.numpy as jnp
        >>> image = jnp.linspace(0.0, 1.0, 256)
        >>> float(ssim(image, image, (16, 16)))
        1.0
    """
    x_hat, x = _pair(x_hat, x, "ssim")
    if not isinstance(shape, tuple | list) or len(shape) != 2:
        raise ValueError(f"shape: expected (height, width), got {shown(shape)}")
    height, width = (integer("shape", side, 1) for side in shape)
    peak = _peak(peak)
    if x.shape[-1] != height * width:
        raise ValueError(f"ssim: expected {height} x {width} = {height * width} pixels on the last axis, got {x.shape}")
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(f"ssim: the window of {SSIM_WINDOW} pixels does not fit into an image of {height} x {width}")
    a, b = ((v / peak).reshape(-1, height, width) for v in (x_hat, x))
    mean_a, mean_b = _local_mean(a), _local_mean(b)
    variance_a = _local_mean(a * a) - mean_a**2
    variance_b = _local_mean(b * b) - mean_b**2
    covariance = _local_mean(a * b) - mean_a * mean_b
    c1, c2 = _SSIM_K1**2, _SSIM_K2**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return jnp.mean(luminance * structure)


def support_recovery_rate(
    x_hat: Float[Array, "*batch n"], x: Float[Array, "*batch n"], tolerance: float = 1e-3
) -> Float[Array, ""]:
    """Share of signals (0 to 1) whose support is recovered exactly: every entry, no more and no fewer.

    The support of both ``x`` and ``x_hat`` is the set of entries larger in magnitude than ``tolerance * max_j |x_j|``,
    one level for the pair: entries of ``x`` below it count as zeros. Raises ``ValueError`` for unequal shapes.

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([[1.0, 0.0], [1.0, 0.0]])
        >>> support_recovery_rate(jnp.array([[0.7, 1e-4], [1.0, 0.1]]), x)
        Array(0.5, dtype=float32)
    """
    x_hat, x = _pair(x_hat, x, "support_recovery_rate")
    tolerance = number("tolerance", tolerance, lambda value: value >= 0, "a number >= 0")
    level = tolerance * jnp.max(jnp.abs(x), axis=-1, keepdims=True)
    same = jnp.all((jnp.abs(x_hat) > level) == (jnp.abs(x) > level), axis=-1)
    return jnp.mean(same, dtype=jnp.float32)


def _peak(peak: float) -> float:
    return number("peak", peak, lambda value: value > 0, "a largest value > 0")


def _pair(x_hat: Array, x: Array, what: str) -> tuple[Array, Array]:
    """Estimate and truth, at least in float32. Raises ``ValueError`` for unequal shapes."""
    x_hat, x = as_real(x_hat, f"{what}(x_hat)"), as_real(x, f"{what}(x)")
    if x_hat.shape != x.shape or x.ndim == 0 or 0 in x.shape:
        raise ValueError(
            f"{what}: expected an estimate and a truth (x_hat and x) of one shape (..., n), "
            f"got {x_hat.shape} and {x.shape}"
        )
    return widened(x_hat), widened(x)


def _energies(x_hat: Array, x: Array) -> tuple[Array, Array, Array]:
    """``||x_hat - x||^2`` and ``||x||^2`` of every signal in its own unit squared, and that unit."""
    unit = jnp.where(jnp.any(x != 0, axis=-1, keepdims=True), binary_unit(x), binary_unit(x, tuple(range(x.ndim))))
    error, energy = jnp.sum(((x_hat - x) / unit) ** 2, axis=-1), jnp.sum((x / unit) ** 2, axis=-1)
    return error, energy, unit[..., 0]


def _db(ratio: Array, floor: float) -> Array:
    return 10 * jnp.log10(jnp.maximum(ratio, floor))


def _relative_db(error: Array, energy: Array, floor: float) -> Array:
    """``error / energy`` in dB; where energy is 0: the floor if the error is 0, else 0 dB."""
    return _db(jnp.where(energy > 0, over(error, energy), jnp.sign(error)), floor)


def _local_mean(images: Float[Array, "batch h w"]) -> Float[Array, "batch rows columns"]:
    """Gaussian mean around every pixel whose window fits; one axis after the other, as sums of shifted images."""
    radius = SSIM_WINDOW // 2
    window = np.exp(-0.5 * (np.arange(-radius, radius + 1) / _SSIM_SIGMA) ** 2)
    window = window / math.fsum(window)
    rows, columns = (size - 2 * radius for size in images.shape[1:])
    images = sum((float(w) * images[:, i : i + rows] for i, w in enumerate(window)), start=jnp.zeros(()))
    return sum((float(w) * images[:, :, i : i + columns] for i, w in enumerate(window)), start=jnp.zeros(()))
