"""Packed networks as C99, for devices without Python."""

from __future__ import annotations

import os
from pathlib import Path

from unrollbit.export.program import HEADER, SOURCE, Program, program_of
from unrollbit.export.readme import README, readme
from unrollbit.packed import runtime


def export_c(path: str | os.PathLike[str], folder: str | os.PathLike[str], *, fixed_point: bool = False) -> Program:
    """Write ``unrollbit_recover.h``, ``unrollbit_recover.c`` and a ``README.md`` with sizes into a folder.

    Args:
        path: a packed network, or the folder of its run.
        folder: made if it is missing; files of these names are replaced.
        fixed_point: products with signs add integers of 16 bits, which is faster where there is no floating-point
            unit; 64 entries at a time are rounded to 1 / 32767 of the largest of them, and sums are exact.

    Raises:
        ValueError: the file is wrong, a part of the network has no C (the message names it), or nothing in it has a
            product in fixed point.
    """
    (program, texts), folder = c_files(path, fixed_point=fixed_point), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return program


def c_files(path: str | os.PathLike[str], *, fixed_point: bool = False) -> tuple[Program, dict[str, str]]:
    """The program of a packed network, and the texts of its files by their names."""
    file = runtime.network_file(path)
    network = runtime.load(file)
    with runtime.refusing(file):
        program = program_of(network, fixed_point=fixed_point)
    return program, {HEADER: program.header, SOURCE: program.source, README: readme(program, file.stem, fixed_point)}
