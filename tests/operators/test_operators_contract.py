"""What every operator keeps: adjoint, norm, dense, mask, specs, jit."""

from __future__ import annotations

import json
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit.operators import Dense, Hadamard, LinearOperator, Rademacher, SubsampledDCT, SubsampledFourier, gaussian
from unrollbit.operators.norms import power_iteration


def assert_equal_operators(a: Any, b: Any) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert jnp.result_type(left) == jnp.result_type(right)
        np.testing.assert_array_equal(left, right)


def through_json(spec: Any) -> Any:
    """The spec with everything but its arrays written as JSON and read back."""
    arrays: list[np.ndarray] = []

    def out(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: out(v) for k, v in value.items()}
        if isinstance(value, np.ndarray):
            arrays.append(value)
            return {"array": len(arrays) - 1}
        return value

    def back(value: Any) -> Any:
        if isinstance(value, dict):
            return arrays[value["array"]] if "array" in value else {k: back(v) for k, v in value.items()}
        return value

    return back(json.loads(json.dumps(out(spec))))


@jax.jit
def both(A: LinearOperator, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    return A(x), A.T(y)


def adjoint_error(A: LinearOperator, batch: tuple[int, ...], dtype: Any) -> float:
    m, n = A.shape
    random = np.random.RandomState(7)
    x = jnp.asarray(random.standard_normal((*batch, n)), dtype)
    y = jnp.asarray(random.standard_normal((*batch, m)), dtype)
    image, back = both(A, x, y)
    assert image.shape == (*batch, m)
    assert back.shape == (*batch, n)
    assert image.dtype == back.dtype == dtype
    inner = np.sum(np.asarray(image, np.float64) * np.asarray(y, np.float64), -1)
    outer = np.sum(np.asarray(x, np.float64) * np.asarray(back, np.float64), -1)
    scale = np.linalg.norm(np.asarray(x)) * np.linalg.norm(np.asarray(y)) * max(float(A.norm()), 1e-30)
    return float(np.max(np.abs(inner - outer)) / scale)


@pytest.mark.long
@pytest.mark.grid(20)
def test_adjoint_in_float32(operator):
    assert adjoint_error(operator, (2, 3), jnp.float32) < 1e-6


@pytest.mark.grid(16)
def test_in_float64(build):
    with jax.enable_x64(True):
        A = build()
        m, n = A.shape
        matrix = np.asarray(A.dense(), np.float64)
        assert matrix.shape == (m, n)
        size = max(m, n)
        # every pair of unit vectors: the matrix, and the adjoint identity to 1e-12
        image, back = both(A, np.eye(size, n), np.eye(size, m))
        assert image.dtype == back.dtype == jnp.float64
        np.testing.assert_allclose(image[:n].T, back[:m], atol=1e-12)
        np.testing.assert_allclose(image[:n].T, matrix, atol=1e-12)
        np.testing.assert_allclose(back[:m], matrix, atol=1e-12)
        norm = A.norm()
        assert norm.exact
        largest = np.linalg.svd(matrix, compute_uv=False)[0]
        assert float(norm) == pytest.approx(largest, rel=1e-9, abs=1e-12)
        constant = A.frame_constant
        if constant is not None:
            np.testing.assert_allclose(matrix @ matrix.T, constant * np.eye(m), atol=1e-12)


@pytest.mark.grid(12)
def test_half_precision_signals_without_batch_axes(operator):
    m, n = operator.shape
    image, back = both(operator, jnp.ones(n, jnp.bfloat16), jnp.ones(m, jnp.bfloat16))
    matrix = np.asarray(operator.dense())
    np.testing.assert_allclose(np.asarray(image, np.float32), matrix.sum(1), atol=0.2)
    np.testing.assert_allclose(np.asarray(back, np.float32), matrix.sum(0), atol=0.2)


@pytest.mark.parametrize(
    "make",
    [
        lambda: gaussian(6, 9, seed=3),
        lambda: Dense.of(np.diag([1.0, 3.0])),  # float64 under x64
        lambda: Hadamard(20, 64),
        lambda: Rademacher(6, 13).T,
    ],
)
def test_power_iteration_is_a_flagged_lower_estimate(make):
    with jax.enable_x64(True):
        A = make()
        estimate = power_iteration(A)
        assert not estimate.exact
        assert 0.9 * A.norm() <= estimate <= A.norm() * (1 + 1e-7)


def test_mask_contains_the_nonzeros(operator):
    mask = operator.mask()
    assert mask.shape == operator.shape
    dense_mask, matrix = np.asarray(mask.dense_mask()), np.asarray(operator.dense())
    assert (dense_mask | (np.abs(matrix) < 1e-6)).all()
    assert mask.size == dense_mask.sum()
    assert hash(mask) == hash(type(mask).from_spec(through_json(mask.to_spec())))


@pytest.mark.long
def test_spec_round_trip_through_json(operator):
    rebuilt = LinearOperator.from_spec(through_json(operator.to_spec()))
    assert_equal_operators(rebuilt, operator)
    assert rebuilt.fingerprint() == operator.fingerprint()
    assert json.loads(json.dumps(operator.fingerprint())) == operator.fingerprint()


@pytest.mark.long
def test_jit_with_the_operator_as_argument_traces_once(build):
    traces = []

    @jax.jit
    def apply(A, x):
        traces.append(A(x))
        return x  # the trace is what counts; nothing to compile

    A, B = build(), build()
    x = jnp.ones(A.shape[1])
    apply(A, x), apply(B, x)
    assert len(traces) == 1


@jax.jit
def mapped_and_gradient(A: LinearOperator, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jax.vmap(A)(x), jax.grad(lambda v: 0.5 * jnp.sum(A(v) ** 2))(x)


@pytest.mark.long
@pytest.mark.grid(16)
def test_vmap_and_gradient(operator):
    x = np.random.RandomState(0).standard_normal((3, operator.shape[1])).astype(np.float32)
    matrix = np.asarray(operator.dense())
    mapped, gradient = mapped_and_gradient(operator, x)
    np.testing.assert_allclose(mapped, x @ matrix.T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradient, x @ matrix.T @ matrix, rtol=1e-4, atol=1e-4)


@pytest.mark.long
def test_prepared_form_is_the_same_map(operator):
    prepared = operator.prepare()
    np.testing.assert_allclose(prepared.dense(), operator.dense(), rtol=1e-5, atol=1e-5)
    assert prepared.shape == operator.shape
    assert not any(jnp.result_type(leaf) == jnp.uint8 for leaf in jax.tree.leaves(prepared))


def test_bits_are_counts(operator):
    assert isinstance(operator.resident_bits(), int)
    assert isinstance(operator.physics_bits(), int)
    assert operator.resident_bits() >= 0
    assert operator.physics_bits() >= 0


def test_boundary_names_expected_and_actual(operator):
    n = operator.shape[1]
    with pytest.raises(ValueError, match=rf"n = {n} entries, got shape \({n + 1},\)"):
        operator(jnp.ones(n + 1))
    with pytest.raises(ValueError, match=r"got shape \(\)"):
        operator(1.0)
    with pytest.raises(TypeError, match="complex64; stack real and imaginary parts on the last axis"):
        operator.T(jnp.ones(operator.shape[0], jnp.complex64))


SEEDED = {
    "hadamard": {"kind": "Hadamard", "m": 8, "n": 32},
    "rademacher": {"kind": "Rademacher", "m": 8, "n": 32},
    "fourier": {"kind": "SubsampledFourier", "signal_shape": [64], "count": 8},
    "dct": {"kind": "SubsampledDCT", "signal_shape": [8, 8], "count": 8},
}
RECIPES = {
    "gaussian": ("Dense", [4, 8]),
    "ill_conditioned": ("Dense", [4, 8]),
    "gaussian_blocks": ("BlockDiagonal", [2, 4, 8]),
    "rademacher_blocks": ("BlockDiagonal", [2, 4, 8]),
    "hadamard_blocks": ("BlockDiagonal", [2, 4, 8]),
}


def seeded_spec(name: str, seed: int) -> dict[str, Any]:
    if name in SEEDED:
        return {**SEEDED[name], "seed": seed}
    kind, sizes = RECIPES[name]
    return {"kind": kind, "recipe": [name, *sizes, seed]}


@pytest.mark.parametrize("name", [*SEEDED, *RECIPES])
def test_seeds_tell_operators_apart_and_cost_no_bits(name):
    first, again, other = (LinearOperator.from_spec(seeded_spec(name, seed)) for seed in (0, 0, 1))
    assert_equal_operators(first, again)
    assert first.fingerprint() == again.fingerprint()
    assert not np.allclose(first.fingerprint(), other.fingerprint())
    assert first.physics_bits() == 0


def test_seeded_draws_are_made_once():
    from unrollbit.operators.hadamard import _draw

    A = Hadamard(8, 64, seed=987)
    A(jnp.ones(64))
    misses = _draw.cache_info().misses
    for _ in range(3):
        A.T(A(jnp.ones(64)))
        jax.jit(lambda v: Hadamard(8, 64, seed=987)(v))(jnp.ones(64))
    assert _draw.cache_info().misses == misses
    assert not jax.tree.leaves(A)


def test_packed_signs_stay_packed_and_are_drawn_once(monkeypatch):
    A = Rademacher(8, 64, seed=0)
    monkeypatch.setattr(np.random, "RandomState", None)  # a second draw would fail
    leaves, structure = jax.tree.flatten(A)
    assert [leaf.dtype for leaf in leaves] == [jnp.uint8]
    rebuilt = jax.tree.unflatten(structure, leaves)
    assert rebuilt(jnp.ones(64)).shape == (8,)
    assert jax.jit(lambda B: B(jnp.ones(64)))(A).shape == (8,)


def test_resident_bits_by_formula():
    assert Hadamard(20, 64).resident_bits() == 8 * 64 + 32 * 20
    assert Rademacher(6, 13).resident_bits() == 6 * 13
    assert SubsampledDCT.full(64).resident_bits() == 0
    assert SubsampledDCT.random(64, 10).resident_bits() == 320
    assert SubsampledFourier.of(64, [1, 2]).physics_bits() == 8  # a bitmap up to the last one
    assert math.isclose(Hadamard(16, 64).norm(), 2.0)
