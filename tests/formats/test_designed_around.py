"""Signs designed around the physics and for noise: against all sign vectors, all single flips and the bound."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit.algorithms import AMP
from unrollbit.decompositions import coherence_energy, design_signs
from unrollbit.formats import Anchored, Designed, Normalised, OneBit, Place
from unrollbit.operators import Hadamard, gaussian, gaussian_blocks


def energy(W: Any, A: Any, noise: float = 0.0) -> np.ndarray:
    """Column by column in float64: what other unknowns and measurement noise add to unknown j, over its own gain."""
    W, A = np.asarray(W, np.float64), np.asarray(A, np.float64)
    gains = W.T @ A
    own = np.diag(gains)
    return (np.sum(gains**2, axis=1) - own**2 + noise * np.sum(W**2, axis=0)) / own**2


def correction(design) -> np.ndarray:
    """``V = sum_p c_p S_p`` of a design."""
    latents, scales = design
    return np.tensordot(scales, np.where(np.asarray(latents) >= 0, 1.0, -1.0), 1)


def best_matrix(A: Any, noise: float = 0.0) -> np.ndarray:
    return np.linalg.inv(A @ A.T + noise * np.eye(len(A))) @ A


def matrix(m: int, n: int, seed: int = 0) -> Any:
    return np.asarray(gaussian(m, n, seed=seed).dense(), np.float64)


@pytest.mark.parametrize("noise", [0.0, 0.3, 7.0])
def test_energy_with_noise_is_its_definition_and_regularised_columns_minimise_it(noise: float) -> None:
    A = matrix(8, 16)
    W = np.random.RandomState(0).standard_normal((8, 16))
    found = coherence_energy(jnp.asarray(W, jnp.float32), jnp.asarray(A, jnp.float32), noise)
    np.testing.assert_allclose(found, energy(W, A, noise), rtol=1e-3)
    least = energy(best_matrix(A, noise), A, noise)
    for candidate in (W, A, np.sign(A), best_matrix(A, noise + 1.0)):
        assert (least <= energy(candidate, A, noise) + 1e-9).all()


@pytest.mark.parametrize("noise", [0.0, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_no_single_flip_around_the_physics_lowers_the_energy(noise: float, seed: int) -> None:
    A = matrix(6, 10, seed)
    design = design_signs(A, around=A, noise=noise, steps=50, seed=seed)
    V = correction(design)
    assert design[0].shape == (1, 6, 10)
    reached = energy(A + V, A, noise)
    margins = np.empty((6, 10))
    for i in range(6):
        flipped = V.copy()
        flipped[i] *= -1
        margins[i] = energy(A + flipped, A, noise) - reached
    assert (margins >= -1e-5 * (1 + reached)).all()
    # latents are signs times these margins, scaled to mean magnitude 1
    margins = np.clip(margins, 1e-6, 100.0)
    np.testing.assert_allclose(np.abs(design[0][0]), margins / margins.mean(), rtol=2e-2, atol=5e-3)


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_around_the_physics_against_all_sign_vectors(noise: float) -> None:
    codes = 1.0 - 2.0 * ((np.arange(2**8)[:, None] >> np.arange(8)) & 1)  # (256, 8)
    found, best, unit = [], [], []
    for seed in range(3):
        A = matrix(8, 14, seed)
        design = design_signs(A, around=A, noise=noise)
        unit.append(design[1].item())
        W = A.T[None] + unit[-1] * codes[:, None]  # (256, 14, 8): every V for every column
        own = np.einsum("vji,ij->vj", W, A)
        total = ((W @ A) ** 2).sum(-1) + noise * (W**2).sum(-1)
        best.append((total / own**2 - 1).min(0))
        found.append(energy(A + correction(design), A, noise))
    found, best = np.concatenate(found), np.concatenate(best)
    assert (np.asarray(unit) > 0).all()
    assert (found >= best - 1e-5).all()
    assert np.mean(found <= best * 1.0001) > 0.8


@pytest.mark.long
def test_the_scale_is_the_best_for_the_signs_of_what_the_physics_lacks() -> None:
    A = matrix(8, 14)
    best = best_matrix(A)
    lacking = best * (A * A).sum(0) / (A * best).sum(0) - A  # the multiple of least energy is free
    unit = design_signs(A, around=A, steps=0)[1].item()
    assert unit == pytest.approx(np.abs(lacking).mean(), rel=0.015)  # one plane: the mean magnitude (grid: 2.5 %)
    two = design_signs(A, around=A, planes=2, steps=0)[1]
    assert two[0] == pytest.approx(2 * two[1])
    assert two[1] < unit


def test_one_plane_around_the_physics_is_worth_two_without() -> None:
    A = matrix(32, 64, 3)
    bound = energy(best_matrix(A), A).mean()
    one = energy(A + correction(design_signs(A, around=A)), A).mean()
    two = energy(A + correction(design_signs(A, around=A, planes=2)), A).mean()
    alone = energy(correction(design_signs(A, planes=2)), A).mean()
    assert bound < two < one < energy(A, A).mean()
    assert one <= 1.02 * alone
    assert one - bound < 0.4 * (energy(A, A).mean() - bound)
    assert (energy(A + correction(design_signs(A, around=A)), A) < energy(A, A)).all()


@pytest.mark.parametrize("around", [False, True])
@pytest.mark.parametrize("noise", [1.0, 5.0])
def test_signs_designed_for_noise_beat_the_noiseless_ones_under_noise(noise: float, around: bool) -> None:
    A = matrix(32, 64, 3)
    anchor = A if around else np.zeros_like(A)
    options: dict[str, Any] = {"around": A} if around else {}
    quiet = anchor + correction(design_signs(A, **options))
    noisy = anchor + correction(design_signs(A, noise=noise, **options))
    mine, other = energy(noisy, A, noise), energy(quiet, A, noise)
    assert (mine <= other + 1e-5).all()
    assert mine.mean() < 0.95 * other.mean()
    assert energy(quiet, A).mean() < energy(noisy, A).mean()  # and each wins where it was designed to
    assert (mine >= energy(best_matrix(A, noise), A, noise) - 1e-5).all()


def test_a_tight_frame_needs_no_correction_and_keeps_a_finite_design() -> None:
    A: Any = np.asarray(Hadamard(8, 16).dense())
    latents, scales = design_signs(A, around=A, steps=20)
    assert np.isfinite(np.asarray(latents)).all()
    W = A + correction((latents, scales))
    np.testing.assert_allclose(energy(W, A), 1.0, rtol=1e-3)  # n / m - 1: the least there is


@pytest.mark.parametrize("copies", [2])
def test_designed_around_blocks_is_the_design_of_each_block(copies: int) -> None:
    A = gaussian_blocks(2, 10, 20, seed=1)
    designed = Designed(OneBit(), noise=0.1, steps=30, seed=5)
    weights = Anchored(designed).build(Place(AMP().maps(A)["W"], A, copies)).leaf
    assert weights.format == OneBit()
    designs = [
        [design_signs(A.blocks[b], around=A.blocks[b], noise=0.1, steps=30, seed=5 + 7919 * k + b) for b in range(2)]
        for k in range(copies)
    ]
    unit = np.mean([[scales.item() for _, scales in row] for row in designs])
    for k, row in enumerate(designs):
        for b, (latents, _) in enumerate(row):
            own = np.asarray(weights.dense()[k])[10 * b : 10 * b + 10, 20 * b : 20 * b + 20]
            np.testing.assert_allclose(own, unit * np.where(latents[0] >= 0, 1.0, -1.0), rtol=1e-5)


def test_anchored_designed_weights_are_close_to_the_matrix_of_least_energy() -> None:
    A = gaussian(24, 48)
    linear_map = AMP().maps(A)["W"]
    around = Anchored(Designed(OneBit(scale="global")))
    excess = []
    for format in (around, Designed()):
        own = np.asarray(Normalised(format).build(Place(linear_map, A, 1)).dense()[0], np.float64)
        product = own.T @ np.asarray(A.dense())
        np.testing.assert_allclose(np.diag(product), 1.0, rtol=1e-4)
        excess.append(np.sum((product - np.eye(48)) ** 2) / 48)
    bound = energy(best_matrix(np.asarray(A.dense(), np.float64)), A.dense()).mean()
    assert bound < excess[0]
    assert excess[0] - bound < 0.4 * (excess[1] - bound)


def test_designs_that_need_scales_say_so() -> None:
    A = gaussian(6, 10)
    linear_map = AMP().maps(A)["W"]
    with pytest.raises(ValueError, match="Designed: signs around the physics need scales; use scale='global'"):
        Anchored(Designed()).build(Place(linear_map, A))
    with pytest.raises(ValueError, match="Designed: 2 planes need scales"):
        Anchored(Designed(OneBit(planes=2, scale="none"))).build(Place(linear_map, A))
