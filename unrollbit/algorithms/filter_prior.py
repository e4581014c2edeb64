"""Algorithms whose prior is a bank of filters with influence functions (fields of experts)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.algorithms.base import Algorithm, LinearMap, Maps, Scalars, State
from unrollbit.algorithms.filters import dct_atoms, differences, largest_gain
from unrollbit.algorithms.fista import nesterov_momentum
from unrollbit.algorithms.levels import Levels
from unrollbit.algorithms.prior_steps import PriorSteps
from unrollbit.operators import LinearOperator
from unrollbit.operators.structured import Structured
from unrollbit.pytrees import known
from unrollbit.scalars import ScalarSpec
from unrollbit.shrinkage import Identity, Shrinkage
from unrollbit.shrinkage.influence import Clips, Influence, responses
from unrollbit.sizes import check_signal_shape
from unrollbit.structures import FilterBank
from unrollbit.structures.patches import Edge


@dataclass(frozen=True, kw_only=True)
class FilterPrior(Algorithm, abstract=True):
    """``min_x ||y - A x||^2 / 2 + lambda sum_ci rho_c((K x)_ci)``: K a bank of filters on the grid of the unknowns,
    ``rho' = phi`` the influence function.

    Args:
        signal_shape: the grid of the unknowns, ``(n,)`` or ``(height, width)``, flattened row by row.
        influence: phi.
        filters: number of filters.
        size: taps of a filter on each axis.
        start: "dct": atoms of the cosine transform by rising frequency; "differences": one along each axis, of two taps
            (``filters`` and ``size`` are not used): with a clip, total variation.
        edge: the signal beyond its border.
        regularisation: lambda.
        shrinkage: proximal map of another penalty, applied last: ``Box()`` or ``NonNegative()``, say.
        levels: how thresholds and regularisation follow the level of each signal; None: they do not.

    Sources: Roth and Black, "Fields of experts", IJCV 82 (2009); Chen and Pock, "Trainable nonlinear reaction
    diffusion", IEEE PAMI 39 (2017); Hammernik et al., "Learning a variational network", MRM 79 (2018).
    """

    signal_shape: tuple[int, ...]
    influence: Influence = Clips()
    filters: int = 24
    size: int = 5
    start: Literal["dct", "differences"] = "dct"
    edge: Edge = "symmetric"
    regularisation: float = 1.0
    shrinkage: Shrinkage = Identity()
    levels: Levels | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "signal_shape", check_signal_shape(self.signal_shape))
        if known(self.regularisation) and not 0 <= self.regularisation < math.inf:
            raise ValueError(f"regularisation: expected a finite weight lambda >= 0, got {self.regularisation}")
        self.bank  # noqa: B018 - filters that do not fit say so now

    def on(self, A: LinearOperator, signal_shape: tuple[int, ...] | None) -> Self:
        """The same prior on another grid, where ``signal_shape`` or the number of unknowns says so.

        Raises ``ValueError`` for another number of unknowns without a grid.
        """
        shape = self.signal_shape if signal_shape is None else check_signal_shape(signal_shape)
        if math.prod(shape) != A.shape[1] or len(shape) != len(self.signal_shape):
            raise ValueError(
                f"signal_shape: expected the {len(self.signal_shape)} sides of the grid of {A.shape[1]} unknowns, got "
                f"{signal_shape}"
            )
        return replace(self, signal_shape=shape)

    @property
    def atoms(self) -> Float[np.ndarray, "*taps channels"]:
        """The filters at the start."""
        axes = len(self.signal_shape)
        return differences(axes) if self.start == "differences" else dct_atoms((self.size,) * axes, self.filters)

    @property
    def bank(self) -> FilterBank:
        """The structure of K."""
        *kernel, channels = self.atoms.shape
        return FilterBank(self.signal_shape, channels, tuple(kernel), self.edge)

    def maps(self, A: LinearOperator) -> dict[str, LinearMap]:
        n = math.prod(self.signal_shape)
        if A.shape[1] != n:
            raise ValueError(
                f"signal_shape: expected the grid of the {A.shape[1]} unknowns of the physics, got {self.signal_shape}"
            )
        bank = self.bank
        return {"K": LinearMap(Structured(jnp.asarray(self.atoms, jnp.result_type(float)), bank), bank)}

    def _priors_step(self) -> Any:
        """``1 / L``: L bounds the Lipschitz constant of the prior's gradient at the start."""
        slope = self.regularisation * largest_gain(self.atoms) * self.influence.steepest()
        return 1.0 / jnp.where(slope > 0, slope, 1.0) if not known(slope) else 1.0 / (slope or 1.0)

    def _own(self, weight: Any) -> dict[str, ScalarSpec]:
        """Scalars of influence function, shrinkage and levels; ``weight`` multiplies the prior's gradient."""
        levels = {} if self.levels is None else self.levels.scalars()
        return {**self.influence.scalars(weight, self.bank.channels), **self.shrinkage.scalars(0.0), **levels}

    def _begun(self, x: Array) -> State:
        """The state of a first estimate, which does not move yet."""
        state = {"x": x, "previous": x}
        return state if self.levels is None else state | self.levels.start(x, self.signal_shape)

    def _moved(self, state: State, x: Array, correction: Array) -> State:
        """The state of the next estimate, after a data step's correction."""
        following = {"x": x, "previous": state["x"]}
        return following if self.levels is None else following | self.levels.follow(state, correction)

    def _gradient(self, x: Array, K: LinearOperator, s: Scalars, tau: Array | float) -> Array:
        """``tau K^T phi(K x / tau)``."""
        z = responses(K(x / tau), self.bank.channels)
        return tau * K.T(self.influence(z, s).reshape(*x.shape[:-1], -1))

    def objective(self, x: Array, y: Array, A: LinearOperator) -> Float[Array, "*batch"] | None:
        if self.levels is not None:
            return None
        z = Structured(jnp.asarray(self.atoms, x.dtype), self.bank)(x)
        rho = self.influence.potential(responses(z, self.bank.channels))
        residual = y - A(x)
        return 0.5 * jnp.sum(residual**2, -1) + self.regularisation * jnp.sum(rho, (-2, -1))


