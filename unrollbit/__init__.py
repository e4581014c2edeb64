"""One-bit unrolled networks for inverse problems, with bits counted and theory checked.

Names and parts (``unrollbit.problems``, say) are imported when they are first used, so that ``unrollbit --help`` does
not wait for JAX.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unrollbit.algorithms import ADMM, AMP, FISTA, ISTA, GradientDescent, solve
    from unrollbit.bits import BitReport, count_bits
    from unrollbit.formats import (
        Anchored,
        BitNet,
        Coherent,
        Designed,
        Fixed,
        FullPrecision,
        LittleBit,
        Normalised,
        OneBit,
        OneBitSVID,
        SharedTaps,
        SignalDomain,
        Ternary,
    )
    from unrollbit.kernels import packed_matmul
    from unrollbit.metrics import nmse_db
    from unrollbit.models import KnowledgeDistillation, distil, quantise
    from unrollbit.networks import Activations, FullyConnected, Unrolled, refine
    from unrollbit.operators import LinearOperator, as_operator
    from unrollbit.packed import PackedModel, PackedNetwork, load, pack
    from unrollbit.training import Stage, TrainingDiverged, fit, recipes

__version__ = "0.1.0"

__all__ = [
    "ADMM",
    "AMP",
    "FISTA",
    "ISTA",
    "Activations",
    "Anchored",
    "BitNet",
    "BitReport",
    "Coherent",
    "Designed",
    "Fixed",
    "FullPrecision",
    "FullyConnected",
    "GradientDescent",
    "KnowledgeDistillation",
    "LinearOperator",
    "LittleBit",
    "Normalised",
    "OneBit",
    "OneBitSVID",
    "PackedModel",
    "PackedNetwork",
    "SharedTaps",
    "SignalDomain",
    "Stage",
    "Ternary",
    "TrainingDiverged",
    "Unrolled",
    "as_operator",
    "count_bits",
    "distil",
    "fit",
    "load",
    "nmse_db",
    "pack",
    "packed_matmul",
    "quantise",
    "recipes",
    "refine",
    "solve",
]

_HOMES = (
    "algorithms",
    "bits",
    "formats",
    "kernels",
    "metrics",
    "models",
    "networks",
    "operators",
    "packed",
    "training",
)


def __getattr__(name: str) -> Any:
    if name in __all__:
        parts = (import_module(f"{__name__}.{home}") for home in _HOMES)
        # what a part offers, not any submodule of that name
        value = next(getattr(part, name) for part in parts if name in getattr(part, "__all__", vars(part)))
        return globals().setdefault(name, value)
    if not name.startswith("_") and find_spec(f"{__name__}.{name}") is not None:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
