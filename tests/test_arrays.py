"""Signals of any dtype, byte order and layout enter every public function alike."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit import AMP, FISTA, FullyConnected, Unrolled, refine, solve
from unrollbit.arrays import as_signal, binary_unit, norm
from unrollbit.metrics import failures, nmse_db, psnr_db, ssim, support_recovery_rate
from unrollbit.operators import Composition, Convolution, Dense, Hadamard, Scaled, SubsampledFourier
from unrollbit.packed import pack

M = 16
MATRIX = np.random.RandomState(0).standard_normal((M, 20)).astype(np.float32) / 4
DTYPES = [
    "float32",
    "float64",
    ">f4",
    ">f8",
    "float16",
    "<f2",
    "bfloat16",
    "longdouble",
    "int8",
    ">i2",
    "uint16",
    ">u4",
]
DTYPES += ["int64", "bool"]


class Foreign:
    """An array of another library: all that is known of it is ``__array__``."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.array


def read_only(y: np.ndarray) -> np.ndarray:
    y = y.copy()
    y.flags.writeable = False
    return y


LAYOUTS: dict[str, Callable[[np.ndarray], Any]] = {
    "contiguous": lambda y: y,
    "reversed": lambda y: y[:, ::-1].copy()[:, ::-1],
    "every other": lambda y: np.repeat(y, 2, axis=-1)[:, ::2],
    "Fortran": np.asfortranarray,
    "read-only": read_only,
    "foreign": Foreign,
}


@cache
def functions() -> dict[str, Callable[[Any], Any]]:
    """Everything public that takes signals of M entries, as a function of them alone."""
    A = Dense.of(MATRIX)
    amp, relu = Unrolled(AMP(), A, 2), FullyConnected(A, 3, 24)
    packed = pack(amp)
    truth = np.random.RandomState(1).standard_normal((3, M)).astype(np.float32)
    image = np.random.RandomState(1).uniform(size=(3, 256)).astype(np.float32)
    return {
        "Dense": Dense.of(MATRIX.T),
        "adjoint": A.T,
        "Convolution": Convolution.of([0.25, 0.5, 0.25], M),
        "Hadamard": Hadamard(8, M),
        "SubsampledFourier": SubsampledFourier.random(M, 4, seed=0),
        "Unrolled": amp,
        "Unrolled, iterates": lambda y: amp(y, iterates=True),
        "FullyConnected": relu,
        "packed": packed,
        "solve": lambda y: solve(FISTA(), A, y, 5).x,
        "solve, iterates": lambda y: solve(FISTA(), A, y, 5, iterates=True).iterates,
        "refine": lambda y: refine(amp, y, layers=4).x,
        "nmse_db": lambda y: nmse_db(y, truth),
        "failures": lambda y: failures(y, truth, 10.0),
        "psnr_db": lambda y: psnr_db(y, truth),
        "support_recovery_rate": lambda y: support_recovery_rate(truth, y),
        "ssim": lambda y: ssim(image, np.tile(np.asarray(y), 16), (16, 16)),
    }


