"""Exported C: built with a small program around it that feeds it signals and guards its memory."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unrollbit.export import export_c

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


def built(path: Path, folder: Path, name: str = "gcc", *, sanitised: bool = True) -> Recover:
    """``recover(y)`` -> status and estimate of each signal, by C that was exported into a folder."""
    options = sanitiser(compiler(name), folder) if sanitised else ("-O2",)
    program = export_c(path, folder)
    (folder / "main.c").write_text(MAIN)
    command = [name, *STRICT, *options, "main.c", "unrollbit_recover.c", "-o", "recover", "-lm"]
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
