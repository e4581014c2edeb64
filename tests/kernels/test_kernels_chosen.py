"""Which path runs and why: forced ones, an installation without a compiler, and the whole library on every path."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import unrollbit
from unrollbit import FISTA, OneBit, Unrolled, load, pack
from unrollbit.kernels import kernels, native, use_kernels
from unrollbit.operators import Rademacher

ROOT = Path(unrollbit.__file__).resolve().parents[1]
PATHS = [path for path in ("portable", *native.LEVELS) if path in kernels().available]


def test_a_forced_path_runs_and_ends_with_its_block():
    before = kernels().path
    for path in PATHS:
        with use_kernels(path):
            assert kernels().path == path
            assert kernels().reason == "it was asked for"
    assert kernels().path == before


@pytest.mark.parametrize(("path", "message"), [("sse9", "expected one of"), ("pallas", "does not run here")])
def test_a_path_that_does_not_run_here_is_refused(path, message, monkeypatch):
    with pytest.raises(ValueError, match=message), use_kernels(path):
        pass
    assert not native._forced
    monkeypatch.setenv(native.VARIABLE, path)
    with pytest.raises(ValueError, match=message):
        kernels()


def test_a_network_gives_the_same_answer_on_every_path(tmp_path):
    A = Rademacher(24, 40, seed=1)
    net = Unrolled(FISTA(regularisation=0.05), A, 5, OneBit)
    pack(net).save(tmp_path / "net.safetensors")
    y = jnp.asarray(np.random.RandomState(0).standard_normal((3, 24)), jnp.float32)
    wanted = net(y)
    for path in PATHS:
        with use_kernels(path):
            assert_allclose(load(tmp_path / "net.safetensors")(y), wanted, rtol=1e-5, atol=1e-6)


def test_without_the_extension_the_portable_path_runs_and_says_why(monkeypatch):
    monkeypatch.setattr(native, "_library", lambda: native._Library(-1, "the C extension is not there"))
    found = kernels()
    assert found.path == "portable"
    assert found.available == ("portable",)
    assert "not there" in found.reason


def test_an_extension_that_does_not_load_is_reported(tmp_path, monkeypatch):
    (tmp_path / "_signs.so").write_text("no library")
    monkeypatch.setattr(native, "__file__", str(tmp_path / "native.py"))
    native._library.cache_clear()
    try:
        assert "does not load" in native._library().reason
    finally:
        monkeypatch.undo()
        native._library.cache_clear()


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler")
def test_the_extension_is_built_where_there_is_a_compiler():
    assert "plain" in kernels().available


@pytest.mark.slow
def test_building_without_a_compiler_works(tmp_path):
    """The sources are built with a PATH that has no compiler: no extension, no failure."""
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "unrollbit", tmp_path / "unrollbit", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    environment = {**os.environ, "PATH": str(tmp_path), "CC": "no-such-compiler"}
    command = [sys.executable, "setup.py", "-q", "build", "--build-base", str(tmp_path / "built")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "built").rglob("_signs*"))
    assert list((tmp_path / "built").rglob("floats.inc"))


def test_no_float_matrix_in_the_program():
    A = Rademacher(64, 128)
    program = jax.make_jaxpr(lambda A, x: A(x))(A, jnp.ones((1, 128)))
    sizes = [variable.aval.size for equation in program.jaxpr.eqns for variable in equation.outvars]
    floats = [size for size in sizes if size >= 64 * 128]
    assert not floats or kernels().path == "portable"
