"""Signs of low coherence with the physics, by coordinate descent: the one-bit counterpart of ALISTA's matrix."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.algorithms.base import LinearMap
from unrollbit.operators import LinearOperator, Scaled
from unrollbit.packed_operators.planes import plane_scales, uniform_signs
from unrollbit.weights.one_bit import OneBit
from unrollbit.weights.scales import Scale
from unrollbit.weights.surrogates import Surrogate

_RESOLUTION = 1e-12  # squared singular values below this share of the largest are rounding
_TOLERANCE = 1e-6  # relative decrease below which a column counts as a local minimum
_GREEDY_LIMIT = 10_000
_LARGEST_MARGIN = 100.0  # a flip that makes a column orthogonal to its unknown costs infinite energy


def coherence_energy(W: Float[Array, "m n"], A: Float[Array, "m n"], noise: float = 0.0) -> Float[Array, " n"]:
    """``E_j = w_j^T (A A^T + noise I) w_j / (w_j^T a_j)^2 - 1``: energy of what is added to unknown j. Scale-free.

    Other unknowns of unit mean squared error add ``w_j^T A A^T w_j``; measurement noise of variance ``noise``, in the
    same units, adds ``noise w_j^T w_j``.
    """
    added = jnp.sum((A.T @ W) ** 2, axis=0) + noise * jnp.sum(W**2, axis=0)
    return added / jnp.sum(W * A, axis=0) ** 2 - 1.0


def design_signs(
    A: Float[Array, "m n"],
    *,
    planes: int = 1,
    around: Float[Array, "m n"] | None = None,
    noise: float = 0.0,
    steps: int = 400,
    temperature: float = 0.1,
    seed: int = 0,
) -> tuple[Float[Array, "planes m n"], Float[np.ndarray, " planes"]]:
    """Signs ``S_p`` of ``W = B + sum_p c_p S_p`` that minimise the coherence energy per column, and the scales c_p.

    B is ``around``, or 0 if None. c are powers of two times a unit: 1 for B = 0 (the energy is scale-free), else the
    best for what B lacks of the matrix of least energy, ``t (A A^T + noise I)^+ A - B``, t such that B is closest to
    it. ``noise`` is the noise variance over the mean squared error per unknown (see ``coherence_energy``).

    All columns in parallel, one flip per column and step: ``steps`` annealed ones from the uniform quantiser of
    what B lacks, then greedy ones to a local minimum. Returns latents: sign times flip margin (the increase of the
    energy when this sign flips, >= 0 at a local minimum), scaled to mean magnitude 1.

    Raises ``ValueError`` unless ``A`` is a finite matrix, ``around`` one of its shape, ``planes >= 1``, ``steps >= 0``,
    ``noise >= 0``, and if a column of ``around`` is orthogonal to that of ``A`` or opposite.

    Example:
        >>> from unrollbit.operators import gaussian
        >>> A = gaussian(32, 64).dense()
        >>> S = jnp.sign(design_signs(A)[0][0])
        >>> bool(coherence_energy(S, A).mean() < coherence_energy(jnp.sign(A), A).mean())
        True
    """
    arrays = _start(A, planes, around, noise, steps)
    return _design(*arrays, jax.random.key(seed), steps, temperature, noise), np.asarray(arrays[-1])


def _start(
    A: Array | np.ndarray, planes: int, around: Array | np.ndarray | None, noise: float, steps: int
) -> tuple[Array, Array, Array, Array]:
    """What every seed starts from: A, B, the signs of the uniform quantiser and the scales. Checks the arguments."""
    if planes < 1 or steps < 0 or not 0 <= noise < np.inf:
        raise ValueError(
            f"design_signs: expected planes >= 1, steps >= 0 and noise >= 0, got {planes}, {steps} and {noise}"
        )
    A = jnp.asarray(A, jnp.float32)
    if A.ndim != 2 or not bool(jnp.isfinite(A).all()):
        raise ValueError(f"design_signs: expected a finite matrix (m, n), got shape {A.shape}")
    base = jnp.zeros_like(A) if around is None else jnp.asarray(around, jnp.float32)
    if base.shape != A.shape:
        raise ValueError(f"design_signs: expected around of the shape {A.shape} of A, got {base.shape}")
    lacking = _lacking(np.asarray(A, np.float64), None if around is None else np.asarray(base, np.float64), noise)
    signs, unit = uniform_signs(lacking, planes)
    scales = np.asarray(plane_scales(planes)) * (1.0 if around is None else unit.item())
    return A, base, jnp.asarray(signs), jnp.asarray(scales)


def _lacking(A: np.ndarray, base: np.ndarray | None, noise: float) -> np.ndarray:
    """``t w - b`` per column, w of least energy, t its fit to b in the norm of the energy; w for b = 0."""
    best = np.linalg.pinv(A @ A.T + noise * np.eye(len(A)), rcond=_RESOLUTION, hermitian=True) @ A
    if base is None:
        return best
    products = (A * base).sum(0)
    if not (products > 0).all():
        raise ValueError("design_signs: expected around with a_j^T b_j > 0 for every unknown j; None stands for zero")
    return products / np.maximum((A * best).sum(0), 1e-12) * best - base


@partial(jax.jit, static_argnums=(5,))
def _design(
    A: Array, base: Array, start: Array, scales: Array, key: Array, steps: int, temperature: float, noise: float
) -> Array:
    (planes, m, n) = start.shape
    gram = A @ A.T + noise * jnp.eye(m)
    diagonal = jnp.diag(gram)[:, None]
    columns = jnp.arange(n)
    smallest = 1e-4 * jnp.sum(A * A, axis=0)

    def weights(S: Array) -> Array:
        return base + sum((scales[p] * S[p] for p in range(1, planes)), scales[0] * S[0])

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
        size = scales[p]
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

    S = jax.lax.fori_loop(0, steps, anneal, (start, *projections(start)))[0]
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
    around_physics: bool = False,
    noise: float = 0.0,
    steps: int = 400,
    seed: int = 0,
    surrogate: Surrogate | None = None,
) -> OneBit:
    """Factory of one-bit weights with designed signs: each copy from its own seed, block by block where A has blocks.

    With one plane no scale is needed inside ``normalised``; with several, ``scale="global"`` lets their ratio train.
    ``around_physics`` designs the signs of V in ``W = A + V``, for use inside ``anchored``.
    """
    if (planes > 1 or around_physics) and scale == "none":
        raise ValueError(
            f"designed: {planes} planes{' around the physics' * around_physics} need scales; use scale='global'"
        )
    structure = linear_map.structure
    if not linear_map.transposed or structure.core_mask is not None or structure.shared:
        raise ValueError("designed: signs are designed for maps of the shape of A, dense or in blocks; use OneBit here")
    if around_physics and not _starts_at(linear_map.initial, physics):
        raise ValueError("designed: signs around the physics are for maps that start there; use OneBit here")
    core = np.asarray(physics.core(structure))
    blocks = core.reshape(-1, *core.shape[-2:])
    temperature = 0.1 if core.shape[-1] < 1024 else 0.05
    starts = [_start(block, planes, block if around_physics else None, noise, steps) for block in blocks]
    mean_scales = np.mean([np.asarray(start[-1], np.float64) for start in starts], axis=0)
    latents, scales = [], []
    for copy in range(copies):
        keys = [jax.random.key(seed + 7919 * copy + b) for b in range(len(blocks))]
        designs = [_design(*start, key, steps, temperature, noise) for start, key in zip(starts, keys, strict=True)]
        latents.append(jnp.stack(designs, axis=1).reshape(planes, *structure.core_shape))
        units = mean_scales
        if not around_physics:  # the energy is scale-free: w_j^T a_j = 1 in the mean, as algorithms expect
            signs = np.where(np.asarray(latents[-1]) >= 0, 1.0, -1.0)
            products = structure.column_sum(jnp.asarray(np.tensordot(units, signs, 1) * core))
            units = units / float(jnp.mean(products))
        scales.append(units)
    stacked = jnp.asarray(np.stack(scales))  # (copies, planes)
    lines = stacked.mean(0) if scale == "global" else stacked[..., None] if scale in ("row", "column") else stacked
    return OneBit(jnp.stack(latents), lines, structure, scale, surrogate)


def _starts_at(initial: LinearOperator, physics: LinearOperator) -> bool:
    """Whether a map starts at the physics, or at its multiple that ``anchored`` hands to what it wraps."""
    return initial is physics or (isinstance(initial, Scaled) and initial.operator is physics)
