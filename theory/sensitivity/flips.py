"""Sign flips of the stored entries of a network: given ones, random ones, and ones that hurt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import ROUNDING, norms
from unrollbit.theory.trajectory import recover, run


def copies(form: NormalForm) -> int:
    """Stored matrices: K, 1 if the network is tied, or as many as its layers use in turn."""
    return form.copies


def flipped(form: NormalForm, flips: Bool[np.ndarray, "copies m n"]) -> NormalForm:
    """The network with the signs of these entries of W flipped: (1, m, n) of the shared matrix of a tied network,
    (K, m, n) of an untied one; in ``lista`` of the matrix that acts on y.

    Raises ``ValueError`` for another shape and for an entry outside the mask, which is not stored and cannot flip.
    """
    flips = np.asarray(flips)
    wanted = (copies(form), *form.A.shape)
    if flips.shape != wanted or flips.dtype != bool:
        raise ValueError(f"flips: expected booleans of shape {wanted}, got {flips.dtype} of shape {flips.shape}")
    if flips[:, ~form.mask].any():
        raise ValueError("flips: expected stored entries only, got some outside the mask")
    G = form.G * np.where(flips, -1.0, 1.0).swapaxes(1, 2)[np.arange(form.depth) % copies(form)]
    H = form.H if form.form == "lista" else np.eye(form.A.shape[1]) - G @ form.A
    return replace(form, G=G, H=H)


def flips_between(form: NormalForm, other: NormalForm) -> Bool[np.ndarray, "K m n"]:
    """Which entries of each layer differ in sign; ``ValueError`` if the networks differ in anything else."""
    if (form.form, form.G.shape) != (other.form, other.G.shape):
        wanted, found = (form.form, form.G.shape), (other.form, other.G.shape)
        raise ValueError(f"expected a network of form and shape {wanted}, got {found}")
    flips = form.G * other.G < 0
    close = ROUNDING * np.abs(form.G).max()
    H = form.H if form.form == "lista" else np.eye(form.A.shape[1]) - other.G @ form.A
    same = (
        np.abs(np.where(flips, -form.G, form.G) - other.G).max() <= close
        and np.abs(H - other.H).max() <= ROUNDING * max(1.0, np.abs(H).max())  # H_k = I - G_k A: 1 is its unit
        and np.array_equal(form.A, other.A)
        and (form.form == "gd" or np.array_equal(form.theta, other.theta))
        and form.shrink is other.shrink
    )
    if not same:
        raise ValueError("expected the same network up to signs of stored entries, got one that differs otherwise")
    return flips.swapaxes(1, 2)


def random_flips(form: NormalForm, count: int, seed: int) -> Bool[np.ndarray, "copies m n"]:
    """``count`` flips of every stored matrix at random places, reproducible from ``seed``."""
    stored = np.flatnonzero(form.mask)
    _check_count(count, len(stored))
    random = np.random.RandomState(seed)
    flips = np.zeros((copies(form), form.mask.size), bool)
    for row in flips:
        row[random.choice(stored, count, replace=False)] = True
    return flips.reshape(-1, *form.A.shape)


def random_bit_errors(form: NormalForm, rate: float, draws: int, seed: int) -> Bool[np.ndarray, "draws copies m n"]:
    """Independent flips of every stored entry with probability ``rate``, reproducible from ``seed``."""
    if not 0 <= rate <= 1:
        raise ValueError(f"rate: expected a bit-error rate in [0, 1], got {rate}")
    random = np.random.RandomState(seed)
    flips = np.zeros((draws, copies(form), *form.A.shape), bool)
    for draw in flips:  # one at a time: random numbers take 64 times the memory of flips
        draw[:, form.mask] = random.random_sample((len(draw), int(form.mask.sum()))) < rate
    return flips


def flip_deviations(
    form: NormalForm, y: Float[np.ndarray, " m"], flips: Bool[np.ndarray, "draws copies m n"]
) -> Float[np.ndarray, " draws"]:
    """``||f^(y) - f(y)||`` for every draw of flips, all draws in one pass; what theorem N3 is measured by."""
    if flips.ndim != 4 or flips.shape[1:] != (copies(form), *form.A.shape):
        wanted = ("draws", copies(form), *form.A.shape)
        raise ValueError(f"flips: expected shape {wanted}, got {flips.shape}")
    y = np.asarray(y, np.float64)
    x = v = np.zeros((len(flips), form.A.shape[1]))
    for k in range(form.depth):
        G = form.G[k] * (1.0 - 2.0 * flips[:, k % copies(form)].swapaxes(1, 2))
        if form.form == "admm":
            q = 2 * x - v
            v = v - x + q + _each(G, y - q @ form.A.T)
            x = form.threshold(v, k + 1)
        elif form.form == "lista":
            x = form.threshold(x @ form.H[k].T + G @ y, k)
        else:
            x = form.threshold(x + _each(G, y - x @ form.A.T), k)
    return norms(x - recover(form, y))


def greedy_flips(
    form: NormalForm, y: Float[np.ndarray, " m"], count: int, *, rounds: int = 4
) -> list[Bool[np.ndarray, "copies m n"]]:
    """Sets of ``count`` flips of every stored matrix, chosen to move ``f(y)`` far.

    Three kinds: the rows of the largest ``|r_i|`` in one column; the best column with entries of one sign of
    ``S_ij r_i``, so that all of its flips push the same way; and, from the first-order effect
    ``-2 G_ji r_i b_j`` of a flip on the output along a direction d (``b`` is d carried back through the layers), the
    ``count`` best entries of every matrix for d, ``rounds`` times, each time with the direction of the deviation found.
    None is the worst case: a measurement, not a bound.
    """
    _check_count(count, int(form.mask.sum()))
    y = np.asarray(y, np.float64)
    path, clean = run(form, y), recover(form, y)
    driven = np.broadcast_to(y, path.r.shape) if form.form == "lista" else path.r
    effects = form.G.swapaxes(1, 2) * driven[:, :, None]  # (K, m, n): G_ji r_i
    seen = _per_copy(form, effects)
    large = np.stack([np.where(form.mask, np.abs(effect), -1.0) for effect in seen])
    found = [_one_column(form, large, count)]
    found += [_one_column(form, np.where(form.mask, sign * seen, -1.0), count) for sign in (1, -1)]
    for start in tuple(found):
        flips = start
        for _ in range(rounds):
            moved = recover(flipped(form, flips), y) - clean
            size = norms(moved)
            direction = moved / size if size else np.ones_like(moved) / np.sqrt(len(moved))
            gains = -2 * effects * _carried_back(form, path.u, direction)[:, None, :]
            flips = _largest(form, _per_copy(form, gains), count)
            found.append(flips)
    return found


def _each(G: Float[np.ndarray, "draws n m"], r: Float[np.ndarray, "draws m"]) -> Float[np.ndarray, "draws n"]:
    return np.matmul(G, r[..., None])[..., 0]


def _per_copy(form: NormalForm, effects: Float[np.ndarray, "K m n"]) -> Float[np.ndarray, "copies m n"]:
    """Sums over the layers that share a stored matrix."""
    return np.stack([effects[first :: copies(form)].sum(0) for first in range(copies(form))])


def _check_count(count: int, stored: int) -> None:
    if not 0 <= count <= stored:
        raise ValueError(f"count: expected 0 to {stored} flips of a matrix, got {count}")


def _largest(form: NormalForm, scores: Float[np.ndarray, "copies m n"], count: int) -> Bool[np.ndarray, "copies m n"]:
    """The ``count`` stored entries of the largest score in every matrix."""
    ranked = np.where(form.mask, scores, -np.inf).reshape(len(scores), -1)
    flips = np.zeros(ranked.shape, bool)
    np.put_along_axis(flips, np.argsort(-ranked, axis=1, kind="stable")[:, :count], True, axis=1)
    return flips.reshape(scores.shape)


def _one_column(
    form: NormalForm, scores: Float[np.ndarray, "copies m n"], count: int
) -> Bool[np.ndarray, "copies m n"]:
    """As ``_largest``, from the column whose best scores add up to most (and further columns when it is used up)."""
    tops = np.sort(np.maximum(scores, 0.0), axis=1)[:, ::-1][:, :count].sum(1)  # (copies, n)
    order = np.argsort(np.argsort(-tops, axis=1, kind="stable"), axis=1)
    above = 1 + 2 * np.abs(scores).max(axis=(1, 2), keepdims=True)
    return _largest(form, scores - above * order[:, None, :], count)


def _carried_back(
    form: NormalForm, u: Float[np.ndarray, "K_or_K_plus_1 n"], direction: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "K n"]:
    """Gradients of ``<direction, f>`` with respect to what every layer computes before its shrinkage."""
    passed = np.abs(u) > form.theta[:, None] if form.soft and form.form != "gd" else np.ones(u.shape, bool)
    admm = form.form == "admm"
    found = np.zeros((form.depth, len(direction)))
    b = passed[-1] * direction
    for k in reversed(range(form.depth)):
        found[k] = b
        back = form.H[k].T @ b
        if admm:
            b = np.where(passed[k], back, b - back)
        elif k:
            b = passed[k - 1] * back
    return found
