"""Compiled programs see the signs that were packed, also where sums over planes are fused."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit.operators import gaussian
from unrollbit.packed_operators import sign_planes
from unrollbit.signbits import pack_signs, unpack_signs


@pytest.mark.parametrize("planes", [1, 2, 5, 8])
@pytest.mark.parametrize("columns", [17, 512])
def test_a_fused_sum_over_planes_is_that_of_numpy(planes: int, columns: int) -> None:
    random = np.random.RandomState(planes)
    values = random.standard_normal((planes, 32, columns))
    scales = random.uniform(0.5, 2, planes).astype(np.float32)

    @jax.jit
    def energy(packed: jax.Array) -> jax.Array:
        core = sum(scales[p] * unpack_signs(packed[p], columns) for p in range(planes))
        return jnp.sum(core**2)

    expected = np.sum(np.tensordot(scales, np.where(values < 0, -1.0, 1.0), 1) ** 2)
    np.testing.assert_allclose(energy(jnp.asarray(pack_signs(values))), expected, rtol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("planes", [2, 8])
def test_the_columns_of_physics_in_sign_planes_have_their_norm(planes: int) -> None:
    held = sign_planes(gaussian(256, 512), planes)
    exact = np.sqrt(np.sum(np.asarray(held.dense(), np.float64) ** 2) / 512)
    np.testing.assert_allclose(jax.jit(lambda A: A.column_rms())(held), exact, rtol=1e-5)
