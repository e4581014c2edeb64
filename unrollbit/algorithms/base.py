"""The contract of an iterative recovery algorithm: a pure step, used by the solver and by the network."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from unrollbit.algorithms.first_order import FirstOrder
from unrollbit.algorithms.prior_steps import PriorSteps
from unrollbit.arrays import norm
from unrollbit.operators import LinearOperator, Norm
from unrollbit.pytrees import register_numbers
from unrollbit.scalars import ScalarSpec
from unrollbit.shrinkage.base import Shrinkage
from unrollbit.specs import Specified
from unrollbit.structures import Structure

State = dict[str, Array]
Maps = Mapping[str, LinearOperator]
Scalars = Mapping[str, Any]  # arrays by name, and what an algorithm's ``constants`` are
Form = Literal["ista", "gd", "lista", "admm"]


@dataclass(frozen=True)
class LinearMap:
    """A linear map that the algorithm applies and a network may learn.

    ``initial`` is its physics value, a matrix of ``initial.shape``; ``structure`` its structural non-zeros.
    ``transposed`` says that it has the shape of A and is applied as ``W^T r``. A map that is not ``learned`` is
    computed from the physics; one with ``unit_diagonal`` works best with ``diag(W^T A) = 1``, which recipes then see
    to.
    """

    initial: LinearOperator
    structure: Structure
    transposed: bool = False
    learned: bool = True
    unit_diagonal: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        return self.initial.shape


class _Unmeasured:
    """An operator whose norm nobody needs to know."""

    def __init__(self, operator: LinearOperator) -> None:
        self._operator = operator

    def __getattr__(self, name: str) -> Any:
        return getattr(self._operator, name)

    def norm(self) -> Norm:
        return Norm(1.0, exact=True)


class OutsideNormalForm(ValueError):
    """A step that is not ``shrink(H x + G y)``, nor that of ADMM; the message says why."""


@dataclass(frozen=True)
class Algorithm(Specified, abc.ABC):
    """An iterative algorithm for ``y = A x + noise`` as a pure step.

    ``solve`` runs the step with the physics' own maps and initial scalars: the classic solver. ``Unrolled`` runs the
    same step with learned maps and learned scalars per layer: the network.

    Algorithms are frozen dataclasses, equal when their fields are, and pytrees: fields annotated as ``float`` are
    leaves, so that a compiled step serves all their values and differentiates; everything else is static. A step may
    use every field.

    ``monitored`` names the parts of the state that stand still at a solution. All parts belong to a signal: their
    leading axes are the batch axes of ``y``.
    """

    shrinkage: Shrinkage
    monitored: ClassVar[tuple[str, ...]] = ("x",)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        register_numbers(cls)

    @abc.abstractmethod
    def maps(self, A: LinearOperator) -> dict[str, LinearMap]:
        """The linear maps by name."""

    @abc.abstractmethod
    def scalars(self, A: LinearOperator) -> dict[str, ScalarSpec]:
        """The scalars by name, the shrinkage's own included."""

    def scalar_forms(self, A: LinearOperator) -> dict[str, ScalarSpec]:
        """``scalars(A)`` for a network that has values for them: initial values are those of physics of norm 1, since
        the norm of large physics takes minutes.
        """
        return self.scalars(_Unmeasured(A))  # pyright: ignore[reportArgumentType] - delegates to an operator

    def constants(self, A: LinearOperator) -> dict[str, Any]:
        """What the step needs to know of the physics alone, by name: arrays or pytrees; it finds them among its
        scalars.

        Computed once, when a solver starts or a network is built.
        """
        del A
        return {}

    def on(self, A: LinearOperator, signal_shape: tuple[int, ...] | None) -> Self:
        """The same algorithm for other physics, whose unknowns are samples on a grid if ``signal_shape`` is one."""
        del A, signal_shape
        return self

    @abc.abstractmethod
    def init(self, y: Float[Array, "*batch m"], A: LinearOperator, s: Scalars) -> State:
        """State before the first step; ``s`` holds the scalars of that step and the constants."""

    @abc.abstractmethod
    def step(self, state: State, y: Float[Array, "*batch m"], A: LinearOperator, maps: Maps, s: Scalars) -> State:
        """One iteration; the state keeps its shapes and dtypes.

        ``maps`` holds the maps by name, as operators: ``maps["W"](x)``, ``maps["W"].T(r)``. ``s`` holds the scalars of
        this iteration and the constants.
        """

    def ranges(self, A: LinearOperator, y: Float[Array, "*batch m"]) -> dict[str, tuple[float, float, int]]:
        """Numbers of the algorithm that are worth tuning for measurements like ``y``: lowest and highest value to try,
        and how many in geometric steps between them (``unrollbit.baselines.tune``).
        """
        del A, y
        return {}

    @property
    def form(self) -> Form:
        """Normal form of the step, what theorems and contraction penalties work on: ``x' = shrink(H x + G y)``
        (``ista``; ``gd`` where nothing shrinks; both with H = I - G A; ``lista`` with any H), or ``admm``.

        Raises ``OutsideNormalForm`` (a ``ValueError``) with the reason.
        """
        raise OutsideNormalForm(f"{type(self).__name__}: a step depends on more than the last estimate")

    def linear_part(
        self, A: Float[Array, "m n"], maps: Mapping[str, Float[Array, "*layers _ _"]], s: Scalars
    ) -> tuple[Float[Array, "*layers n n"], Float[Array, "*layers n m"]]:
        """``(H, G)`` of the normal form from dense matrices and their scalars; layers on a leading axis, or none.

        Raises ``OutsideNormalForm`` for an algorithm without one.
        """
        del A, maps, s
        raise OutsideNormalForm(f"{type(self).__name__} has no normal form")

    def first_order(self, s: Scalars) -> FirstOrder | None:
        """The step as a first-order method, from the scalars of all layers and the constants, for state evolution;
        None where it is none.
        """
        del s
        return None

    def prior_steps(self, s: Scalars) -> PriorSteps | None:
        """The step as one with a learned prior, from the scalars of all layers, for proofs; None where it is none."""
        del s
        return None

    def read(self, state: State) -> Float[Array, "*batch n"]:
        """The estimate in a state."""
        return state["x"]

    def objective(
        self, x: Float[Array, "*iterates n"], y: Float[Array, "*batch m"], A: LinearOperator
    ) -> Float[Array, "*iterates"] | None:
        """What the classic solver minimises, or None where it minimises nothing; ``x`` may have more axes in front."""
        return None


