"""Networks to export, and exported C built with a small program around it that feeds it signals."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unrollbit import AMP, ISTA, FullPrecision, FullyConnected, OneBit, Unrolled, pack
from unrollbit.algorithms import ADMM, FISTA, ForwardBackward, GradientDescent, Levels, ReactionDiffusion
from unrollbit.export import export_c
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
    Uniform,
    UnitFilters,
)
from unrollbit.networks import Activations
from unrollbit.operators import (
    Banded,
    BlockPatterns,
    Composition,
    Convolution,
    Dense,
    Hadamard,
    Preconditioned,
    Rademacher,
    Radon,
    Sparse,
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
QUICK_SHELF = ("certified-ista", "one-bit-sensing")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


SPARSE = normal(12, 20) * (np.random.RandomState(5).uniform(size=(12, 20)) < 0.2)
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
    "listed entries": lambda: Unrolled(ISTA(), Sparse.of(SPARSE), 2, Fixed()),
    "signs of listed entries": lambda: Unrolled(ISTA(), Sparse.of(SPARSE), 2, OneBit(scale="row"), distinct=2),
    "patterns of blocks": lambda: Unrolled(
        GradientDescent(), BlockPatterns.of(np.sign(normal(5, 9)), (3, 6), 3, 1 + normal(9) ** 2), 3, Fixed()
    ),
    "filters of a signal": lambda: Unrolled(
        ReactionDiffusion(signal_shape=(16,), size=5, filters=4), gaussian(8, 16), 2, UnitFilters(FullPrecision())
    ),
    **{
        f"filters, {edge}": lambda edge=edge, inner=inner, of=of: Unrolled(
            ForwardBackward(signal_shape=(5, 8), size=4, filters=3, levels=Levels(of=of), edge=edge),
            Subsampling.random((5, 8), 30, 3),
            3,
            UnitFilters(inner),
            distinct=3,
        )
        for edge, inner, of in (
            ("symmetric", OneBit(scale="none"), "signal"),
            ("reflect", Uniform(2), "noise"),
            ("circular", FullPrecision(), "noise"),
            ("zero", Uniform(1), "signal"),
        )
    },
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


def measured(path: Path, count: int = 3) -> np.ndarray:
    """Of sparse signals, by the physics of a file."""
    A = runtime.load(path).operator
    n = A.shape[1]
    return A.apply(normal(count, n) * (np.random.RandomState(3).uniform(size=(count, n)) < 0.1).astype(np.float32))


STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror", "-pedantic")
SANITISED = ("-g", "-O1", "-fsanitize=address,undefined,float-divide-by-zero", "-fno-sanitize-recover=all")
MAIN = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "unrollbit_recover.h"

int main(void)
{
    float y[UNROLLBIT_M], x[UNROLLBIT_N];
    unsigned char *const work = malloc(UNROLLBIT_WORK_BYTES);
    while (fread(y, sizeof(float), UNROLLBIT_M, stdin) == UNROLLBIT_M) {
        int32_t status;
        for (long j = 0; j < UNROLLBIT_WORK_BYTES; j++) {
            work[j] = 0xff; /* NaN: nothing may be taken for granted there */
        }
        for (long j = 0; j < UNROLLBIT_N; j++) {
            x[j] = 77.0f;
        }
        status = unrollbit_recover(y, x, work);
        if ((fwrite(&status, sizeof(status), 1, stdout) != 1) || (fwrite(x, sizeof(float), UNROLLBIT_N, stdout) == 0)) {
            return 1;
        }
    }
    free(work);
    return 0;
}
"""
Recover = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def compiler(name: str) -> str:
    if shutil.which(name) is None:
        pytest.skip(f"no compiler {name} is installed")
    return name


def sanitiser(name: str, folder: Path) -> tuple[str, ...]:
    """The options, where the compiler has the libraries for them."""
    (folder / "empty.c").write_text("int main(void) { return 0; }\n")
    built = subprocess.run([name, *SANITISED, "empty.c", "-o", "empty"], cwd=folder, capture_output=True)
    if built.returncode:
        pytest.skip(f"{name} comes without its sanitisers")
    return SANITISED


def built(path: Path, folder: Path, name: str = "gcc", *, sanitised: bool = True, **options: bool) -> Recover:
    """``recover(y)`` -> status and estimate of each signal, by C that was exported into a folder."""
    flags = sanitiser(compiler(name), folder) if sanitised else ("-O2",)
    program = export_c(path, folder, **options)
    (folder / "main.c").write_text(MAIN)
    command = [name, *STRICT, *flags, "main.c", "unrollbit_recover.c", "-o", "recover", "-lm"]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr

    def recover(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        data = np.ascontiguousarray(y, np.float32).tobytes()
        ran = subprocess.run([folder / "recover"], input=data, capture_output=True)
        assert ran.returncode == 0, ran.stderr.decode(errors="replace")
        words = np.frombuffer(ran.stdout, np.float32).reshape(-1, 1 + program.shape[1])
        return words[:, 0].view(np.int32), words[:, 1:]

    return recover


@pytest.fixture(scope="session")
def build() -> Callable[..., Recover]:
    """``build(path, folder, compiler, sanitised=True)``."""
    return built


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``network``: files of small networks with every part; ``shelf``: the shipped ones, of which two are quick."""
    if "network" in metafunc.fixturenames:
        metafunc.parametrize("network", NETWORKS, indirect=True)
    if "shelf" in metafunc.fixturenames:
        slow = {path: [] if path.stem in QUICK_SHELF else pytest.mark.slow for path in SHELF.values()}
        metafunc.parametrize("shelf", [pytest.param(path, id=path.stem, marks=mark) for path, mark in slow.items()])


@pytest.fixture(scope="session")
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(NETWORKS[request.param]()).save(tmp_path_factory.mktemp("network") / "net.safetensors")


@pytest.fixture(scope="session")
def shelf_by_name() -> dict[str, Path]:
    return SHELF


@pytest.fixture(scope="session")
def single_pixel() -> Path:
    return SHELF["single-pixel"]


@pytest.fixture(scope="session")
def measurements() -> Callable[..., np.ndarray]:
    """``measurements(path, count)``: of sparse signals, by the physics of a file."""
    return measured
