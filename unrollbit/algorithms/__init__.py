"""Iterative recovery algorithms, each written once as a pure step."""

from unrollbit.algorithms.admm import ADMM
from unrollbit.algorithms.amp import AMP
from unrollbit.algorithms.analytic import coherence_matrix, regularised_inverse
from unrollbit.algorithms.base import Algorithm, Form, LinearMap, OutsideNormalForm
from unrollbit.algorithms.filter_prior import FilterPrior, ForwardBackward, ReactionDiffusion
from unrollbit.algorithms.first_order import FirstOrder
from unrollbit.algorithms.fista import FISTA
from unrollbit.algorithms.gradient_descent import GradientDescent
from unrollbit.algorithms.ista import ISTA
from unrollbit.algorithms.levels import Levels
from unrollbit.algorithms.prior_steps import PriorSteps
from unrollbit.algorithms.solve import Solution, solve

__all__ = [
    "ADMM",
    "AMP",
    "FISTA",
    "ISTA",
    "Algorithm",
    "FilterPrior",
    "FirstOrder",
    "Form",
    "ForwardBackward",
    "GradientDescent",
    "Levels",
    "LinearMap",
    "OutsideNormalForm",
    "PriorSteps",
    "ReactionDiffusion",
    "Solution",
    "coherence_matrix",
    "regularised_inverse",
    "solve",
]
