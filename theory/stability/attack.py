"""Worst-case perturbations of the measurements: what the stability theorems are measured against."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import norms
from unrollbit.theory.stability.differences import differences
from unrollbit.theory.trajectory import asymptotic_jacobian, jacobians, run

_LENGTHS = np.array([1.0, 0.5, 0.8, 1.25, 2.0])  # by which the length of a perturbation is tried


def adversarial(
    form: NormalForm, y: Float[np.ndarray, " m"], radius: float, *, steps: int = 30, starts: int = 8, seed: int = 0
) -> Float[np.ndarray, "P m"]:
    """Perturbations a of at most ``radius`` for which ``||f(y + a) - f(y)|| / ||a||`` is large, the best first.

    Ascent from P = ``starts`` perturbations: the top right singular vectors of the Jacobian at y and of the one without
    thresholds, of both signs, and random ones of lengths radius, radius / 2, ... Each step turns a towards
    ``J^T (f(y + a) - f(y))``, J the Jacobian at y + a (with a full turn: power iteration on J^T J), tries other
    lengths, and is kept where the quotient rises; the turn is halved where it does not. For shrinkages other than the
    soft threshold, whose derivative is not known, each step tries a finite difference along a random direction
    instead. What it finds is a lower bound of the local Lipschitz constant, never more.

    Args:
        form: the network.
        y: the unperturbed measurements.
        radius: largest norm of a perturbation.
        steps: steps of ascent.
        starts: how many perturbations.
        seed: seed of the random starts and directions.

    Raises:
        ValueError: y of a wrong shape, a radius that is not positive, or no steps or starts.

    Example:
        >>> from unrollbit.theory.random_forms import random_form
        >>> form, y = random_form("ista", seed=0), np.ones(16)
        >>> a = adversarial(form, y, radius=0.1, steps=5, starts=3)
        >>> a.shape, bool((np.linalg.norm(a, axis=1) <= 0.1 * (1 + 1e-12)).all())
        ((3, 16), True)
    """
    y = np.asarray(y, np.float64)
    m = form.A.shape[0]
    if y.shape != (m,):
        raise ValueError(f"adversarial: expected measurements ({m},), got shape {y.shape}")
    if not (0 < radius < np.inf) or steps < 1 or starts < 1:
        raise ValueError(f"adversarial: expected radius > 0, steps >= 1, starts >= 1; got {radius}, {steps}, {starts}")
    random = np.random.RandomState(seed)
    known = [asymptotic_jacobian(form)]
    if form.soft:
        known.insert(0, jacobians(form, y)[-1])
    top = np.stack([np.linalg.svd(J)[2][0] for J in known])
    a = _unit(np.concatenate([top, -top, random.standard_normal((starts, m))])[:starts])
    a = a * radius * 2.0 ** -(np.arange(starts) - 2 * len(known)).clip(0, 8)[:, None]
    turn = np.ones((starts, 1))
    best = _gain(form, y, a)
    for _ in range(steps):
        length = norms(a)[:, None]
        towards = _unit(_ascent(form, y, a)) if form.soft else _unit(random.standard_normal(a.shape))
        if not form.soft:  # up or down the random direction, whichever a finite difference says
            h = 1e-4 * length
            up, down = (_unit(a + sign * h * towards) * length for sign in (1, -1))
            towards = towards * np.where(_gain(form, y, up) >= _gain(form, y, down), 1.0, -1.0)[:, None]
        turned = _unit((1 - turn) * _unit(a) + turn * towards)
        tries = turned * np.minimum(_LENGTHS[:, None, None] * length, radius)
        gains = _gain(form, y, tries.reshape(-1, m)).reshape(len(_LENGTHS), starts)
        chosen = gains.argmax(axis=0)
        better = gains.max(axis=0) > best
        a = np.where(better[:, None], tries[chosen, np.arange(starts)], a)
        best = np.where(better, gains.max(axis=0), best)
        turn = np.where(better[:, None], np.minimum(1.5 * turn, 1.0), turn / 2)
    return a[np.argsort(-best, kind="stable")]


def _gain(form: NormalForm, y: np.ndarray, a: Float[np.ndarray, "P m"]) -> Float[np.ndarray, " P"]:
    length = norms(a)
    return norms(differences(form, y, y + a)[-1]) / np.where(length > 0, length, np.inf)  # a radius may underflow


def _ascent(form: NormalForm, y: np.ndarray, a: Float[np.ndarray, "P m"]) -> Float[np.ndarray, "P m"]:
    """``J^T (f(y + a) - f(y))`` at every perturbation, J the Jacobian at y + a: the layers in reverse."""
    g = differences(form, y, y + a)[-1]
    u = run(form, y + a).u
    passed = np.ones(u.shape, bool) if form.form == "gd" else np.abs(u) > form.theta[:, None, None]
    found = np.zeros(a.shape)
    if form.form == "admm":
        g = passed[-1] * g
        for k in reversed(range(form.depth)):
            found += g @ form.G[k]
            back = g @ form.H[k]
            g = g - back + passed[k] * (2 * back - g)
    else:
        for k in reversed(range(form.depth)):
            g = passed[k] * g
            found += g @ form.G[k]
            g = g @ form.H[k]
    return found


def _unit(vectors: Float[np.ndarray, "P m"]) -> Float[np.ndarray, "P m"]:
    lengths = norms(vectors)[:, None]
    return np.divide(vectors, lengths, out=np.eye(1, vectors.shape[1]).repeat(len(vectors), 0), where=lengths > 0)
