"""Packing: bytes by hand, round trips and malformed files."""

from __future__ import annotations

import copy
import json

import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit.algorithms import AMP
from unrollbit.formats import (
    Fixed,
    FullPrecision,
    Normalised,
    OneBit,
    PackedWeights,
    Place,
    SignalDomain,
    TanhSign,
    Weights,
)
from unrollbit.operators import Composition, SubsampledDCT, gaussian
from unrollbit.signbits import pack_signs, unpack_signs
from unrollbit.structures import Full, Indexed, Structure


def through_a_file(packed: PackedWeights) -> PackedWeights:
    spec = dict(packed.spec)
    structure = spec.get("structure", {})
    masks = {name: value for name, value in structure.items() if isinstance(value, np.ndarray)}  # arrays of a file
    if masks:
        spec["structure"] = {name: value for name, value in structure.items() if name not in masks}
    described = json.loads(json.dumps(spec))
    if masks:
        described["structure"] |= masks
    return PackedWeights(described, copy.deepcopy(packed.arrays))


def test_bytes_by_hand() -> None:
    row = np.array([1.0, -1, 1, 1, -1, -1, 1, -1, -1, 0.0])  # bits 1, 4, 5, 7 and bit 0 of the second byte
    other = np.array([-0.0] * 9 + [-3.0])
    expected = np.array([[2 + 16 + 32 + 128, 1], [0, 2]], np.uint8)
    np.testing.assert_array_equal(pack_signs(np.stack([row, other])), expected)
    packed = OneBit().from_matrix(np.stack([row, other])).pack()
    assert packed.arrays["signs"].dtype == np.uint8
    np.testing.assert_array_equal(packed.arrays["signs"], expected[None, None])
    unpacked = np.asarray(unpack_signs(jnp.asarray(expected), 10))
    np.testing.assert_array_equal(unpacked, np.where(np.stack([row, other]) < 0, -1, 1))


def test_bytes_of_masked_entries_by_hand() -> None:
    """Existing entries of each plane in one row, in the order of the matrix."""
    W = np.array([[-1.0, 9, 9], [2, -3, 9], [9, -1, 1]])
    mask = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1]], bool)
    packed = OneBit().from_matrix(W, mask=mask).pack()  # signs - + - - +
    np.testing.assert_array_equal(packed.arrays["signs"], [[[0b01101]]])
    np.testing.assert_allclose(np.exp(packed.arrays["log_scales"]), [[8 / 5]], rtol=1e-6)


@pytest.mark.grid(3)
@pytest.mark.parametrize(
    ("name", "scale", "copies", "planes"),
    [
        ("full", "none", 1, 1),
        ("full", "row", 3, 2),
        ("blocks", "column", 1, 2),
        ("blocks", "global", 3, 1),
        ("band", "layer", 3, 2),
        ("band", "row", 1, 1),
        ("indexed", "column", 3, 2),
        ("indexed", "none", 1, 2),
    ],
)
def test_round_trips(name: str, scale: str, copies: int, planes: int, structures, map_of, weights_of) -> None:
    structure = structures[name]
    linear_map, A = map_of(structure)
    weights = weights_of(structure, copies, planes, scale)
    packed = weights.pack()
    back = Weights.unpack(through_a_file(packed), linear_map, A)
    assert back.format == weights.format == OneBit(planes, scale, TanhSign())
    np.testing.assert_array_equal(back.dense(), weights.dense())
    again = back.pack()
    assert repr(again.spec) == repr(packed.spec)  # masks are arrays
    assert again.arrays.keys() == packed.arrays.keys()
    for key in packed.arrays:
        assert again.arrays[key].tobytes() == packed.arrays[key].tobytes()
    frozen = Weights.unpack(through_a_file(packed), linear_map, A, frozen=True)
    np.testing.assert_allclose(frozen.dense(), weights.dense(), rtol=1e-6, atol=1e-7)
    for key, array in frozen.pack().arrays.items():
        assert array.tobytes() == packed.arrays[key].tobytes()
    for count in ("bits", "stored_bits", "stored_weights", "weight_bits", "scale_bits"):
        assert getattr(frozen, count)() == getattr(weights, count)() == getattr(back, count)()


def test_full_precision_and_fixed_round_trips(structure: Structure, map_of) -> None:
    linear_map, A = map_of(structure)
    weights = FullPrecision().from_matrix(np.random.RandomState(0).standard_normal((2, 9, 21)), structure, copies=2)
    back = Weights.unpack(through_a_file(weights.pack()), linear_map, A)
    np.testing.assert_array_equal(back.dense(), weights.dense())
    assert (np.asarray(back.dense())[:, ~np.asarray(structure.dense_mask())] == 0).all()
    fixed = Fixed().build(Place(linear_map, A))
    assert fixed.pack() == PackedWeights({"format": {"kind": "Fixed"}}, {})
    np.testing.assert_array_equal(Weights.unpack(fixed.pack(), linear_map, A).dense()[0], A.dense())


