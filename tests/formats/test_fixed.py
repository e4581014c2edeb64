"""Fixed maps: W = A, and the matrix of least coherence; both store nothing."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import AMP, ISTA, Unrolled, count_bits, load, pack
from unrollbit.formats import Coherent, Fixed, PackedWeights, Place, Weights
from unrollbit.operators import gaussian

A = gaussian(8, 20, seed=3)


def test_least_coherence_is_alistas_matrix_and_comes_back_from_its_name() -> None:
    linear_map = AMP().maps(A)["W"]
    weights = Coherent(Fixed()).build(Place(linear_map, A))
    dense = np.asarray(A.dense(), np.float64)
    best = np.linalg.inv(dense @ dense.T) @ dense
    np.testing.assert_allclose(weights.dense()[0], best / (best * dense).sum(0), rtol=1e-4, atol=1e-5)
    assert weights.pack() == PackedWeights({"format": Coherent(Fixed()).to_spec()}, {})
    back = Weights.unpack(weights.pack(), linear_map, A)
    np.testing.assert_array_equal(back.dense(), weights.dense())
    assert not np.array_equal(back.dense()[0], A.dense())


def test_it_stores_nothing_but_is_held_beside_the_physics(tmp_path) -> None:
    net = Unrolled(AMP(), A, 3, Coherent(Fixed()))
    path = pack(net).save(tmp_path / "n.safetensors")
    own, plain = count_bits(load(path).network), count_bits(Unrolled(AMP(), A, 3, Fixed()))
    assert own.weight_bits == plain.weight_bits == 0
    assert own.resident_bits == 2 * plain.resident_bits == 2 * 32 * 8 * 20
    y = jnp.asarray(np.random.RandomState(0).standard_normal((4, 8)), jnp.float32)
    np.testing.assert_allclose(load(path)(y), net(y), rtol=1e-5, atol=1e-6)
    assert float(jnp.abs(net(y) - Unrolled(AMP(), A, 3, Fixed())(y)).max()) > 1e-3


def test_maps_of_another_shape_have_no_coherence() -> None:
    maps = ISTA(parametrisation="classic").maps(A)
    with pytest.raises(
        ValueError, match=r"Coherent: expected a map of the shape of A, applied as W\^T, got one of \(20, 20\)"
    ):
        Coherent(Fixed()).build(Place(maps["W2"], A))
