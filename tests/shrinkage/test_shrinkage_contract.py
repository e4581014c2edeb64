"""What holds for every shrinkage: shapes, dtypes, gradients, no NaN."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit.shrinkage import GroupSoft, Identity, Shrinkage, divergence

N = 12  # unknowns, as in the cases of conftest.py
EDGES = [0.0, 1e-38, 1e-12, 1e-6, 1e-3, 0.3, 1.0, 1e3, 1e6]
magnitudes = st.one_of(st.sampled_from(EDGES), st.floats(0, 1e4, width=32))
called = jax.jit(lambda shrinkage, u, scalars, tau: shrinkage(u, scalars, tau), static_argnums=0)  # compiled once
signals = st.lists(st.tuples(magnitudes, st.booleans()), min_size=N, max_size=N)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_shape_and_dtype_are_kept(shrinkage, dtype, batch, start_scalars):
    u = jax.ShapeDtypeStruct((*batch, N), dtype)
    for tau in (1.0, jax.ShapeDtypeStruct((*batch, 1), jnp.float32), jax.ShapeDtypeStruct((*batch, N), dtype)):
        out = jax.eval_shape(shrinkage.__call__, u, start_scalars(shrinkage), tau)
        assert (out.shape, out.dtype) == (u.shape, u.dtype)


@pytest.mark.long
def test_float64_is_kept_and_agrees_with_float32(shrinkage, start_scalars):
    u = np.random.RandomState(0).standard_normal((4, N))
    single = called(shrinkage, jnp.asarray(u, jnp.float32), start_scalars(shrinkage), 0.5)
    with jax.enable_x64(True):
        double = called(shrinkage, jnp.asarray(u), start_scalars(shrinkage, dtype=jnp.float64), 0.5)
        assert double.dtype == jnp.float64
        np.testing.assert_allclose(single, double, rtol=1e-5, atol=1e-6)


@pytest.mark.long
def test_a_batch_is_its_signals_one_by_one(shrinkage, start_scalars):
    u = np.random.RandomState(1).standard_normal((5, N)).astype(np.float32)
    tau = np.linspace(0.1, 1.0, 5, dtype=np.float32)[:, None]
    scalars = start_scalars(shrinkage)
    one_by_one = np.stack([called(shrinkage, u[i], scalars, tau[i]) for i in range(5)])
    np.testing.assert_allclose(called(shrinkage, u, scalars, tau), one_by_one, rtol=1e-6)


def test_is_hashable_and_static_in_jit(shrinkage, start_scalars):
    out = jax.jit(lambda s, u, scalars: s(u, scalars, 1.0), static_argnums=0)(
        shrinkage, jnp.ones(N), start_scalars(shrinkage)
    )
    assert out.shape == (N,)
    assert hash(shrinkage) == hash(type(shrinkage).from_spec(shrinkage.to_spec()))


def test_scalar_specs_have_shape_and_valid_start(shrinkage):
    for name, spec in shrinkage.scalars(0.3).items():
        values = spec.initial_values(4)
        assert values.shape == (4, *spec.shape), name
        assert np.isfinite(spec.raw(values)).all(), name


def test_zero_weight_starts(shrinkage, start_scalars):
    out = called(shrinkage, np.linspace(-2, 2, N, dtype=np.float32), start_scalars(shrinkage, weight=0.0), 1.0)
    assert jnp.isfinite(out).all()


@partial(jax.jit, static_argnums=0)
def _gradients(shrinkage: Shrinkage, u, scalars, tau):
    loss = lambda u, scalars, tau: jnp.sum(shrinkage(u, scalars, tau) * jnp.cos(jnp.arange(N)))  # noqa: E731
    return jax.grad(loss, argnums=(0, 1, 2))(u, scalars, tau)


@pytest.mark.long
@pytest.mark.grid(6)
@settings(max_examples=40, deadline=None)
@given(entries=signals, tau=magnitudes)
def test_values_and_gradients_are_never_nan(shrinkage, entries, tau, start_scalars):
    u = jnp.asarray([-v if negative else v for v, negative in entries], jnp.float32)
    scalars = start_scalars(shrinkage)
    tau = jnp.asarray([tau], jnp.float32)
    assert np.isfinite(called(shrinkage, u, scalars, tau)).all()
    for leaf in jax.tree.leaves(_gradients(shrinkage, u, scalars, tau)):
        assert np.isfinite(leaf).all()


def test_forward_derivatives_at_zero_are_finite(shrinkage, start_scalars):
    u, tau, scalars = jnp.zeros(N), jnp.zeros(1), start_scalars(shrinkage)
    _, tangent = jax.jvp(lambda u, tau: called(shrinkage, u, scalars, tau), (u, tau), (jnp.ones(N), jnp.ones(1)))
    assert np.isfinite(tangent).all()


@pytest.mark.long
def test_gradients_match_finite_differences(shrinkage, start_scalars):
    step = 1e-6
    with jax.enable_x64(True):
        u = jnp.asarray(np.random.RandomState(3).standard_normal(N))
        scalars, tau = start_scalars(shrinkage, dtype=jnp.float64), jnp.asarray([0.7])
        scalars.pop("share", None)
        fixed = {k: v for k, v in start_scalars(shrinkage, dtype=jnp.float64).items() if k == "share"}
        weights = jnp.cos(jnp.arange(N))
        loss = jax.jit(lambda args: jnp.sum(shrinkage(args[0], args[1] | fixed, args[2]) * weights))
        point = (u, scalars, tau)
        leaves, tree = jax.tree.flatten(jax.tree.map(np.asarray, point))
        for i, gradient in enumerate(jax.tree.leaves(jax.jit(jax.grad(loss))(point))):
            for j in range(leaves[i].size):

                def moved(by, i=i, j=j):
                    shifted = leaves[i].copy()
                    shifted.reshape(-1)[j] += by
                    return float(loss(jax.tree.unflatten(tree, [*leaves[:i], shifted, *leaves[i + 1 :]])))

                expected = (moved(step) - moved(-step)) / (2 * step)
                assert np.asarray(gradient).ravel()[j] == pytest.approx(expected, rel=1e-5, abs=1e-7)


@pytest.mark.long
def test_divergence_is_the_mean_of_the_jacobians_diagonal(shrinkage, start_scalars):
    with jax.enable_x64(True):
        u = jnp.asarray(np.random.RandomState(4).standard_normal((3, N)))
        scalars = start_scalars(shrinkage, dtype=jnp.float64)
        if not shrinkage.separable:
            with pytest.raises(ValueError, match="GroupSoft needs its full Jacobian"):
                divergence(shrinkage, u, scalars, 0.7)
            return
        jacobian = np.asarray(jax.jit(jax.vmap(jax.jacobian(lambda u: shrinkage(u, scalars, 0.7))))(u))
        diagonal = np.diagonal(jacobian, axis1=1, axis2=2)
        assert np.abs(jacobian).sum() == pytest.approx(np.abs(diagonal).sum())  # it is diagonal
        np.testing.assert_allclose(divergence(shrinkage, u, scalars, 0.7), diagonal.mean(-1), rtol=1e-12)


def test_divergence_of_the_identity_is_one():
    assert divergence(Identity(), jnp.zeros((2, 5)), {}, 1.0).tolist() == [1.0, 1.0]
    assert not GroupSoft(2).separable
