"""Signs as their differences from those of the physics: decoded, compared with the library, and damaged."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit import AMP, ISTA, OneBit, Unrolled, load
from unrollbit.algorithms import GradientDescent
from unrollbit.formats import BitNet, Normalised, OneBitSVID, SignalDomain
from unrollbit.networks import Network
from unrollbit.operators import (
    BlockDiagonal,
    Composition,
    Dense,
    Hadamard,
    Rademacher,
    Scaled,
    Wavelet,
    gaussian,
    gaussian_blocks,
    hadamard_blocks,
    rademacher_blocks,
)
from unrollbit.packed import PackedNetwork, runtime
from unrollbit.packed.flip_code import encode_flips
from unrollbit.signbits import pack_signs


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


WIDE = np.random.RandomState(7).uniform(size=(40, 83)) < 0.6
CODED = {  # networks, most signs of which are those of the physics
    "tied": lambda: Unrolled(ISTA(), gaussian(40, 83), 3, OneBit(), distinct=1),
    "untied": lambda: Unrolled(ISTA(), gaussian(40, 83), 3, Normalised(OneBit())),
    "two planes": lambda: Unrolled(AMP(), gaussian(40, 83), 3, OneBit(planes=2, scale="row"), distinct=2),
    "mask": lambda: Unrolled(ISTA(), Dense.of(normal(40, 83), WIDE), 3, OneBit(), distinct=2),
    "mask, two planes": lambda: Unrolled(ISTA(), Dense.of(normal(40, 83), WIDE), 3, OneBit(planes=2), distinct=2),
    "blocks": lambda: Unrolled(AMP(), BlockDiagonal.of(normal(3, 20, 43)), 3, OneBitSVID(), distinct=2),
    "gaussian blocks": lambda: Unrolled(ISTA(), gaussian_blocks(3, 20, 43, 2), 3, Normalised(OneBit())),
    "rademacher blocks": lambda: Unrolled(ISTA(), rademacher_blocks(3, 20, 43, 2), 3, BitNet(), distinct=2),
    "hadamard blocks": lambda: Unrolled(ISTA(), hadamard_blocks(3, 20, 64, 2), 3, OneBit(), distinct=2),
    "rademacher": lambda: Unrolled(AMP(), Rademacher(40, 83, 5), 3, BitNet(), distinct=2),
    "hadamard": lambda: Unrolled(GradientDescent(), Hadamard(70, 128, 5), 3, OneBitSVID(), distinct=1),
    "signal domain": lambda: Unrolled(
        AMP(), Composition.of(Hadamard(70, 128), Wavelet.of(128, "db2", 2)), 3, SignalDomain(OneBit())
    ),
    "signal domain, normalised": lambda: Unrolled(
        AMP(), Composition.of(gaussian(40, 64), Wavelet.of(64, "db1")), 3, Normalised(SignalDomain(OneBit()))
    ),
    "multiple": lambda: Unrolled(ISTA(), Scaled.of(Scaled.of(gaussian(40, 83), 0.5), 1.5), 3, OneBit(), distinct=2),
}
FAST_CODED = ("mask",)  # single-pixel on the shelf holds a flip code in the domain of the signal


def coded_file(name: str, path: Path, same) -> Path:
    """A network with 3 % of its signs turned at random, which the file holds in the flip code."""
    parts = CODED[name]().parts()
    arrays = parts.maps["W"].arrays
    structure = runtime.held_map(same.stored(parts.maps["W"].spec), {}).structure
    count = runtime.row_of(runtime.structure_of(structure))
    bits = np.unpackbits(arrays["signs"], axis=-1, count=count, bitorder="little")
    bits ^= np.random.RandomState(0).uniform(size=bits.shape) < 0.03
    arrays["signs"] = np.packbits(bits, axis=-1, bitorder="little")
    PackedNetwork(Network.from_parts(parts, frozen=True)).save(path)
    assert "maps/W/flips" in runtime.read(path).arrays
    return path


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in FAST_CODED else pytest.mark.slow) for n in CODED])
def test_flip_code(name: str, same, tmp_path: Path) -> None:
    path = coded_file(name, tmp_path / "net.safetensors", same)
    y = same.measurements(path)
    same.close(runtime.load(path)(y), load(path)(y))


def first_planes(stream, copies: int, entries: int, checksum: str = "") -> np.ndarray:
    """The signs of a stream against +1 everywhere."""
    layout = runtime.Layout(entries, entries, lambda: np.zeros((1, -(-entries // 8)), np.uint8))
    return runtime.first_planes(runtime.Stored("U8", np.asarray(stream, np.uint8)), checksum, layout, copies)


GOOD = [2, 3, 0, 0, 0, 0b11100011, 0b1100]
STREAMS = {
    "empty": ([], 1, 32, "are not in 0 bytes"),
    "half a header": (GOOD[:3], 1, 32, "are not in 3 bytes"),
    "no bits": (GOOD[:5], 1, 32, "cut off"),
    "cut": (GOOD[:6], 1, 32, "cut off"),
    "one byte too many": ([*GOOD, 0], 1, 32, "1 bytes follow the last matrix"),
    "filling": ([*GOOD[:6], 0b10001100], 1, 32, "filling of the last byte is not zero"),
    "past the end": (GOOD, 1, 20, "a flip at 20, past the last of 20 entries"),
    "quotient past the end": (GOOD, 1, 12, "past the last of 12 entries|cut off"),
    "parameter": ([32, *GOOD[1:]], 1, 32, "a parameter up to 31, got 3 and 32"),
    "count beyond the entries": (GOOD, 1, 2, "at most 2 flips"),
    "count beyond the bits": ([2, 255, 0, 0, 0, 1, 2], 1, 1000, "255 flips take more than the 2 bytes"),
    "huge count": ([0, 255, 255, 255, 255, 1], 1, 2**32 - 1, "flips take more"),
    "zeros only": ([0, 1, 0, 0, 0, 0, 0], 1, 16, "past the last of 16 entries, or cut off"),
    "more flips than counted": ([2, 2, *GOOD[2:]], 1, 32, "follow|filling"),
    "another matrix": (GOOD, 2, 32, "are not in 7 bytes"),
    "the second cut": ([*GOOD, 0, 0, 0], 2, 32, "cut off"),
    "too many": (GOOD, 2**26, 2**10, "are not in 7 bytes"),
    "other signs": (GOOD, 1, 32, "the decoded signs are not those that were saved"),
}


@pytest.mark.parametrize("name", STREAMS)
def test_streams_that_do_not_decode(name: str) -> None:
    stream, copies, entries, message = STREAMS[name]
    with pytest.raises(ValueError, match=message):
        first_planes(stream, copies, entries)


def positions(stream: np.ndarray, copies: int, entries: int) -> list[list[int]]:
    return [places.tolist() for places in runtime.flips_of(stream, copies, entries)]


@settings(max_examples=300, deadline=None)
@given(stream=st.binary(max_size=40), copies=st.integers(0, 3), entries=st.integers(1, 200))
def test_any_bytes_decode_to_flips_or_are_refused(stream: bytes, copies: int, entries: int) -> None:
    array = np.frombuffer(stream, np.uint8)
    try:
        flips = list(runtime.flips_of(array, copies, entries))
    except ValueError:
        return
    assert len(flips) == copies
    for places in flips:
        assert (np.diff(places) > 0).all()
        assert places.size == 0 or (places[0] >= 0 and places[-1] < entries)


@settings(max_examples=100, deadline=None)
@given(entries=st.integers(1, 2000), rate=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
def test_every_set_of_flips_comes_back(entries: int, rate: float, seed: int) -> None:
    draw = np.random.RandomState(seed).uniform
    flips = [np.flatnonzero(draw(size=entries) < rate) for _ in range(2)]
    assert positions(encode_flips(flips, entries), 2, entries) == [one.tolist() for one in flips]


def test_the_examples_of_the_flip_code() -> None:
    """Those that ``FORMAT.md`` prints."""
    text = Path(runtime.__file__).with_name("FORMAT.md").read_text()
    examples = re.findall(r"P = (\d+), flips ([\d, ]+): bytes `([\d ]+)`", text)
    assert len(examples) == 2
    for entries, flips, stream in examples:
        places = [int(place) for place in flips.split(",")]
        array = np.array([int(byte) for byte in stream.split()], np.uint8)
        assert positions(array, 1, int(entries)) == [places]
        assert encode_flips([np.array(places)], int(entries)).tolist() == array.tolist()
        signs = np.zeros(int(entries), bool)
        signs[places] = True
        packed = np.packbits(signs, bitorder="little")
        checksum = hashlib.sha256(packed.tobytes()).hexdigest()
        np.testing.assert_array_equal(first_planes(array, 1, int(entries), checksum)[0, 0], packed)


def anchored_around(d: dict) -> None:
    d["maps"]["W"]["format"] = {"kind": "Anchored", "inner": d["maps"]["W"]["format"]}


DAMAGE = {
    "another checksum": (lambda d: d["maps"]["W"].update(flips="0" * 64), {}, "decoded signs are not those"),
    "no text": (lambda d: d["maps"]["W"].update(flips=None), {}, "decoded signs are not those"),
    "another matrix": (lambda d: d["maps"]["W"].update(copies=5), {}, "are not in"),
    "fewer matrices": (lambda d: d["maps"]["W"].update(copies=3), {}, "5 bytes follow"),
    "planes": (lambda d: d["maps"]["W"]["format"].update(planes=2), {}, "'signs' is missing"),
    "missing": (lambda d: None, {"maps/W/flips": None}, "'flips' is missing"),
    "cut": (lambda d: None, {"maps/W/flips": np.zeros(3, np.uint8)}, "are not in"),
    "floats": (lambda d: None, {"maps/W/flips": np.zeros(30, np.float32)}, "expected bytes of shape"),
    "signs, too": (lambda d: None, {"maps/W/signs": np.zeros((4, 1, 40, 11), np.uint8)}, "of no use"),
    "no checksum": (lambda d: d["maps"]["W"].pop("flips"), {}, "'signs' is missing"),
    "anchored": (anchored_around, {}, "no reference for a flip code"),
    "another format": (
        lambda d: d["maps"]["W"].update(format={"kind": "FullPrecision"}),
        {},
        "does not know a flip code",
    ),
    "negative": (
        lambda d: d.update(
            physics={"kind": "Scaled", "factor": -1.0, "operator": d["physics"]},
            fingerprint=[-v for v in d["fingerprint"]],
        ),
        {},
        "no exact reference",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_flip_codes(name: str, coded: Path, rewrite, tmp_path: Path) -> None:
    path = Path(shutil.copy(coded, tmp_path / "net.safetensors"))
    description, arrays, message = DAMAGE[name]
    rewrite(path, description=description, arrays=arrays)
    with pytest.raises(ValueError, match=message):
        runtime.load(path)
    with pytest.raises(ValueError, match=r"net\.safetensors"):
        load(path)


def test_planes_after_the_first(coded: Path, rewrite, tmp_path: Path) -> None:
    path = Path(shutil.copy(coded, tmp_path / "net.safetensors"))
    signs = np.random.RandomState(0).choice([-1, 1], (4, 2, 40, 83))
    logs = normal(4, 3)
    arrays = {"maps/W/signs": pack_signs(signs), "maps/W/log_scales": logs}
    rewrite(path, arrays=arrays, description=lambda d: d["maps"]["W"]["format"].update(planes=3))
    file = runtime.read(path)
    spec, own = runtime.parts_of(file.description, file.arrays).maps["W"]
    A = runtime.load(path).operator
    found = runtime.weights_of(spec, own, runtime.Map(A.shape, lambda: A), A)
    first = np.where(A.dense() < 0, -1, 1)
    for matrix, planes, scales in zip(found, signs, np.exp(logs), strict=True):
        expected = scales[0] * first + scales[1] * planes[0] + scales[2] * planes[1]
        np.testing.assert_allclose(matrix.dense(), expected, rtol=1e-5, atol=1e-6)
    rewrite(path, arrays={"maps/W/signs": pack_signs(signs[:, :1])})
    with pytest.raises(ValueError, match="array 'signs': expected U8"):
        runtime.load(path)


def test_physics_that_give_other_signs_are_noticed(coded: Path, monkeypatch) -> None:
    exact = runtime.signs_of
    monkeypatch.setattr(runtime, "signs_of", lambda core: exact(np.where(core == core.min(), -core, core)))
    with pytest.raises(ValueError, match="computes other signs of A"):
        runtime.load(coded)
