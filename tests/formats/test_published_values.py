"""BitNet, b1.58, OneBit and LittleBit: values by hand and by formula, published errors, bits, masks, gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from unrollbit import BitNet, FullPrecision, LittleBit, OneBit, OneBitSVID, Ternary
from unrollbit.decompositions import decomposed, dual_svid, rank_one
from unrollbit.formats import Format, Weights, ternarise
from unrollbit.structures import Band, Blocks, Full, Indexed, Structure
from unrollbit.variables import BinaryParam

STRUCTURES: dict[str, Structure] = {
    "full": Full(8, 12),
    "blocks": Blocks(2, 4, 6),
    "band": Band(8, 12, -2, 5, 1),
    "indexed": Indexed.from_mask(np.random.RandomState(5).uniform(size=(8, 12)) < 0.6),
}
FORMATS: dict[str, Format] = {
    "BitNet": BitNet(),
    "b1.58": Ternary(),
    "OneBit": OneBitSVID(),
    "LittleBit": LittleBit(rank=3),
    "LittleBit, residual": LittleBit(rank=2, residual=True, rotate=True),
}


def random_matrix(structure: Structure, seed: int = 0) -> np.ndarray:
    values = np.random.RandomState(seed).standard_normal(structure.shape) + 0.3
    return values * np.asarray(structure.dense_mask())


def bitnet(W: np.ndarray, mask: np.ndarray) -> np.ndarray:
    values = W[mask]
    return np.abs(values).mean() * np.where(W - values.mean() >= 0, 1.0, -1.0) * mask


def ternary(W: np.ndarray, mask: np.ndarray) -> np.ndarray:
    gamma = np.abs(W[mask]).mean()
    return gamma * np.clip(np.round(W / gamma), -1, 1) * mask


def svid(W: np.ndarray, mask: np.ndarray) -> np.ndarray:
    full = mask.all()
    return np.where(W >= 0, 1.0, -1.0) * np.outer(*rank_one(W, None if full else mask)) * mask


def little_bit(W: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return dual_svid(decomposed(W * mask), 3).dense() * mask


def little_bit_residual(W: np.ndarray, mask: np.ndarray) -> np.ndarray:
    first = dual_svid(decomposed(W * mask), 2, rotate=True).dense()
    return (first + dual_svid(decomposed(W * mask - first), 2, rotate=True).dense()) * mask


ORACLES = dict(zip(FORMATS, (bitnet, ternary, svid, little_bit, little_bit_residual), strict=True))


@pytest.mark.long
@pytest.mark.grid(8)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", STRUCTURES)
def test_values_are_those_of_the_formula_in_float64(name: str, kind: str) -> None:
    """Means and approximations run over existing entries; blocks are factorised one by one."""
    structure = STRUCTURES[kind]
    W = random_matrix(structure)
    dense = np.asarray(FORMATS[name].from_matrix(W, structure).dense()[0])
    mask = np.asarray(structure.dense_mask())
    if kind == "blocks" and name not in ("BitNet", "b1.58"):
        expected = np.zeros_like(W)
        for b in range(2):
            block = np.ix_(range(4 * b, 4 * b + 4), range(6 * b, 6 * b + 6))
            expected[block] = ORACLES[name](W[block], np.ones((4, 6), bool))
    else:
        expected = ORACLES[name](W, mask)
    np.testing.assert_allclose(dense, expected, rtol=1e-5, atol=1e-6)
    assert (dense[~mask] == 0).all()


def test_values_by_hand() -> None:
    W = np.array([[3.0, -1.0, 0.4], [2.0, 5.0, -0.6]])  # mean 1.4667, mean magnitude 2
    np.testing.assert_allclose(BitNet().from_matrix(W).dense()[0], [[2, -2, -2], [2, 2, -2]], rtol=1e-6)
    np.testing.assert_allclose(
        Ternary().from_matrix(W).dense()[0], [[2, 0, 0], [2, 2, 0]], rtol=1e-6
    )  # -1/2 rounds to 0
    rank_one_signs = np.array([[2.0, -4.0], [-1.0, 2.0]])  # |W| = (2, 1) (1, 2)
    np.testing.assert_allclose(OneBitSVID().from_matrix(rank_one_signs).dense()[0], rank_one_signs, rtol=1e-6)
    signs = 3.0 * np.outer([1, -1, 1, 1], [1, 1, -1, 1])  # a sign factor of rank one is exact
    np.testing.assert_allclose(LittleBit(rank=1).from_matrix(signs).dense()[0], signs, rtol=1e-5)
    for name, format in FORMATS.items():
        zero = format.from_matrix(np.zeros((4, 6))).dense()
        assert np.abs(np.asarray(zero)).max() < 1e-12, name  # no matrix is refused, none is NaN


@pytest.mark.slow
def test_published_errors_of_a_gaussian_matrix() -> None:
    """Relative Frobenius errors without training, 256 x 512, std 0.02 (measured with the released codes)."""
    W = 0.02 * np.random.RandomState(0).standard_normal((256, 512))

    def error(weights: Weights) -> float:
        return float(np.linalg.norm(np.asarray(weights.dense()[0], np.float64) - W) / np.linalg.norm(W))

    assert error(OneBitSVID().from_matrix(W)) == pytest.approx(0.601, abs=0.003)
    assert error(Ternary().from_matrix(W)) == pytest.approx(0.513, abs=0.003)
    levels = {1.0: 0.808, 0.55: 0.877, 0.3: 0.935}
    for bits, level in levels.items():
        assert error(LittleBit(bits_per_weight=bits).from_matrix(W)) == pytest.approx(level, abs=0.003)
    assert error(LittleBit(bits_per_weight=1.0, rotate=True).from_matrix(W)) == pytest.approx(0.730, abs=0.005)
    assert error(LittleBit(bits_per_weight=0.55, residual=True).from_matrix(W)) == pytest.approx(0.904, abs=0.006)
    # OneBit's proposition: signs help the rank-one approximation
    U, s, Vt = np.linalg.svd(W)
    assert error(OneBitSVID().from_matrix(W)) < np.linalg.norm(W - s[0] * np.outer(U[:, 0], Vt[0])) / np.linalg.norm(W)


def test_bits_by_formula() -> None:
    small, m, n = np.random.RandomState(0).standard_normal((64, 128)), 64, 128
    assert OneBitSVID().from_matrix(small).bits() / (m * n) == 1.375
    assert OneBitSVID().from_matrix(np.ones((1, 1))).bits() == 1 + 32
    assert BitNet().from_matrix(small, copies=3).bits() == 3 * (m * n + 16)
    assert Ternary().from_matrix(small).bits() == -(-8 * m * n // 5) + 32
    assert Ternary(per_byte=4).from_matrix(small).bits() == 2 * m * n + 32
    weights = LittleBit(bits_per_weight=1.0).from_matrix(small)
    assert weights.rank == 24
    assert weights.bits() == 24 * (m + n + 16) + 16 * (m + n)
    assert weights.bits() / (m * n) <= 1.0
    residual = LittleBit(bits_per_weight=1.5, residual=True).from_matrix(small, copies=2)
    assert residual.bits() == 2 * 2 * (residual.rank * (m + n + 16) + 16 * (m + n))
    assert residual.stored_weights() == residual.weight_bits() == 2 * 2 * residual.rank * (m + n)


def test_bits_of_onebit_at_4096_need_no_matrix() -> None:
    stored = OneBitSVID().stored(Full(4096, 4096), 1).values()
    assert sum(array.bits for array in stored) / 4096**2 == 1 + 32 / 4096  # 1.0078


@pytest.mark.parametrize("kind", STRUCTURES)
def test_masked_entries_cost_nothing(kind: str) -> None:
    structure = STRUCTURES[kind]
    W = random_matrix(structure)
    assert BitNet().from_matrix(W, structure).bits() == structure.size + 16
    assert Ternary(per_byte=4).from_matrix(W, structure).bits() == 2 * structure.size + 32
    assert OneBitSVID().from_matrix(W, structure).bits() == structure.size + 16 * (8 + 12)
    count = structure.blocks
    expected = count * (3 * (8 // count + 12 // count + 16) + 16 * (8 // count + 12 // count))
    assert LittleBit(rank=3).from_matrix(W, structure).bits() == expected


def test_the_rate_counts_entries_that_exist() -> None:
    W, mask = np.random.RandomState(0).standard_normal((64, 64)), np.tri(64, dtype=bool)
    weights = LittleBit(bits_per_weight=1.5, multiple=1).from_matrix(W, mask)
    assert weights.bits() <= 1.5 * mask.sum() < weights.bits() + 64 + 64 + 16
    blocks = Blocks(4, 32, 32)
    assert (
        LittleBit(bits_per_weight=1.5, multiple=1).from_matrix(np.ones((128, 128)), blocks).bits() <= 1.5 * blocks.size
    )


@pytest.mark.long
@pytest.mark.grid(2)
@pytest.mark.parametrize("name", FORMATS)
def test_stacks_equal_their_matrices_one_by_one(name: str) -> None:
    stack = np.random.RandomState(0).standard_normal((3, 8, 12))
    together = FORMATS[name].from_matrix(stack, copies=3).dense()
    for k in range(3):
        np.testing.assert_allclose(together[k], FORMATS[name].from_matrix(stack[k]).dense()[0], rtol=1e-5, atol=1e-6)
    repeated = FORMATS[name].from_matrix(stack[0], copies=2).dense()
    np.testing.assert_array_equal(repeated[0], repeated[1])


def test_copies_of_littlebit_can_take_turns() -> None:
    W = np.random.RandomState(0).standard_normal((8, 12))
    weights = LittleBit(rank=3, turns=True).from_matrix(W, copies=3)
    for k in range(3):
        np.testing.assert_allclose(
            weights.dense()[k], dual_svid(decomposed(W), 3, first=3 * k).dense(), rtol=1e-5, atol=1e-6
        )


def test_ternarise_is_straight_through() -> None:
    grid = jnp.linspace(-3, 3, 61)
    np.testing.assert_array_equal(jax.grad(lambda w: (ternarise(w) * jnp.arange(61.0)).sum())(grid), np.arange(61.0))
    np.testing.assert_array_equal(ternarise(grid), np.clip(np.round(np.asarray(grid)), -1, 1))


def test_gradients_reach_latents_by_the_published_rule() -> None:
    """d<G, W_hat>/dW is G times the scale of the signs (BitNet), and G (b1.58): scales follow without a gradient."""
    W, G = (np.random.RandomState(seed).standard_normal((4, 6)).astype(np.float32) for seed in (0, 1))
    unit = np.abs(W).mean()
    for format in (BitNet(), Ternary()):
        weights = format.from_matrix(W)

        def objective(latents: jax.Array, weights: Any = weights) -> jax.Array:
            graph, state, rest = nnx.split(weights, BinaryParam, ...)
            moved = jax.tree.map(lambda _: latents, state)
            return jnp.sum(nnx.merge(graph, moved, rest).dense()[0] * G)

        found = jax.grad(objective)(weights.variables["latents"][...])[0]
        np.testing.assert_allclose(found, unit * G, rtol=1e-5)


@pytest.mark.parametrize("name", FORMATS)
def test_rounded_scales_are_those_of_the_file(name: str) -> None:
    """16-bit scales: rounding moves weights by at most two half units, and again not at all."""
    W = np.random.RandomState(0).standard_normal((8, 12))
    weights = FORMATS[name].from_matrix(W)
    before = np.asarray(weights.dense())
    weights.round_scales()
    after = np.asarray(weights.dense())
    np.testing.assert_allclose(after, before, atol=2 * 3 * 2**-9 * np.abs(before).max())
    weights.round_scales()
    np.testing.assert_allclose(weights.dense(), after, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", FORMATS)
def test_full_precision_stands_in_and_hands_back(name: str) -> None:
    W = np.random.RandomState(0).standard_normal((2, 8, 12))
    weights = FORMATS[name].from_matrix(W, copies=2)
    float_form = weights.unquantised(FullPrecision())
    assert float_form.format == FullPrecision()
    back = weights.quantised_from(float_form)
    assert back.format == weights.format
    assert back.bits() == weights.bits()
    if name in ("BitNet", "b1.58"):  # latents are the matrix itself
        np.testing.assert_allclose(float_form.dense(), W, rtol=1e-5)
        np.testing.assert_allclose(back.dense(), weights.dense(), rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda W: Ternary(per_byte=3).from_matrix(W), "per_byte: expected one of 5, 4, got 3"),
        (lambda W: Ternary().from_matrix(np.full((2, 2), np.nan)), "NaN or infinite"),
        (lambda W: BitNet().from_matrix(W[0]), r"expected shape \(m, n\)"),
        (lambda W: OneBitSVID().from_matrix(W, np.ones((2, 2), bool)), r"mask: expected shape \(8, 12\)"),
        (lambda W: LittleBit(bits_per_weight=1.0).from_matrix(W), "cannot be held at 1; the smallest rate is"),
        (lambda W: LittleBit(rank=9).from_matrix(W), r"expected rank in \[1, 8\], got 9"),
        (lambda W: LittleBit(rank=2, residual=1).from_matrix(W), "residual: expected a bool, got 1"),
        (lambda W: LittleBit(rank=2, rotate="no").from_matrix(W), "rotate: expected a bool, got 'no'"),
        (lambda W: LittleBit(rank=2, turns=0).from_matrix(W), "turns: expected a bool, got 0"),
    ],
)
def test_mistakes_are_one_clear_error(make: Callable[[np.ndarray], Weights], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(np.random.RandomState(0).standard_normal((8, 12)))


def test_formats_agree_where_they_coincide() -> None:
    """Entries of equal magnitude and mean zero: all one-bit formats are exact, and OneBit is OneBit with one scale."""
    W = 0.5 * np.where(np.random.RandomState(0).permutation(np.arange(48)) % 2, 1.0, -1.0).reshape(6, 8)
    for format in (OneBit(), BitNet(), OneBitSVID(), Ternary()):
        np.testing.assert_allclose(format.from_matrix(W).dense()[0], W, rtol=1e-6)
