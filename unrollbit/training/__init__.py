"""Training: stages as data, losses, penalties, recipes, and the loop that runs them."""

from unrollbit.training import recipes
from unrollbit.training.convex_energy import ConvexEnergy
from unrollbit.training.diverged import TrainingDiverged
from unrollbit.training.events import Consumer, Event
from unrollbit.training.fit import TrainingReport, fit
from unrollbit.training.losses import (
    Distillation,
    LayerwiseLogNMSE,
    LogNMSE,
    Loss,
    MeanLogError,
    MeanSquaredError,
)
from unrollbit.training.penalties import Contraction, FlipPenalty, Penalty, SupportContraction
from unrollbit.training.run import training_set
from unrollbit.training.stage import Stage, grown
from unrollbit.training.validation import ResultWarning

__all__ = [
    "Consumer",
    "Contraction",
    "ConvexEnergy",
    "Distillation",
    "Event",
    "FlipPenalty",
    "LayerwiseLogNMSE",
    "LogNMSE",
    "Loss",
    "MeanLogError",
    "MeanSquaredError",
    "Penalty",
    "ResultWarning",
    "Stage",
    "SupportContraction",
    "TrainingDiverged",
    "TrainingReport",
    "fit",
    "grown",
    "recipes",
    "training_set",
]
