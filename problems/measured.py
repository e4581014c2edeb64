"""How problems measure: the operator, and noise that is added to it."""

from __future__ import annotations

import functools

import jax
from jaxtyping import Array, Float

from unrollbit.operators import LinearOperator
from unrollbit.problems.noise import Noise


class Measured:
    """What problems share that measure ``A x + noise``.

    Goes before ``Problem`` in the list of bases of a frozen dataclass with the fields below.
    """

    operator: LinearOperator
    noise: Noise | None

    @property
    def snr_db(self) -> float | None:
        """Signal-to-noise ratio of every measurement in dB; None where there is no noise, or noise of another kind."""
        return getattr(self.noise, "snr_db", None)

    @property
    def constant(self) -> Array | float:
        """What was subtracted from the intensities that a detector sees; noise that counts asks for it."""
        return 0.0

    def measured(self, x: Float[Array, "*batch n"], key: Array) -> Float[Array, "*batch m"]:
        """``A x`` plus noise; a function of ``key`` alone."""
        return _measured(self.operator, x, key, self.constant, self.noise)


@functools.partial(jax.jit, static_argnames="noise")
def _measured(
    operator: LinearOperator, x: Float[Array, "*batch n"], key: Array, constant: Array | float, noise: Noise | None
) -> Float[Array, "*batch m"]:
    """Compiled as one."""
    y = operator(x)
    return y if noise is None else noise(key, y, constant)
