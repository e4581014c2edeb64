"""Weight formats in any Flax model."""

from unrollbit.models.distillation import KnowledgeDistillation, distil
from unrollbit.models.layers import QuantisedConv, QuantisedLayer, QuantisedLinear, QuantisedLinearGeneral
from unrollbit.models.quantise import quantise
from unrollbit.models.states import hidden_states

__all__ = [
    "KnowledgeDistillation",
    "QuantisedConv",
    "QuantisedLayer",
    "QuantisedLinear",
    "QuantisedLinearGeneral",
    "distil",
    "hidden_states",
    "quantise",
]
