"""C99 of packed networks, compiled strictly and with sanitisers: the estimates of ``load(file)(y)``."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from unrollbit import AMP, ISTA, FullPrecision, FullyConnected, OneBit, Unrolled, load, pack
from unrollbit.algorithms import ADMM, FISTA, GradientDescent
from unrollbit.cli import main
from unrollbit.export import export_c
from unrollbit.export.c99 import HEADER, README, SOURCE
from unrollbit.export.readme import measured_sizes
from unrollbit.formats import (
    Anchored,
    BitNet,
    Coherent,
    Fixed,
    LittleBit,
    Normalised,
    OneBitSVID,
    SharedTaps,
    SignalDomain,
    Ternary,
)
from unrollbit.networks import Activations
from unrollbit.operators import (
    Banded,
    Composition,
    Convolution,
    Dense,
    Hadamard,
    Preconditioned,
    Rademacher,
    Radon,
    SubsampledDCT,
    SubsampledFourier,
    Subsampling,
    Wavelet,
    gaussian,
    gaussian_blocks,
)
from unrollbit.packed import runtime
from unrollbit.packed_operators import sign_planes
from unrollbit.shrinkage import (
    BernoulliGaussian,
    Box,
    Firm,
    Grouped,
    GroupSoft,
    Hard,
    NonNegative,
    Soft,
    SupportSelection,
)

NETWORKS_FOLDER = Path(__file__).resolve().parents[2] / "examples" / "networks"
SHELF = {path.stem: path for path in sorted(NETWORKS_FOLDER.glob("*.safetensors"))}
QUICK = ("certified-ista", "one-bit-sensing")
SINGLE_PIXEL = SHELF["single-pixel"]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


MASK = np.random.RandomState(5).uniform(size=(6, 9)) < 0.6
NETWORKS = {
    "random signs, two planes": lambda: Unrolled(
        ISTA(), Rademacher(24, 43), 3, OneBit(planes=2, scale="row"), distinct=2
    ),
    "fast transform": lambda: Unrolled(FISTA(Firm()), Hadamard(16, 64), 3, Normalised(Fixed())),
    "anchored": lambda: Unrolled(AMP(), gaussian(24, 40), 3, Normalised(Anchored(OneBit(scale="column"))), distinct=3),
    "planes per column": lambda: Unrolled(AMP(), sign_planes(gaussian(8, 16), 3), 2, Normalised(Fixed())),
    "computed Onsager term of blocks": lambda: Unrolled(
        AMP(BernoulliGaussian(learn_variance=True), onsager="computed"), gaussian_blocks(3, 4, 7), 3, OneBit()
    ),
    "no Onsager term": lambda: Unrolled(AMP(Soft(), onsager="none", momentum=False), gaussian(8, 16), 3, Ternary()),
    "trits, four a byte": lambda: Unrolled(ISTA(NonNegative(), 0.01), gaussian(8, 13), 3, Ternary(per_byte=4)),
    "taps": lambda: Unrolled(FISTA(), Convolution.of(normal(3, 3), (6, 6), "zero"), 2, SharedTaps(OneBit(), wider=1)),
    "stencil": lambda: Unrolled(ISTA(), Convolution.of(normal(3, 2), (4, 5)), 2, OneBit()),
    "band with strides": lambda: Unrolled(ISTA(), Banded.of(normal(3), (6, 12), -1, 2, True), 2, OneBit()),
    "mask, classic": lambda: Unrolled(
        ISTA(Hard(), 1e-3, parametrisation="classic"), Dense.of(normal(6, 9), MASK), 2, OneBit()
    ),
    "blocks": lambda: Unrolled(ISTA(adaptive=True), gaussian_blocks(3, 4, 7), 2, BitNet()),
    "blocks, no noise level": lambda: Unrolled(ISTA(), gaussian_blocks(3, 4, 7), 2, OneBitSVID()),
    "step of least coherence": lambda: Unrolled(ISTA(parametrisation="step"), gaussian(8, 16), 2, Coherent(Fixed())),
    "factors": lambda: Unrolled(
        ISTA(SupportSelection(8.0, 20.0), 0.02), gaussian(8, 16), 3, LittleBit(rank=2, residual=True)
    ),
    "groups": lambda: Unrolled(ADMM(GroupSoft(2), 0.05, rho=0.5), gaussian(8, 16), 3, FullPrecision()),
    "wavelets": lambda: Unrolled(
        AMP(Grouped(Soft(), (0,) * 4 + (1,) * 60)),
        Composition.of(Hadamard(16, 64), Wavelet.of((8, 8), "db2", 2)),
        3,
        SignalDomain(OneBit()),
    ),
    "wavelets of a signal": lambda: Unrolled(
        ADMM(), Composition.of(gaussian(6, 16), Wavelet.of(16, "db3", 3)), 2, SignalDomain(Fixed())
    ),
    "cosines": lambda: Unrolled(ISTA(), Composition.of(Radon.of(4, 3), SubsampledDCT.full((4, 4)).T), 2, Fixed()),
    "some cosines": lambda: Unrolled(GradientDescent(Box(-1.0, 1.0)), SubsampledDCT.random((4, 6), 11, 3), 3, Fixed()),
    "some frequencies": lambda: Unrolled(GradientDescent(), SubsampledFourier.random((4, 6), 5, 1), 3, Fixed()),
    "some samples": lambda: Unrolled(
        ISTA(), Composition.of(Subsampling.random((4, 8), 17, 3), SubsampledDCT.full((4, 8)).T), 2, Fixed()
    ),
    "preconditioned": lambda: Unrolled(
        ISTA(adaptive=True), Preconditioned.of(gaussian(6, 9), 0.1), 2, Normalised(OneBit())
    ),
    "8 bits": lambda: Unrolled(ISTA(), gaussian(8, 16), 2, OneBit(), activations=Activations(8)),
    "input normalised": lambda: Unrolled(FISTA(), gaussian(8, 16), 2, OneBit(), activations=Activations(4, "input")),
    "output normalised": lambda: Unrolled(
        ISTA(), gaussian(8, 16), 2, BitNet(), activations=Activations(None, "output")
    ),
    "fully connected": lambda: FullyConnected(gaussian(8, 16), 4, 12, FullPrecision()),
    "fully connected, skip": lambda: FullyConnected(gaussian(8, 16), 4, 20, OneBit(), skip=True),
    "fully connected, two matrices": lambda: FullyConnected(gaussian(8, 16), 2, 12, OneBit()),
}


def measurements(path: Path, count: int = 3) -> np.ndarray:
    """Of sparse signals, by the physics of a file."""
    A = runtime.load(path).operator
    n = A.shape[1]
    return A.apply(normal(count, n) * (np.random.RandomState(3).uniform(size=(count, n)) < 0.1).astype(np.float32))


def agrees(recover, path: Path) -> None:
    """The same signals by C and by the library, which computes in another way."""
    y = measurements(path)
    status, x = recover(y)
    expected = np.asarray(load(path)(y))
    assert not status.any()
    assert np.linalg.norm(expected) > 0
    np.testing.assert_allclose(x, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.grid(8)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_part_gives_the_estimates_of_the_library(name: str, build, tmp_path: Path) -> None:
    path = pack(NETWORKS[name]()).save(tmp_path / "net.safetensors")
    agrees(build(path, tmp_path), path)


@pytest.mark.parametrize(
    "shelf", [pytest.param(p, id=p.stem, marks=[] if p.stem in QUICK else pytest.mark.slow) for p in SHELF.values()]
)
def test_the_shelf(shelf: Path, build, tmp_path: Path) -> None:
    agrees(build(shelf, tmp_path), shelf)


@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_compilers(name: str, build, tmp_path: Path) -> None:
    """Without sanitisers, as optimised programs are built: strict warnings are errors in all tests."""
    agrees(build(SINGLE_PIXEL, tmp_path, name, sanitised=False), SINGLE_PIXEL)


def test_numbers_at_the_ends_of_the_range(build, tmp_path: Path) -> None:
    """Zeros, denormals, huge and tiny measurements; NaN and infinities are refused, and nothing is written then."""
    recover = build(SINGLE_PIXEL, tmp_path)
    y = measurements(SINGLE_PIXEL, 1)[0]
    cases = np.stack([0 * y, 1e-40 * y, 1e-30 * y, 1e12 * y])
    status, x = recover(cases)
    assert not status.any()
    expected = runtime.load(SINGLE_PIXEL)(cases)  # compiled programs take denormals for zeros
    for found, wanted in zip(x, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    bad = np.stack([y, y, y])
    bad[0, 3], bad[1, 0], bad[2, -1] = np.nan, np.inf, -np.inf
    status, x = recover(bad)
    assert status.tolist() == [-1, -1, -1]
    assert (x == 77).all()


def test_an_estimate_that_overflows_is_reported(build, tmp_path: Path) -> None:
    net = Unrolled(GradientDescent(), Dense.of(1e-3 * normal(8, 16)), 2, Fixed())
    path = pack(net).save(tmp_path / "net.safetensors")
    status, _ = build(path, tmp_path)(np.full((1, 8), 3e38, np.float32))
    assert status.tolist() == [-2]


def test_what_has_no_c_is_named(tmp_path: Path) -> None:
    net = Unrolled(ISTA(), Dense.of(normal(6, 9), MASK), 2, LittleBit(rank=1))
    path = pack(net).save(tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match=r"net\.safetensors: export to C: .*LittleBit under an irregular mask"):
        export_c(path, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_the_files_are_as_small_and_as_plain_as_the_readme_says(tmp_path: Path) -> None:
    """Single pixel (256, 512): 12 KB of constants and code, 16 KB of memory, nothing but ``math.h``."""
    program = export_c(SINGLE_PIXEL, tmp_path)
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
    assert export_c(SINGLE_PIXEL, tmp_path / "again") == program
    for word in ("malloc", "goto", "double", "while", "memcpy"):
        assert word not in source


def test_the_stack(build, tmp_path: Path) -> None:
    """No frame of a function is large, or of a size that depends on the input."""
    build(SINGLE_PIXEL, tmp_path, sanitised=False)
    command = ["gcc", "-std=c99", "-Os", "-fstack-usage", "-Wvla", "-Werror", "-c", SOURCE]
    subprocess.run(command, cwd=tmp_path, check=True)
    frames = [line.split("\t") for line in next(tmp_path.glob("*.su")).read_text().splitlines()]
    assert frames
    assert sum(int(size) for _, size, _ in frames) < 1024
    assert {kind for *_, kind in frames} == {"static"}


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, folder = str(SHELF[QUICK[0]]), tmp_path / "c"
    assert main(["export", path, "--c", str(folder), "--json", str(tmp_path / "r.json")]) == 0
    assert {file.name for file in folder.iterdir()} == {HEADER, SOURCE, README}
    assert json.loads((tmp_path / "r.json").read_text())["c"]["data_bytes"] > 0
    assert "64 measurements" in capsys.readouterr().out
    (folder / HEADER).write_text("own work")
    assert main(["export", path, "--c", str(folder)]) == 2
    assert "is no C file" in capsys.readouterr().err
    assert (folder / HEADER).read_text() == "own work"