@dataclass(frozen=True, kw_only=True)
class ForwardBackward(FilterPrior):
    """Gradient steps of the prior and proximal steps of the data, with momentum::

        v = x_k + momentum_k (x_k - x_{k-1})
        u = v - tau K^T phi(K v / tau)
        x_{k+1} = u - step_k B(A u - y),     B r = (A^T A + rho_k ||A||^2 I)^{-1} A^T r

    from ``x_0 = B y``. B is ``A.inverse()``: exact for tight frames, periodic convolutions and small matrices,
    conjugate gradients elsewhere; the linear estimator of physics that has a better one. With ``step = 1`` it is the
    exact proximal step of the data term, of size ``1 / (rho ||A||^2)``.

    The solver takes steps of ``1 / L``, L the Lipschitz constant of the prior's gradient, and Nesterov's momentum: it
    converges for a convex prior, and is FISTA with the two terms in each other's roles. Scalars: ``step``, ``rho`` > 0,
    ``momentum``, and those of influence function and levels.

    Example:
        >>> import jax.numpy as jnp
        >>> from unrollbit.algorithms import solve
        >>> from unrollbit.operators import Convolution
        >>> blur = Convolution([0.25, 0.5, 0.25], 8)
        >>> tv = ForwardBackward(
        ...     signal_shape=(8,), start="differences", influence=Clips((0.01,), (100.0,)), regularisation=0.02
        ... )
        >>> x = jnp.repeat(jnp.array([0.0, 1.0]), 4)
        >>> jnp.abs(solve(tv, blur, blur(x), 300).x - x).max() < 0.05
        Array(True, dtype=bool)

    Sources: Combettes and Pesquet, "Proximal splitting methods in signal processing" (2011); Beck and Teboulle (2009).
    """

    monitored = ("x",)

    def scalars(self, A: LinearOperator) -> dict[str, ScalarSpec]:
        step = self._priors_step()
        return {
            "step": ScalarSpec(1.0, "positive"),
            "rho": ScalarSpec(1.0 / (step * float(A.norm()) ** 2), "positive"),
            "momentum": ScalarSpec(nesterov_momentum),
            **self._own(step * self.regularisation),
        }

    def constants(self, A: LinearOperator) -> dict[str, Any]:
        """``inverse``: B."""
        return {"inverse": A.inverse()}

    def init(self, y: Array, A: LinearOperator, s: Scalars) -> State:
        return self._begun(s["inverse"](y, s["rho"]))

    def prior_steps(self, s: Scalars) -> PriorSteps | None:
        slopes = self.influence.slopes_between(s, self.bank.channels)
        if self.levels is not None or not self.shrinkage.linear or slopes is None:
            return None
        return PriorSteps(s["momentum"], s["step"], s["rho"], *slopes, self.influence.rises)

    def step(self, state: State, y: Array, A: LinearOperator, maps: Maps, s: Scalars) -> State:
        x, levels = state["x"], self.levels
        tau, rho = (1.0, s["rho"]) if levels is None else (levels.threshold(state, s), levels.weight(state, s))
        v = x + s["momentum"] * (x - state["previous"])
        u = v - self._gradient(v, maps["K"], s, tau)
        correction = s["step"] * s["inverse"](A(u) - y, rho)
        return self._moved(state, self.shrinkage(u - correction, s, 1.0), correction)


@dataclass(frozen=True, kw_only=True)
class ReactionDiffusion(FilterPrior):
    """Gradient descent on data term and prior together (TNRD, variational networks)::

        v = x_k + momentum_k (x_k - x_{k-1})
        x_{k+1} = v - step_k A^T (A v - y) / ||A||^2 - tau K^T phi(K v / tau)

    from ``x_0 = A^T y / ||A||^2``. Needs products with A and A^T only. The solver takes the step
    ``1 / (1 + L / ||A||^2)``, L the Lipschitz constant of the prior's gradient, and no momentum. Scalars: ``step`` > 0,
    ``momentum``, and those of influence function and levels.

    Source: Chen and Pock, "Trainable nonlinear reaction diffusion", IEEE PAMI 39 (2017), eq. 8.
    """

    def scalars(self, A: LinearOperator) -> dict[str, ScalarSpec]:
        square = float(A.norm()) ** 2
        step = 1.0 / (1.0 + 1.0 / (self._priors_step() * square))
        return {
            "step": ScalarSpec(step, "positive"),
            "momentum": ScalarSpec(0.0),
            **self._own(step * self.regularisation / square),
        }

    def constants(self, A: LinearOperator) -> dict[str, Array]:
        """``square``: ``||A||^2``."""
        return {"square": jnp.asarray(float(A.norm()) ** 2)}

    def init(self, y: Array, A: LinearOperator, s: Scalars) -> State:
        return self._begun(A.T(y) / s["square"])

    def step(self, state: State, y: Array, A: LinearOperator, maps: Maps, s: Scalars) -> State:
        x, levels = state["x"], self.levels
        tau = 1.0 if levels is None else levels.threshold(state, s)
        v = x + s["momentum"] * (x - state["previous"])
        correction = s["step"] * A.T(A(v) - y) / s["square"]
        u = v - correction - self._gradient(v, maps["K"], s, tau)
        return self._moved(state, self.shrinkage(u, s, 1.0), correction)