NAMES = ["Dense", "adjoint", "Convolution", "Hadamard", "SubsampledFourier", "Unrolled", "Unrolled, iterates"]
NAMES += ["FullyConnected", "packed", "solve", "solve, iterates", "refine"]
SCORES = ["nmse_db", "failures", "psnr_db", "support_recovery_rate", "ssim"]


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES + SCORES)
@settings(deadline=None, max_examples=16)
@given(dtype=st.sampled_from(DTYPES), layout=st.sampled_from(sorted(LAYOUTS)))
def test_dtypes_and_layouts(name: str, dtype: str, layout: str) -> None:
    """The values decide; floats come back in their dtype, everything is computed in float32 at least."""
    values = np.random.RandomState(2).randint(0, 2, (3, M))  # exact in every dtype
    call = functions()[name]
    y = values.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    found, expected = call(LAYOUTS[layout](y)), call(values.astype(np.float32))
    half = (
        dtype if y.dtype.itemsize == 2 and jnp.issubdtype(y.dtype, jnp.floating) and name not in SCORES else "float32"
    )
    assert found.dtype == jnp.dtype(half)
    np.testing.assert_array_equal(np.asarray(found, np.float32), np.asarray(expected.astype(found.dtype), np.float32))


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES + SCORES)
def test_half_precision_does_not_overflow_inside(name: str) -> None:
    y = 1000 * np.random.RandomState(2).randint(0, 2, (3, M))
    found = functions()[name](y.astype(np.float16))
    expected = functions()[name](y.astype(np.float32)).astype(found.dtype)
    np.testing.assert_array_equal(np.asarray(found, np.float32), np.asarray(expected, np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_complex_numbers_are_told_to_be_stacked(name: str) -> None:
    with pytest.raises(TypeError, match="complex64; stack real and imaginary parts") as refused:
        functions()[name](np.ones((3, M), np.complex64))
    assert "astype" not in str(refused.value)


@pytest.mark.long
def test_complex_physics_takes_complex_measurements() -> None:
    fourier = SubsampledFourier.random(M, 4, seed=0)
    z = np.random.RandomState(0).standard_normal((3, 4)) + 1j * np.random.RandomState(1).standard_normal((3, 4))
    stacked = np.concatenate([z.real, z.imag], -1)
    for A in (fourier, Scaled(fourier, 2.0), Composition(fourier, Hadamard(M, M))):
        net = Unrolled(AMP(), A, 2)
        for call in (
            net,
            pack(net),
            lambda y, A=A: solve(FISTA(), A, y, 5).x,
            lambda y, net=net: refine(net, y, layers=4).x,
        ):
            np.testing.assert_array_equal(call(z), call(stacked))
            np.testing.assert_array_equal(call(jnp.asarray(z)), call(stacked))
    with pytest.raises(ValueError, match="m = 8 entries"):
        solve(FISTA(), fourier, z[:, :3])


@pytest.mark.parametrize("bad", [["a"], None, object(), np.array(["2020"], "M8[s]")])
def test_what_is_no_array_of_numbers_is_named(bad: Any) -> None:
    with pytest.raises(TypeError, match="y: expected an array of real numbers, got dtype"):
        as_signal(bad, 1, "y", "m")
    with pytest.raises(ValueError, match="y: expected a regular array of numbers"):
        as_signal([[1.0], [1.0, 2.0]], 1, "y", "m")


def test_lists_are_arrays() -> None:
    assert as_signal([[1, 2], [3, 4]], 2, "y", "m").tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.long
def test_the_dtype_of_the_measurement_decides() -> None:
    """Physics in another precision, that of ``jax_enable_x64``, changes nothing of it."""
    with jax.enable_x64(True):
        A = Convolution.of(np.array([0.25, 0.5, 0.25]), M)
        net, relu = Unrolled(AMP(), A, 2), FullyConnected(A, 3, 24)
        for dtype in (np.float32, np.float64, np.float16):
            y = np.ones((3, M), dtype)
            for call in (net, relu, A, pack(net), lambda y: solve(FISTA(), A, y, 5).x, lambda y: refine(net, y).x):
                assert call(y).dtype == dtype


@pytest.mark.long
def test_a_network_of_float64_physics_is_read_back_under_x64(tmp_path) -> None:
    code = (
        "import numpy as np; from unrollbit import AMP, Unrolled; from unrollbit.operators import Convolution\n"
        "from unrollbit.packed import load, pack\n"
        "net = Unrolled(AMP(), Convolution.of([.25, .5, .25], 16), 2)\n"
        f"read = load(pack(net).save({str(tmp_path / 'net.safetensors')!r}))\n"
        "for dtype in (np.float32, np.float64):\n"
        "    y = np.linspace(-1, 1, 16).astype(dtype)\n"
        "    assert read(y).dtype == dtype\n"
        "    assert np.abs(read(y) - net(y)).max() < 1e-5 * np.abs(net(y)).max()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "JAX_ENABLE_X64": "1"})


@settings(deadline=None)
@given(st.integers(-110, 120), st.integers(0, 99))
def test_norms_have_no_unit(exponent: int, seed: int) -> None:
    x = np.random.RandomState(seed).standard_normal((3, 5)).astype(np.float32)
    scale = np.float32(2.0**exponent)
    scaled = np.clip(x, 0.01, 1) * scale  # neither denormal nor infinite
    expected = np.linalg.norm(scaled.astype(np.float64), axis=-1)
    kept = np.isfinite(expected.astype(np.float32)) & (expected > 1e-37)
    np.testing.assert_allclose(np.asarray(norm(scaled))[kept], expected[kept], rtol=1e-6)
    gradient = jax.grad(lambda x: jnp.sum(norm(x)))(jnp.asarray(scaled))
    np.testing.assert_allclose(np.asarray(gradient)[kept], (scaled / expected[:, None])[kept], rtol=1e-5)
    assert (np.frexp(np.asarray(binary_unit(scaled)))[0] == 0.5).all()


def test_the_norm_of_zero_has_a_gradient_and_that_of_nan_is_nan() -> None:
    assert jax.grad(norm)(jnp.zeros(3)).tolist() == [0.0, 0.0, 0.0]
    assert norm(jnp.zeros((2, 3)), keepdims=True).tolist() == [[0.0], [0.0]]
    assert np.isnan(norm(jnp.array([1.0, jnp.nan])))
    assert np.isinf(norm(jnp.array([1.0, -jnp.inf])))
