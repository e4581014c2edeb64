"""Types of what a network holds, by which optimisers, bit counts and files select."""

from __future__ import annotations

from flax import nnx


class TrainedParam(nnx.Param):
    """What gradients train; ``kind`` is the word by which stages name it."""

    kind = ""


class MatrixParam(TrainedParam):
    """Entries of a full-precision learned matrix."""

    kind = "matrices"


class BinaryParam(TrainedParam):
    """Latent values whose signs are the weights."""

    kind = "signs"


class ScaleParam(TrainedParam):
    """Scales of a quantised matrix."""

    kind = "scales"


class ScalarParam(TrainedParam):
    """Scalars of the algorithm and its shrinkage, one (or a short vector) per layer, in raw form."""

    kind = "scalars"


class Statistic(nnx.Variable):
    """What training determines without a gradient: handed over and checkpointed like parameters."""


class Physics(nnx.Variable):
    """What is given and never trained: operators and arrays computed from them."""


TRAINED = nnx.Any(nnx.Param, Statistic)  # all that training leaves behind, as a filter
