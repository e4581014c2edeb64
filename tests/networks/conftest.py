"""Sparse signals for a physics, and networks in float64."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import Unrolled
from unrollbit.operators import LinearOperator


@pytest.fixture(scope="session")
def signals() -> Callable[..., tuple[jax.Array, jax.Array]]:
    """``signals(A, *batch)``: a fifth of their entries are not zero; and their measurements."""

    def drawn(A: LinearOperator, *batch: int, seed: int = 0) -> tuple[jax.Array, jax.Array]:
        random = np.random.RandomState(seed)
        x = random.standard_normal((*batch, A.shape[1])) * (random.uniform(size=(*batch, A.shape[1])) < 0.2)
        x = jnp.asarray(x, jnp.float32)
        return x, A(x)

    return drawn


@pytest.fixture(scope="session")
def in_float64() -> Callable[[Unrolled], Unrolled]:
    """The same network, under ``jax.enable_x64(True)``."""

    def widened(net: Unrolled) -> Unrolled:
        return jax.tree.map(lambda a: a.astype(jnp.float64) if getattr(a, "dtype", None) == jnp.float32 else a, net)

    return widened
