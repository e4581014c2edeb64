"""The contract of an iterative recovery algorithm: a pure step, used by the solver and by the network."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.operators import LinearOperator, Norm
from unrollbit.scalars import ScalarSpec
from unrollbit.shrinkage.base import Shrinkage
from unrollbit.specs import Specified
from unrollbit.structures import Structure

State = dict[str, Array]
Maps = Mapping[str, Callable[[Array], Array]]
Scalars = Mapping[str, Array]
Form = Literal["ista", "gd", "lista", "admm"]

_SMALLEST_SQUARE = 1e-20  # sqrt is not differentiable at 0


@dataclass(frozen=True)
class LinearMap:
    """A linear map that the algorithm applies and a network may learn.

    ``initial`` is its physics value, a matrix of ``initial.shape``; ``structure`` its structural non-zeros. The step
    receives ``r -> W^T r`` if ``transposed``, else ``x -> W x``. A map that is not ``learned`` is computed from the
    physics; one with ``unit_diagonal`` works best with ``diag(W^T A) = 1``, which recipes then see to.
    """

    initial: LinearOperator
    structure: Structure
    transposed: bool = False
    learned: bool = True
    unit_diagonal: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        return self.initial.shape

    def of(self, matrix: LinearOperator) -> Callable[[Array], Array]:
        """The function that the step receives when the map is held by ``matrix``."""
        return matrix.T if self.transposed else matrix


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
    same step with learned maps and learned scalars per layer: the network. Algorithms are frozen dataclasses:
    hashable, static in compiled programs, equal when their fields are.
    """

    shrinkage: Shrinkage
    settles: ClassVar[tuple[str, ...]] = ("x",)  # parts of the state that stand still at a solution

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

    @abc.abstractmethod
    def init(self, y: Float[Array, "*batch m"], A: LinearOperator) -> State:
        """State before the first step."""

    def constants(self, A: LinearOperator) -> State:
        """Parts of the state that depend on the physics alone and never change: computed once, when a solver or a
        network is built, and not in every run.
        """
        del A
        return {}

    @abc.abstractmethod
    def step(self, state: State, y: Float[Array, "*batch m"], A: LinearOperator, maps: Maps, s: Scalars) -> State:
        """One iteration; the state keeps its shapes and dtypes."""

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

    def read(self, state: State) -> Float[Array, "*batch n"]:
        """The estimate in a state."""
        return state["x"]

    def stepper(self) -> Algorithm:
        """An algorithm with the same step and without what only initial values use, to share compiled programs."""
        return self

    def objective(
        self, x: Float[Array, "*batch n"], y: Float[Array, "*batch m"], A: LinearOperator
    ) -> Float[Array, "*batch"] | None:
        """What the classic solver minimises, or None where it minimises nothing."""
        return None


def zeros(y: Float[Array, "*batch m"], n: int) -> Float[Array, "*batch n"]:
    """The zero estimate for measurements ``y``."""
    return jnp.zeros((*y.shape[:-1], n), y.dtype)


def noise_level(residual: Float[Array, "*batch m"], A: LinearOperator) -> Float[Array, "*batch k"]:
    """``||r|| / sqrt(m)`` per signal (k = 1), or per block of block-diagonal physics (k = n, repeated).

    The standard deviation of the noise in ``u = x + W^T r`` for columns of unit norm (Donoho, Maleki, Montanari 2009).
    """
    m, n = A.shape
    count = A.mask().blocks
    parts = residual.reshape(*residual.shape[:-1], count, m // count)
    level = jnp.sqrt(jnp.mean(parts * parts, axis=-1) + _SMALLEST_SQUARE)
    return level if count == 1 else jnp.repeat(level, n // count, axis=-1)
