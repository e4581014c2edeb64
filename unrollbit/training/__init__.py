"""Training: stages as data, losses, penalties, recipes, and the loop that runs them."""

from unrollbit.training import recipes
from unrollbit.training.diverged import TrainingDiverged
from unrollbit.training.fit import TrainingReport, fit, training_set
from unrollbit.training.losses import Distillation, LayerwiseLogNMSE, LogNMSE, Loss, MeanSquaredError
from unrollbit.training.penalties import Contraction, FlipPenalty, Penalty, SupportContraction
from unrollbit.training.stage import Stage, grown

__all__ = [
    "Contraction",
    "Distillation",
    "FlipPenalty",
    "LayerwiseLogNMSE",
    "LogNMSE",
    "Loss",
    "MeanSquaredError",
    "Penalty",
    "Stage",
    "SupportContraction",
    "TrainingDiverged",
    "TrainingReport",
    "fit",
    "grown",
    "recipes",
    "training_set",
]
