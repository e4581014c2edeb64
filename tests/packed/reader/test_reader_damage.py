"""Files that someone damaged or wrote to deceive: the reader says what is wrong, or runs the same network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit.packed import runtime


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def set_entry(header: dict, name: str, **values) -> dict:
    return {**header, name: {**header[name], **values}}


def set_metadata(header: dict, **values) -> dict:
    return {**header, "__metadata__": {**header["__metadata__"], **values}}


STEP = "scalars/step"
HEADERS = {
    "another version": (lambda h: set_metadata(h, version="1"), "version '1'; this program reads version 2"),
    "another format": (lambda h: set_metadata(h, format="other"), "no packed network"),
    "no metadata": (lambda h: {k: v for k, v in h.items() if k != "__metadata__"}, "no packed network"),
    "another checksum": (lambda h: set_metadata(h, checksum="0"), "checksum does not match"),
    "no checksum": (lambda h: set_metadata(h, checksum=None), "the header lacks checksum"),
    "more metadata": (lambda h: set_metadata(h, more=""), "entries of no use: 'more'"),
    "a number of more than 64 bits": (lambda h: set_entry(h, STEP, shape=[2**63]), "at most 64 bits"),
    "another description": (lambda h: set_metadata(h, description="{}"), "checksum does not match"),
    "another run": (lambda h: set_metadata(h, run="{}"), "checksum does not match"),
    "overlapping": (lambda h: set_entry(h, STEP, data_offsets=[0, 8]), "expected the bytes"),
    "a gap": (lambda h: {k: v for k, v in h.items() if k != STEP}, "expected the bytes|bytes of arrays"),
    "huge shape": (lambda h: set_entry(h, STEP, shape=[2**62, 2**62]), "expected the bytes"),
    "negative shape": (lambda h: set_entry(h, STEP, shape=[-1, -2]), "integers >= 0"),
    "shape of floats": (lambda h: set_entry(h, STEP, shape=[2.0]), "integers >= 0"),
    "huge offsets": (lambda h: set_entry(h, STEP, data_offsets=[0, 2**62]), "expected the bytes"),
    "no offsets": (lambda h: {**h, STEP: {"dtype": "F32", "shape": [2]}}, "data_offsets"),
    "three offsets": (lambda h: set_entry(h, STEP, data_offsets=[0, 1, 2]), "data_offsets"),
    "other dtype": (lambda h: set_entry(h, STEP, dtype="I16", shape=[4]), "dtype I16"),
    "an entry that is a list": (lambda h: {**h, STEP: []}, "data_offsets"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_wrong_headers(name: str, small: Path, tmp_path: Path, headers) -> None:
    change, message = HEADERS[name]
    header, data = headers.parts(small)
    with pytest.raises(ValueError, match=message):
        runtime.load(headers.write(tmp_path / "n.safetensors", change(header), data))


DESCRIPTIONS = {
    "unknown network": (lambda d: d["network"].update(kind="Other"), "unknown network 'Other'"),
    "unknown algorithm": (lambda d: d["network"]["algorithm"].update(kind="Other"), "unknown algorithm 'Other'"),
    "unknown field": (lambda d: d["network"].update(more=1), "does not know"),
    "unknown option": (lambda d: d["network"]["algorithm"].update(more=1), "does not know"),
    "other onsager": (lambda d: d["network"]["algorithm"].update(onsager="x"), "onsager: expected one of"),
    "unknown shrinkage": (lambda d: d["network"]["algorithm"].update(shrinkage=None), "unknown shrinkage None"),
    "unknown physics": (lambda d: d["physics"].update(kind="Other"), "unknown operator 'Other'"),
    "unknown recipe": (lambda d: d["physics"].update(recipe=["other", 8, 16, 0]), "unknown matrix recipe"),
    "huge recipe": (lambda d: d["physics"].update(recipe=["gaussian", 2**20, 2**20, 0]), "at most 1073741824 entries"),
    "other seed": (lambda d: d["physics"].update(recipe=["gaussian", 8, 16, 1]), "fingerprints disagree"),
    "negative seed": (lambda d: d["physics"].update(recipe=["gaussian", 8, 16, -1]), "seed: expected"),
    "wrong arguments": (lambda d: d["physics"].update(recipe=["gaussian", 8]), "damaged"),
    "no fingerprint": (lambda d: d.update(fingerprint=[]), "expected a list of numbers"),
    "huge depth": (lambda d: d["network"].update(depth=2**26), "expected F32 of shape"),
    "huge planes": (lambda d: d["maps"]["W"]["format"]["inner"].update(planes=2**26), "expected U8 of shape"),
    "no copies": (lambda d: d["maps"]["W"].pop("copies"), "structure and the copies"),
    "unknown scale": (lambda d: d["maps"]["W"]["format"]["inner"].update(scale="x"), "scale: expected one of"),
    "unknown weights": (
        lambda d: d["maps"]["W"]["format"]["inner"].update(kind="Frozen"),
        "unknown weight format 'Frozen'",
    ),
    "unknown structure": (lambda d: d["maps"]["W"].update(structure=1), "unknown structure"),
    "other structure": (lambda d: d["maps"]["W"]["structure"].update(m=9), "the file has"),
    "lost array": (lambda d: d["physics"].update(matrix={"array": "lost"}), "'lost' is missing"),
    "other map": (lambda d: d.update(maps={"V": d["maps"]["W"]}), "arrays of no use"),
    "more maps": (lambda d: d["maps"].update(V={"format": {"kind": "Fixed"}}), r"expected the maps \['W'\]"),
    "array of no use": (lambda d: d["maps"].update(W={"format": {"kind": "Fixed"}}), "of no use"),
    "no format": (lambda d: d["maps"]["W"].pop("format"), "the key 'format'"),
    "field of a map": (lambda d: d["maps"]["W"].update(color="red"), "fields of no use: 'color'"),
    "field of a format": (lambda d: d["maps"]["W"]["format"]["inner"].update(color="red"), "does not know"),
    "structure of nothing": (lambda d: d["maps"]["W"].update(format={"kind": "Fixed"}), "stores nothing"),
    "huge sides": (lambda d: d["physics"].update(recipe=["gaussian", 2**26 + 1, 1, 0]), "from 1 to 67108864"),
    "recipe and matrix": (lambda d: d["physics"].update(mask={"kind": "Full", "m": 8, "n": 16}), "and nothing else"),
    "more matrices than layers": (lambda d: d["maps"]["W"].update(copies=3), "expected U8 of shape"),
    "many parts": (lambda d: d.update(physics=nested(16)), "17 parts; expected at most 16"),
    "fingerprints": (lambda d: d.update(fingerprint={"physics": [1.0]}), "expected a list of numbers"),
    "infinite": (lambda d: d.update(fingerprint=[float("inf")]), "Infinity is no number"),
    "no maps": (lambda d: d.update(maps=3), "expected an object of maps"),
    "no physics": (lambda d: d.pop("physics"), "exactly the fields"),
    "a field of the run": (lambda d: d.update(training=None), "exactly the fields"),
    "deep": (lambda d: d.update(physics=nested(40)), "more than 32 levels"),
    "too deep to parse": (lambda d: d.update(physics=nested(500)), "n.safetensors"),
    "not finite": (lambda d: d.update(fingerprint=[float("nan")] * 8), "NaN is no number"),
}


def nested(depth: int) -> dict:
    spec: dict = {"kind": "Hadamard", "m": 1, "n": 1, "seed": 0}
    for _ in range(depth):
        spec = {"kind": "Adjoint", "operator": spec}
    return spec


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_wrong_descriptions(name: str, small: Path, tmp_path: Path, headers) -> None:
    """With a checksum that fits."""
    change, message = DESCRIPTIONS[name]
    header, data = headers.parts(small)
    with pytest.raises(ValueError, match=message):
        runtime.load(
            headers.write(tmp_path / "n.safetensors", headers.resealed(headers.described(header, change), data), data)
        )


@pytest.mark.parametrize("name", ["scalars/step", "maps/W/log_scales"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite(name: str, value: float, small: Path, tmp_path: Path, headers) -> None:
    header, data = headers.parts(small)
    begin, end = header[name]["data_offsets"]
    changed = data[:begin] + np.full((end - begin) // 4, value, "<f4").tobytes() + data[end:]
    with pytest.raises(ValueError, match="finite"):
        runtime.load(headers.write(tmp_path / "n.safetensors", headers.resealed(header, changed), changed))


def test_numbers_that_are_too_large_for_an_exponential(small: Path, rewrite, tmp_path: Path) -> None:
    path = Path(shutil.copy(small, tmp_path / "n.safetensors"))
    rewrite(path, arrays={"scalars/step": np.full(2, 89, np.float32)})
    with pytest.raises(ValueError, match="too large for a float32"):
        runtime.load(path)


def test_padding_that_is_not_zero(coded: Path, rewrite, tmp_path: Path) -> None:
    path = Path(shutil.copy(coded, tmp_path / "n.safetensors"))
    signs = np.full((4, 1, 40, 11), 7, np.uint8)
    arrays = {"maps/W/flips": None, "maps/W/signs": signs}
    rewrite(path, arrays=arrays, description=lambda d: d["maps"]["W"].pop("flips"))
    runtime.load(path)
    signs[3, 0, 39, 10] = 8
    rewrite(path, arrays=arrays)
    with pytest.raises(ValueError, match="padding after a row is not zero"):
        runtime.load(path)


def test_more_matrices_than_layers(coded: Path, rewrite, tmp_path: Path) -> None:
    path = Path(shutil.copy(coded, tmp_path / "n.safetensors"))
    scalars = {f"scalars/{name}": np.zeros(3, np.float32) for name in ("step", "threshold")}
    rewrite(path, arrays=scalars, description=lambda d: d["network"].update(depth=3))
    with pytest.raises(ValueError, match="expected 3 matrices, one a layer, got 4"):
        runtime.load(path)


def test_names_that_occur_twice(small: Path, tmp_path: Path, headers) -> None:
    header, data = headers.parts(small)
    path = tmp_path / "n.safetensors"
    twice = json.dumps(header).replace('"scalars/step"', '"scalars/gain"', 1)
    with pytest.raises(ValueError, match="occurs twice"):
        runtime.load(headers.write(path, twice, data))
    text = header["__metadata__"]["description"]
    header["__metadata__"]["description"] = text.replace('"depth":2', '"depth":2,"depth":2')
    with pytest.raises(ValueError, match="occurs twice"):
        runtime.load(headers.write(path, headers.resealed(header, data), data))


@pytest.mark.parametrize("size", [0, 7, 2**63, 10**8 + 1])
def test_wrong_sizes_of_the_header(size: int, small: Path, tmp_path: Path, headers) -> None:
    header, data = headers.parts(small)
    with pytest.raises(ValueError, match=r"n\.safetensors"):
        runtime.load(headers.write(tmp_path / "n.safetensors", header, data, size=size))


@settings(max_examples=150, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255), cut=st.booleans())
def test_changed_and_cut_files_never_load_quietly(place: float, mask: int, cut: bool, small: Path) -> None:
    content = bytearray(small.read_bytes())
    position = int(place * len(content))
    if cut:
        content = content[:position]
    else:
        content[position] ^= mask
    changed = small.with_name("changed.safetensors")
    changed.write_bytes(bytes(content))
    try:
        found = runtime.load(changed)
    except ValueError:
        return
    y = normal(2, 8)  # insignificant white space of the header, say
    np.testing.assert_array_equal(found(y), runtime.load(small)(y))


def leaves(value, path=()):
    """Paths to everything in a JSON value but its root."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from leaves(child, (*path, key))


JUNK = [
    None,
    True,
    0,
    -1,
    3,
    2**40,
    10**400,
    0.5,
    1e308,
    "",
    "inf",
    "OneBit",
    [],
    [1],
    {},
    {"kind": "Fixed"},
    {"array": 1},
]


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_descriptions_with_anything_in_them(data: st.DataObject, small: Path, files: list[Path], headers) -> None:
    """Any value anywhere, under a checksum that fits: a clear error, or a network that runs."""
    path = data.draw(st.sampled_from(files))
    header, content = headers.parts(path)
    description = json.loads(header["__metadata__"]["description"])
    *way, last = data.draw(st.sampled_from(list(leaves(description))))
    place = description
    for key in way:
        place = place[key]
    place[last] = data.draw(st.sampled_from(JUNK))
    header["__metadata__"]["description"] = json.dumps(description)
    changed = headers.write(small.with_name("anything.safetensors"), headers.resealed(header, content), content)
    try:
        found = runtime.load(changed)
        found(normal(2, found.shape[0]))
    except ValueError:
        return
