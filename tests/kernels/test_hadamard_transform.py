"""The fast Hadamard transform as a primitive: values, derivatives, batches, dtypes and errors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from unrollbit.kernels import hadamard_transform

N = 64
H = scipy.linalg.hadamard(N)


def drawn(*shape: int) -> np.ndarray:
    return np.random.RandomState(0).randint(-8, 9, shape).astype(np.float32)


@pytest.mark.parametrize("n", [1, 2, 32, 64, 2048])
def test_values(n):
    x = drawn(3, n)
    assert np.array_equal(hadamard_transform(x), x @ scipy.linalg.hadamard(n))


def test_derivatives_are_the_transform_itself():
    x, weight = drawn(2, N), drawn(2, N)[::-1]
    assert np.array_equal(jax.jvp(hadamard_transform, (x,), (weight,))[1], weight @ H)
    assert np.array_equal(jax.grad(lambda x: jnp.sum(weight * hadamard_transform(x)))(jnp.asarray(x)), weight @ H)
    assert np.array_equal(jax.linear_transpose(hadamard_transform, jnp.asarray(x))(weight)[0], weight @ H)
    hessian = jax.hessian(lambda x: 0.5 * jnp.sum(hadamard_transform(x) ** 2))(jnp.asarray(x[0]))
    assert np.array_equal(hessian, N * np.eye(N))


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_batches_along_every_axis(axis):
    x = np.moveaxis(drawn(5, 3, N), 0, axis)
    found = jax.vmap(hadamard_transform, in_axes=axis, out_axes=axis)(jnp.asarray(x))
    assert np.array_equal(np.moveaxis(found, axis, 0), np.moveaxis(x, axis, 0) @ H)


def test_programs_show_one_operation_and_run_without_jit():
    program = jax.make_jaxpr(lambda x: hadamard_transform(2 * x))(jnp.ones((2, N)))
    assert [equation.primitive.name for equation in program.eqns] == ["mul", "hadamard_transform"]
    with jax.disable_jit():
        assert np.array_equal(hadamard_transform(drawn(2, N)), drawn(2, N) @ H)


@pytest.mark.parametrize(
    ("dtype", "result"),
    [(np.float16, np.float16), (jnp.bfloat16, jnp.bfloat16), (">f4", np.float32), (np.int16, np.float32)],
)
def test_other_dtypes(dtype, result):
    x = drawn(2, 32)
    found = hadamard_transform(x.astype(dtype))
    assert found.dtype == result
    assert np.array_equal(found, (x @ scipy.linalg.hadamard(32)).astype(result))


def test_narrow_floats_are_computed_in_float32():
    x = np.full((1, 4096), 0.1, jnp.bfloat16)
    assert hadamard_transform(jnp.asarray(x))[0, 0] == jnp.bfloat16(4096 * np.float32(x[0, 0]))


def test_float64_and_empty_batches():
    with jax.enable_x64(True):
        x = np.random.RandomState(1).standard_normal((2, N))
        np.testing.assert_allclose(hadamard_transform(x), x @ H, rtol=1e-13, atol=1e-13)
    assert hadamard_transform(jnp.zeros((0, N))).shape == (0, N)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 12)])
def test_other_lengths_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected a power of two as the last size, got shape"):
        hadamard_transform(jnp.zeros(shape))


def test_complex_numbers_are_refused():
    with pytest.raises(TypeError, match="stack real and imaginary parts"):
        hadamard_transform(jnp.zeros(8, jnp.complex64))
