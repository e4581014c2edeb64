"""Types of what a network holds, by which optimisers, bit counts and files select."""

from __future__ import annotations

from flax import nnx


class MatrixParam(nnx.Param):
    """Entries of a full-precision learned matrix."""


class BinaryParam(nnx.Param):
    """Latent values whose signs are the weights."""


class ScaleParam(nnx.Param):
    """Scales of a quantised matrix."""


class ScalarParam(nnx.Param):
    """Scalars of the algorithm and its shrinkage, one (or a short vector) per layer, in raw form."""


class Statistic(nnx.Variable):
    """What training determines without a gradient: handed over and checkpointed like parameters."""


class Physics(nnx.Variable):
    """What is given and never trained: operators and arrays computed from them."""


TRAINED = nnx.Any(nnx.Param, Statistic)  # all that training leaves behind, as a filter
