"""Filters in few bits: the uniform quantiser, and filters without a mean and of unit norm."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import FullPrecision, OneBit
from unrollbit.formats import Format, Ternary, Uniform, UnitFilters
from unrollbit.structures import FilterBank, Full

BANK = FilterBank((8, 8), 24, (5, 5))


def quantised(latents: jax.Array, planes: int) -> jax.Array:
    """The matrix of these latents."""
    return Uniform(planes).of({"latents": latents[None]}, Full(*latents.shape), 1).layer().dense()


def cores(*shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(0), shape)


@pytest.mark.parametrize("planes", [1, 2, 3])
def test_uniform_levels_are_the_nearest_ones(planes: int) -> None:
    latents = jnp.linspace(-1, 1, 64)
    matrix = quantised(latents.reshape(8, 8), planes).ravel()
    levels = np.arange(-(2**planes - 1), 2**planes, 2) / 2.0 ** (planes - 1)
    cell = np.floor(np.asarray(latents) * 2 ** (planes - 1))  # of 2^P cells between -1 and 1
    nearest = np.clip(2 * cell + 1, -(2**planes - 1), 2**planes - 1)
    np.testing.assert_allclose(matrix, nearest / 2.0 ** (planes - 1), atol=1e-6)
    assert set(np.unique(matrix)) <= set(levels)


@pytest.mark.long
def test_uniform_is_the_sign_in_one_plane_and_counts_its_bits() -> None:
    weights = Uniform(1).from_cores(cores(2, *BANK.core_shape), BANK)
    np.testing.assert_array_equal(np.asarray(weights.layer(1).core(BANK)), np.sign(cores(2, *BANK.core_shape))[1])
    assert weights.bits() == 2 * 600
    assert weights.stored_bits() == 2 * 600  # rows of 24 signs are 3 bytes
    assert Uniform(2).from_cores(cores(2, *BANK.core_shape), BANK).bits() == 4 * 600
    gradient = jax.grad(lambda latents: quantised(latents, 2).sum())(jnp.full((2, 2), 0.3))
    np.testing.assert_allclose(gradient, 1.5)
    with pytest.raises(ValueError, match="planes: expected a positive integer"):
        Uniform(0)


@pytest.mark.long
@pytest.mark.parametrize("inner", [Uniform(1), Uniform(2), OneBit(scale="none"), Ternary(), FullPrecision()], ids=str)
def test_unit_filters_have_no_mean_and_norm_1(inner: Format) -> None:
    weights = UnitFilters(inner).from_matrix(BANK.scatter(cores(*BANK.core_shape)), BANK)
    filters = np.asarray(weights.layer().core(BANK)).reshape(25, 24)
    np.testing.assert_allclose(filters.sum(0), 0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(filters, axis=0), 1, rtol=1e-5)
    assert Format.from_spec(UnitFilters(inner).to_spec()) == UnitFilters(inner)
    assert weights.leaf.format == inner


@pytest.mark.long
def test_equal_taps_are_no_filter_and_no_nan() -> None:
    core = jnp.ones((3, 3, 2)).at[0, 0, 0].set(-1.0)
    bank = FilterBank((4, 4), 2, (3, 3))
    inner = Uniform(1).from_cores(core[None], bank)
    weights = UnitFilters(Uniform(1)).enclose(inner)
    filters = np.asarray(weights.layer().core(bank))
    np.testing.assert_array_equal(filters[..., 1], 0)
    slope = jax.grad(lambda p: jnp.sum(weights.matrix(p).core(bank) ** 2 * jnp.arange(18.0).reshape(3, 3, 2)))(
        jax.tree.map(lambda a: a[0], weights.prepare())
    )
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
    with pytest.raises(ValueError, match="expected a map that is a bank"):
        UnitFilters(Uniform(1)).wrap(None, Uniform(1).from_matrix(jnp.eye(3)))  # pyright: ignore[reportArgumentType]
