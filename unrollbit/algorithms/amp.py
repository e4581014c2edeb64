"""AMP, approximate message passing: ISTA with a memory that keeps the error Gaussian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array

from unrollbit.algorithms.base import (
    Algorithm,
    Form,
    LinearMap,
    Maps,
    OutsideNormalForm,
    Scalars,
    State,
    noise_level,
    zeros,
)
from unrollbit.algorithms.first_order import FirstOrder
from unrollbit.operators import LinearOperator
from unrollbit.scalars import ScalarSpec
from unrollbit.shrinkage import BernoulliGaussian, Shrinkage
from unrollbit.shrinkage.divergence import derivative


@dataclass(frozen=True)
class AMP(Algorithm):
    """The cell that recovers best::

        v_k     = y - A x_k + b_k v_{k-1}
        u_k     = x_k + step_k W^T v_k + momentum_k (x_k - x_{k-1})
        tau_k   = ||v_k|| / (sqrt(m) a)          per signal, per block for block-diagonal physics
        x_{k+1} = shrink(u_k, tau_k)

    ``onsager="learned"``: the memory b_k is a learned scalar (start: 0.2). ``onsager="computed"``: b_k is the
    Onsager term ``(n / m) <shrink'(u_{k-1})>`` (per block) and nothing is learned for it (separable shrinkages only).
    ``onsager="none"``: b_k = 0, ISTA with an adaptive threshold. Without ``momentum`` there is no momentum_k.
    W (m, n) starts at A; step at 1, momentum at 0. a is the RMS norm of the columns of A: with W normalised to
    ``diag(W^T A) = 1`` (the recipes see to it) the noise of u is that of v over a. The plain solver wants a = 1.

    Sources: Donoho, Maleki, Montanari 2009 (AMP); Borgerding, Schniter, Rangan 2017 (LAMP).
    """

    shrinkage: Shrinkage = BernoulliGaussian()
    onsager: Literal["learned", "computed", "none"] = "learned"
    momentum: bool = True

    def __post_init__(self) -> None:
        if self.onsager not in ("learned", "computed", "none"):
            raise ValueError(f"onsager: expected learned, computed or none, got {self.onsager!r}")
        if not isinstance(self.momentum, bool):
            raise ValueError(f"momentum: expected true or false, got {self.momentum!r}")
        if self.onsager == "computed" and not self.shrinkage.separable:
            raise ValueError(f"onsager: {type(self.shrinkage).__name__} is not separable; use onsager='learned'")

    def maps(self, A: LinearOperator) -> dict[str, LinearMap]:
        return {"W": LinearMap(A, A.mask(), transposed=True, unit_diagonal=True)}

    def scalars(self, A: LinearOperator) -> dict[str, ScalarSpec]:
        memory = {"memory": ScalarSpec(0.2)} if self.onsager == "learned" else {}
        momentum = {"momentum": ScalarSpec(0.0)} if self.momentum else {}
        return {"step": ScalarSpec(1.0, "positive"), **momentum, **memory, **self.shrinkage.scalars(1.0)}

    @property
    def form(self) -> Form:
        memory = "" if self.onsager == "none" else ", its memory on all residuals before"
        raise OutsideNormalForm(f"AMP: the noise level of the shrinkage depends on the residual{memory}")

    def first_order(self, s: Scalars) -> FirstOrder:
        memory = {"learned": s.get("memory"), "computed": None, "none": 0.0}[self.onsager]
        return FirstOrder.of(self.shrinkage, s, momentum=s.get("momentum", 0.0), memory=memory, level=s["column"])

    def constants(self, A: LinearOperator) -> dict[str, Array]:
        """a, the RMS norm of the columns of A."""
        return {"column": jnp.asarray(A.column_rms())}

    def init(self, y: Array, A: LinearOperator, s: Scalars) -> State:
        x = zeros(y, A.shape[1])
        state = {"x": x, "previous": x, "v": jnp.zeros_like(y)}
        return {**state, "onsager": jnp.zeros_like(y)} if self.onsager == "computed" else state

    def step(self, state: State, y: Array, A: LinearOperator, maps: Maps, s: Scalars) -> State:
        x = state["x"]
        v = y - A(x)
        if self.onsager != "none":
            v = v + (s["memory"] if self.onsager == "learned" else state["onsager"]) * state["v"]
        u = x + s["step"] * maps["W"].T(v)
        if self.momentum:
            u = u + s["momentum"] * (x - state["previous"])
        tau = noise_level(v, A) / s["column"]
        following = {"x": self.shrinkage(u, s, tau), "previous": x, "v": v}
        if self.onsager == "computed":
            (m, n), blocks = A.shape, A.mask().blocks
            slopes = derivative(self.shrinkage, u, s, tau)
            means = jnp.mean(slopes.reshape(*slopes.shape[:-1], blocks, n // blocks), axis=-1)
            following["onsager"] = (n / m) * jnp.repeat(means, m // blocks, axis=-1)
        return following
