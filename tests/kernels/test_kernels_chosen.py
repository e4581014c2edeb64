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
from jax.interpreters import mlir
from numpy.testing import assert_allclose

import unrollbit
from unrollbit import FISTA, OneBit, Unrolled, load, pack
from unrollbit.kernels import (
    Backend,
    add_backend,
    backends,
    gpu,
    kernels,
    native,
    packed_matmul,
    use_kernels,
)
from unrollbit.operators import Rademacher
from unrollbit.signbits import pack_signs, unpack_signs

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
    assert not backends._forced
    monkeypatch.setenv(backends.VARIABLE, path)
    with pytest.raises(ValueError, match=message):
        kernels()


def test_a_gpu_whose_jax_lacks_triton_takes_the_form_for_every_device(monkeypatch):
    monkeypatch.setattr(backends, "_platform", lambda: "cuda")
    for found, wanted in ((True, "pallas"), (None, "portable")):
        monkeypatch.setattr(gpu, "find_spec", lambda name, found=found: found)
        backends._choose.cache_clear()
        assert backends._choose(None, "gpu").path == wanted
    assert "no Triton" in backends._choose(None, "gpu").reason
    backends._choose.cache_clear()
    monkeypatch.undo()
    assert gpu._obstacle() == ""


@pytest.mark.long
def test_a_network_gives_the_same_answer_on_every_path(tmp_path):
    A = Rademacher(24, 40, seed=1)
    net = Unrolled(FISTA(regularisation=0.05), A, 5, OneBit())
    pack(net).save(tmp_path / "net.safetensors")
    y = jnp.asarray(np.random.RandomState(0).standard_normal((3, 24)), jnp.float32)
    wanted = net(y)
    for path in PATHS:
        with use_kernels(path):
            assert_allclose(load(tmp_path / "net.safetensors")(y), wanted, rtol=1e-5, atol=1e-6)


@pytest.fixture
def another_library(monkeypatch):
    """Put another extension, or none, in the place of the one that is there."""

    def replace(file: Path) -> None:
        monkeypatch.setattr(native, "__file__", str(file.parent / "native.py"))
        forget()

    def forget() -> None:
        native.extension.cache_clear()
        backends._choose.cache_clear()

    yield replace
    monkeypatch.undo()
    forget()


def test_without_the_extension_the_portable_path_runs_and_says_why(another_library, tmp_path):
    another_library(tmp_path / "nothing")
    found = kernels()
    assert found.path == "portable"
    assert found.available == ("portable",)
    assert "not there" in found.reason


def test_an_extension_that_does_not_load_is_reported(another_library, tmp_path):
    (tmp_path / "_signs.so").write_text("no library")
    another_library(tmp_path / "_signs.so")
    with pytest.warns(RuntimeWarning, match="does not load.*build_ext --inplace.*run in pure JAX"):
        found = kernels()
    assert found.path == "portable"
    assert "does not load" in found.reason


def described(version: int = native.INTERFACE, levels: str = " ".join(native.LEVELS), operations: str = "") -> str:
    return f"version {version}\\nlevels {levels}\\noperations {operations or ' '.join(native.OPERATIONS)}"


INTERFACES = {
    "older": ("", f"does not tell its interface, expected version {native.INTERFACE}"),
    "another version": (described(version=999), f"version 999, expected {native.INTERFACE}"),
    "other operations": (described(operations="signs take"), "lacks the operations hadamard"),
    "other levels": (described(levels="plain"), "lacks the levels avx2, avx512, amx, neon"),
}


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler")
@pytest.mark.parametrize("name", INTERFACES)
def test_an_extension_of_other_sources_is_refused_and_pure_jax_runs(name, another_library, tmp_path):
    text, message = INTERFACES[name]
    source = "int unrollbit_signs_product, unrollbit_run_tape; int unrollbit_runs(int level) { return !level; }\n"
    if text:
        source += f'const char *unrollbit_interface(void) {{ return "{text}"; }}\n'
    (tmp_path / "old.c").write_text(source)
    library = tmp_path / "_signs.abi3.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(tmp_path / "old.c")], check=True)
    another_library(library)
    with pytest.warns(RuntimeWarning, match=f"{message}.*build it again"):
        found = kernels()
    assert found.path == "portable"
    assert message in found.reason
    bits = jnp.zeros((1, 1, 3, 1), jnp.uint8)
    assert packed_matmul(bits, jnp.ones(4), 4).tolist() == [4.0] * 3


def test_source_and_python_are_of_one_interface():
    text = (ROOT / "unrollbit" / "kernels" / "csrc" / "interface.h").read_text()
    assert f"#define UNROLLBIT_INTERFACE {native.INTERFACE}\n" in text


def test_operations_have_the_numbers_that_the_extension_gives_them():
    """In another order than Python's: numbers are read, not assumed."""
    there = native.extension()
    if not there.trouble:
        assert set(there.operations) == set(native.OPERATIONS)
        assert sorted(there.operations.values()) == list(range(len(there.operations)))


def test_a_backend_of_the_users_own_is_preferred_where_it_runs():
    """One file: a name, a platform, a lowering rule."""
    called = []

    def product(bits, x, *, columns, transpose):
        called.append(transpose)
        signs = unpack_signs(bits, columns, x.dtype)
        parts = x.reshape(len(x), len(bits), -1)
        return jnp.einsum("bij,kbi->kbj" if transpose else "bij,kbj->kbi", signs, parts).reshape(len(x), -1)

    before, chosen = kernels(), jax.default_backend()
    add_backend(Backend("mine", chosen, mlir.lower_fun(product, multiple_results=False), why="it is mine"))
    add_backend(Backend("never", chosen, lambda *_: None, obstacle=lambda: "no such processor"))
    try:
        assert kernels() == ("mine", "it is mine", (*before.available, "mine"))
        with pytest.raises(ValueError, match=r"never does not run here \(no such processor\)"), use_kernels("never"):
            pass
        with pytest.raises(ValueError, match="there is a backend 'mine' already"):
            add_backend(Backend("mine", chosen, lambda *_: None))
        A = Rademacher(24, 40, seed=1)
        signs = np.sign(A.dense())
        bits = jnp.asarray(pack_signs(signs))[None, None]
        x = jnp.asarray(np.random.RandomState(0).standard_normal((3, 40)), jnp.float32)
        assert_allclose(packed_matmul(bits, x, 40), x @ signs.T, rtol=1e-5, atol=1e-5)
        slope = jax.grad(lambda x: jnp.sum(packed_matmul(bits, x, 40) ** 2))(x)
        assert_allclose(slope, 2 * x @ signs.T @ signs, rtol=1e-4, atol=1e-4)
        assert called == [False, False, True] or called == [False, True]
    finally:
        for name in ("mine", "never"):
            backends.BACKENDS.pop(name, None)
        backends._choose.cache_clear()
    assert kernels() == before


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
