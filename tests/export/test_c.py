"""C99 of packed networks, compiled strictly and with sanitisers: the estimates of ``load(file)(y)``."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from unrollbit import ISTA, OneBit, Unrolled, load, pack
from unrollbit.algorithms import GradientDescent
from unrollbit.cli import main
from unrollbit.export import export_c
from unrollbit.export.c99 import HEADER, README, SOURCE
from unrollbit.export.readme import measured_sizes
from unrollbit.formats import Fixed, LittleBit
from unrollbit.operators import Dense, Rademacher, Scaled
from unrollbit.packed import runtime

# Physics of their data step have A A^T with several values, which C has no solver for.
WITHOUT_C = {"eeg", "gaussian-blur", "mri-20", "set11-10", "set11-25", "tomography"}
MATRIX = np.random.RandomState(0).standard_normal((6, 9)).astype(np.float32)


def agrees(recover, path: Path, y: np.ndarray) -> None:
    """The same signals by C and by the library, which computes in another way."""
    status, x = recover(y)
    expected = np.asarray(load(path)(y))
    assert not status.any()
    assert np.linalg.norm(expected) > 0
    np.testing.assert_allclose(x, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.long
@pytest.mark.grid(8, others="long")
def test_every_part_gives_the_estimates_of_the_library(network: Path, build, measurements, tmp_path: Path) -> None:
    agrees(build(network, tmp_path), network, measurements(network))


@pytest.mark.long
def test_the_shelf(shelf: Path, build, measurements, tmp_path: Path) -> None:
    if shelf.stem in WITHOUT_C:
        with pytest.raises(ValueError, match=r"A A\^T = c I only .* Take --onnx or --stablehlo"):
            build(shelf, tmp_path)
    else:
        agrees(build(shelf, tmp_path), shelf, measurements(shelf))


@pytest.mark.long
@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_compilers(name: str, single_pixel: Path, build, measurements, tmp_path: Path) -> None:
    """Without sanitisers, as optimised programs are built: strict warnings are errors in all tests."""
    agrees(build(single_pixel, tmp_path, name, sanitised=False), single_pixel, measurements(single_pixel))


@pytest.mark.parametrize("name", ["one-bit-sensing", pytest.param("rademacher", marks=pytest.mark.slow)])
def test_fixed_point(name: str, shelf_by_name: dict[str, Path], build, measurements, tmp_path: Path) -> None:
    """Rounding to 16 bits costs about 80 dB of 96."""
    path = shelf_by_name[name]
    y = measurements(path)
    status, x = build(path, tmp_path, fixed_point=True)(y)
    assert not status.any()
    expected = runtime.load(path)(y)
    error = np.linalg.norm(x - expected, axis=-1) / np.linalg.norm(expected, axis=-1)
    assert (error > 0).all()  # something was rounded
    assert error.max() < 1e-3
    assert "16 bits" in (tmp_path / README).read_text()


def test_fixed_point_reports_what_is_not_finite(build, tmp_path: Path) -> None:
    """Sums of three planes of odd sizes, and measurements whose estimate overflows on the way."""
    net = Unrolled(GradientDescent(), Scaled.of(Rademacher(13, 70), 1e-3), 3, OneBit(planes=3))
    path = pack(net).save(tmp_path / "net.safetensors")
    recover = build(path, tmp_path, fixed_point=True)
    y = np.random.RandomState(1).standard_normal((2, 13)).astype(np.float32)
    y[1] = 3e38 * np.sign(y[1])
    status, x = recover(y)
    assert status.tolist() == [0, -2]
    expected = runtime.load(path)(y[:1])
    np.testing.assert_allclose(x[:1], expected, rtol=0, atol=3e-4 * np.abs(expected).max())


def test_fixed_point_without_signs_is_refused(single_pixel: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--fixed-point is for products with signs"):
        export_c(single_pixel, tmp_path, fixed_point=True)


def test_numbers_at_the_ends_of_the_range(single_pixel: Path, build, measurements, tmp_path: Path) -> None:
    """Zeros, denormals, huge and tiny measurements; NaN and infinities are refused, and nothing is written then."""
    recover = build(single_pixel, tmp_path)
    y = measurements(single_pixel, 1)[0]
    cases = np.stack([0 * y, 1e-40 * y, 1e-30 * y, 1e12 * y])
    status, x = recover(cases)
    assert not status.any()
    expected = runtime.load(single_pixel)(cases)  # compiled programs take denormals for zeros
    for found, wanted in zip(x, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    bad = np.stack([y, y, y])
    bad[0, 3], bad[1, 0], bad[2, -1] = np.nan, np.inf, -np.inf
    status, x = recover(bad)
    assert status.tolist() == [-1, -1, -1]
    assert (x == 77).all()


def test_an_estimate_that_overflows_is_reported(build, tmp_path: Path) -> None:
    net = Unrolled(GradientDescent(), Dense.of(1e-3 * MATRIX), 2, Fixed())
    path = pack(net).save(tmp_path / "net.safetensors")
    status, _ = build(path, tmp_path)(np.full((1, 6), 3e38, np.float32))
    assert status.tolist() == [-2]


def test_what_has_no_c_is_named(tmp_path: Path) -> None:
    net = Unrolled(ISTA(), Dense.of(MATRIX, np.abs(MATRIX) > 0.5), 2, LittleBit(rank=1))
    path = pack(net).save(tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match=r"net\.safetensors: export to C: .*LittleBit under an irregular mask"):
        export_c(path, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_the_files_are_as_small_and_as_plain_as_the_readme_says(single_pixel: Path, tmp_path: Path) -> None:
    """Single pixel (256, 512): 12 KB of constants and code, 16 KB of memory, nothing but ``math.h``."""
    program = export_c(single_pixel, tmp_path)
    m, n = program.shape
    assert program.work_bytes + 4 * (m + n) < 16 * 1024
    text = (tmp_path / README).read_text()
    assert f"Constants: {program.data_bytes:,} bytes" in text
    assert f"Work: {program.work_bytes:,} bytes" in text
    for _, code, data in measured_sizes(program):
        assert 0 < code + data < 6 * 1024
        assert program.data_bytes <= data < program.data_bytes + 256
    source = (tmp_path / SOURCE).read_text()
    assert re.findall(r"#include (\S+)", source) == ['"unrollbit_recover.h"', "<math.h>", "<stdint.h>"]
    assert export_c(single_pixel, tmp_path / "again") == program
    for word in ("malloc", "goto", "double", "while", "memcpy"):
        assert word not in source


def test_the_stack(single_pixel: Path, build, tmp_path: Path) -> None:
    """No frame of a function is large, or of a size that depends on the input."""
    build(single_pixel, tmp_path, sanitised=False)
    command = ["gcc", "-std=c99", "-Os", "-fstack-usage", "-Wvla", "-Werror", "-c", SOURCE]
    subprocess.run(command, cwd=tmp_path, check=True)
    frames = [line.split("\t") for line in next(tmp_path.glob("*.su")).read_text().splitlines()]
    assert frames
    assert sum(int(size) for _, size, _ in frames) < 1024
    assert {kind for *_, kind in frames} == {"static"}


def test_the_command(shelf_by_name: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, folder = str(shelf_by_name["certified-ista"]), tmp_path / "c"
    assert main(["export", path, "--c", str(folder), "--json", str(tmp_path / "r.json")]) == 0
    assert {file.name for file in folder.iterdir()} == {HEADER, SOURCE, README}
    assert json.loads((tmp_path / "r.json").read_text())["c"]["data_bytes"] > 0
    assert "64 measurements" in capsys.readouterr().out
    (folder / HEADER).write_text("own work")
    assert main(["export", path, "--c", str(folder)]) == 2
    assert "is no C file" in capsys.readouterr().err
    assert (folder / HEADER).read_text() == "own work"
