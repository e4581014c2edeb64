"""The kernels for ARM64: built by a cross compiler, run by an emulator, compared with products in float64."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import pytest

import unrollbit

SOURCES = Path(unrollbit.__file__).resolve().parent / "kernels" / "csrc"
HERE = Path(__file__).parent
COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
MISSING = [name for name in (COMPILER, EMULATOR) if shutil.which(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
FLAGS = ("-std=c11", "-Wall", "-Wextra", "-Wno-psabi", "-Werror")


def compiled(program: Path, sources: Sequence[Path], *flags: str) -> Path:
    command = [COMPILER, *FLAGS, *flags, f"-I{SOURCES}", *map(str, sources), "-lm", "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return program


def kernels() -> list[Path]:
    """All sources but the door to XLA."""
    return [file for file in sorted(SOURCES.glob("*.c")) if file.name != "ffi.c"]


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The driver of random shapes."""
    return compiled(tmp_path_factory.mktemp("arm") / "products", [HERE / "products.c", *kernels()], "-O2", "-static")


def run(program: Path, *arguments: str) -> None:
    done = subprocess.run(
        [EMULATOR, str(program), *arguments], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""


@pytest.mark.long
def test_products_of_random_shapes_and_tapes_are_right(products):
    """Direct and transposed, blocks, ragged edges, one to 70 vectors, of which some are not finite."""
    run(products, "neon", "60")


@pytest.mark.slow
@pytest.mark.parametrize("level", ["neon", "plain"])
def test_more_products_of_random_shapes_are_right(products, level):
    run(products, level, "1500")


@pytest.mark.slow
def test_the_extension_builds_for_arm64(tmp_path):
    """As the package builds it, with the door to XLA, and without a warning."""
    flags = ("-O3", "-shared", "-fPIC", f"-I{jax.ffi.include_dir()}")
    library = compiled(tmp_path / "_signs.so", sorted(SOURCES.glob("*.c")), *flags)
    assert b"unrollbit_interface" in library.read_bytes()


@pytest.fixture(scope="module")
def instructions(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., float]:
    """``instructions("packed", rows, columns, batch, transpose)``: of one product, as the emulator counts them."""
    folder = tmp_path_factory.mktemp("counted")
    flags = ("-O3", "-ffast-math")  # without the second one, sums in float32 are not made of vectors
    programs = {
        "packed": compiled(folder / "packed", [HERE / "instructions.c", *kernels()], "-O3", "-static"),
        "float": compiled(folder / "float", [HERE / "instructions.c", *kernels()], *flags, "-static"),
    }
    text = subprocess.run([EMULATOR, "-help"], capture_output=True, text=True, check=False).stdout
    single = "-one-insn-per-tb" if "-one-insn-per-tb" in text else "-singlestep"

    def counted(kind: str, rows: int, columns: int, batch: int, transpose: bool) -> float:
        found = []
        for repeats in (1, 2):
            numbers = map(str, (rows, columns, batch, int(transpose), repeats))
            log = folder / "log"
            command = [EMULATOR, single, "-d", "nochain,exec", "-D", str(log), str(programs[kind]), kind, *numbers]
            subprocess.run(command, check=True, timeout=600)
            with log.open("rb") as lines:
                found.append(sum(1 for _ in lines))
        return found[1] - found[0]

    return counted


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("transpose", [False, True])
def test_a_product_takes_less_than_a_quarter_of_the_instructions_of_float32(instructions, transpose, batch):
    packed, float32 = (instructions(kind, 512, 1024, batch, transpose) for kind in ("packed", "float"))
    links = 512 * 1024 * batch
    print(f"instructions per link: {packed / links:.3f}, float32 {float32 / links:.3f}: {float32 / packed:.1f} times")
    assert packed < float32 / 4
