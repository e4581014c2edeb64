"""The class of networks that a cover covers: one physics, free signs, bounded real scalars."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import at_most, spectral_norm


@dataclass(frozen=True)
class NetworkClass:
    """ISTA networks ``x_{k+1} = S_{theta_k}(x_k + gamma_k (M o S_k)^T (y - A x_k))`` with ``0 <= gamma_k <=
    gamma_max``, ``0 <= theta_k <= theta_max``, ``||y|| <= Y``.

    Args:
        depth, n: layers K and unknowns.
        entries: P of one matrix.
        tied: one sign matrix for all layers.
        beta: ``sqrt(max row nnz x max column nnz of M)``, at least the norm of every ``M o S``.
        norm: ``||A||``.
        cap: declared limit of ``||H_k||`` for all members; None: ``1 + gamma_max beta ||A||``.
    """

    depth: int
    n: int
    entries: int
    tied: bool
    beta: float
    norm: float
    Y: float
    gamma_max: float
    theta_max: float
    cap: float | None = None

    def __post_init__(self) -> None:
        limits = (self.Y, self.gamma_max, self.theta_max, 1.0 if self.cap is None else self.cap)
        if not all(math.isfinite(limit) and limit >= 0 for limit in limits) or self.Y == 0 or self.gamma_max == 0:
            raise ValueError(f"NetworkClass: expected Y, gamma_max > 0, theta_max, cap >= 0, finite; got {limits}")

    @classmethod
    def of(
        cls, form: NormalForm, *, Y: float, gamma_max: float, theta_max: float, cap: float | None = None
    ) -> NetworkClass:
        """The class that a network belongs to by its physics, mask, depth and tying."""
        beta = math.sqrt(form.mask.sum(1).max() * form.mask.sum(0).max())
        shared = form.tied or form.depth == 1
        norm = float(spectral_norm(form.A))
        return cls(form.depth, form.A.shape[1], int(form.mask.sum()), shared, beta, norm, Y, gamma_max, theta_max, cap)

    def membership(self, form: NormalForm) -> dict[str, bool]:
        """Whether a network is a member, in words."""
        gammas = form.magnitudes
        signs = np.sign(form.G)
        found = {
            "the network is ista with the soft threshold": form.form == "ista" and form.soft,
            "its matrices are one-bit with a single magnitude per layer": gammas is not None,
            "one sign matrix serves all layers, or every layer has its own": not self.tied
            or bool((signs == signs[:1]).all()),
            "gamma_k <= gamma_max": gammas is not None and bool(at_most(gammas, self.gamma_max).all()),
            "theta_k <= theta_max": bool(at_most(form.theta, self.theta_max).all()),
        }
        if self.cap is not None:
            found["||H_k|| <= cap"] = bool(at_most(form.H_norms, self.cap).all())
        return found

    @property
    def growth(self) -> float:
        """h, the limit of ``||H_k||``."""
        return 1 + self.gamma_max * self.beta * self.norm if self.cap is None else self.cap

    @property
    def _spacing(self) -> float:
        """Cells of a grid may be twice as wide where their centres are members: not under a cap."""
        return 2.0 if self.cap is None else 1.0

    def gains(self) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
        """``(g_k, s_k)``: ``||f - f'|| <= sum_k g_k |gamma_k - gamma'_k| + s_k |theta_k - theta'_k|`` for equal signs.

        ``X_0 = 0, X_{k+1} = h X_k + gamma_max beta Y``, ``g_k = h^{K-1-k} beta (Y + ||A|| X_k)``, ``s_k = h^{K-1-k}
        sqrt(n)``.
        """
        h, X, size = self.growth, 0.0, []
        with np.errstate(over="ignore"):  # a gain beyond float64 is infinite
            for _ in range(self.depth):
                size.append(X)
                X = h * X + self.gamma_max * self.beta * self.Y
            later = h ** np.arange(self.depth - 1, -1, -1.0)
            return later * self.beta * (self.Y + self.norm * np.array(size)), later * math.sqrt(self.n)

    def one_bit_nats(self, eps: float) -> float:
        """Size (log) of an eps-cover: ``b_s ln 2 + sum_k ln ceil(..)`` of the grids of gamma_k and theta_k."""
        stored = self.entries * (1 if self.tied else self.depth)
        g, _ = self.gains()
        gammas = np.log(self._cells(self.gamma_max, g, eps)).sum()
        return stored * math.log(2) + float(gammas) + self._threshold_nats(eps)

    def full_precision_nats(self, eps: float) -> float:
        """The same for untied real matrices of the same mask and norms, entries of ``gamma V`` in [-gamma_max,
        gamma_max].
        """
        g, _ = self.gains()
        matrices = self.entries * np.log(self._cells(2 * self.gamma_max, g, eps)).sum()
        return float(matrices) + self._threshold_nats(eps)

    def one_bit_is_smaller(self, eps: float) -> bool:
        """The condition under which the one-bit cover is never larger than the full-precision one, layer by layer."""
        g, _ = self.gains()
        return bool((self._ratio(self.gamma_max, g, eps) > 0.5).all()) and self.entries >= 2

    def _threshold_nats(self, eps: float) -> float:
        _, s = self.gains()
        return float(np.log(self._cells(self.theta_max, s, eps)).sum())

    def _ratio(self, limit: float, gains: Float[np.ndarray, " K"], eps: float) -> Float[np.ndarray, " K"]:
        with np.errstate(over="ignore"):
            return limit * gains * 2 * self.depth / (self._spacing * eps)

    def _cells(self, limit: float, gains: Float[np.ndarray, " K"], eps: float) -> Float[np.ndarray, " K"]:
        """Cells of each grid: 2 K grids share eps."""
        return np.ceil(np.maximum(1.0, self._ratio(limit, gains, eps)))
