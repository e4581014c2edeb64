"""The contract of a baseline: what a practitioner would use instead of a network."""

from __future__ import annotations

import abc
import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import jax
from jaxtyping import Array, Float

from unrollbit.arrays import as_signal, in_dtype, widened
from unrollbit.operators import LinearOperator
from unrollbit.operators.physics import physics_of
from unrollbit.values import Value


class Range(NamedTuple):
    """Where a parameter is looked for: ``count`` values, geometric from ``low`` to ``high``.

    The search goes on beyond an end at which the best value lies, but not out of ``limits``; ``whole``: integers only.
    """

    low: float
    high: float
    count: int = 9
    limits: tuple[float, float] = (0.0, math.inf)
    whole: bool = False


@dataclass(frozen=True)
class Baseline(Value, abc.ABC):
    """Signals from measurements, ``baseline(problem, y)``, by a method with a few parameters.

    Subclasses are frozen dataclasses under the decorator ``unrollbit.values.pytree``: numbers are leaves, so that a
    compiled method serves all their values.
    """

    name: ClassVar[str]
    choices: ClassVar[dict[str, tuple[Any, ...]]] = {}  # values of parameters that are all tried, each with its ranges

    @abc.abstractmethod
    def __call__(self, problem: Any, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        """Estimates ``(*batch, n)`` for measurements of a problem or an operator; leading axes are batch axes.

        The dtype of ``y`` (at least float32) is that of the computation, and the estimate comes in it. Raises
        ``TypeError`` for what has no physics and ``ValueError`` for a wrong length of ``y``.
        """

    def ranges(self, A: LinearOperator, x: Float[Array, "batch n"], y: Float[Array, "batch m"]) -> dict[str, Range]:
        """The parameters that are worth tuning for signals and measurements like these (``tune``)."""
        del A, x, y
        return {}

    def with_parameters(self, **values: Any) -> Self:
        """The same method with other values of the parameters in ``choices`` and ``ranges``."""
        return dataclasses.replace(self, **values)


@dataclass(frozen=True)
class Compiled(Baseline):
    """A baseline that is one compiled function of the physics, constants of it and the measurements."""

    def __call__(self, problem: Any, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        A = physics_of(problem)
        measured = as_signal(y, A.shape[0], f"{type(self).__name__}(y)", "m", complex_physics=A.complex_physics)
        with jax.ensure_compile_time_eval():
            constants = self.constants(A)
        return _estimated(self, A, constants, widened(measured)).astype(measured.dtype)

    @abc.abstractmethod
    def estimate(self, A: LinearOperator, constants: Any, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        """The estimates; ``A`` is prepared, ``y`` what it accepts, ``constants`` those below, all of one dtype."""

    def constants(self, A: LinearOperator) -> Any:
        """A pytree of what the method needs to know of the physics, computed before anything is compiled."""
        del A
        return ()


@jax.jit
def _estimated(baseline: Compiled, A: LinearOperator, constants: Any, y: Array) -> Array:
    A, constants, baseline = (in_dtype(part, y.dtype) for part in (A.prepare(), constants, baseline))
    return baseline.estimate(A, constants, A.accept(y))
