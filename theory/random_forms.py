"""Random networks in normal form: what theorems are tried on before trained ones."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from unrollbit.algorithms import Form
from unrollbit.theory.normal_form import NormalForm


def random_form(
    form: Form,
    seed: int,
    *,
    m: int = 16,
    n: int = 24,
    depth: int = 6,
    tied: bool = False,
    one_bit: bool = True,
    flips: float = 0.1,
    density: float = 1.0,
    gain: float = 1.0,
    threshold: float = 0.05,
) -> NormalForm:
    """A random network: Gaussian A (m, n) of unit columns, W one-bit (signs of A of which a share ``flips`` is flipped,
    times one scale) or Gaussian around A, steps near the largest that contracts a gradient step, thresholds near
    ``threshold``.

    ``density`` is the share of entries that the mask of A and W keeps; ``gain`` multiplies the steps. Reproducible
    from ``seed``.
    """
    random = np.random.RandomState(seed)
    mask = random.rand(m, n) < density
    mask[np.arange(n) % m, np.arange(n)] = True  # no empty column
    A = random.randn(m, n) * mask
    A /= np.linalg.norm(A, axis=0)
    copies = 1 if tied else depth
    if one_bit:
        signs = np.where(A >= 0, 1.0, -1.0) * np.where(random.rand(copies, m, n) < flips, -1.0, 1.0)
        W = np.abs(A[mask]).mean() * signs * mask
    else:
        W = (A + flips * random.randn(copies, m, n) * np.abs(A[mask]).mean()) * mask
    steps = gain * (0.6 + 0.6 * random.rand(depth)) / np.linalg.norm(W, 2, axis=(1, 2)) / np.linalg.norm(A, 2)
    theta = threshold * (0.5 + random.rand(depth + (form == "admm")))
    H = None
    if form == "lista":
        B = (random.rand(depth, n, n) < 0.5) * 2.0 - 1.0
        G = steps[:, None, None] * np.broadcast_to(W, (depth, m, n)).swapaxes(1, 2)
        H = (0.7 + 0.3 * random.rand(depth))[:, None, None] * np.eye(n) - 0.7 * G @ A + 0.1 / np.sqrt(n) * B
    return NormalForm.from_arrays(form, A, W, steps, theta, H=H, mask=mask)


def sparse_signals(
    form: NormalForm, seed: int, count: int, *, sparsity: int = 3, noise: float = 0.0
) -> tuple[Float[np.ndarray, "count n"], Float[np.ndarray, "count m"], Float[np.ndarray, "count m"]]:
    """Signals of ``sparsity`` non-zeros N(0, 1), their measurements ``y = A x + e`` and ``e``, of N(0, noise^2)."""
    random = np.random.RandomState(seed)
    m, n = form.A.shape
    x = np.zeros((count, n))
    for row in x:
        row[random.choice(n, min(sparsity, n), replace=False)] = random.randn(min(sparsity, n))
    e = noise * random.randn(count, m)
    return x, x @ form.A.T + e, e
