"""Which +-1 patterns tell most about blocks of photographs: learned ones, and the best rows of Hadamard's matrix."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.arguments import integer
from unrollbit.kernels.hadamard import hadamard_transform
from unrollbit.operators.patterns import BlockPatterns, dct_atoms, unexplained
from unrollbit.sizes import check_seed

GREY = 0.5  # pixels are measured from the middle of their range [0, 1]
_AMPLITUDE, _JITTER, _RATE = 0.3, 0.02, 1e-2  # mean |L| at the start, noise on it, Adam's step


def learned_patterns(
    images: Iterable[Any], size: int = 16, m: int = 64, *, steps: int = 5000, seed: int = 0
) -> BlockPatterns:
    """The +-1 patterns from which the linear estimate of blocks has the least mean squared error.

    ``S = sign(L)`` minimises ``tr C - tr((S C S^T + eps I)^-1 S C^2 S^T)``, where C holds the second moments of the
    blocks, averaged over flips and transposes. L starts at the m DCT atoms of largest variance. Straight-through
    gradient where |L| <= 1, latents clipped to [-1, 1], Adam with a cosine schedule; the best iterate is kept.

    Args:
        images: grey images, 2-D arrays of pixels in [0, 1].
        size: side of a block in pixels.
        m: number of patterns, at most size^2.
        steps: of Adam.
        seed: of the noise that is added to the atoms.

    Returns the operator for one block; ``resized`` gives that of whole images.

    Raises ``ValueError`` for arguments out of range and images smaller than a block.

    Example:
        >>> import numpy as np
        >>> image = np.add.outer(np.arange(8), np.arange(8) % 3) / 10
        >>> learned_patterns([image], 4, 3, steps=20).resized((8, 8)).shape
        (12, 64)
    """
    C, size, m = block_moments(images, size), integer("size", size, 1), integer("m", m, 1, size**2)
    D = dct_atoms(size)
    variances = np.einsum("ij,jk,ik->i", D, C, D)
    variances = np.maximum(variances, np.finfo(np.float32).eps * variances.max())  # blocks may lack a frequency
    atoms = D[np.argsort(-variances, kind="stable")[:m]]
    latents = _AMPLITUDE * atoms / np.abs(atoms).mean(-1, keepdims=True)
    latents = latents + _JITTER * np.random.RandomState(check_seed(seed)).standard_normal(latents.shape)
    unit = np.trace(C) / len(C)  # of the same size whatever the contrast of the images
    found = _searched(jnp.asarray(latents, jnp.float32), jnp.asarray(C / unit, jnp.float32), integer("steps", steps, 1))
    return BlockPatterns.of(np.asarray(found), (size, size), size, variances)


def hadamard_patterns(images: Iterable[Any], size: int = 16, m: int = 64) -> BlockPatterns:
    """The m rows of the 2-D Hadamard matrix with the largest second moments over the blocks of ``images``.

    Arguments as those of ``learned_patterns``; ``size`` is a power of two.
    """
    C, size, m = block_moments(images, size), integer("size", size, 1), integer("m", m, 1, size**2)
    line = np.asarray(hadamard_transform(np.eye(size)), np.float64)
    rows = np.kron(line, line)
    best = np.argsort(-np.einsum("ij,jk,ik->i", rows, C, rows), kind="stable")[:m]
    D = dct_atoms(size)
    return BlockPatterns.of(rows[best], (size, size), size, np.einsum("ij,jk,ik->i", D, C, D))


def block_moments(images: Iterable[Any], size: int) -> Float[np.ndarray, "pixels pixels"]:
    """Second moments of the ``size x size`` blocks of images about grey, averaged over flips and transposes.

    Raises ``ValueError`` for what is no 2-D image, and images smaller than a block.
    """
    size, count = integer("size", size, 1), 0
    total = np.zeros((size**2, size**2))
    for image in images:
        pixels = np.asarray(image, np.float64)
        if pixels.ndim != 2 or min(pixels.shape) < size:
            raise ValueError(f"images: expected 2-D arrays of {size} pixels or more a side, got shape {pixels.shape}")
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (size, size))
        blocks = windows[:: max(1, size // 2), :: max(1, size // 2)].reshape(-1, size * size) - GREY
        total, count = total + blocks.T @ blocks, count + len(blocks)
    if not count:
        raise ValueError("images: expected one image or more, got none")
    C = (total / count).reshape(size, size, size, size)
    for axes in (0, 2), (1, 3):
        C = (C + np.flip(C, axes)) / 2
    return ((C + C.transpose(1, 0, 3, 2)) / 2).reshape(size**2, size**2)


@functools.partial(jax.jit, static_argnames="steps")
def _searched(latents: Array, C: Array, steps: int) -> Float[Array, "patterns pixels"]:
    import optax  # takes a while, and no other operator needs it

    optimiser = optax.adam(optax.cosine_decay_schedule(_RATE, steps, 0.01))

    def step(carry: Any, _: None) -> tuple[Any, None]:
        latents, state, best, least = carry
        signs = jnp.where(latents < 0, -1.0, 1.0)
        loss, gradient = jax.value_and_grad(unexplained)(signs, C)
        best, least = jnp.where(loss < least, signs, best), jnp.minimum(loss, least)
        updates, state = optimiser.update(gradient, state)
        return (jnp.clip(latents + updates, -1, 1), state, best, least), None

    start = latents, optimiser.init(latents), jnp.where(latents < 0, -1.0, 1.0), jnp.inf
    (_, _, best, _), _ = jax.lax.scan(step, start, None, length=steps)
    return best
