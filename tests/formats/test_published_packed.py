"""BitNet, b1.58, OneBit and LittleBit in files: bytes by hand, round trips, products on packed bits, damaged files."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from unrollbit import BitNet, LittleBit, OneBitSVID, Ternary
from unrollbit.algorithms.base import LinearMap
from unrollbit.formats import Format, PackedWeights, Place, TanhSign, Weights
from unrollbit.operators import Dense
from unrollbit.structures import Band, Blocks, Full, Indexed, Structure
from unrollbit.trits import PerByte

STRUCTURES: dict[str, Structure] = {
    "full": Full(16, 24),
    "blocks": Blocks(2, 8, 12),
    "band": Band(16, 24, -6, 8),
    "indexed": Indexed.from_mask(np.random.RandomState(5).uniform(size=(16, 24)) < 0.7),
}
FORMATS: dict[str, Format] = {
    "BitNet": BitNet(surrogate=TanhSign()),
    "b1.58 in 1.6 bits": Ternary(),
    "b1.58 in 2 bits": Ternary(per_byte=4),
    "OneBit": OneBitSVID(surrogate=TanhSign()),
    "LittleBit": LittleBit(rank=4),
    "LittleBit, residual": LittleBit(rank=2, residual=True, rotate=True, surrogate=TanhSign()),
}


def map_of(structure: Structure) -> tuple[LinearMap, Dense]:
    A = Dense.of(np.random.RandomState(1).standard_normal(structure.shape), structure)
    return LinearMap(A, structure, transposed=True), A


def weights_of(name: str, structure: Structure, copies: int = 2) -> Weights:
    linear_map, A = map_of(structure)
    weights = FORMATS[name].build(Place(linear_map, A, copies))
    weights.round_scales()
    return weights


def half(values: list[float]) -> np.ndarray:
    return np.array(values, np.float32).astype(ml_dtypes.bfloat16)


def test_bytes_by_hand() -> None:
    W = np.array([[1.0, -2, 3, 4, 5, -6, 7, 8, -9], [-1, 1, 1, 1, 1, 1, 1, 1, 0]])
    ones = np.array([[0b00100010, 1], [0b00000001, 0]], np.uint8)  # bit 1 means -1; zero counts as +1
    packed = OneBitSVID().from_matrix(W).pack()
    np.testing.assert_array_equal(packed.arrays["signs"], ones[None])
    assert packed.arrays["rows"].dtype == packed.arrays["columns"].dtype == ml_dtypes.bfloat16
    assert [packed.arrays[name].shape for name in ("rows", "columns")] == [(1, 2), (1, 9)]

    packed = BitNet().from_matrix([[3.0, -1.0, 0.4], [2.0, 5.0, -0.6]]).pack()  # about the mean: + - - / + + -
    np.testing.assert_array_equal(packed.arrays["signs"], [[[0b110], [0b100]]])
    np.testing.assert_array_equal(packed.arrays["scale"], half([2.0]))

    packed = Ternary().from_matrix([[3.0, -0.1, -4.0, 0.2, 0.3, 5.0]]).pack()  # 1 0 -1 0 0 | 1 at mean 2.1
    np.testing.assert_array_equal(packed.arrays["trits"], [[[1 + 2 * 9, 1]]])
    np.testing.assert_allclose(packed.arrays["scale"], [2.1], rtol=1e-6)
    packed = Ternary(per_byte=4).from_matrix([[3.0, -0.1, -4.0, 0.2, 0.3, 5.0]]).pack()
    np.testing.assert_array_equal(packed.arrays["trits"], [[[1 + 3 * 16, 4]]])

    signs = 3.0 * np.outer([1, -1, 1, 1], [1, 1, -1, 1])
    arrays = LittleBit(rank=1).from_matrix(signs).pack().arrays
    assert {name: array.shape for name, array in arrays.items()} == {
        "left": (1, 1, 4, 1),
        "right": (1, 1, 1, 1),
        "rows": (1, 1, 4),
        "middle": (1, 1, 1),
        "columns": (1, 1, 4),
    }
    left, right = arrays["left"][0, 0, :, 0], int(arrays["right"].item())
    assert (left.tolist(), right) in (([0, 1, 0, 0], 0b0100), ([1, 0, 1, 1], 0b1011))  # a joint sign is free
    scales = [np.asarray(arrays[name], np.float32) for name in ("rows", "middle", "columns")]
    np.testing.assert_allclose(scales[0][0, 0, 0] * scales[1][0, 0, 0] * scales[2][0, 0, 0], 3.0, rtol=0.02)


def test_masked_weights_lie_in_one_row() -> None:
    W, mask = np.array([[-3.0, 9], [2, -3]]), np.array([[1, 0], [1, 1]], bool)
    np.testing.assert_array_equal(Ternary().from_matrix(W, mask).pack().arrays["trits"], [[2 + 1 * 3 + 2 * 9]])
    np.testing.assert_array_equal(OneBitSVID().from_matrix(W, mask).pack().arrays["signs"], [[0b101]])


@pytest.fixture
def optimised() -> Iterator[None]:
    """Sums as users have them: compiled without optimisations they round more."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.mark.long
