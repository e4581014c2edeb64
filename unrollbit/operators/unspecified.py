"""Operators that run and train, but that no file can describe."""

from __future__ import annotations

from unrollbit.operators.base import LinearOperator
from unrollbit.operators.conversion import SMALL
from unrollbit.operators.norms import Norm, power_iteration
from unrollbit.specs import Spec


class Unspecified(LinearOperator, abstract=True):
    """An operator made of code that is not this library's: ``solve`` and training take it, ``pack`` does not."""

    def to_spec(self) -> Spec:
        raise TypeError(
            f"{self}: no file can hold an operator that is code, so networks for it train and run but are not packed; "
            "take its matrix, as_operator(A, matrix=True), or an operator of unrollbit.operators"
        )

    def _computed_norm(self) -> Norm:
        """An estimate where the matrix would be large."""
        m, n = self.shape
        return super()._computed_norm() if m * n <= SMALL else power_iteration(self)

    def physics_bits(self) -> int:
        """32 bits an entry: what a file would have to carry is the matrix."""
        m, n = self.shape
        return 32 * m * n


def unpackable(operator: LinearOperator) -> str | None:
    """Why no file can describe an operator, or None if one can."""
    try:
        operator.to_spec()
    except (TypeError, ValueError) as error:
        return str(error)
    return None
