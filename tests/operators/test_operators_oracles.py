"""Matrices against independent implementations: NumPy, SciPy, PyWavelets."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt
import scipy.fft
import scipy.linalg
import scipy.ndimage
import scipy.signal

from unrollbit.operators import (
    Banded,
    BlockDiagonal,
    Convolution,
    Hadamard,
    LinearOperator,
    Rademacher,
    Radon,
    Scaled,
    SubsampledDCT,
    SubsampledFourier,
    Subsampling,
    Wavelet,
    gaussian,
    gaussian_blocks,
    ill_conditioned,
)
from unrollbit.operators.hadamard import hadamard_transform
from unrollbit.operators.wavelet import daubechies


@pytest.fixture(autouse=True)
def _double_precision():
    with jax.enable_x64(True):
        yield


def numbers(*shape: int) -> np.ndarray:
    return np.random.RandomState(11).standard_normal(shape)


@jax.jit
def run(A, x):
    return A(x)


def matrix_of(function, n: int) -> np.ndarray:
    return np.stack([np.ravel(function(unit)) for unit in np.eye(n)], axis=1)


@pytest.mark.parametrize("n", [1, 2, 16, 64, 2048])
def test_hadamard_transform_is_sylvesters(n):
    x = numbers(2, n)
    np.testing.assert_allclose(hadamard_transform(jnp.asarray(x)), x @ scipy.linalg.hadamard(n), atol=1e-10)


def test_hadamard_rows_and_signs():
    A = Hadamard(12, 128, seed=3)
    expected = scipy.linalg.hadamard(128)[A.rows] * A.column_signs
    np.testing.assert_array_equal(A.signs(), expected)
    np.testing.assert_allclose(A(jnp.eye(128)).T, expected / np.sqrt(12), atol=1e-14)
    assert np.unique(A.rows).size == 12
    assert set(A.column_signs.tolist()) == {-1, 1}
    np.testing.assert_allclose(np.linalg.norm(A.dense(), axis=0), 1)


def test_rademacher_entries():
    A = Rademacher(40, 50, seed=3)
    assert set(np.unique(A.signs()).tolist()) == {-1.0, 1.0}
    assert abs(float(A.signs().mean())) < 0.1
    np.testing.assert_allclose(A.prepare().matrix, A.signs(jnp.float64) / np.sqrt(40))
    assert A.packed.shape == (40, 7)


@pytest.mark.parametrize(("column", "row"), [([1.0, 2.0, 3.0], [1.0, 5.0]), ([4.0], [4.0, 1.0, 0.0]), ([2.0], [2.0])])
def test_toeplitz(column, row):
    np.testing.assert_allclose(Banded.toeplitz(column, row).dense(), scipy.linalg.toeplitz(column, row))


@pytest.mark.long
@pytest.mark.parametrize("circular", [False, True])
@pytest.mark.parametrize(
    ("taps", "m", "n", "lower", "stride"), [(3, 8, 8, -1, 1), (4, 5, 9, 2, 2), (2, 9, 4, -3, 1), (7, 3, 4, -2, 3)]
)
def test_banded_by_loops(taps, m, n, lower, stride, circular):
    values, expected = numbers(taps), np.zeros((m, n))
    for i in range(m):
        for k in range(taps):
            j = stride * i + lower + k
            if circular or 0 <= j < n:
                expected[i, j % n] += values[k]
    np.testing.assert_allclose(Banded.of(values, (m, n), lower, stride, circular).dense(), expected, atol=1e-14)


def test_block_diagonal():
    blocks = numbers(3, 2, 4)
    A = BlockDiagonal.of(list(blocks))
    np.testing.assert_array_equal(A.dense(), scipy.linalg.block_diag(*blocks))
    assert A.norm() == max(np.linalg.norm(block, 2) for block in blocks)


@pytest.mark.parametrize("taps", [1, 2, 5, 8])
@pytest.mark.parametrize("boundary", ["zero", "circular"])
def test_convolution_1d(taps, boundary):
    kernel, n = numbers(taps), 8
    if boundary == "zero":
        expected = matrix_of(lambda x: scipy.signal.convolve(x, kernel, "same"), n)
    else:
        expected = matrix_of(lambda x: scipy.signal.convolve2d(x[None], kernel[None], "same", boundary="wrap"), n)
    np.testing.assert_allclose(Convolution.of(kernel, n, boundary).dense(), expected, atol=1e-13)


@pytest.mark.parametrize("taps", [(3, 3), (2, 5), (4, 1)])
@pytest.mark.parametrize("boundary", ["zero", "circular"])
def test_convolution_2d(taps, boundary):
    kernel, image = numbers(*taps), numbers(3, 6, 7)
    fill = {"zero": "fill", "circular": "wrap"}[boundary]
    expected = [scipy.signal.convolve2d(x, kernel, "same", boundary=fill) for x in image]
    blurred = Convolution.of(kernel, (6, 7), boundary)(jnp.asarray(image.reshape(3, 42)))
    np.testing.assert_allclose(blurred.reshape(3, 6, 7), expected, atol=1e-13)


def test_convolution_agrees_with_ndimage_for_odd_kernels():
    kernel, image = numbers(3, 5), numbers(6, 7)
    blurred = Convolution.of(kernel, (6, 7), "circular")(jnp.asarray(image.ravel()))
    np.testing.assert_allclose(blurred.reshape(6, 7), scipy.ndimage.convolve(image, kernel, mode="wrap"), atol=1e-13)


@pytest.mark.long
@pytest.mark.parametrize(("side", "stride"), [(12, 2), (12, 3), (12, 4)])
@pytest.mark.parametrize("boundary", ["zero", "circular"])
def test_a_stride_keeps_every_so_many_samples(side, stride, boundary):
    kernel, image = numbers(3, 4), numbers(side, 2 * side)
    blurred = Convolution.of(kernel, image.shape, boundary)(jnp.asarray(image.ravel())).reshape(image.shape)
    first = stride // 2
    strided = Convolution.of(kernel, image.shape, boundary, stride)(jnp.asarray(image.ravel()))
    np.testing.assert_allclose(strided, blurred[first::stride, first::stride].ravel(), atol=1e-13)


@pytest.mark.parametrize("side", [2, 3, 4])
def test_a_box_with_its_own_stride_gives_the_means_of_squares(side):
    image = numbers(2 * side, 3 * side)
    seen = Convolution.of(np.ones((side, side)) / side**2, image.shape, stride=side)(jnp.asarray(image.ravel()))
    np.testing.assert_allclose(seen.reshape(2, 3), image.reshape(2, side, 3, side).mean((1, 3)), atol=1e-14)


@pytest.mark.parametrize("shape", [(9,), (8,), (4, 6), (5, 3)])
def test_fourier(shape):
    x, n = numbers(*shape), int(np.prod(shape))
    spectrum = np.fft.fftn(x, norm="ortho").ravel()
    for A in (SubsampledFourier.full(shape), SubsampledFourier.random(shape, 3, seed=4)):
        kept = spectrum[A.indices]
        np.testing.assert_allclose(run(A, jnp.asarray(x.ravel())), np.r_[kept.real, kept.imag], atol=1e-13)
    drawn = np.unravel_index(SubsampledFourier.random(shape, (n - 4) // 2, seed=4).indices, shape)
    pairs = {frozenset([f, tuple(-k % s for k, s in zip(f, shape, strict=True))]) for f in zip(*drawn, strict=True)}
    assert len(pairs) == (n - 4) // 2  # no frequency with its conjugate
    assert all(len(pair) == 2 for pair in pairs)  # and none its own


@pytest.mark.long
@pytest.mark.parametrize("shape", [(9,), (8,), (4, 6)])
def test_dct(shape):
    x = numbers(*shape)
    coefficients = scipy.fft.dctn(x, norm="ortho").ravel()
    A = SubsampledDCT.full(shape)
    np.testing.assert_allclose(run(A, jnp.asarray(x.ravel())), coefficients, atol=1e-13)
    np.testing.assert_allclose(run(A.T, jnp.asarray(coefficients)), x.ravel(), atol=1e-13)
    some = SubsampledDCT.random(shape, 4, seed=1)
    np.testing.assert_allclose(run(some, jnp.asarray(x.ravel())), coefficients[some.indices], atol=1e-13)
    assert A.frame_constant == 1.0


@pytest.mark.parametrize("order", range(1, 9))
def test_daubechies_filters(order):
    np.testing.assert_allclose(daubechies(f"db{order}"), pywt.Wavelet(f"db{order}").rec_lo, atol=1e-14)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:Level value")
@pytest.mark.parametrize("order", range(1, 9))
@pytest.mark.parametrize(("n", "levels"), [(48, 2), (16, 3)])
def test_wavelet_1d(order, n, levels):
    parts = pywt.wavedec(numbers(n), f"db{order}", mode="periodization", level=levels)
    Psi, coefficients = Wavelet.of(n, f"db{order}", levels), np.concatenate(parts)
    np.testing.assert_allclose(run(Psi.T, jnp.asarray(numbers(n))), coefficients, atol=1e-12)
    np.testing.assert_allclose(run(Psi, jnp.asarray(coefficients)), numbers(n), atol=1e-12)
    np.testing.assert_array_equal(Psi.subbands(), np.concatenate([np.full(len(p), k) for k, p in enumerate(parts)]))


@pytest.mark.filterwarnings("ignore:Level value")
@pytest.mark.parametrize(("order", "shape", "levels"), [(1, (16, 16), 2), (2, (8, 24), 3), (8, (16, 16), 1)])
def test_wavelet_2d(order, shape, levels):
    image = numbers(*shape)
    first, *details = pywt.wavedec2(image, f"db{order}", mode="periodization", level=levels)
    parts = [first, *(band for level in details for band in level)]
    Psi, coefficients = Wavelet.of(shape, f"db{order}", levels), np.concatenate([p.ravel() for p in parts])
    np.testing.assert_allclose(run(Psi.T, jnp.asarray(image.ravel())), coefficients, atol=1e-12)
    np.testing.assert_allclose(run(Psi, jnp.asarray(coefficients)).reshape(shape), image, atol=1e-12)
    np.testing.assert_array_equal(Psi.subbands(), np.concatenate([np.full(p.size, k) for k, p in enumerate(parts)]))


@pytest.mark.parametrize(("n", "name"), [(256, "db1"), (256, "db4"), (96, "db2"), (512, "db8")])
def test_default_levels_are_those_of_pywavelets(n, name):
    assert Wavelet.of(n, name).levels == pywt.dwt_max_level(n, name)


def test_default_levels_stop_at_odd_sides_and_are_at_least_one():
    assert Wavelet.of((48, 64), "db1").levels == 4
    assert Wavelet.of(8, "db8").levels == 1


@pytest.mark.parametrize("matrix", [gaussian(20, 30, 1).matrix, ill_conditioned(20, 30, 1).matrix])
def test_random_matrices_have_unit_columns(matrix):
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=0), 1, rtol=1e-6)


def test_gaussian_is_the_seeded_formula():
    normal = np.random.RandomState(7).standard_normal((4, 6))
    np.testing.assert_allclose(gaussian(4, 6, 7).matrix, normal / np.linalg.norm(normal, axis=0), rtol=1e-6)
    blocks = np.random.RandomState(7).standard_normal((3, 4, 2))
    expected = blocks / np.linalg.norm(blocks, axis=1, keepdims=True)
    np.testing.assert_allclose(gaussian_blocks(3, 4, 2, 7).blocks, expected, rtol=1e-6)


@pytest.mark.parametrize("indices", [[0, 1, 5], [1, 4, 7], [0, 2, 8, 9, 14]])
def test_the_linear_estimate_of_frequencies_is_the_pseudo_inverse(indices):
    A = SubsampledFourier.of((4, 4), indices)
    expected = np.linalg.pinv(np.asarray(A.dense(), np.float64))
    np.testing.assert_allclose(np.asarray(A.linear_estimate(jnp.eye(A.shape[0]))).T, expected, atol=1e-6)
    assert A.inverts


def test_a_mask_keeps_one_of_each_pair_and_the_same_information():
    mask = np.random.RandomState(0).uniform(size=(6, 8)) < 0.3
    mask |= np.roll(np.flip(mask), 1, (0, 1))
    A = SubsampledFourier.of_mask(mask)
    image = np.random.RandomState(1).standard_normal((6, 8))
    filled = np.fft.ifft2(np.fft.fft2(image) * mask).real
    np.testing.assert_allclose(A.linear_estimate(A(jnp.asarray(image.ravel()))), filled.ravel(), atol=1e-5)
    assert A.count < mask.sum()
    with pytest.raises(ValueError, match="ifftshift"):
        SubsampledFourier.of_mask(np.eye(4, 5))


def test_kept_entries_are_written_in_the_shorter_way():
    """A bit an entry, or 32 for each kept one; in any order only as a list."""
    many, few = SubsampledFourier.of((8, 8), range(20)), SubsampledFourier.of(512, [3, 500])
    assert many.physics_bits() == 24
    assert few.physics_bits() == 64
    assert SubsampledFourier.of((8, 8), [3, 2, 1, 0]).physics_bits() == 128
    for A in (many, few):
        assert LinearOperator.from_spec(A.to_spec()) == A


def test_the_linear_estimate_of_a_tight_frame_is_its_pseudo_inverse():
    for A in (Hadamard(8, 32, seed=1), Scaled.of(SubsampledDCT.random(16, 6), 3.0)):
        found = np.asarray(A.linear_estimate(jnp.eye(A.shape[0]))).T
        np.testing.assert_allclose(found, np.linalg.pinv(np.asarray(A.dense())), atol=1e-6)
        assert A.inverts


def test_the_same_physics_for_signals_of_another_shape():
    assert Hadamard(8, 32, seed=3).resized((8, 8)) == Hadamard(16, 64, seed=3)
    assert Convolution.of([[1.0, 2.0]], (4, 4)).resized((6, 8)) == Convolution.of([[1.0, 2.0]], (6, 8))
    assert Scaled.of(Subsampling.full((4, 4)), 2.0).resized((6, 8)) == Scaled.of(Subsampling.full((6, 8)), 2.0)
    assert Radon.of(8, [0.0, 30.0]).resized((12, 12)) == Radon.of(12, [0.0, 30.0])
    for A, shape in ((Rademacher(4, 8), (9,)), (SubsampledFourier.of((4, 4), [1]), (8, 8)), (Radon.of(8, 2), (8, 9))):
        with pytest.raises(ValueError, match="shape"):
            A.resized(shape)
