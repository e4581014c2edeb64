"""The same operator in other units, byte orders and dtypes."""

from __future__ import annotations

import numpy as np
import pytest

from unrollbit.operators import Banded, BlockDiagonal, Convolution, Dense, Scaled
from unrollbit.packed_operators import sign_planes

BLUR = np.outer([1.0, 2.0, 1.0], [1.0, 2.0, 1.0]) / 16


@pytest.mark.long
def test_norms_scale(operator):
    for power in (-30, -9, 9, 30):
        factor = 10.0**power
        multiple = Scaled(operator, factor)
        assert float(multiple.norm()) == pytest.approx(factor * float(operator.norm()), rel=1e-6)
        wanted = np.asarray(operator.column_norms(), np.float64) * factor
        np.testing.assert_allclose(np.asarray(multiple.column_norms(), np.float64), wanted, rtol=1e-5)
        np.testing.assert_allclose(float(multiple.column_rms()), factor * float(operator.column_rms()), rtol=1e-5)


MAKERS = {
    "dense": lambda s: Dense(s * np.arange(1.0, 13).reshape(3, 4)),
    "blocks": lambda s: BlockDiagonal(s * np.arange(1.0, 13).reshape(2, 2, 3)),
    "convolution": lambda s: Convolution(s * BLUR, (6, 5), "zero"),
    "circular": lambda s: Convolution(s * BLUR, (6, 5)),
    "banded": lambda s: Banded.of(s * np.array([1.0, 2.0, -1.0]), (6, 6), lower=-1),
    "planes": lambda s: sign_planes(Dense(s * np.arange(1.0, 13).reshape(3, 4)), 2),
}


@pytest.mark.parametrize("name", MAKERS)
def test_entries_of_any_size(name):
    make = MAKERS[name]
    plain = make(1.0)
    for factor in (1e-30, 1e30):
        scaled = make(factor)
        assert float(scaled.norm()) / factor == pytest.approx(float(plain.norm()), rel=1e-5)
        found = np.asarray(scaled.column_norms(), np.float64) / factor
        np.testing.assert_allclose(found, plain.column_norms(), rtol=1e-5)
        assert scaled.norm().exact == plain.norm().exact


@pytest.mark.parametrize("factor", [1e-30, 1e-9, 1.0, 1e30])
def test_power_iteration_of_a_large_blur(factor):
    norm = Convolution.of(BLUR * factor, (80, 80), "zero").norm()
    assert not norm.exact
    exact = np.cos(np.pi / 162) ** 4  # of [1, 2, 1] / 4 on 80 samples, in both directions
    assert 0.999 * exact <= norm / factor <= exact * (1 + 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1e-9, 1e9])
def test_power_iteration_of_a_large_matrix(factor):
    matrix = np.random.RandomState(0).standard_normal((4100, 4200)).astype(np.float32)
    plain, scaled = Dense(matrix).norm(), Dense(matrix * np.float32(factor)).norm()
    assert not plain.exact
    assert scaled / factor == pytest.approx(plain, rel=1e-4)
    assert float(plain) == pytest.approx(np.sqrt(4100) + np.sqrt(4200), rel=0.02)


@pytest.mark.parametrize("dtype", [">f4", ">f8", "<f8", "f2", ">i2", "u1", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_dtype_byte_order_and_layout(dtype, order):
    values = np.array([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 0, 1]])
    plain, given = Dense(values.astype(np.float32)), np.asarray(values, dtype=dtype, order=order)
    for A in (Dense(given), Dense(given[:, ::-1][:, ::-1])):
        assert plain == A
    assert Convolution(given, (5, 6)) == Convolution(values.astype(np.float32), (5, 6))
    assert BlockDiagonal(given[None]) == BlockDiagonal(values[None].astype(np.float32))
    assert Banded.of(given[0], (4, 4)) == Banded.of(values[0].astype(np.float32), (4, 4))
    mask = np.asarray(values, order=order).astype(bool)
    assert Dense(given, structure=mask).mask().size == values.sum()
