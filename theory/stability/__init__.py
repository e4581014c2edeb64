"""Stability: how much the estimate moves when the measurements move."""

from unrollbit.theory.stability.asymptotic import S2
from unrollbit.theory.stability.attack import adversarial
from unrollbit.theory.stability.ball import S3, ball_constants
from unrollbit.theory.stability.lipschitz import S1, S1h, half_linearised_constants, product_bound, recursion_constants
from unrollbit.theory.stability.pair import S5
from unrollbit.theory.stability.region import S4, linear_region_radius
from unrollbit.theory.trajectory import asymptotic_jacobian

__all__ = [
    "S1",
    "S2",
    "S3",
    "S4",
    "S5",
    "S1h",
    "adversarial",
    "asymptotic_jacobian",
    "ball_constants",
    "half_linearised_constants",
    "linear_region_radius",
    "product_bound",
    "recursion_constants",
]
