"""ISTA, the iterative shrinkage-thresholding algorithm, in three parametrisations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.algorithms.analytic import coherence_matrix, coherent_step
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
from unrollbit.operators import Composition, LinearOperator, Scaled
from unrollbit.pytrees import known
from unrollbit.scalars import ScalarSpec
from unrollbit.shrinkage import Shrinkage, Soft


@dataclass(frozen=True)
class Proximal(Algorithm):
    """Algorithms for ``min_x ||y - A x||^2 / 2 + lambda g(x)``, where the shrinkage is the proximal map of ``g``."""

    shrinkage: Shrinkage = Soft()
    regularisation: float = 0.1

    def __post_init__(self) -> None:
        if known(self.regularisation) and not 0 <= self.regularisation < np.inf:
            raise ValueError(f"regularisation: expected a finite weight lambda >= 0, got {self.regularisation}")

    def objective(self, x: Array, y: Array, A: LinearOperator) -> Float[Array, "*batch"] | None:
        penalty = self.shrinkage.penalty(x)
        if penalty is None:
            return None
        residual = y - A(x)
        return 0.5 * jnp.sum(residual * residual, axis=-1) + self.regularisation * penalty

    def ranges(self, A: LinearOperator, y: Array) -> dict[str, tuple[float, float, int]]:
        """The weight lambda from 1e-4 to 0.5 of the mean of ``max |A^T y|``; at the latter most signals are 0."""
        largest = float(jnp.mean(jnp.max(jnp.abs(A.T(A.accept(y))), axis=-1))) or 1.0
        return {"regularisation": (1e-4 * largest, 0.5 * largest, 9)}

    def linear_part(self, A: Array, maps: Mapping[str, Array], s: Scalars) -> tuple[Array, Array]:
        """Of steps along ``step W^T (y - A x)``: G = step W^T, H = I - G A."""
        del self
        G = jnp.swapaxes(s["step"][..., None, None] * maps["W"], -1, -2)
        return jnp.eye(A.shape[1], dtype=A.dtype) - G @ A, G


@dataclass(frozen=True)
class ISTA(Proximal):
    """``x_{k+1} = shrink(x_k + step_k W^T (y - A x_k))`` (``coupled``), starting at 0.

    Parametrisations of the network (the classic solver is the same for all but ``step``):

    - ``coupled`` (LISTA-CP): W (m, n) starts at A; step_k at 1 / ||A||^2; threshold at step lambda.
    - ``classic`` (LISTA): ``shrink(beta_k x + W2 x + W1 y)``, W1 (n, m) starts at step A^T, W2 (n, n) at -step A^T A.
    - ``step`` (ALISTA): only scalars are learned, W is the matrix of least coherence with A.

    With ``adaptive`` the shrinkage receives the noise level ``||y - A x_k|| / sqrt(m)`` of each signal instead of 1.

    Sources: Daubechies, Defrise, De Mol 2004 (ISTA); Gregor, LeCun 2010 (LISTA); Chen et al. 2018 (LISTA-CP);
    Liu et al. 2019 (ALISTA).
    """

    parametrisation: Literal["coupled", "classic", "step"] = "coupled"
    adaptive: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.parametrisation not in ("coupled", "classic", "step"):
            raise ValueError(f"parametrisation: expected coupled, classic or step, got {self.parametrisation!r}")

    def maps(self, A: LinearOperator) -> dict[str, LinearMap]:
        if self.parametrisation == "coupled":
            return {"W": LinearMap(A, A.mask(), transposed=True)}
        if self.parametrisation == "step":
            return {"W": LinearMap(coherence_matrix(A), A.mask(), transposed=True, learned=False)}
        step = step_size(A)
        return {
            "W1": LinearMap(Scaled(A.T, step), A.mask().T),
            "W2": LinearMap(Scaled(Composition(A.T, A), -step), A.mask().gram()),
        }

    def scalars(self, A: LinearOperator) -> dict[str, ScalarSpec]:
        step = step_size(A)
        own = self.shrinkage.scalars(step * self.regularisation)
        if self.parametrisation == "classic":
            return {"beta": ScalarSpec(1.0), **own}
        if self.parametrisation == "step":
            step = coherent_step(A)
        return {"step": ScalarSpec(step, "positive"), **own}

    def init(self, y: Array, A: LinearOperator, s: Scalars) -> State:
        return {"x": zeros(y, A.shape[1])}

    @property
    def form(self) -> Form:
        if self.adaptive:
            raise OutsideNormalForm("ISTA: adaptive thresholds depend on the residual")
        return "lista" if self.parametrisation == "classic" else "ista"

    def first_order(self, s: Scalars) -> FirstOrder | None:
        if self.parametrisation == "classic":
            return None
        return FirstOrder.of(self.shrinkage, s, level=1.0 if self.adaptive else None)

    def linear_part(self, A: Array, maps: Mapping[str, Array], s: Scalars) -> tuple[Array, Array]:
        if self.parametrisation != "classic":
            return super().linear_part(A, maps, s)
        return s["beta"][..., None, None] * jnp.eye(A.shape[1], dtype=A.dtype) + maps["W2"], maps["W1"]

    def step(self, state: State, y: Array, A: LinearOperator, maps: Maps, s: Scalars) -> State:
        x = state["x"]
        if self.parametrisation == "classic":
            u = s["beta"] * x + maps["W2"](x) + maps["W1"](y)
            tau = noise_level(y - A(x), A) if self.adaptive else 1.0
        else:
            residual = y - A(x)
            u = x + s["step"] * maps["W"].T(residual)
            tau = noise_level(residual, A) if self.adaptive else 1.0
        return {"x": self.shrinkage(u, s, tau)}


def step_size(A: LinearOperator) -> float:
    """``1 / ||A||^2``; 2 % smaller where the norm is an estimate from below."""
    norm = A.norm()
    if not 0 < norm < np.inf:
        raise ValueError(f"step size: expected an operator of a positive, finite norm, got {float(norm)}")
    return (1.0 if norm.exact else 0.98) / float(norm) ** 2
