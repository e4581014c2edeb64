"""Parallel magnetic resonance imaging and coded masks, against NumPy's complex Fourier transform."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import ISTA, Unrolled, load, pack, solve
from unrollbit.algorithms import GradientDescent
from unrollbit.operators import MultiCoil, SubsampledFourier, gaussian

RNG = np.random.RandomState(0)
SIDES = (4, 6)
KEPT = np.array([0, 1, 2, 5, 7, 8, 11, 13, 16, 20, 22])
MAPS = RNG.standard_normal((2, *SIDES)) + 1j * RNG.standard_normal((2, *SIDES))


def by_numpy(image: np.ndarray) -> np.ndarray:
    """Complex measurements of one complex image, coil by coil."""
    spectra = np.fft.fft2(MAPS * image.reshape(SIDES), norm="ortho")
    return spectra.reshape(2, -1)[:, KEPT].ravel()


@pytest.mark.parametrize("unknowns", ["real", "complex"])
def test_measurements_are_those_of_the_complex_transform(unknowns: str) -> None:
    A = MultiCoil.of(SubsampledFourier.of(SIDES, KEPT), MAPS, unknowns)
    z = RNG.standard_normal(24) + (1j * RNG.standard_normal(24) if unknowns == "complex" else 0)
    x = np.concatenate([z.real, z.imag]) if unknowns == "complex" else z
    y = by_numpy(z)
    np.testing.assert_allclose(A(jnp.asarray(x, jnp.float32)), np.concatenate([y.real, y.imag]), atol=1e-5)
    np.testing.assert_allclose(A.column_norms(), np.linalg.norm(np.asarray(A.dense()), axis=0), rtol=1e-5)


def test_two_coils_recover_what_one_cannot_and_networks_take_complex_measurements(tmp_path) -> None:
    B = SubsampledFourier.of(SIDES, KEPT)
    A, image = MultiCoil.of(B, MAPS), RNG.standard_normal(24)
    y = by_numpy(image).astype(np.complex64)
    assert np.linalg.matrix_rank(B.dense()) < 24 == np.linalg.matrix_rank(A.dense())
    np.testing.assert_allclose(solve(GradientDescent(), A, y, 3000).x, image, atol=1e-2)
    net = Unrolled(ISTA(), A, 2)
    loaded = load(pack(net).save(tmp_path / "net.safetensors"))
    assert loaded.network.operator == A
    np.testing.assert_allclose(loaded(y), net(y), rtol=1e-4, atol=1e-5)


def test_wrong_coils_are_named() -> None:
    with pytest.raises(ValueError, match="expected physics with complex measurements, such as SubsampledFourier"):
        MultiCoil.of(gaussian(4, 24), MAPS)
    with pytest.raises(ValueError, match=r"maps: expected one of 24 entries for each coil, got \(2, 12\)"):
        MultiCoil.of(SubsampledFourier.of(SIDES, KEPT), MAPS[:, :2])
    with pytest.raises(ValueError, match="maps: expected one complex map for each coil"):
        MultiCoil.of(SubsampledFourier.of(SIDES, KEPT), MAPS.ravel())
    with pytest.raises(ValueError, match="unknowns: expected one of 'real', 'complex'"):
        MultiCoil.of(SubsampledFourier.of(SIDES, KEPT), MAPS, "imaginary")
