"""What ``load`` takes, and what it gives: bits held once, one line that says what it is, the dtypes of the library."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import AMP, ISTA, FullyConnected, OneBit, Unrolled, count_bits, load, pack
from unrollbit.formats import Normalised, Surrogate
from unrollbit.operators import gaussian
from unrollbit.packed import runtime
from unrollbit.training.recipe import Recipe


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    net = Unrolled(AMP(), gaussian(8, 16), 3, Normalised(OneBit()), distinct=1)
    return pack(net).save(tmp_path_factory.mktemp("run") / "network.safetensors")


def test_a_run_folder_is_its_network(file: Path, tmp_path: Path) -> None:
    y = np.random.RandomState(0).standard_normal((2, 8)).astype(np.float32)
    for read in (load, runtime.load):
        for path in (file, str(file), file.parent, str(file.parent)):
            np.testing.assert_array_equal(read(path)(y), read(file)(y))
        with pytest.raises(ValueError, match=r"no network\.safetensors inside \(no run folder\?\)"):
            read(tmp_path)
        (tmp_path / "metrics.jsonl").touch()
        with pytest.raises(ValueError, match="training has not finished; continue with unrollbit train --resume"):
            read(tmp_path)
        (tmp_path / "metrics.jsonl").unlink()
        with pytest.raises(FileNotFoundError, match="no such file; expected a packed network"):
            read(tmp_path / "none.safetensors")
        for wrong in (None, 3, b"net", [file], pack):
            with pytest.raises(TypeError, match="expected the path of a packed network or of a run folder, got"):
                read(wrong)


def test_what_is_packed_is_a_network(file: Path) -> None:
    for wrong in (None, Unrolled, "AMP", load(file), gaussian(8, 16)):
        with pytest.raises(TypeError, match="net: expected a Module"):
            pack(wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=r"got Recipe\(.*; its .network is one"):
        pack(Recipe(load(file).network, ()))  # pyright: ignore[reportArgumentType]


def test_a_packed_network_says_in_one_line_what_it_is(file: Path) -> None:
    packed = load(file)
    for text in (repr(packed), str(packed)):
        assert "\n" not in text
        assert len(text) < 200
        for part in ("AMP", "3 layers", "8 x 16", "OneBit", "bits per link", f"{file.stat().st_size:,} bytes"):
            assert part in text
    assert "file" not in repr(pack(packed.trainable()))  # it has none
    relu = repr(pack(FullyConnected(gaussian(8, 16), 3, 12, OneBit())))
    assert "Fully connected" in relu
    assert "hidden: OneBit" in relu


def test_bits_of_a_packed_network(file: Path) -> None:
    packed = load(file)
    report = count_bits(packed)
    assert report.to_dict() == packed.bits().to_dict()
    assert report.file_bits == 8 * file.stat().st_size
    assert count_bits(packed.network).weight_bits == report.weight_bits == 8 * 16
    for wrong in (None, Unrolled, file):
        with pytest.raises(TypeError, match="count_bits: net: expected a Module"):
            count_bits(wrong)  # pyright: ignore[reportArgumentType]


def reachable(root: object, kind: type) -> list:
    """Objects of a kind that can be reached from an object through objects of the library and containers."""
    found, seen, stack = [], {id(root)}, [root]
    while stack:
        value = stack.pop()
        if isinstance(value, kind):
            found.append(value)
            continue
        inside = isinstance(value, dict | list | tuple) or type(value).__module__.startswith(("unrollbit", "flax"))
        for other in gc.get_referents(value) if inside else ():
            if id(other) not in seen and not isinstance(other, type):
                seen.add(id(other))
                stack.append(other)
    return found


def test_a_loaded_network_holds_its_bits_once(tmp_path: Path) -> None:
    m, n, depth = 128, 256, 4
    net = Unrolled(ISTA(), gaussian(m, n), depth, OneBit(scale="row"))
    path = pack(net).save(tmp_path / "net.safetensors")
    signs = depth * m * n // 8
    for packed in (load(path), pack(net)):
        packed(jnp.ones((2, m)))
        host = reachable(packed, np.ndarray)
        assert sum(array.nbytes for array in host if array.dtype == np.uint8) < signs / 8
        device = {id(array): array for array in reachable(packed, jax.Array)}.values()
        held = [array for array in device if array.dtype == jnp.uint8 and array.size >= signs / 8]
        assert sum(array.nbytes for array in held) == signs
    # what is saved and trained comes from what is held
    assert load(path).save(tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    np.testing.assert_array_equal(load(path).trainable().maps["W"].dense(), net.maps["W"].dense())


def test_training_goes_on_with_the_surrogate_of_before(tmp_path: Path) -> None:
    format = OneBit(surrogate=Surrogate.from_spec({"kind": "Clipped", "limit": 0.25}))
    packed = load(pack(Unrolled(ISTA(), gaussian(8, 16), 2, format)).save(tmp_path / "net.safetensors"))
    assert packed.trainable().maps["W"].format == format
    again = load(packed.save(tmp_path / "again.safetensors"))
    assert again.trainable().maps["W"].format == format


def test_calls_with_and_without_a_tape_agree(file: Path) -> None:
    packed = load(file)
    y = np.random.RandomState(0).standard_normal((40, 8)).astype(np.float32)
    rows = [packed(row) for row in y]
    np.testing.assert_allclose(packed(y), np.stack(rows), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(jax.jit(packed.__call__)(y), packed(y), rtol=1e-4, atol=1e-5)


WIDE = """
import sys
import numpy as np
from unrollbit import FISTA, FullPrecision, OneBit, Unrolled, load, pack
from unrollbit.operators import Convolution, Dense
from unrollbit.packed import runtime
matrix = np.random.RandomState(0).standard_normal((8, 16))
for name, A in (("taps", Convolution.of([0.25, 0.5, 0.25], 16)), ("dense", Dense.of(matrix))):
    for format in (OneBit(), FullPrecision()):
        net = Unrolled(FISTA(), A, 2, format)
        path = pack(net).save(f"{sys.argv[1]}/{name}-{type(format).__name__}.safetensors")
        y = np.random.RandomState(1).standard_normal((3, A.shape[0]))
        for dtype in (np.float64, np.float32):
            expected = net(y.astype(dtype))
            found = load(path)(y.astype(dtype))
            assert found.dtype == expected.dtype == dtype
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(runtime.load(path)(y), found, rtol=1e-5, atol=1e-6)
        np.save(path.with_suffix(".npy"), found)
"""


@pytest.mark.long
def test_files_written_with_64_bits_are_files_like_others(tmp_path: Path) -> None:
    environment = {**os.environ, "JAX_ENABLE_X64": "1"}
    command = [sys.executable, "-c", WIDE, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    paths = sorted(tmp_path.glob("*.safetensors"))
    assert len(paths) == 4
    for path in paths:  # read in 32 bits
        packed = load(path)
        y = np.random.RandomState(1).standard_normal((3, packed.network.operator.shape[0]))
        np.testing.assert_allclose(packed(y), np.load(path.with_suffix(".npy")), rtol=1e-5, atol=1e-6)
