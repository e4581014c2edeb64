"""Exported programs: no custom call, whichever kernels run here, and the same answers where this library is not."""

from __future__ import annotations

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from unrollbit import packed_matmul
from unrollbit.algorithms import AMP, FISTA, ISTA
from unrollbit.formats import OneBit, Ternary
from unrollbit.kernels import kernels
from unrollbit.networks import Unrolled
from unrollbit.operators import Hadamard, Rademacher, gaussian
from unrollbit.packed import pack
from unrollbit.signbits import pack_signs

NETWORKS = {
    "signs": lambda: Unrolled(FISTA(), Rademacher(24, 40), 3, OneBit()),
    "fast transform": lambda: Unrolled(FISTA(), Hadamard(16, 64), 3, OneBit()),
    "floats": lambda: Unrolled(AMP(), gaussian(24, 40), 3, OneBit()),
    "ternary": lambda: Unrolled(ISTA(), Rademacher(24, 40), 3, Ternary()),
}
ELSEWHERE = """
import sys
import numpy as np
from jax import export
program = export.deserialize(bytearray(open("program", "rb").read()))
np.save("x.npy", program.call(np.load("y.npy")))
assert not any(name.startswith("unrollbit") for name in sys.modules)
"""


@pytest.mark.long
@pytest.mark.parametrize("name", NETWORKS)
def test_a_packed_network_runs_in_a_process_without_this_library(name, tmp_path):
    packed = pack(NETWORKS[name]())
    y = np.random.RandomState(0).standard_normal((2, packed.network.operator.shape[0])).astype(np.float32)
    program = export.export(jax.jit(packed))(jax.ShapeDtypeStruct(y.shape, y.dtype))
    assert "custom_call @unrollbit" not in program.mlir_module()
    (tmp_path / "program").write_bytes(program.serialize())
    np.save(tmp_path / "y.npy", y)
    subprocess.run([sys.executable, "-c", ELSEWHERE], cwd=tmp_path, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), packed(jnp.asarray(y)), rtol=1e-4, atol=1e-5)


def product(rows: int, columns: int):
    signs = np.random.RandomState(1).choice([-1.0, 1.0], (rows, columns))
    bits = jnp.asarray(pack_signs(signs))[None, None]
    return signs, lambda x, **options: packed_matmul(bits, x, columns, **options)


def test_programs_for_many_platforms_and_any_number_of_signals():
    signs, call = product(600, 40)
    (batch,) = export.symbolic_shape("batch")
    shape = jax.ShapeDtypeStruct((batch, 40), jnp.float32)
    program = export.export(jax.jit(call), platforms=["cpu", "cuda", "tpu"])(shape)
    assert "custom_call @unrollbit" not in program.mlir_module()
    for count in (1, 5):
        x = np.random.RandomState(count).standard_normal((count, 40)).astype(np.float32)
        np.testing.assert_allclose(program.call(x), x @ signs.T, rtol=1e-4, atol=1e-4)


def test_derivatives_are_exported_too():
    signs, call = product(30, 40)
    shape = jax.ShapeDtypeStruct((2, 40), jnp.float32)
    program = export.deserialize(export.export(jax.jit(call))(shape).serialize(vjp_order=1))
    x = np.random.RandomState(2).standard_normal((2, 40)).astype(np.float32)
    slope = jax.grad(lambda x: jnp.sum(program.call(x) ** 2))(x)
    np.testing.assert_allclose(slope, 2 * x @ signs.T @ signs, rtol=1e-4, atol=1e-3)


@pytest.mark.skipif(kernels().path == "portable", reason="no kernel of its own here")
def test_what_runs_here_still_takes_the_kernel():
    _, call = product(30, 40)
    shape = jax.ShapeDtypeStruct((2, 40), jnp.float32)
    assert "custom_call @unrollbit" in jax.jit(call).lower(shape).as_text()
    export.export(jax.jit(call))(shape)
    assert "custom_call @unrollbit" in jax.jit(call).lower(shape).as_text()


def test_a_signal_that_is_known_while_a_program_is_exported():
    packed = pack(NETWORKS["signs"]())
    y = jnp.asarray(np.random.RandomState(3).standard_normal(24), jnp.float32)
    program = export.export(jax.jit(lambda scale: scale * packed(y)))(jax.ShapeDtypeStruct((), jnp.float32))
    np.testing.assert_allclose(program.call(jnp.float32(2.0)), 2 * packed(y), rtol=1e-4, atol=1e-5)
