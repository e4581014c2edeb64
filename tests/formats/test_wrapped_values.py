"""Wrappers of formats: values by hand, gradients, and what they refuse."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit.algorithms import AMP, ISTA
from unrollbit.algorithms.base import LinearMap
from unrollbit.formats import (
    Format,
    FullPrecision,
    Normalised,
    OneBit,
    Place,
    SignalDomain,
    Weights,
)
from unrollbit.operators import Composition, Dense, Rademacher, SubsampledDCT, gaussian, gaussian_blocks


@pytest.mark.long
@pytest.mark.parametrize(
    ("A", "format", "frozen"),
    [
        (gaussian(6, 10), FullPrecision(), False),
        (gaussian(6, 10), OneBit(scale="row", planes=2), True),
        (gaussian_blocks(2, 3, 5), OneBit(scale="row", planes=2), False),
        (gaussian_blocks(2, 3, 5), OneBit(), True),
    ],
    ids=["dense, float", "dense, frozen", "blocks, two planes", "blocks, frozen"],
)
def test_normalised_columns_meet_the_physics_at_one(A, format: Format, frozen: bool) -> None:
    linear_map = AMP().maps(A)["W"]
    moved = LinearMap(Dense(A.dense() + 0.1 * A.mask().dense_mask()), A.mask(), transposed=True)
    inner = format.build(Place(moved, A, 2))
    weights = Normalised(format).wrap(Place(linear_map, A, 2), inner)
    if frozen:
        weights = Weights.unpack(weights.pack(), linear_map, A, frozen=True)
    dense = np.asarray(weights.dense())
    np.testing.assert_allclose(np.einsum("kij,ij->kj", dense, A.dense()), 1.0, rtol=1e-4)
    assert (dense[:, ~np.asarray(A.mask().dense_mask())] == 0).all()
    ratio = dense / np.where(inner.dense() == 0, 1, inner.dense())
    for column in ratio.swapaxes(1, 2).reshape(-1, A.shape[0]):
        assert np.ptp(column[column != 0]) < 1e-4 * np.abs(column).max()
    assert (weights.bits(), weights.stored_weights()) == (inner.bits(), inner.stored_weights())
    r = jnp.ones((2, A.shape[0]))
    np.testing.assert_allclose(weights.apply_transpose(r, 1), r @ dense[1], rtol=1e-4, atol=1e-4)


def test_normalised_gradient_includes_the_normalisation() -> None:
    """W D does not change with the scale of W: the gradient is orthogonal to every column of W."""
    A = gaussian(6, 10)
    weights = Normalised(FullPrecision()).build(Place(AMP().maps(A)["W"], A, 1))
    direction = jnp.asarray(np.random.RandomState(7).standard_normal((6, 10)), jnp.float32)
    gradient = jax.grad(lambda w: jnp.sum(w.dense()[0] * direction))(weights).leaf.variables["values"][...][0]
    assert float(jnp.abs(gradient).max()) > 0.1
    np.testing.assert_allclose(jnp.sum(gradient * weights.leaf.variables["values"][...][0], axis=0), 0.0, atol=1e-5)


def test_normalised_keeps_orthogonal_columns_finite() -> None:
    A = Dense.of([[1.0, 1.0], [-1.0, 1.0]])
    inner = FullPrecision().from_matrix([[1.0, 1.0], [1.0, 1.0]])
    place = Place(LinearMap(A, A.mask(), transposed=True), A)
    dense = np.asarray(Normalised(inner.format).wrap(place, inner).dense())
    np.testing.assert_allclose(dense[0, :, 1], 0.5)
    assert np.isfinite(dense).all()


def test_normalised_refuses_maps_that_have_no_columns_to_normalise() -> None:
    A = gaussian(6, 10)
    maps = ISTA(parametrisation="classic").maps(A)
    for name in ("W1", "W2"):
        with pytest.raises(ValueError, match="Normalised: expected a map of the shape of A, applied as W"):
            Normalised(OneBit()).build(Place(maps[name], A, 1))


@pytest.mark.long
def test_signal_domain_is_signs_times_the_transform() -> None:
    phi, psi = Rademacher(8, 16, seed=1), SubsampledDCT.random(16, 16, seed=1).T
    A = Composition.of(phi, psi)
    linear_map = AMP().maps(A)["W"]
    weights = SignalDomain(OneBit()).build(Place(linear_map, A, 2))
    signs = np.sqrt(8) * np.asarray(phi.dense())
    np.testing.assert_allclose(weights.inner.dense()[0] * np.sqrt(8), signs, rtol=1e-5)
    np.testing.assert_allclose(weights.dense()[1], np.asarray(phi.dense()) @ np.asarray(psi.dense()), atol=1e-5)
    assert weights.bits() == 2 * (8 * 16 + 32)
    random = np.random.RandomState(0)
    other = random.standard_normal((2, 8, 16)).astype(np.float32)
    rebuilt = weights.rebuild(jnp.asarray(other))  # S Psi for other matrices: S are those of W Psi^T
    expected = np.asarray(OneBit().from_matrix(other @ np.asarray(psi.dense()).T, copies=2).dense())
    np.testing.assert_allclose(rebuilt.inner.dense(), expected, rtol=1e-4)
    again = weights.quantised_from(weights.unquantised(FullPrecision()))
    np.testing.assert_allclose(again.dense(), weights.dense(), atol=1e-5)
    r = jnp.asarray(random.standard_normal((3, 8)), jnp.float32)
    np.testing.assert_allclose(weights.apply_transpose(r), r @ weights.dense()[0], atol=1e-4)


def test_signal_domain_refuses_what_has_no_signal_domain() -> None:
    A = gaussian(8, 16)
    with pytest.raises(
        ValueError, match="expected physics A = Phi Psi, a measurement after an orthonormal synthesis, got Dense"
    ):
        SignalDomain(OneBit()).build(Place(AMP().maps(A)["W"], A, 1))
    composed = Composition.of(A, SubsampledDCT.random(16, 16))
    maps = ISTA(parametrisation="classic").maps(composed)
    for name in ("W1", "W2"):
        with pytest.raises(ValueError, match="SignalDomain: expected a map of the shape of A, applied as W"):
            SignalDomain(OneBit()).build(Place(maps[name], composed, 1))


def test_normalised_and_signal_domain_compose() -> None:
    A = Composition.of(gaussian(8, 16), SubsampledDCT.random(16, 16, seed=1).T)
    weights = Normalised(SignalDomain(OneBit())).build(Place(AMP().maps(A)["W"], A, 1))
    assert weights.inner.format == SignalDomain(OneBit())
    np.testing.assert_allclose(jnp.sum(weights.dense()[0] * A.dense(), axis=0), 1.0, rtol=1e-4)
