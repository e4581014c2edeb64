"""Maps whose weights are shared by convolution."""

from __future__ import annotations

from functools import partial
from typing import Any

from unrollbit.algorithms.base import LinearMap
from unrollbit.operators import LinearOperator
from unrollbit.weights.base import Weights, WeightsFactory


def shared(inner: WeightsFactory, wider: int = 0) -> WeightsFactory:
    """Factory of weights that are the taps of a convolution, where the physics is one: a one-bit filter is a one-bit
    Toeplitz matrix, of few stored bits and many links.

    ``wider``: taps beyond the physics' own on each side of each axis; they start at 0, or at +1 times the scale in a
    one-bit filter. Around other factories: ``in_signal_domain(shared(OneBit.for_map))`` for ``A = Phi Psi``.
    """
    if isinstance(wider, bool) or not isinstance(wider, int) or wider < 0:
        raise ValueError(f"wider: expected a number of taps >= 0, got {wider!r}")
    return partial(_shared, inner=inner, wider=wider)


def _shared(
    linear_map: LinearMap,
    physics: LinearOperator,
    copies: int = 1,
    *,
    inner: WeightsFactory,
    wider: int,
    **options: Any,
) -> Weights:
    structure = physics.shared_taps(wider)
    if linear_map.shape != physics.shape:
        raise ValueError(f"shared: expected a map of the shape {physics.shape} of the physics, got {linear_map.shape}")
    return inner(LinearMap(linear_map.initial, structure, linear_map.transposed), physics, copies, **options)