@pytest.mark.grid(6)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", STRUCTURES)
def test_round_trips_and_frozen_products(name: str, kind: str, optimised: None) -> None:
    structure = STRUCTURES[kind]
    linear_map, A = map_of(structure)
    weights = weights_of(name, structure)
    packed, dense = weights.pack(), np.asarray(weights.dense())
    back, frozen = (Weights.unpack(packed, linear_map, A, frozen=flag) for flag in (False, True))
    assert back.format == weights.format == FORMATS[name]
    for found in (back, frozen):
        np.testing.assert_allclose(found.dense(), dense, rtol=1e-6, atol=1e-6)
        for count in ("bits", "stored_bits", "stored_weights", "weight_bits", "scale_bits", "resident_bits"):
            assert getattr(found, count)() == getattr(weights, count)(), count
        for key, array in found.pack().arrays.items():
            if key == "scale" and "b1.58" in name:  # a mean over latents, to rounding
                np.testing.assert_allclose(array, packed.arrays[key], rtol=1e-6)
            else:
                assert array.tobytes() == packed.arrays[key].tobytes(), key
    random = np.random.RandomState(2)
    x, r = (jnp.asarray(random.standard_normal((2, 3, size)), jnp.float32) for size in (24, 16))
    np.testing.assert_allclose(frozen.apply(x, 1), x @ dense[1].T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(frozen.apply_transpose(r, 1), r @ dense[1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(frozen.apply_transpose(r[0, 0], 0), r[0, 0] @ dense[0], rtol=1e-4, atol=1e-4)
    assert packed.spec["copies"] == 2
    stored = sum(8 * array.nbytes for array in packed.arrays.values())
    assert 0 <= stored - weights.bits() <= 8 * sum(array.size for array in packed.arrays.values())  # padding alone


ODD: dict[str, Structure] = {
    "full": Full(5, 13),
    "blocks": Blocks(2, 3, 9),
    "masked": Indexed.from_mask(np.random.RandomState(6).uniform(size=(7, 11)) < 0.6),
    "sparse": Indexed.from_mask(np.random.RandomState(7).uniform(size=(9, 21)) < 0.1),
}


@pytest.mark.parametrize(("kind", "per_byte"), list(zip(ODD, (5, 4, 5, 4), strict=True)))
def test_ternary_matrices_are_held_as_two_sign_planes(kind: str, per_byte: PerByte) -> None:
    structure = ODD[kind]
    linear_map, A = map_of(structure)
    weights = Ternary(per_byte).from_matrix(np.asarray(A.dense()), structure, copies=2)
    packed, dense = weights.pack(), np.asarray(weights.dense())
    frozen = Weights.unpack(packed, linear_map, A, frozen=True)
    held = np.asarray(frozen.variables["trits"][...])
    *rows, last = structure.core_shape
    assert held.shape == (2, 2, *rows, -(-last // 8))  # copies, planes
    assert frozen.resident_bits() == 8 * held.size + 2 * 32
    signs = 1 - 2.0 * np.unpackbits(held, axis=-1, count=last, bitorder="little")
    trits = structure.gather(jnp.asarray(np.sign(dense)))
    np.testing.assert_array_equal(signs.mean(1), trits)
    stored = frozen.stored()["trits"]
    np.testing.assert_array_equal(stored.expand(jnp.asarray(held)), trits)
    np.testing.assert_array_equal(stored.encode(np.asarray(stored.expand(jnp.asarray(held)))), packed.arrays["trits"])
    m, n = structure.shape
    x, r = (jnp.asarray(np.random.RandomState(2).standard_normal((5, k)), jnp.float32) for k in (n, m))
    np.testing.assert_allclose(frozen.apply(x, 1), x @ dense[1].T, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(frozen.apply_transpose(r, 1), r @ dense[1], rtol=1e-5, atol=1e-5)


def test_what_a_sparse_mask_forbids_costs_a_ternary_matrix_no_digits() -> None:
    structure = ODD["sparse"]
    linear_map, A = map_of(structure)
    frozen = Weights.unpack(Ternary().from_matrix(A, structure).pack(), linear_map, A, frozen=True)
    dense, inside = np.asarray(frozen.dense())[0], np.asarray(structure.dense_mask())
    row = np.abs(dense.sum(1)).argmax()  # its inputs are small beside those of others
    x, expected = jnp.where(inside[row], 1.0, 1e8), dense[row].sum()
    np.testing.assert_allclose(frozen.apply(x)[row], expected, rtol=1e-6)


def largest_float(function: Callable, *arguments: object) -> int:
    sizes = [1]

    def visit(jaxpr: jax.extend.core.Jaxpr) -> None:
        for equation in jaxpr.eqns:
            sizes.extend(v.aval.size for v in equation.outvars if jnp.issubdtype(v.aval.dtype, jnp.floating))
            for value in jax.tree.leaves(equation.params, is_leaf=lambda v: hasattr(v, "eqns") or hasattr(v, "jaxpr")):
                inner = getattr(value, "jaxpr", value)
                if hasattr(inner, "eqns"):
                    visit(inner)

    visit(jax.make_jaxpr(function)(*arguments).jaxpr)
    return max(sizes)


@pytest.mark.long
@pytest.mark.grid(6)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", ["full", "blocks", "band"])
def test_frozen_products_never_form_the_matrix(name: str, kind: str) -> None:
    structure = {"full": Full(64, 128), "blocks": Blocks(8, 8, 16), "band": Band(64, 128, -40, 80)}[kind]
    linear_map, A = map_of(structure)
    frozen = Weights.unpack(weights_of(name, structure, 1).pack(), linear_map, A, frozen=True)
    matrix = int(np.prod(structure.core_shape))
    v = jnp.ones(128)
    for product in (lambda w, v: w.apply(v), lambda w, v: w.apply_transpose(v[:64])):
        assert largest_float(product, frozen, v) <= matrix // 4


def test_littlebit_trains_without_forming_the_matrix_too() -> None:
    weights = weights_of("LittleBit", Full(64, 128), 1)
    size = largest_float(lambda w, v: w.apply(v), weights, jnp.ones(128))
    assert size <= 4 * 128  # a factor


def spoiled(packed: PackedWeights, changes: dict[str, object]) -> PackedWeights:
    """A copy with entries of the spec, its format or arrays replaced (``None``: dropped)."""
    spec, arrays = {**packed.spec, "format": dict(packed.spec["format"])}, dict(packed.arrays)
    for name, value in changes.items():
        target = next((table for table in (arrays, spec, spec["format"]) if name in table), spec)
        if value is None:
            del target[name]
        else:
            target[name] = value
    return PackedWeights(spec, arrays)


MALFORMED: dict[str, tuple[str, dict[str, object], str]] = {
    "a digit that is none": ("b1.58 in 1.6 bits", {"trits": np.full((2, 16, 5), 243, np.uint8)}, "stand for no weight"),
    "padding that is not zero": ("b1.58 in 1.6 bits", {"trits": np.full((2, 16, 5), 242, np.uint8)}, "padding"),
    "a code that is none": ("b1.58 in 2 bits", {"trits": np.full((2, 16, 6), 2, np.uint8)}, "array 'trits'"),
    "trits of another packing": ("b1.58 in 2 bits", {"per_byte": 5}, r"expected shape \(2, 16, 5\)"),
    "an unknown packing": ("b1.58 in 2 bits", {"per_byte": 3}, "Ternary.per_byte: expected one of 5, 4, got 3"),
    "a surrogate for b1.58": (
        "b1.58 in 2 bits",
        {"format": {"kind": "Ternary", "surrogate": TanhSign().to_spec()}},
        "Ternary has no field 'surrogate'",
    ),
    "a negative scale": ("BitNet", {"scale": half([1.0, -1.0])}, "expected scales > 0, got -1"),
    "an infinite scale": ("BitNet", {"scale": half([1.0, np.inf])}, "NaN or infinite"),
    "a scale in 32 bits": ("BitNet", {"scale": np.ones(2, np.float32)}, "dtype bfloat16; got .* float32"),
    "no rows": ("OneBit", {"rows": None}, "array 'rows' is missing"),
    "value vectors that are swapped": ("OneBit", {"rows": half([[1.0] * 24] * 2)}, r"expected shape \(2, 16\)"),
    "a NaN among values": ("OneBit", {"columns": half([[np.nan] * 24] * 2)}, "NaN or infinite"),
    "no rank": ("LittleBit", {"rank": None}, "cannot be held at 1; the smallest rate is 2.8"),
    "a rank beyond the matrix": ("LittleBit", {"rank": 17}, r"rank in \[1, 16\], got 17"),
    "a rank of a wrong type": ("LittleBit", {"rank": "4"}, "got '4'"),
    "another rank": ("LittleBit", {"rank": 9}, "array 'left': expected shape"),
    "three paths": ("LittleBit", {"residual": 3}, "LittleBit.residual: expected bool, got 3"),
    "a field of no use": (
        "LittleBit",
        {"paths": 2},
        "LittleBit, fields: unknown 'paths'; it takes format, structure, copies",
    ),
    "copies of a wrong type": ("LittleBit", {"copies": 2.0}, "copies: expected a positive integer, got 2.0"),
    "absurd copies": ("LittleBit", {"copies": 10**12}, "copies: expected at most 67,108,864, got 1000000000000"),
    "many copies": ("LittleBit", {"copies": 10**6}, r"array 'left': expected shape \(1000000, "),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_damaged_files_are_refused(case: str) -> None:
    name, changes, message = MALFORMED[case]
    linear_map, A = map_of(STRUCTURES["full"])
    packed = spoiled(weights_of(name, STRUCTURES["full"]).pack(), changes)
    for frozen in (False, True):
        with pytest.raises(ValueError, match=message):
            Weights.unpack(packed, linear_map, A, frozen=frozen)
