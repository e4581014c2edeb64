"""Signs of low coherence with the physics, by coordinate descent: the one-bit counterpart of ALISTA's matrix."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.algorithms.base import LinearMap
from unrollbit.operators import LinearOperator
from unrollbit.weights.one_bit import OneBit
from unrollbit.weights.scales import Scale
from unrollbit.weights.surrogates import Surrogate

_TOLERANCE = 1e-6  # relative decrease below which a column counts as a local minimum
_GREEDY_LIMIT = 10_000
_LARGEST_MARGIN = 100.0  # a flip that makes a column orthogonal to its unknown costs infinite energy


def plane_scales(planes: int) -> tuple[float, ...]:
    """Scales of jointly designed planes: powers of two, so that the entries of W are equally spaced."""
    return tuple(2.0 ** (planes - 1 - p) for p in range(planes))


def coherence_energy(W: Float[Array, "m n"], A: Float[Array, "m n"]) -> Float[Array, " n"]:
    """``E_j = w_j^T A A^T w_j / (w_j^T a_j)^2 - 1``: energy that other unknowns leak into unknown j. Scale-free."""
    projected = A.T @ W
    return jnp.sum(projected**2, axis=0) / jnp.sum(W * A, axis=0) ** 2 - 1.0


def design_signs(
    A: Float[Array, "m n"], *, planes: int = 1, steps: int = 400, temperature: float = 0.1, seed: int = 0
) -> Float[Array, "planes m n"]:
    """Signs ``S_p`` of ``W = sum_p c_p S_p`` that minimise the coherence energy per column; c from ``plane_scales``.

    All columns in parallel, one flip per column and step: ``steps`` annealed ones from ``sign(A)`` (and the signs of
    its residuals), then greedy ones to a local minimum. Returns latents: sign times flip margin (the increase of the
    energy when this sign flips, >= 0 at a local minimum), scaled to mean magnitude 1.

    Raises ``ValueError`` unless ``A`` is a finite matrix, ``planes >= 1`` and ``steps >= 0``.

    Example:
        >>> from unrollbit.operators import gaussian
        >>> A = gaussian(32, 64).dense()
        >>> S = jnp.sign(design_signs(A)[0])
        >>> bool(coherence_energy(S, A).mean() < coherence_energy(jnp.sign(A), A).mean())
        True
    """
    if planes < 1 or steps < 0:
        raise ValueError(f"design_signs: expected planes >= 1 and steps >= 0, got {planes} and {steps}")
    A = jnp.asarray(A, jnp.float32)
    if A.ndim != 2 or not bool(jnp.isfinite(A).all()):
        raise ValueError(f"design_signs: expected a finite matrix (m, n), got shape {A.shape}")
    return _design(A, jax.random.key(seed), planes, steps, temperature)


@partial(jax.jit, static_argnums=(2, 3))
def _design(A: Array, key: Array, planes: int, steps: int, temperature: float) -> Array:
    m, n = A.shape
    scales = plane_scales(planes)
    gram = A @ A.T
    diagonal = jnp.diag(gram)[:, None]
    columns = jnp.arange(n)
    smallest = 1e-4 * jnp.sum(A * A, axis=0)

    def weights(S: Array) -> Array:
        return sum((scales[p] * S[p] for p in range(1, planes)), scales[0] * S[0])

    def projections(S: Array) -> tuple[Array, Array, Array]:
        W = weights(S)
        P = gram @ W
        return P, jnp.sum(W * P, axis=0), jnp.sum(W * A, axis=0)

    def energies(S: Array, P: Array, q: Array, d: Array) -> Array:
        """Energy of every column after each single flip, (planes, m, n)."""
        flipped = []
        for p in range(planes):  # flipping S_p changes an entry of W by -2 c_p S_p
            change = -2.0 * scales[p] * S[p]
            numerator = q + 2.0 * change * P + (2.0 * scales[p]) ** 2 * diagonal
            square = (d + change * A) ** 2
            flipped.append(jnp.where(square > smallest, numerator / square, jnp.inf))  # 0 / 0: rounding alone
        return jnp.stack(flipped)

    def flip(carry: tuple[Array, ...], choice: Array, accept: Array) -> tuple[Array, ...]:
        S, P, q, d = carry
        p, row = choice // m, choice % m
        size = jnp.asarray(scales)[p]
        change = jnp.where(accept, -2.0 * size * S[p, row, columns], 0.0)
        q = q + 2.0 * change * P[row, columns] + change**2 * diagonal[row, 0]
        S = S.at[p, row, columns].multiply(jnp.where(accept, -1.0, 1.0))
        return S, P + change * gram[row].T, q, d + change * A[row, columns]

    def anneal(t: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
        step_key = jax.random.fold_in(key, t)
        noise = jax.random.uniform(step_key, (planes * m, 1), jnp.float32)  # one vector, shifted per column: as good
        shift = jax.random.uniform(jax.random.fold_in(step_key, 1), (1, n), jnp.float32)
        level = temperature * (1.0 - t / max(steps, 1))
        perturbed = energies(*carry).reshape(planes * m, n) + level * ((noise + shift) % 1.0)
        return flip(carry, jnp.argmin(perturbed, axis=0), jnp.ones(n, bool))

    def descend(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        state, _, count = carry
        candidates = energies(*state).reshape(planes * m, n)
        current = state[2] / state[3] ** 2
        choice = jnp.argmin(candidates, axis=0)
        better = candidates[choice, columns] < current * (1.0 - _TOLERANCE)
        return flip(state, choice, better), jnp.any(better), count + 1

    residual, start = A, []
    for p in range(planes):  # the greedy planes of A, with scales in the ratio of plane_scales
        start.append(jnp.where(residual >= 0, 1.0, -1.0))
        unit = jnp.mean(jnp.abs(A)) / scales[0]
        residual = residual - unit * scales[p] * start[-1]
    S = jnp.stack(start)
    S = jax.lax.fori_loop(0, steps, anneal, (S, *projections(S)))[0]
    carry = ((S, *projections(S)), jnp.asarray(True), jnp.asarray(0))  # recomputed: rounding drifts
    (S, *_), _, _ = jax.lax.while_loop(lambda c: c[1] & (c[2] < _GREEDY_LIMIT), descend, carry)
    P, q, d = projections(S)
    margin = jnp.nan_to_num(energies(S, P, q, d) - q / d**2, nan=0.0, posinf=_LARGEST_MARGIN)
    margin = jnp.clip(margin, 1e-6, _LARGEST_MARGIN)
    return S * margin / jnp.mean(margin, axis=(1, 2), keepdims=True)


def designed(
    linear_map: LinearMap,
    physics: LinearOperator,
    copies: int = 1,
    *,
    planes: int = 1,
    scale: Scale = "none",
    steps: int = 400,
    seed: int = 0,
    surrogate: Surrogate | None = None,
) -> OneBit:
    """Factory of one-bit weights with designed signs: each copy from its own seed, block by block where A has blocks.

    With one plane no scale is needed inside ``normalised``; with several, ``scale="global"`` lets their ratio train.
    """
    if planes > 1 and scale == "none":
        raise ValueError(f"designed: {planes} planes need scales (powers of two); use scale='global'")
    structure = linear_map.structure
    if not linear_map.transposed or structure.core_mask is not None:
        raise ValueError("designed: signs are designed for maps of the shape of A, dense or in blocks; use OneBit here")
    core = np.asarray(structure.gather(physics.dense()))
    blocks = core.reshape(-1, *core.shape[-2:])
    temperature = 0.1 if blocks.shape[-1] < 1024 else 0.05
    latents = []
    for copy in range(copies):
        designs = [
            design_signs(block, planes=planes, steps=steps, temperature=temperature, seed=seed + 7919 * copy + b)
            for b, block in enumerate(blocks)
        ]
        latents.append(jnp.stack(designs, axis=1).reshape(planes, *structure.core_shape))
    scales = jnp.asarray(plane_scales(planes))
    if scale in ("row", "column"):
        scales = scales[:, None]
    return OneBit(jnp.stack(latents), scales, structure, scale, surrogate)
