"""What every operator keeps: adjoint, norm, dense, mask, specs, jit."""

from __future__ import annotations

import json
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit.operators import Hadamard, LinearOperator, Rademacher, SubsampledDCT, SubsampledFourier
from unrollbit.operators.base import power_iteration

BATCHES = [(), (3,), (2, 3)]


def assert_equal_operators(a: Any, b: Any) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert left.dtype == right.dtype
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


def adjoint_error(A: LinearOperator, batch: tuple[int, ...], dtype: type) -> float:
    m, n = A.shape
    random = np.random.RandomState(7)
    x = jnp.asarray(random.standard_normal((*batch, n)), dtype)
    y = jnp.asarray(random.standard_normal((*batch, m)), dtype)
    image, back = A(x), A.T(y)
    assert image.shape == (*batch, m)
    assert back.shape == (*batch, n)
    assert image.dtype == back.dtype == dtype
    inner = np.sum(np.asarray(image, np.float64) * np.asarray(y, np.float64), -1)
    outer = np.sum(np.asarray(x, np.float64) * np.asarray(back, np.float64), -1)
    scale = np.linalg.norm(np.asarray(x)) * np.linalg.norm(np.asarray(y)) * max(float(A.norm()), 1e-30)
    return float(np.max(np.abs(inner - outer)) / scale)


@pytest.mark.parametrize("batch", BATCHES)
def test_adjoint_in_float32(operator, batch):
    assert adjoint_error(operator, batch, jnp.float32) < 1e-6


def test_adjoint_in_float64(build):
    with jax.enable_x64(True):
        assert adjoint_error(build(), (2, 3), jnp.float64) < 1e-12


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_signals_are_taken(operator, dtype):
    image = operator(jnp.ones((2, operator.shape[1]), dtype))
    assert jnp.issubdtype(image.dtype, jnp.floating)
    np.testing.assert_allclose(
        np.asarray(image, np.float64), np.asarray(operator(jnp.ones((2, operator.shape[1])))), atol=0.1
    )
    assert operator.T(jnp.ones(operator.shape[0], dtype)).shape == (operator.shape[1],)


def test_dense_is_the_matrix_of_the_map(build):
    with jax.enable_x64(True):
        A = build()
        matrix = A.dense()
        assert matrix.shape == A.shape
        np.testing.assert_allclose(matrix, A(jnp.eye(A.shape[1])).T, atol=1e-12)
        np.testing.assert_allclose(matrix, A.T(jnp.eye(A.shape[0])), atol=1e-12)


def test_norm_is_that_of_the_full_svd(build):
    with jax.enable_x64(True):
        A = build()
        norm = A.norm()
        assert norm.exact
        largest = np.linalg.svd(np.asarray(A.dense(), np.float64), compute_uv=False)[0]
        assert float(norm) == pytest.approx(largest, rel=1e-9, abs=1e-12)
        estimate = power_iteration(A)
        assert not estimate.exact
        assert estimate <= largest * (1 + 1e-9) + 1e-12


def test_frame_constant(build):
    with jax.enable_x64(True):
        A = build()
        constant = A.frame_constant
        if constant is not None:
            matrix = np.asarray(A.dense())
            np.testing.assert_allclose(matrix @ matrix.T, constant * np.eye(A.shape[0]), atol=1e-12)


def test_mask_contains_the_nonzeros(operator):
    mask = operator.mask()
    assert mask.shape == operator.shape
    dense_mask, matrix = np.asarray(mask.dense_mask()), np.asarray(operator.dense())
    assert (dense_mask | (np.abs(matrix) < 1e-6)).all()
    assert mask.size == dense_mask.sum()
    assert hash(mask) == hash(type(mask).from_spec(json.loads(json.dumps(mask.to_spec()))))


def test_spec_round_trip_through_json(operator):
    rebuilt = LinearOperator.from_spec(through_json(operator.to_spec()))
    assert_equal_operators(rebuilt, operator)
    assert rebuilt.fingerprint() == operator.fingerprint()
    assert json.loads(json.dumps(operator.fingerprint())) == operator.fingerprint()


def test_jit_with_the_operator_as_argument_traces_once(build):
    traces = []

    @jax.jit
    def apply(A, x):
        traces.append(None)
        return A(x), A.T(A(x))

    A, B = build(), build()
    x = jnp.asarray(np.random.RandomState(0).standard_normal((2, A.shape[1])), jnp.float32)
    image, back = apply(A, x)
    apply(B, x)
    assert len(traces) == 1
    np.testing.assert_allclose(image, A(x), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(back, A.T(A(x)), rtol=1e-4, atol=1e-4)


def test_vmap_and_gradient(operator):
    x = jnp.asarray(np.random.RandomState(0).standard_normal((3, operator.shape[1])), jnp.float32)
    np.testing.assert_allclose(jax.vmap(operator)(x), operator(x), rtol=1e-5, atol=1e-5)
    gradient = jax.grad(lambda v: 0.5 * jnp.sum(operator(v) ** 2))(x)
    np.testing.assert_allclose(gradient, operator.T(operator(x)), rtol=1e-4, atol=1e-4)


def test_prepared_form_is_the_same_map(operator):
    x = jnp.asarray(np.random.RandomState(0).standard_normal(operator.shape[1]), jnp.float32)
    np.testing.assert_allclose(operator.prepare()(x), operator(x), rtol=1e-5, atol=1e-5)


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
    with pytest.raises(TypeError, match=r"int32; cast it"):
        operator(jnp.ones(n, jnp.int32))
    with pytest.raises(TypeError, match="complex64"):
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


def test_power_iteration_takes_float64_matrices():
    with jax.enable_x64(True):
        from unrollbit.operators import Dense

        assert power_iteration(Dense.of(np.diag([1.0, 3.0]))) == pytest.approx(3.0)


def test_resident_bits_by_formula():
    assert Hadamard(20, 64).resident_bits() == 64 + 20 * 6
    assert Rademacher(6, 13).resident_bits() == 6 * 13
    assert SubsampledDCT.full(64).resident_bits() == 0
    assert SubsampledDCT.random(64, 10).resident_bits() == 60
    assert SubsampledFourier.of(64, [1, 2]).physics_bits() == 64
    assert math.isclose(Hadamard(16, 64).norm(), 2.0)
