"""The C code itself: under sanitisers, and its checks of what XLA hands it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import unrollbit
from unrollbit.kernels import kernels, native

SOURCES = Path(unrollbit.__file__).resolve().parent / "kernels" / "csrc"
LEVELS = [path for path in native.LEVELS if path in kernels().available]
EMULATED = ["emulated"] if "avx512" in LEVELS else []  # tiles of AMX in plain C


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler")
@pytest.mark.parametrize("level", LEVELS + EMULATED)
def test_no_access_out_of_bounds_and_nothing_undefined(level, tmp_path):
    """AddressSanitizer and UBSan over random shapes, in buffers of exact size."""
    files = [str(SOURCES / name) for name in ("plain.c", "avx2.c", "avx512.c", "amx.c", "neon.c", "team.c", "parts.c")]
    flags = ["-O1", "-g", "-std=c11", "-Wno-psabi", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    if level == "emulated":
        flags += ["-D_GNU_SOURCE", "-include", str(Path(__file__).with_name("emulated_tiles.h"))]
    driver, program = Path(__file__).with_name("products.c"), tmp_path / "products"
    built = ["gcc", *flags, f"-I{SOURCES}", str(driver), *files, "-lm", "-o", str(program)]
    subprocess.run(built, check=True, capture_output=True, timeout=600)
    # GCC 13 puts a frame of such variables where aligned registers cannot be stored (its bug 110027)
    environment = {**os.environ, "ASAN_OPTIONS": "detect_stack_use_after_return=0"}
    command = [str(program), level]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""


GOOD = {"blocks": 1, "rows": 4, "columns": 10, "transpose": 0, "level": 0}


@pytest.mark.skipif(not LEVELS, reason="no C extension")
@pytest.mark.parametrize(
    ("attributes", "bits", "x", "message"),
    [
        ({"rows": 5}, (4, 2), (1, 10), "disagree"),
        ({"columns": 17}, (4, 2), (1, 10), "disagree"),
        ({"columns": 9}, (4, 2), (1, 10), "disagree"),
        ({"rows": 0}, (4, 2), (1, 10), "wrong blocks"),
        ({"blocks": -1}, (4, 2), (1, 10), "wrong blocks"),
        ({"transpose": 2}, (4, 2), (1, 10), "wrong blocks"),
        ({"level": 7}, (4, 2), (1, 10), "not for this processor"),
        ({}, (4, 3), (1, 10), "disagree"),
        ({}, (4, 2), (2, 10), "disagree"),  # the result has one row
    ],
)
def test_the_handler_refuses_what_does_not_fit(attributes, bits, x, message):
    call = jax.ffi.ffi_call(native.TARGET, jax.ShapeDtypeStruct((1, 4), jnp.float32))
    values = {name: np.int64(value) for name, value in {**GOOD, **attributes}.items()}
    with pytest.raises(Exception, match=message):
        jax.block_until_ready(call(jnp.zeros(bits, jnp.uint8), jnp.zeros(x, jnp.float32), **values))


@pytest.mark.skipif(not LEVELS, reason="no C extension")
def test_the_handler_refuses_other_dtypes_and_runs_what_fits():
    call = jax.ffi.ffi_call(native.TARGET, jax.ShapeDtypeStruct((1, 4), jnp.float32))
    values = {name: np.int64(value) for name, value in GOOD.items()}
    with pytest.raises(Exception, match="bytes and float32"):
        jax.block_until_ready(call(jnp.zeros((4, 2), jnp.int32), jnp.zeros((1, 10), jnp.float32), **values))
    found = call(jnp.zeros((4, 2), jnp.uint8), jnp.ones((1, 10), jnp.float32), **values)
    assert found.tolist() == [[10.0] * 4]