@pytest.mark.long
@pytest.mark.parametrize("frozen", [False, True])
def test_wrapped_round_trips(frozen: bool) -> None:
    A = Composition.of(gaussian(8, 16), SubsampledDCT.random(16, 16, seed=1).T)
    linear_map = AMP().maps(A)["W"]
    for weights in (
        SignalDomain(OneBit()).build(Place(linear_map, A, 2)),
        Normalised(OneBit()).build(Place(linear_map, A, 2)),
        Normalised(SignalDomain(OneBit())).build(Place(linear_map, A, 2)),
    ):
        back = Weights.unpack(through_a_file(weights.pack()), linear_map, A, frozen=frozen)
        assert back.format == weights.format
        if frozen:
            np.testing.assert_allclose(back.dense(), weights.dense(), rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(back.dense(), weights.dense())
        assert back.stored_bits() == weights.stored_bits()


def spoiled(packed: PackedWeights, **changes) -> PackedWeights:
    """A copy with entries of the spec, its format or arrays replaced (``None``: dropped)."""
    spec, arrays = {**packed.spec, "format": dict(packed.spec["format"])}, dict(packed.arrays)
    for name, value in changes.items():
        target = next((table for table in (arrays, spec, spec["format"]) if name in table), spec)
        if value is None:
            del target[name]
        else:
            target[name] = value
    return PackedWeights(spec, arrays)


MALFORMED = {
    "unknown kind": ({"kind": "Quaternary"}, "unknown kind of Format 'Quaternary'; expected one of: Anchored, "),
    "kind of a wrong type": ({"kind": ["OneBit"]}, r"unknown kind of Format \['OneBit'\]"),
    "no kind": ({"kind": None}, "a Format spec is a table with the key 'kind', got {'planes': 2"),
    "no format": ({"format": None}, "expected a table with the key 'format', got {'structure'"),
    "a format of a wrong type": ({"format": "OneBit"}, "a Format spec is a table with the key 'kind', got 'OneBit'"),
    "an abstract class": ({"kind": "Representation"}, "unknown kind of Format 'Representation'"),
    "a class of wrappers": ({"kind": "Wrapper"}, "unknown kind of Format 'Wrapper'"),
    "a field of no use": ({"frozen": True}, "fields: unknown 'frozen'; it takes format, structure, copies"),
    "no structure": ({"structure": None}, "fields: missing 'structure'"),
    "no copies": ({"copies": None}, "fields: missing 'copies'"),
    "no scale": ({"scale": None}, r"array 'log_scales': expected shape \(2, 2\)"),
    "no signs": ({"signs": None}, "array 'signs' is missing"),
    "no scales": ({"log_scales": None}, "array 'log_scales' is missing"),
    "unknown scale": (
        {"scale": "channel"},
        "OneBit.scale: expected one of 'none', 'global', 'layer', 'row', 'column', got 'channel'",
    ),
    "no copies at all": ({"copies": 0}, "copies: expected a positive integer, got 0"),
    "copies of a wrong type": ({"copies": [2]}, r"copies: expected a positive integer, got \[2\]"),
    "negative planes": ({"planes": -1}, "planes: expected a positive integer, got -1"),
    "more copies than signs": ({"copies": 3}, r"array 'signs': expected shape \(3, 2, 9, 3\)"),
    "unknown structure": (
        {"structure": {"kind": "Diagonal"}},
        "(unknown kind of Structure|a Structure spec is a table)",
    ),
    "structure of a wrong type": ({"structure": "full"}, "a Structure spec is a table"),
    "structure with wrong fields": ({"structure": {"kind": "Full", "rows": 3}}, "has no field"),
    "another structure": ({"structure": Full(9, 22).to_spec()}, r"expected matrices of shape \(9, 21\)"),
    "a structure that fills the memory": ({"structure": Indexed(10**6, 10**6, ()).to_spec()}, "entries are more than"),
    "signs cut off": ({"signs": np.zeros((2, 2, 9, 2), np.uint8)}, "expected shape"),
    "signs of a wrong dtype": ({"signs": np.zeros((2, 2, 9, 3), np.int8)}, "dtype uint8; got .* int8"),
    "scales of a wrong dtype": ({"log_scales": np.zeros((2, 2, 9), np.float64)}, "dtype float32; got .* float64"),
    "scales of a wrong shape": ({"log_scales": np.zeros((2, 2), np.float32)}, r"expected shape \(2, 2, 9\)"),
    "a scale that is NaN": ({"log_scales": np.full((2, 2, 9), np.nan, np.float32)}, "NaN or infinite"),
    "an infinite scale": ({"log_scales": np.full((2, 2, 9), np.inf, np.float32)}, "NaN or infinite"),
    "a scale that overflows": ({"log_scales": np.full((2, 2, 9), 200, np.float32)}, "too large"),
    "unknown surrogate": ({"surrogate": {"kind": "Sine"}}, "unknown kind of Surrogate 'Sine'"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files_are_refused(case: str, structures, map_of, weights_of) -> None:
    changes, message = MALFORMED[case]
    linear_map, A = map_of(structures["full"])
    packed = spoiled(weights_of(structures["full"]).pack(), **changes)
    for frozen in (False, True):
        with pytest.raises(ValueError, match=message):
            Weights.unpack(packed, linear_map, A, frozen=frozen)


def test_malformed_wrappers_and_float_files_are_refused(structures, map_of, weights_of) -> None:
    linear_map, A = map_of(structures["full"])
    weights = weights_of(structures["full"])
    packed = Normalised(weights.format).wrap(Place(linear_map, A, 2), weights).pack()
    for inner, message in (
        (None, "a Normalised spec needs the field 'inner'"),
        ("OneBit", "a Format spec is a table with the key 'kind', got 'OneBit'"),
        ({}, "a Format spec is a table with the key 'kind', got {}"),
    ):
        with pytest.raises(ValueError, match=message):
            Weights.unpack(spoiled(packed, inner=inner), linear_map, A)
    packed = FullPrecision().from_matrix(A.dense()).pack()
    for values in (np.ones((1, 9, 20), np.float32), np.ones((1, 9, 21)), np.full((1, 9, 21), np.nan, np.float32)):
        with pytest.raises(ValueError, match="array 'values'"):
            Weights.unpack(spoiled(packed, values=values), linear_map, A)
