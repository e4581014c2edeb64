"""Exported C on an emulated Cortex-M4: the files as they are written, with one command, give the same estimates."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from unrollbit import OneBit, Unrolled, pack
from unrollbit.algorithms import ForwardBackward, Levels
from unrollbit.export import export_c
from unrollbit.export.c99 import SOURCE
from unrollbit.export.readme import CORTEX_M4
from unrollbit.formats import UnitFilters
from unrollbit.operators import Subsampling
from unrollbit.packed import runtime

FOLDER = Path(__file__).parent / "cortex_m4"
NETWORKS = Path(__file__).resolve().parents[2] / "examples" / "networks"
COMPILE = ["arm-none-eabi-gcc", "-std=c99", "-O2", *CORTEX_M4, "-T", str(FOLDER / "memory.ld"), "-I."]
EMULATE = ["qemu-system-arm", "-machine", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none"]
EMULATE += ["-icount", "shift=0", "-semihosting-config", "enable=on,target=native", "-kernel", "recover.elf"]
LIMITS = {  # bytes of flash and of memory, the library's functions included; millions of instructions
    "single-pixel": (12 * 1024, 16 * 1024, 5),
    "one-bit-sensing": (48 * 1024, 16 * 1024, 100),
    "certified-ista": (48 * 1024, 16 * 1024, 10),
    "filter-prior": (12 * 1024, 96 * 1024, 200),
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    missing = [name for name in (COMPILE[0], "arm-none-eabi-size", EMULATE[0]) if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (Debian: gcc-arm-none-eabi, qemu-system-arm)")


@pytest.fixture(params=LIMITS)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A name and a file: shipped networks, and an untrained one with a filter prior for images of 64 x 64 pixels."""
    if request.param != "filter-prior":
        return request.param, NETWORKS / f"{request.param}.safetensors"
    algorithm = ForwardBackward(signal_shape=(64, 64), size=5, filters=12, levels=Levels())
    net = Unrolled(algorithm, Subsampling.full((64, 64)), 4, UnitFilters(OneBit(scale="none")), distinct=4)
    return request.param, pack(net).save(tmp_path / "net.safetensors")


def test_same_estimates_in_few_instructions(case: tuple[str, Path], tmp_path: Path) -> None:
    name, path = case
    export_c(path, tmp_path)
    reader, (y, words, counts) = runtime.load(path), emulated(path, tmp_path, COMPILE)
    assert not words[:, 0].view(np.int32).any()
    expected = reader(y)
    np.testing.assert_allclose(words[:, 1:], expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    print(name, counts)
    assert 1e4 < max(counts) < 1e6 * LIMITS[name][2]


def test_fixed_point_pays_without_a_floating_point_unit(tmp_path: Path) -> None:
    path, processor = NETWORKS / "one-bit-sensing.safetensors", ["-mcpu=cortex-m3", "-mthumb"]
    compile_ = [word for word in COMPILE if word not in CORTEX_M4] + processor
    counts = []
    for fixed_point in (False, True):
        export_c(path, tmp_path, fixed_point=fixed_point)
        counts.append(max(emulated(path, tmp_path, compile_)[2]))
    print(counts)
    assert counts[1] < counts[0] / 4


def emulated(path: Path, folder: Path, compile_: list[str]) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Measurements of two signals; status and estimate of each by the C in a folder; and its instructions."""
    reader = runtime.load(path)
    n = reader.shape[1]
    random = np.random.RandomState(0)
    y = reader.operator.apply((random.standard_normal((2, n)) * (random.uniform(size=(2, n)) < 0.1)).astype(np.float32))
    y.tofile(folder / "y.bin")
    command = [*compile_, "--specs=rdimon.specs", str(FOLDER / "main.c"), SOURCE, "-o", "recover.elf", "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    ran = subprocess.run(EMULATE, cwd=folder, check=True, capture_output=True, text=True, timeout=300)
    words = np.fromfile(folder / "x.bin", np.float32).reshape(2, 1 + n)
    counts = [int(count) for count in re.findall(r"(\d+) instructions", ran.stdout)]
    assert len(counts) == 2
    return y, words, counts


def test_flash_and_memory(case: tuple[str, Path], tmp_path: Path) -> None:
    """A program of nothing else."""
    name, path = case
    export_c(path, tmp_path)
    (tmp_path / "only.c").write_text(ONLY)
    rest = [
        "-Os",
        "-nostartfiles",
        "--specs=nosys.specs",
        "-Wl,--gc-sections",
        "only.c",
        SOURCE,
        "-o",
        "only.elf",
        "-lm",
    ]
    subprocess.run([*COMPILE, *rest], cwd=tmp_path, check=True)
    found = subprocess.run(["arm-none-eabi-size", "only.elf"], cwd=tmp_path, check=True, capture_output=True, text=True)
    text, data, bss = map(int, found.stdout.splitlines()[1].split()[:3])
    flash, memory, _ = LIMITS[name]
    print(name, text, data, bss)
    assert text + data <= flash
    assert data + bss <= memory


ONLY = """
#include "unrollbit_recover.h"

static float y[UNROLLBIT_M], x[UNROLLBIT_N], work[UNROLLBIT_WORK_BYTES / sizeof(float)];


void reset(void)
{
    for (;;) {
        (void)unrollbit_recover(y, x, work);
    }
}
"""
