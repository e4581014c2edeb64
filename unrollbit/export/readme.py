"""The page beside an exported program: how to call it, and what it takes."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from unrollbit.export.program import HEADER, SOURCE, Program

README = "README.md"
CORTEX_M4 = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
_COMPILERS = {"arm-none-eabi-gcc": CORTEX_M4, "gcc": (), "clang": ()}


def measured_sizes(program: Program) -> Iterator[tuple[str, int, int]]:
    """By every compiler that is found: its name, bytes of code, and of constants, without those of ``math.h``."""
    for name, target in _COMPILERS.items():
        if shutil.which(name) is None or shutil.which("size") is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            for file, text in ((HEADER, program.header), (SOURCE, program.source)):
                (Path(folder) / file).write_text(text, encoding="utf-8")
            command = [name, "-std=c99", "-Os", *target, "-c", SOURCE, "-o", "recover.o"]
            tool = name.replace("gcc", "size") if name.endswith("-gcc") else "size"
            try:
                subprocess.run(command, cwd=folder, check=True, capture_output=True)
                sections = subprocess.run(
                    [tool, "-A", "recover.o"], cwd=folder, check=True, capture_output=True, text=True
                )
            except (OSError, subprocess.CalledProcessError):  # no compiler for this target
                continue
        sizes = [line.split()[:2] for line in sections.stdout.splitlines() if line.startswith((".text", ".rodata"))]
        code = sum(int(size) for section, size in sizes if section.startswith(".text"))
        yield " ".join((name, *target[:1])), code, sum(int(size) for _, size in sizes) - code


def readme(program: Program, name: str, fixed_point: bool = False) -> str:
    """Markdown text about the program of a network of a name."""
    m, n = program.shape
    total = sum(program.operations.values())
    parts = ", ".join(f"{part.removeprefix('map_')} {count:,}" for part, count in program.operations.items())
    sizes = [f"| {compiler} -Os | {code:,} | {data:,} |" for compiler, code, data in measured_sizes(program)]
    if sizes:
        table = "\n".join(["Measured, without the functions of `math.h`:\n", *_HEAD, *sizes])
    else:
        table = "No compiler was found to measure the code with; it is a few kilobytes."
    return _TEXT.format(
        name=name,
        precision=_FIXED if fixed_point else "single precision",
        m=m,
        n=n,
        header=HEADER,
        source=SOURCE,
        data=program.data_bytes,
        work=program.work_bytes,
        buffers=4 * (m + n),
        ram=program.work_bytes + 4 * (m + n),
        table=table,
        total=total,
        parts=parts,
    )


_FIXED = """\
single precision but for products with signs: they round 64 entries at a time to
16 bits (1 / 32767 of the largest of them) and add integers"""
_HEAD = ("| compiler | bytes of code | bytes of constants |", "|---|---:|---:|")
_TEXT = """\
# {name} in C99

`{source}` and `{header}`: {n} unknowns from {m} measurements, {precision}.
No allocation, no library but `math.h`, no state between calls, no recursion; all loops are bounded. Layers and matrices
are those of the packed network, and so are the estimates, up to rounding.

    #include "{header}"

    static float y[UNROLLBIT_M], x[UNROLLBIT_N], work[UNROLLBIT_WORK_BYTES / sizeof(float)];

    int status = unrollbit_recover(y, x, work);

The status is 0, `UNROLLBIT_NOT_FINITE` (-1) for measurements with NaN or infinity, which leave `x` as it was, or
`UNROLLBIT_OVERFLOW` (-2) for an estimate that is not finite. Compile with `cc -std=c99 -O2 -c {source}`
and link with `-lm`. Options that let a compiler assume finite numbers (`-ffast-math`) disable these checks.

## Flash

Constants: {data:,} bytes. This holds all that the network reads: signs, scales, scalars of layers, and the physics.
Physics that the network's file gives by a seed (random signs, rows of a Hadamard matrix, random entries) are
written out here, as bits, indices or floats; a Hadamard, cosine, Fourier or wavelet transform is computed.

{table}

## RAM

Work: {work:,} bytes. With the measurements and the estimate, {buffers:,} bytes, that is {ram:,} bytes.
The stack takes less than a kilobyte beside them.

## Operations

About {total:,} additions and multiplications a signal in matrices: {parts}.
"""
