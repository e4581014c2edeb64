"""The reader as one file on a device: what it needs, how it is run, and how much memory it takes."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from unrollbit import OneBit, Unrolled, load, pack
from unrollbit.algorithms import GradientDescent
from unrollbit.formats import Fixed
from unrollbit.operators import Rademacher, Scaled, SubsampledFourier
from unrollbit.packed import runtime


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


ALONE = """
import sys
for name in ("jax", "jaxlib", "flax", "safetensors", "ml_dtypes", "scipy", "unrollbit"):
    sys.modules[name] = None
sys.path.insert(0, sys.argv[1])
import numpy as np
import runtime
np.save(sys.argv[3], runtime.load(sys.argv[2])(np.load(sys.argv[4])))
loaded = {name.split(".")[0] for name in sys.modules if sys.modules[name] is not None}
print(*(loaded - set(sys.stdlib_module_names) - {"numpy", "cython_runtime", "runtime", "__main__"}))
"""


def test_one_copied_file_is_enough(small: Path, copied: Path, run_python) -> None:
    y, x = copied.with_name("y.npy"), copied.with_name("x.npy")
    np.save(y, normal(5, 8))
    done = run_python("-c", ALONE, copied.parent, small, x, y)
    assert done.returncode == 0, done.stderr
    ours = {"sitecustomize"}  # of the Python that Debian ships
    assert [name for name in done.stdout.split() if not name.startswith("_") and name not in ours] == []
    np.testing.assert_array_equal(np.load(x), runtime.load(small)(normal(5, 8)))
    x.unlink()
    done = run_python(copied, small, y, x)  # as a command
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    np.testing.assert_array_equal(np.load(x), runtime.load(small)(normal(5, 8)))


def test_a_users_mistake_is_one_line(small: Path, tmp_path: Path, capsys) -> None:
    names = ("y", "short", "text", "complex", "nan", "empty", "huge")
    y, short, text, wave, unknown, empty, huge = (tmp_path / f"{name}.npy" for name in names)
    np.save(y, normal(8))
    np.save(short, normal(3, 7))
    np.save(wave, np.ones(8, complex))
    np.save(unknown, np.full(8, np.nan, np.float32))
    np.save(empty, np.zeros((0, 8), np.float32))
    np.save(huge, np.full(8, 1e39))
    text.write_text("1 2 3")
    out = tmp_path / "x.npy"
    cases = {
        (tmp_path / "none.safetensors", y, out): "no such file",
        (tmp_path, y, out): "no network.safetensors inside",
        (y, small, out): "not a readable safetensors file",
        (small, tmp_path / "none.npy", out): "no such file",
        (small, small, out): "not a .npy file",
        (small, text, out): "not a .npy file",
        (small, short, out): "expected the last axis to have m = 8 entries, got shape (3, 7)",
        (small, wave, out): "stack real and imaginary parts",
        (small, unknown, out): "8 entries are NaN, infinite or beyond the range of float32",
        (small, huge, out): "8 entries are NaN, infinite or beyond the range of float32",
        (small, empty, out): "at least one measurement vector",
        (small, y, tmp_path / "none" / "x.npy"): "no such folder",
        (small, y, tmp_path / "x.txt"): "expected the name of a .npy file",
    }
    for arguments, message in cases.items():
        assert runtime.main([str(argument) for argument in arguments]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("error: ")
        assert captured.err.count("\n") == 1
        assert message in captured.err
    assert not out.exists()


def test_nothing_is_written_over_an_input_or_a_network(small: Path, tmp_path: Path, capsys) -> None:
    """Whatever the order of the arguments, and through links too."""
    y, x, network, linked = (tmp_path / name for name in ("y.npy", "x.npy", "net.safetensors", "link.npy"))
    network.write_bytes(small.read_bytes())
    renamed = tmp_path / "network.npy"
    renamed.write_bytes(small.read_bytes())
    np.save(y, normal(8))
    linked.symlink_to(y)
    before = {path: path.read_bytes() for path in (y, network, renamed)}
    refused = [
        (network, y, y),
        (network, y, linked),
        (network, linked, y),
        (renamed, y, renamed),
        (network, y, renamed),  # not an input, but a network
        (network, y, network),
        (y, x, network),
        (x, y, network),
    ]
    for arguments in refused:
        assert runtime.main([str(argument) for argument in arguments]) == 1, arguments
        assert capsys.readouterr().err.startswith("error: ")
        assert {path: path.read_bytes() for path in before} == before
    assert runtime.main([str(network), str(y), str(x)]) == 0
    assert runtime.main([str(network), str(y), str(x)]) == 0  # over estimates of before
    np.testing.assert_array_equal(np.load(x), runtime.load(small)(normal(8)))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        path.name for path in (y, x, network, linked, renamed)
    )


def test_dtypes_of_measurements(small: Path) -> None:
    """Those of the library: integers and other widths are computed in float32, 16 bits come back as such."""
    network, y = runtime.load(small), np.round(8 * normal(3, 8))
    expected = network(y.astype(np.float32))
    for dtype in (">f4", "<f8", ">f8", np.int16, ">i4", np.uint8, bool):
        given = np.abs(y) if dtype == np.uint8 else y > 0 if dtype is bool else y
        found = network(given.astype(dtype))
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, network(given.astype(np.float32)))
    for dtype in (np.float16, ">f2", ml_dtypes.bfloat16):
        found = network(y.astype(dtype))
        assert found.dtype == np.dtype(dtype).newbyteorder("=")
        np.testing.assert_array_equal(found, expected.astype(found.dtype))
    for wrong in (y.astype(complex), y.astype("datetime64[s]"), np.array(["a"] * 8)):
        with pytest.raises(TypeError, match="real numbers"):
            network(wrong)


def test_complex_measurements_of_complex_physics(tmp_path: Path) -> None:
    net = Unrolled(GradientDescent(), Scaled.of(SubsampledFourier.of(8, [0, 3]), 0.5), 2, Fixed())
    path = pack(net).save(tmp_path / "net.safetensors")
    y = normal(3, 2) + 1j * normal(3, 2, seed=1)
    expected = load(path)(y)
    np.testing.assert_allclose(runtime.load(path)(y), expected, rtol=1e-5, atol=1e-6)
    stacked = np.concatenate([y.real, y.imag], -1)
    np.testing.assert_array_equal(runtime.load(path)(y), runtime.load(path)(stacked))


def test_packed_matrices_stay_packed(tmp_path: Path) -> None:
    m, n = 2048, 512
    net = Unrolled(GradientDescent(), Rademacher(m, n), 2, OneBit(), distinct=1)
    path = pack(net).save(tmp_path / "net.safetensors")
    found, y = runtime.load(path), normal(1, m)
    tracemalloc.start()
    found(y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < m * n  # bytes: a quarter of one matrix in float32
