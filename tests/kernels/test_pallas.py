"""The GPU kernel without a GPU: its arithmetic in interpret mode, and its lowering to CUDA."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from unrollbit.kernels.pallas import signs_product_pallas
from unrollbit.signbits import pack_signs


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("shape", [(1, 64, 256, 1), (1, 70, 300, 3), (3, 20, 40, 17)])
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
