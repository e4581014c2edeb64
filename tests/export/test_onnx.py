"""ONNX of packed networks: the same estimates in a process that has ONNX Runtime, and neither JAX nor this library."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unrollbit import LinearOperator, OneBit, Unrolled, load, pack
from unrollbit.algorithms import ForwardBackward
from unrollbit.cli import main
from unrollbit.formats import UnitFilters
from unrollbit.operators import BlockPatterns, Convolution, SubsampledFourier
from unrollbit.packed import runtime

onnx = pytest.importorskip("onnx", reason="onnx is not installed (the extra named export)")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (the extra named test)")

from unrollbit.export import export_onnx  # noqa: E402

ELSEWHERE = """
import sys
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
np.save("x.npy", session.run(None, {"y": np.load("y.npy")})[0])
assert not any(name.startswith(("unrollbit", "jax")) for name in sys.modules)
"""


def estimates(path: Path, y: np.ndarray) -> np.ndarray:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, {"y": y})[0]


def agrees(path: Path, folder: Path, measurements: Callable[..., np.ndarray]) -> None:
    """The reader is the oracle: tests of its own compare it with the library."""
    model = export_onnx(path, folder / "model.onnx")
    for count in (1, 4):
        y = measurements(path, count)
        expected = runtime.load(path)(y)
        np.testing.assert_allclose(estimates(model, y), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.long
@pytest.mark.grid(12, others="long")
def test_every_part(network: Path, tmp_path: Path, measurements) -> None:
    agrees(network, tmp_path, measurements)


def test_the_shelf(shelf: Path, tmp_path: Path, measurements) -> None:
    agrees(shelf, tmp_path, measurements)


def test_a_fresh_process(single_pixel: Path, tmp_path: Path, measurements) -> None:
    y = measurements(single_pixel, 3)
    export_onnx(single_pixel, tmp_path / "model.onnx")
    np.save(tmp_path / "y.npy", y)
    subprocess.run([sys.executable, "-c", ELSEWHERE], cwd=tmp_path, check=True)
    expected = np.asarray(load(single_pixel)(y))
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_sixteen_bits_in_and_out(single_pixel: Path, tmp_path: Path, measurements) -> None:
    y = measurements(single_pixel, 3).astype(np.float16)
    x = estimates(export_onnx(single_pixel, tmp_path / "model.onnx", "float16"), y)
    assert x.dtype == np.float16
    expected = runtime.load(single_pixel)(y).astype(np.float32)
    np.testing.assert_allclose(x.astype(np.float32), expected, rtol=0, atol=2.0**-10 * np.abs(expected).max())
    model = onnx.load(export_onnx(single_pixel, tmp_path / "model.onnx", "bfloat16"))
    kinds = {end.type.tensor_type.elem_type for end in (*model.graph.input, *model.graph.output)}
    assert kinds == {onnx.TensorProto.BFLOAT16}


def test_signs_stay_packed(shelf_by_name: dict[str, Path], tmp_path: Path) -> None:
    """A network of 1024 x 256 signs: no constant of floats is as large as they would be."""
    model = onnx.load(export_onnx(shelf_by_name["one-bit-sensing"], tmp_path / "model.onnx"))
    sizes = {(tensor.data_type, int(np.prod(tensor.dims))) for tensor in model.graph.initializer}
    assert (onnx.TensorProto.UINT8, 1024 * 256 // 8) in sizes
    assert max(size for kind, size in sizes if kind == onnx.TensorProto.FLOAT) <= 1024
    assert (tmp_path / "model.onnx").stat().st_size < 4 * 1024 * 256 / 8


def test_the_command(single_pixel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "model.onnx"
    assert main(["export", str(single_pixel), "--onnx", str(target), "--json", str(tmp_path / "r.json")]) == 0
    assert str(target) in capsys.readouterr().out
    assert main(["export", str(single_pixel), "--onnx", str(target)]) == 0  # over a model
    target.write_text("own work")
    assert main(["export", str(single_pixel), "--onnx", str(target)]) == 2
    assert "is no ONNX model" in capsys.readouterr().err


def patterns() -> LinearOperator:
    return BlockPatterns.of(np.sign(np.random.RandomState(0).randn(5, 9)), (3, 6), 3, 1 + np.arange(9.0))


def learned_prior(physics: LinearOperator, sides: tuple[int, ...]) -> Unrolled:
    prior = ForwardBackward(signal_shape=sides, size=3, filters=2)
    return Unrolled(prior, physics, 3, UnitFilters(OneBit(scale="none")), distinct=3)


@pytest.mark.long
@pytest.mark.parametrize(
    ("physics", "sides"),
    [
        (lambda: Convolution(np.outer([1.0, 2, 3], [2.0, 1, 1, 0]), (6, 10)), (6, 10)),
        (lambda: Convolution(np.array([1.0, 2, 4]), (9,)), (9,)),
        (lambda: SubsampledFourier.random((6, 8), 14, 1), (6, 8)),
        (lambda: SubsampledFourier.of((4, 4), range(16)), (4, 4)),
        (lambda: SubsampledFourier.random((16,), 5, 1), (16,)),
        (lambda: patterns(), (3, 6)),
        (lambda: 3.0 * patterns(), (3, 6)),
    ],
    ids=[
        "blur",
        "blur of a signal",
        "frequencies",
        "all frequencies",
        "frequencies of a signal",
        "patterns",
        "scaled patterns",
    ],
)
def test_priors_with_the_linear_estimate_of_their_physics(physics, sides, tmp_path: Path, measurements) -> None:
    """What the data step of a prior asks of a blur, of frequencies and of patterns is more than products."""
    path = pack(learned_prior(physics(), sides)).save(tmp_path / "net.safetensors")
    agrees(path, tmp_path, measurements)
    y = measurements(path, 2)
    np.testing.assert_allclose(load(path)(y), runtime.load(path)(y), atol=1e-5)
