"""Weight formats: values by hand, optimality, masks, bit counts, surrogates and initial forms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit.algorithms import AMP, ISTA
from unrollbit.formats import (
    Clipped,
    Fixed,
    Format,
    FullPrecision,
    Identity,
    OneBit,
    Place,
    SmoothSign,
    TanhSign,
    binarise,
)
from unrollbit.operators import gaussian
from unrollbit.structures import Band, Blocks, Full, Indexed, Pattern, Structure

SCALES = ("none", "global", "layer", "row", "column")
STRUCTURES: dict[str, Structure] = {
    "full": Full(6, 8),
    "blocks": Blocks(2, 3, 4),
    "band": Band(6, 8, -1, 2),
    "indexed": Indexed.from_mask(np.random.RandomState(5).uniform(size=(6, 8)) < 0.4),
    "pattern": Pattern.of(np.random.RandomState(5).uniform(size=(6, 8)) < 0.4),
}


def mask_of(structure: Structure) -> np.ndarray:
    return np.asarray(structure.dense_mask())


def random_matrices(structure: Structure, copies: int, seed: int = 0) -> np.ndarray:
    values = np.random.RandomState(seed).standard_normal((copies, *structure.shape)).astype(np.float32)
    return values * mask_of(structure)


def by_hand(matrices: np.ndarray, mask: np.ndarray, scale: str, planes: int) -> np.ndarray:
    """``W`` of the documented formula in float64, with explicit loops over the granularity."""
    residual, total = matrices.astype(np.float64), 0.0
    for _ in range(planes):
        size = np.abs(residual) * mask
        copies, m, n = residual.shape
        c = np.ones_like(residual)
        for k in range(copies):
            for i in range(m):
                for j in range(n):
                    where = {
                        "none": None,
                        "global": (slice(None), slice(None), slice(None)),
                        "layer": (k, slice(None), slice(None)),
                        "row": (k, i, slice(None)),
                        "column": (k, slice(None), j),
                    }[scale]
                    if where is not None:
                        count = np.broadcast_to(mask, residual.shape)[where].sum()
                        c[k, i, j] = size[where].sum() / max(count, 1)
        plane = c * np.where(residual >= 0, 1.0, -1.0) * mask
        total, residual = total + plane, residual - plane
    return total


def test_values_by_hand() -> None:
    W = np.array([[3.0, -1.0, 0.0], [2.0, 2.0, -4.0]])
    expected = {
        "none": [[1, -1, 1], [1, 1, -1]],
        "layer": [[2, -2, 2], [2, 2, -2]],
        "row": [[4 / 3, -4 / 3, 4 / 3], [8 / 3, 8 / 3, -8 / 3]],
        "column": [[2.5, -1.5, 2.0], [2.5, 1.5, -2.0]],
    }
    for scale, values in expected.items():
        np.testing.assert_allclose(OneBit(scale=scale).from_matrix(W).dense()[0], values, rtol=1e-6)
    pair = OneBit(scale="global").from_matrix(np.stack([W, 3 * W]), copies=2).dense()
    np.testing.assert_allclose(pair, np.stack([expected["layer"]] * 2) * 2.0, rtol=1e-6)  # one scale: (2 + 6) / 2
    # second plane: residual [[1, 1, -2], [0, 0, -2]] of mean magnitude 1
    two = OneBit(planes=2).from_matrix(W).dense()[0]
    np.testing.assert_allclose(two, [[3, -1, 1], [3, 3, -3]], rtol=1e-6)
    masked = OneBit().from_matrix(W, mask=W != 0).dense()[0]
    np.testing.assert_allclose(masked, [[2.4, -2.4, 0], [2.4, 2.4, -2.4]], rtol=1e-6)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(list(STRUCTURES)),
    scale=st.sampled_from(SCALES),
    copies=st.integers(1, 3),
    planes=st.integers(1, 3),
    seed=st.integers(0, 2**20),
)
def test_every_granularity_mask_copies_and_planes(name: str, scale: str, copies: int, planes: int, seed: int) -> None:
    structure = STRUCTURES[name]
    mask, matrices = mask_of(structure), random_matrices(structure, copies, seed)
    weights = OneBit(scale=scale, planes=planes).from_matrix(matrices, structure, copies=copies)
    dense = np.asarray(weights.dense())
    np.testing.assert_allclose(dense, by_hand(matrices, mask, scale, planes), rtol=1e-4, atol=1e-5)
    assert (dense[:, ~mask] == 0).all()
    assert weights.shape == structure.shape
    random = np.random.RandomState(seed)
    x = random.standard_normal((2, 8)).astype(np.float32)
    r = random.standard_normal((2, 6)).astype(np.float32)
    k = copies - 1
    np.testing.assert_allclose(weights.apply(jnp.asarray(x), k), x @ dense[k].T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(weights.apply_transpose(jnp.asarray(r), k), r @ dense[k], rtol=1e-4, atol=1e-4)
    plane_bits = copies * planes * int(mask.sum())
    scales = {"none": 0, "global": planes, "layer": copies * planes}
    scales |= {"row": copies * planes * 6, "column": copies * planes * 8}
    assert weights.stored_weights() == weights.weight_bits() == plane_bits
    assert weights.scale_bits() == 32 * scales[scale]
    assert weights.bits() == plane_bits + 32 * scales[scale]


@pytest.mark.parametrize(
    ("name", "copies", "planes", "scale", "signs", "scales"),
    [  # bytes of signs and number of scales, counted by hand
        ("full", 1, 1, "layer", 6, 1),  # 6 rows of 8 signs
        ("full", 3, 2, "row", 36, 36),
        ("blocks", 2, 1, "column", 12, 16),  # 2 matrices x 2 blocks x 3 rows of 4 signs, padded to a byte
        ("band", 1, 2, "global", 6, 2),  # 23 entries a plane: 3 bytes
    ],
)
def test_stored_bits_by_hand(name: str, copies: int, planes: int, scale: str, signs: int, scales: int) -> None:
    structure = STRUCTURES[name]
    weights = OneBit(planes=planes, scale=scale).from_matrix(
        random_matrices(structure, copies), structure, copies=copies
    )
    assert weights.stored_bits() == 8 * signs + 32 * scales
    assert weights.pack().arrays["signs"].nbytes == signs


def test_bits_of_full_precision_and_fixed() -> None:
    band = STRUCTURES["band"]
    assert mask_of(band).sum() == 23
    weights = FullPrecision().from_matrix(random_matrices(band, 2), band, copies=2)
    assert (weights.stored_weights(), weights.weight_bits(), weights.scale_bits()) == (46, 32 * 46, 0)
    assert weights.bits() == weights.stored_bits() == 32 * 46
    A = gaussian(4, 6)
    own = Fixed().build(Place(AMP().maps(A)["W"], A))
    computed = Fixed().build(Place(ISTA(parametrisation="step").maps(A)["W"], A))
    assert (own.bits(), own.stored_bits(), own.resident_bits()) == (0, 0, 0)
    assert (computed.bits(), computed.stored_bits(), computed.resident_bits()) == (0, 0, 32 * 24)


def test_mean_magnitude_is_the_best_scale_and_sign_the_best_sign() -> None:
    W = np.random.RandomState(0).standard_normal((3, 3))
    found = np.asarray(OneBit().from_matrix(W).dense()[0])
    error = np.sum((W - found) ** 2)
    for c in np.linspace(0.01, 3, 400):
        assert error <= np.sum((W - c * np.sign(W)) ** 2) + 1e-5
    for code in range(2**9):
        S = 1 - 2 * ((code >> np.arange(9)) & 1).reshape(3, 3)
        best = np.sum(W * S) / 9  # the best scale of these signs
        assert error <= np.sum((W - best * S) ** 2) + 1e-5
    row = np.asarray(OneBit(scale="row").from_matrix(W).dense()[0])
    column = np.asarray(OneBit(scale="column").from_matrix(W).dense()[0])
    assert max(np.sum((W - row) ** 2), np.sum((W - column) ** 2)) < error


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "scale"), [("full", "layer"), ("blocks", "row"), ("band", "column"), ("indexed", "global")]
)
def test_every_plane_reduces_the_error(name: str, scale: str) -> None:
    structure = STRUCTURES[name]
    W = random_matrices(structure, 2)
    errors = [
        float(np.sum((W - OneBit(scale=scale, planes=p).from_matrix(W, structure, copies=2).dense()) ** 2))
        for p in (1, 2, 3)
    ]
    assert np.sum(W**2) > errors[0] > 1.2 * errors[1] > 1.2**2 * errors[2]


def test_sign_of_zero_is_plus_one_and_empty_rows_keep_a_scale() -> None:
    W = np.array([[0.0, -0.0], [-1.0, 1.0]])
    weights = OneBit(scale="row").from_matrix(W)
    assert np.isfinite(np.asarray(weights.variables["log_scales"][...])).all()
    np.testing.assert_array_equal(OneBit(scale="none").from_matrix(W).dense()[0], [[1, 1], [-1, 1]])
    np.testing.assert_allclose(weights.dense()[0], [[2.0**-124, 2.0**-124], [-1, 1]], rtol=1e-4)
    np.testing.assert_array_equal(weights.pack().arrays["signs"].ravel(), [0, 1])
    np.testing.assert_array_equal(binarise(jnp.array([0.0, -0.0, -1e-30, 1e-30]), Identity()), [1, 1, -1, 1])
    zero = OneBit().from_matrix(np.zeros((2, 3)))
    assert np.isfinite(np.asarray(zero.dense())).all()


GRID = np.linspace(-3, 3, 121)
SURROGATES = {
    "identity": (Identity(), lambda w: np.ones_like(w)),
    "clipped": (Clipped(), lambda w: (np.abs(w) <= 1).astype(float)),
    "clipped at 0.5": (Clipped(0.5), lambda w: (np.abs(w) <= 0.5).astype(float)),
    "smooth sign": (SmoothSign(), lambda w: 100 / np.cosh(100 * w) ** 2),
    "smooth sign, wide": (SmoothSign(2.0), lambda w: 2 / np.cosh(2 * w) ** 2),
    "tanh sign": (TanhSign(), lambda w: 1.001 - np.tanh(w) ** 2),
}


@pytest.mark.parametrize("name", SURROGATES)
def test_surrogates_have_the_published_derivatives(name: str) -> None:
    surrogate, derivative = SURROGATES[name]
    with jax.enable_x64(True):
        w = jnp.asarray(GRID)
        gradient = np.asarray(jax.grad(lambda w: jnp.sum(binarise(w, surrogate)))(w))
        _, forward = jax.jvp(lambda w: binarise(w, surrogate), (w,), (2 * jnp.ones_like(w),))
        forward = np.asarray(forward)
    edge = np.isclose(np.abs(GRID), getattr(surrogate, "limit", np.inf))
    np.testing.assert_allclose(gradient[~edge], derivative(GRID)[~edge], atol=1e-9)
    np.testing.assert_allclose(forward, 2 * gradient, atol=1e-12)
    np.testing.assert_array_equal(binarise(jnp.asarray(GRID, jnp.float32), surrogate), np.where(GRID >= -1e-9, 1, -1))


def test_relative_smooth_sign_follows_the_size_of_the_latents() -> None:
    w = np.random.RandomState(0).standard_normal(50).astype(np.float32)
    for factor in (1.0, 1e-3, 1e3):
        found = SmoothSign(2.0, relative=True).derivative(jnp.asarray(factor * w))
        np.testing.assert_allclose(found, 2 / np.cosh(2 * w / np.abs(w).mean()) ** 2, rtol=1e-3, atol=1e-6)


def test_surrogates_reach_the_gradient_of_the_latents() -> None:
    W = np.array([[0.2, -4.0], [1.0, -0.1]])
    weights = OneBit(scale="none", surrogate=Clipped(1.0)).from_matrix(W)
    gradient = jax.grad(lambda w: jnp.sum(w.dense() * jnp.array([[1.0, 2.0], [3.0, 4.0]])))(weights)
    latents = W / np.abs(W).mean()
    expected = np.array([[1.0, 2.0], [3.0, 4.0]]) * (np.abs(latents) <= 1)
    np.testing.assert_array_equal(gradient.variables["signs"][...][0, 0], expected)
    assert 0 < np.count_nonzero(expected) < 4


def test_latents_have_mean_magnitude_one() -> None:
    band = STRUCTURES["band"]
    latents = np.asarray(OneBit().from_matrix(7 * random_matrices(band, 2), band, copies=2).variables["signs"][...])
    assert np.abs(latents).sum() / 46 == pytest.approx(1, rel=1e-5)
    assert (latents[..., ~mask_of(band)] == 0).all()


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "scale"),
    [
        *(("full", scale) for scale in SCALES),
        ("blocks", "layer"),
        ("blocks", "column"),
        ("band", "row"),
        ("band", "global"),
        ("indexed", "layer"),
        ("indexed", "column"),
    ],
)
def test_quantising_the_unquantised_form_of_untrained_weights_gives_them_back(name: str, scale: str) -> None:
    structure = STRUCTURES[name]
    W = np.broadcast_to(random_matrices(structure, 1), (2, *structure.shape))
    planes = 1 if scale == "none" else 2  # without a scale the size of the matrix is lost
    weights = OneBit(scale=scale, planes=planes, surrogate=Clipped(2.0)).from_matrix(W, structure, copies=2)
    float_form = weights.unquantised(FullPrecision())
    assert float_form.format == FullPrecision()
    if scale != "none":
        np.testing.assert_allclose(float_form.dense(), W, rtol=1e-4, atol=1e-5)
    again = weights.quantised_from(float_form)
    np.testing.assert_allclose(again.dense(), weights.dense(), rtol=1e-4, atol=1e-5)
    assert again.format == weights.format


@pytest.mark.parametrize("format", [OneBit(), FullPrecision()])
def test_wrong_matrices_are_refused(format: Format) -> None:
    for matrix, message in (
        (np.ones(3), r"expected shape \(m, n\) or \(1, m, n\), got \(3,\)"),
        (np.ones((2, 3, 4)), r"\(1, m, n\), got \(2, 3, 4\)"),
        (np.ones((0, 4)), r"got \(0, 4\)"),
        ([[1.0, np.nan]], "NaN or infinite"),
        ([[1.0, np.inf]], "NaN or infinite"),
    ):
        with pytest.raises(ValueError, match=message):
            format.from_matrix(matrix)
    with pytest.raises(ValueError, match=r"mask: expected shape \(2, 2\), got \(2, 3\)"):
        format.from_matrix(np.eye(2), mask=np.ones((2, 3), bool))
    with pytest.raises(ValueError, match="mask: expected a 2-D boolean array"):
        format.from_matrix(np.eye(2), mask=np.ones((2, 2)))


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"scale: expected one of 'none', 'global', .*'column', got 'channel'"):
        OneBit(scale="channel")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="planes: expected a positive integer, got 0"):
        OneBit(planes=0)
    for make in (Clipped, SmoothSign):
        for value in (0.0, -1.0, float("nan")):
            with pytest.raises(ValueError, match=r"expected (limit|sharpness) > 0"):
                make(value)
    weights = OneBit().from_matrix(np.eye(2), copies=2)
    for index in (-1, 2):
        with pytest.raises(IndexError, match=rf"layer: expected an index in \[0, 2\), got {index}"):
            weights.layer(index)
