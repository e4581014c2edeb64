"""``FORMAT.md``: its worked example and its tables, against the reader and the library."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from unrollbit import ISTA, OneBit, Unrolled, load, pack
from unrollbit.operators import Dense
from unrollbit.packed import runtime


def test_the_worked_example_of_the_specification(headers, tmp_path: Path) -> None:
    """Both readers take the bytes that ``FORMAT.md`` prints, and they are what the library writes."""
    text = Path(runtime.__file__).with_name("FORMAT.md").read_text()
    section = text[text.index("## 14") :]
    _, description, _, run, _, table, rest = section.split("```")
    checksum = rest.split("`")[1]
    header: dict = {"__metadata__": {"format": "unrollbit", "version": "2", "checksum": checksum}}
    for part, json_text in (("description", description), ("run", run)):
        header["__metadata__"][part] = json_text.removeprefix("json").strip()
    data = b""
    for line in table.removeprefix("text").strip().splitlines():
        name, dtype, shape, begin, end, content = re.fullmatch(
            r"(\S+) +(\S+) +(\[.*?\]) +(\d+) +(\d+) +(.*)", line
        ).groups()  # pyright: ignore[reportOptionalMemberAccess]
        header[name] = {"dtype": dtype, "shape": json.loads(shape), "data_offsets": [int(begin), int(end)]}
        data += bytes.fromhex(content)
    path = headers.write(tmp_path / "example.safetensors", header, data)
    y = np.array([1.0, 2.0], np.float32)
    estimate = [float(number) for number in section[section.rindex("= (") + 3 :].split(")")[0].split(",")]
    np.testing.assert_allclose(runtime.load(path)(y), estimate, rtol=1e-5)
    np.testing.assert_allclose(load(path)(y), estimate, rtol=1e-5)
    W = 0.625 * np.array([[1, -1, 1], [1, 1, -1]])
    np.testing.assert_allclose(load(path).network.maps["W"].dense()[0], W, rtol=1e-6)
    A = Dense.of([[0.5, -1.0, 0.0], [2.0, -0.0, -0.25]])
    net = Unrolled(ISTA(regularisation=0.5), A, 1, OneBit())
    written = pack(net, training={"seed": 0}).save(tmp_path / "written.safetensors")
    found, expected = runtime.read(written), runtime.read(path)
    assert found.description.pop("fingerprint") == pytest.approx(expected.description.pop("fingerprint"))
    assert (found.description, found.run) == (expected.description, expected.run)
    assert set(found.arrays) == set(expected.arrays)
    for name, array in found.arrays.items():
        np.testing.assert_allclose(array.entries, expected.arrays[name].entries, rtol=1e-6, err_msg=name)


def test_the_specification_names_every_kind() -> None:
    text = Path(runtime.__file__).with_name("FORMAT.md").read_text()
    tables = (runtime.STRUCTURES, runtime.OPERATORS, runtime.FORMATS, runtime.WRAPPERS, runtime.SHRINKAGES)
    for table in (
        *tables,
        runtime.ALGORITHMS,
        runtime.NETWORKS,
        runtime.RECIPES,
        {"Grouped": None, "Activations": None},
    ):
        for name in table:
            assert f"`{name}" in text or f'"{name}"' in text, name
