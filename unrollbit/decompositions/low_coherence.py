"""Signs of low coherence with the physics, by coordinate descent: the one-bit counterpart of ALISTA's matrix."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.packed_operators.planes import plane_scales, uniform_signs

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
    design = Design.of(A, planes, around, noise, steps)
    return design.run(jax.random.key(seed), steps, temperature), np.asarray(design.scales)


def design_cores(
    core: Float[np.ndarray, "*blocks m n"],
    copies: int,
    *,
    planes: int,
    around: bool,
    noise: float,
    steps: int,
    seed: int,
) -> tuple[Float[Array, "copies planes ..."], Float[Array, "copies planes"]]:
    """``design_signs`` of a matrix, or of each of its blocks, ``copies`` times from seeds of their own: latents, and
    scales that all blocks share.

    B is the matrix itself (``around``) or 0; there, scales are such that ``w_j^T a_j = 1`` in the mean, as algorithms
    expect.
    """
    blocks = core.reshape(-1, *core.shape[-2:])
    temperature = 0.1 if core.shape[-1] < 1024 else 0.05
    designs = [Design.of(block, planes, block if around else None, noise, steps) for block in blocks]
    mean_scales = np.mean([np.asarray(design.scales, np.float64) for design in designs], axis=0)
    latents, scales = [], []
    for copy in range(copies):
        keys = [jax.random.key(seed + 7919 * copy + b) for b in range(len(blocks))]
        found = [design.run(key, steps, temperature) for design, key in zip(designs, keys, strict=True)]
        latents.append(jnp.stack(found, axis=1).reshape(planes, *core.shape))
        units = mean_scales
        if not around:
            signs = np.where(np.asarray(latents[-1]) >= 0, 1.0, -1.0)
            units = units / float(jnp.mean(jnp.asarray(np.tensordot(units, signs, 1) * core).sum(-2)))
        scales.append(units)
    return jnp.stack(latents), jnp.asarray(np.stack(scales))


class Design(NamedTuple):
    """What every seed starts from: A and B in units of a power of two near the column norm of A, the signs of the
    uniform quantiser, the scales of the planes in the units of B, and the noise in those of A^2.
    """

    A: Float[Array, "m n"]
    base: Float[Array, "m n"]
    signs: Float[Array, "planes m n"]
    scales: Float[Array, " planes"]
    unit: float
    noise: float

    @classmethod
    def of(
        cls, A: Array | np.ndarray, planes: int, around: Array | np.ndarray | None, noise: float, steps: int
    ) -> Design:
        """Checks the arguments; see ``design_signs``."""
        if planes < 1 or steps < 0 or not 0 <= noise < np.inf:
            raise ValueError(
                f"design_signs: expected planes >= 1, steps >= 0 and noise >= 0, got {planes}, {steps} and {noise}"
            )
        matrix = np.asarray(A, np.float64)
        if matrix.ndim != 2 or not np.isfinite(matrix).all():
            raise ValueError(f"design_signs: expected a finite matrix (m, n), got shape {matrix.shape}")
        base = np.zeros_like(matrix) if around is None else np.asarray(around, np.float64)
        if base.shape != matrix.shape:
            raise ValueError(f"design_signs: expected around of the shape {matrix.shape} of A, got {base.shape}")
        size = np.linalg.norm(matrix) / matrix.shape[1] ** 0.5
        unit = float(np.exp2(np.round(np.log2(size)))) if size > 0 else 1.0
        matrix, base, noise = matrix / unit, base / unit, noise / unit**2
        signs, step = uniform_signs(_lacking(matrix, None if around is None else base, noise), planes)
        scales = np.asarray(plane_scales(planes)) * (1.0 if around is None else unit * step.item())
        A, B, S, c = (jnp.asarray(array, jnp.float32) for array in (matrix, base, signs, scales))
        return cls(A, B, S, c, 1.0 if around is None else unit, noise)

    def run(self, key: Array, steps: int, temperature: float) -> Float[Array, "planes m n"]:
        """The designed latents of one seed."""
        scales = self.scales / self.unit
        return _design(self.A, self.base, self.signs, scales, key, steps, temperature, self.noise)


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
