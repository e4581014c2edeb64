"""Convergence theorems: how fast the estimates of the layers approach the signal or a reference solution."""

from unrollbit.theory.convergence.ball import C4, C5, admm_grid, inexact_ball
from unrollbit.theory.convergence.coherence import C1, C1b, babel, c1_schedule, noise_bound
from unrollbit.theory.convergence.descent import C3, C3a, C3b, aligned_factor, alignment
from unrollbit.theory.convergence.lasso import Lasso, admm_fixed_point, solve_lasso
from unrollbit.theory.convergence.price import C6, one_bit_matrix
from unrollbit.theory.convergence.residual import C7
from unrollbit.theory.convergence.supports import C2, C2u

__all__ = [
    "C1",
    "C2",
    "C3",
    "C4",
    "C5",
    "C6",
    "C7",
    "C1b",
    "C2u",
    "C3a",
    "C3b",
    "Lasso",
    "admm_fixed_point",
    "admm_grid",
    "aligned_factor",
    "alignment",
    "babel",
    "c1_schedule",
    "inexact_ball",
    "noise_bound",
    "one_bit_matrix",
    "solve_lasso",
]
