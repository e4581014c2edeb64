"""Designed signs: coherence energy against its definition, local and global minima by brute force."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit.algorithms import AMP, coherence_matrix
from unrollbit.algorithms.base import LinearMap
from unrollbit.decompositions import coherence_energy, design_signs
from unrollbit.formats import Designed, Normalised, OneBit, Place
from unrollbit.operators import Hadamard, Rademacher, gaussian, gaussian_blocks
from unrollbit.packed_operators.planes import plane_scales


def energy(W: np.ndarray, A: np.ndarray) -> np.ndarray:
    """Column by column in float64: what the other unknowns leak into unknown j, relative to its own gain."""
    W, A = np.asarray(W, np.float64), np.asarray(A, np.float64)
    gains = W.T @ A
    own = np.diag(gains)
    return (np.sum(gains**2, axis=1) - own**2) / own**2


def combined(design) -> np.ndarray:
    """The matrix of designed latents and scales."""
    latents, scales = design
    signs = np.where(np.asarray(latents) >= 0, 1.0, -1.0)
    return np.tensordot(scales, signs, 1)


def test_energy_of_definition_and_optimum() -> None:
    A = np.asarray(gaussian(8, 16).dense())
    W = np.random.RandomState(0).standard_normal((8, 16))
    np.testing.assert_allclose(coherence_energy(jnp.asarray(W, jnp.float32), jnp.asarray(A)), energy(W, A), rtol=1e-3)
    scaled = W * np.linspace(-3, 5, 16)
    np.testing.assert_allclose(energy(scaled, A), energy(W, A), rtol=1e-9)
    best = coherence_energy(coherence_matrix(gaussian(8, 16)).dense(), jnp.asarray(A))
    assert (np.asarray(best) <= energy(W, A)).all()
    # a tight frame: W = A is optimal, and its energy is n/m - 1
    tight = Hadamard(8, 16).dense()
    np.testing.assert_allclose(coherence_energy(jnp.sign(tight), tight), 1.0, rtol=1e-4)


@pytest.mark.long
def test_scales_without_an_anchor_are_powers_of_two() -> None:
    assert plane_scales(1) == (1.0,)
    assert plane_scales(3) == (4.0, 2.0, 1.0)
    for planes in (1, 3):
        np.testing.assert_array_equal(design_signs(gaussian(4, 6).dense(), planes=planes)[1], plane_scales(planes))


def test_designed_signs_are_better_than_greedy_ones_than_those_of_the_matrix() -> None:
    A = gaussian(32, 64, seed=3).dense()
    start = energy(np.sign(A), A).mean()
    greedy = energy(combined(design_signs(A, steps=0)), A).mean()
    annealed = energy(combined(design_signs(A)), A).mean()
    full = energy(coherence_matrix(gaussian(32, 64, seed=3)).dense(), A).mean()
    assert full < annealed < greedy < start
    assert annealed < 0.99 * greedy
    assert greedy < 0.85 * start


@pytest.mark.long
@pytest.mark.parametrize("planes", [1, 2])
def test_no_single_flip_improves_and_latents_are_signs_times_margins(planes: int) -> None:
    A = np.asarray(gaussian(10, 20, seed=1).dense())
    design = design_signs(A, planes=planes, steps=100)
    latents = np.asarray(design[0])
    assert latents.shape == (planes, 10, 20)
    W, base = combined(design), energy(combined(design), A)
    margins = np.empty_like(latents)
    for p in range(planes):
        for i in range(10):
            changed = W.copy()
            changed[i] -= 2 * plane_scales(planes)[p] * np.where(latents[p, i] >= 0, 1, -1)
            margins[p, i] = energy(changed, A) - base
    assert (margins >= -1e-5).all()
    # scaled to mean magnitude 1 in each plane
    np.testing.assert_allclose(np.abs(latents).mean((1, 2)), 1.0, rtol=1e-4)
    capped = np.minimum(margins, 100.0)
    np.testing.assert_allclose(
        np.abs(latents), capped / capped.mean((1, 2), keepdims=True), rtol=2e-2, atol=1e-3 * np.abs(latents).max()
    )


def test_greedy_descent_is_a_local_minimum_below_its_start_for_every_column() -> None:
    A = np.asarray(gaussian(10, 20, seed=2).dense())
    W = combined(design_signs(A, steps=0))
    start = np.sign(np.linalg.inv(A @ A.T) @ A)  # of the matrix of least energy
    assert (energy(W, A) <= energy(start, A) + 1e-5).all()
    assert energy(W, A).mean() < 0.9 * energy(start, A).mean()  # it descends
    for i in range(10):
        changed = W.copy()
        changed[i] *= -1
        assert (energy(changed, A) >= energy(W, A) - 1e-5).all()


def test_against_all_sign_vectors() -> None:
    found, best = [], []
    for seed in range(3):
        A = np.asarray(gaussian(8, 14, seed=seed).dense(), np.float64)
        codes = 1.0 - 2.0 * ((np.arange(2**8)[:, None] >> np.arange(8)) & 1)  # (256, 8)
        gains = codes @ A
        with np.errstate(divide="ignore"):
            energies = (gains**2).sum(1, keepdims=True) / gains**2 - 1
        best.append(energies.min(0))
        found.append(energy(combined(design_signs(A, steps=400)), A))
    found, best = np.concatenate(found), np.concatenate(best)
    assert (found >= best - 1e-4).all()
    assert np.mean(found <= best * 1.0001) > 0.8


@pytest.mark.long
def test_two_planes_are_better_than_one() -> None:
    A = gaussian(32, 64, seed=3).dense()
    one, two, three = (energy(combined(design_signs(A, planes=p)), A).mean() for p in (1, 2, 3))
    bound = energy(coherence_matrix(gaussian(32, 64, seed=3)).dense(), A).mean()
    assert bound < three < two < one
    assert two - bound < 0.5 * (one - bound)


def test_deterministic_and_seeded() -> None:
    A = gaussian(32, 64).dense()
    first = design_signs(A, seed=1)[0]
    np.testing.assert_array_equal(first, design_signs(A, seed=1)[0])
    assert not np.array_equal(np.sign(first), np.sign(design_signs(A, seed=2)[0]))


@pytest.mark.long
@pytest.mark.parametrize("A", [Hadamard(2, 8), Hadamard(4, 8), Rademacher(1, 4)], ids=["2", "4", "1"])
def test_flips_that_cancel_a_column_have_finite_margins(A) -> None:
    design = design_signs(A.dense())
    assert np.isfinite(np.asarray(design[0])).all()
    assert np.isfinite(energy(combined(design), A.dense())).all()


def test_an_unknown_that_is_not_measured_spoils_no_other() -> None:
    A = np.array(gaussian(8, 12).dense())
    A[:, 3] = 0
    design = design_signs(A)
    assert np.isfinite(np.asarray(design[0])).all()
    others = np.arange(12) != 3
    kept = energy(combined(design)[:, others], A[:, others])
    assert (kept <= energy(np.sign(A[:, others]), A[:, others]) + 1e-4).all()


@pytest.mark.long
def test_designed_weights_of_blocks() -> None:
    A = gaussian_blocks(2, 20, 40, seed=1)
    weights = Designed(seed=5).build(Place(AMP().maps(A)["W"], A, 2))
    assert weights.leaf.format == OneBit(scale="none")
    dense = np.asarray(weights.dense())
    assert dense.shape == (2, 40, 80)
    assert (dense[:, ~np.asarray(A.mask().dense_mask())] == 0).all()
    assert weights.bits() == 2 * 2 * 800
    for b in range(2):
        block = np.asarray(A.blocks[b])
        own = dense[0, 20 * b : 20 * b + 20, 40 * b : 40 * b + 40]
        assert energy(own, block).mean() < energy(np.sign(block), block).mean()
    assert not np.array_equal(dense[0], dense[1])  # every copy from its own seed


@pytest.mark.long
def test_designed_planes_keep_their_scales() -> None:
    A = gaussian(6, 10)
    linear_map = AMP().maps(A)["W"]
    for scale in ("global", "layer", "row", "column"):
        weights = Designed(OneBit(planes=2, scale=scale), steps=20).build(Place(linear_map, A, 2))
        dense = np.asarray(weights.dense(), np.float64)
        sizes = np.abs(dense) / np.abs(dense).min((1, 2), keepdims=True)
        assert set(np.unique(sizes.round(4))) == {1.0, 3.0}
        gains = np.einsum("kij,ij->kj", dense, np.asarray(A.dense(), np.float64)).mean(1)
        np.testing.assert_allclose(gains.mean() if scale == "global" else gains, 1.0, rtol=0.1)
    with pytest.raises(ValueError, match="Designed: 2 planes need scales; use scale='global'"):
        Designed(OneBit(planes=2, scale="none"))


@pytest.mark.long
def test_normalised_designed_weights_beat_normalised_signs() -> None:
    A = gaussian(24, 48)
    linear_map = AMP().maps(A)["W"]
    gains = []
    for format in (Designed(), OneBit()):
        product = np.asarray(Normalised(format).build(Place(linear_map, A, 1)).dense()[0]).T @ np.asarray(A.dense())
        np.testing.assert_allclose(np.diag(product), 1.0, rtol=1e-4)
        gains.append(np.sum((product - np.eye(48)) ** 2))
    assert gains[0] < 0.85 * gains[1]


def test_irregular_masks_are_refused() -> None:
    """The descent would flip entries that do not exist."""
    from unrollbit.operators import Dense
    from unrollbit.structures import Band, Full

    band = Band(12, 20, -3, 6)
    A = Dense.of(np.random.RandomState(0).standard_normal((12, 20)), band)
    with pytest.raises(ValueError, match="dense or in blocks"):
        Designed().build(Place(LinearMap(A, band, transposed=True), A, 1))
    with pytest.raises(ValueError, match=r"map of the shape of A, applied as W\^T, got one of \(20, 12\)"):
        Designed().build(Place(LinearMap(A.T, Full(20, 12)), A, 1))


def test_errors() -> None:
    A = gaussian(4, 6).dense()
    for options, found in (
        ({"planes": 0}, "got 0, 400 and 0.0"),
        ({"steps": -1}, "got 1, -1 and 0.0"),
        ({"noise": -0.5}, "got 1, 400 and -0.5"),
        ({"noise": float("nan")}, "got 1, 400 and nan"),
        ({"noise": float("inf")}, "got 1, 400 and inf"),
    ):
        with pytest.raises(ValueError, match=f"expected planes >= 1, steps >= 0 and noise >= 0, {found}"):
            design_signs(A, **options)
    with pytest.raises(ValueError, match=r"expected around of the shape \(4, 6\) of A, got \(6, 4\)"):
        design_signs(A, around=A.T)
    for matrix in (A[0], A.at[0, 0].set(jnp.nan), jnp.ones((2, 3, 4))):
        with pytest.raises(ValueError, match=r"expected a finite matrix \(m, n\)"):
            design_signs(matrix)


@pytest.mark.slow
def test_energy_of_the_benchmark_matrix() -> None:
    """Open-L2O's setting: 3.14 for sign(A), 2.25 greedy, 2.20 annealed, 2.00 for A, 1.00 for full precision."""
    A = gaussian(256, 512).dense()
    assert energy(np.sign(A), A).mean() == pytest.approx(3.14, abs=0.03)
    assert energy(A, A).mean() == pytest.approx(2.00, abs=0.02)
    assert energy(combined(design_signs(A, steps=0)), A).mean() == pytest.approx(2.25, abs=0.02)
    assert energy(combined(design_signs(A)), A).mean() == pytest.approx(2.20, abs=0.02)
    assert energy(coherence_matrix(gaussian(256, 512)).dense(), A).mean() == pytest.approx(1.00, abs=0.01)
