"""The GPU kernel without a GPU: its arithmetic in interpret mode, and its lowering to CUDA."""

from __future__ import annotations

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from unrollbit import load
from unrollbit.kernels import kernels, packed_matmul
from unrollbit.kernels.pallas import signs_product_pallas
from unrollbit.packed import runtime
from unrollbit.signbits import pack_signs

SHELF = Path(__file__).resolve().parents[2] / "examples" / "networks"


@pytest.mark.long
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize(
    "shape", [(1, 64, 256, 1), (1, 128, 2048, 2), (1, 70, 300, 9), (3, 20, 40, 17), (1, 8, 24, 65)]
)
def test_interpreted_products_against_float64(shape, transpose):
    blocks, rows, columns, batch = shape
    random = np.random.RandomState(0)
    signs = random.choice([-1.0, 1.0], (blocks, rows, columns))
    x = random.standard_normal((batch, blocks, rows if transpose else columns)).astype(np.float32)
    wanted = np.einsum("bij,kbi->kbj" if transpose else "bij,kbj->kbi", signs, x.astype(np.float64)).reshape(batch, -1)
    bits = jnp.asarray(pack_signs(signs))
    found = signs_product_pallas(
        bits, jnp.asarray(x.reshape(batch, -1)), columns=columns, transpose=transpose, interpret=True
    )
    assert np.linalg.norm(np.asarray(found, np.float64) - wanted) <= 2e-6 * np.linalg.norm(wanted)


@pytest.mark.skipif(
    jax.__version_info__ >= (0, 11) and jax.default_backend() != "gpu", reason="this JAX lowers it only beside a GPU"
)
@pytest.mark.parametrize("transpose", [False, True])
def test_the_kernel_lowers_to_cuda(transpose):
    product = jax.jit(functools.partial(signs_product_pallas, columns=512, transpose=transpose))
    check = export.DisabledSafetyCheck.custom_call("__gpu$xla.gpu.triton")  # versions of triton are not promised
    shapes = (
        jax.ShapeDtypeStruct((1, 256, 64), jnp.uint8),
        jax.ShapeDtypeStruct((4, 256 if transpose else 512), jnp.float32),
    )
    program = export.export(product, platforms=["cuda"], disabled_checks=[check])(*shapes)
    assert "__gpu$xla.gpu.triton" in program.mlir_module()
    assert program.out_avals[0].shape == (4, 512 if transpose else 256)


@pytest.mark.skipif(jax.default_backend() != "gpu", reason="no NVIDIA GPU")
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("batch", [1, 5, 10, 11, 22, 64, 130])
@pytest.mark.parametrize("shape", [(1, 512, 1024), (1, 4096, 2048), (1, 70, 300), (3, 130, 1000), (64, 128, 128)])
def test_products_on_a_gpu_against_float64(shape, batch, transpose):
    blocks, rows, columns = shape
    random = np.random.RandomState(batch)
    signs = random.choice([-1.0, 1.0], shape)
    x = random.standard_normal((batch, blocks, rows if transpose else columns)).astype(np.float32)
    wanted = np.einsum("bij,kbi->kbj" if transpose else "bij,kbj->kbi", signs, x.astype(np.float64)).reshape(batch, -1)
    bits = jnp.asarray(pack_signs(signs))
    assert kernels().path == "pallas"
    product = functools.partial(packed_matmul, bits[None], columns=columns, transpose=transpose)
    flat = jnp.asarray(x.reshape(batch, -1))
    found = product(flat)
    assert np.linalg.norm(np.asarray(found, np.float64) - wanted) <= 2e-6 * np.linalg.norm(wanted)
    assert np.array_equal(found, jax.jit(product)(flat))
    portable = product(flat, path="portable")
    assert np.linalg.norm(np.asarray(found - portable)) <= 4e-6 * np.linalg.norm(wanted)


@pytest.mark.skipif(jax.default_backend() != "gpu", reason="no NVIDIA GPU")
def test_derivatives_and_batches_on_a_gpu():
    random = np.random.RandomState(0)
    signs = random.choice([-1.0, 1.0], (200, 300))
    bits, x = jnp.asarray(pack_signs(signs))[None, None], random.standard_normal((7, 300)).astype(np.float32)
    wanted = 2 * (x.astype(np.float64) @ signs.T) @ signs
    found = jax.vmap(jax.grad(lambda x: jnp.sum(packed_matmul(bits, x, 300) ** 2)))(jnp.asarray(x))
    assert np.linalg.norm(np.asarray(found, np.float64) - wanted) <= 4e-6 * np.linalg.norm(wanted)


@pytest.mark.skipif(jax.default_backend() != "gpu", reason="no NVIDIA GPU")
@pytest.mark.parametrize("name", ["open-l2o-b-1plane", "open-l2o-a-2plane", "all-signs", "single-pixel"])
def test_networks_of_the_shelf_on_a_gpu(name):
    path = SHELF / f"{name}.safetensors"
    packed, oracle = load(path), runtime.load(path)
    y = np.random.RandomState(0).standard_normal((5, packed.network.operator.shape[0])).astype(np.float32)
    wanted = oracle(y)
    with jax.default_matmul_precision("highest"):  # of physics in floats
        found = packed(y)
    assert np.linalg.norm(np.asarray(found) - wanted) <= 1e-3 * np.linalg.norm(wanted)