def zeros(y: Float[Array, "*batch m"], n: int) -> Float[Array, "*batch n"]:
    """The zero estimate for measurements ``y``."""
    return jnp.zeros((*y.shape[:-1], n), y.dtype)


def settled(algorithm: Algorithm, state: State, following: State, tolerance: Array | float) -> Bool[Array, "*batch"]:
    """Which signals stand still: a step changes nothing monitored by more than ``tolerance`` of its norm.

    Never those with NaN.
    """
    pairs = [(state[name], following[name]) for name in algorithm.monitored]
    still = [norm(new - old) <= tolerance * norm(new) for old, new in pairs]
    return jnp.all(jnp.stack(still), axis=0)


def noise_level(residual: Float[Array, "*batch m"], A: LinearOperator) -> Float[Array, "*batch k"]:
    """``||r|| / sqrt(m)`` per signal (k = 1), or per block of block-diagonal physics (k = n, repeated).

    The standard deviation of the noise in ``u = x + W^T r`` for columns of unit norm (Donoho, Maleki, Montanari 2009).
    """
    m, n = A.shape
    count = A.mask().blocks
    parts = residual.reshape(*residual.shape[:-1], count, m // count)
    level = norm(parts) / math.sqrt(m // count)
    return level if count == 1 else jnp.repeat(level, n // count, axis=-1)
