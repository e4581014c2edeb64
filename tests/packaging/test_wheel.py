"""The built wheel works in an empty place elsewhere."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINKED = ("problems", "theory")
SOURCES = ("unrollbit", *LINKED, "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "setup.py")

USE = """
import sys
target = sys.argv[1]
sys.path[:0] = [target]
sys.path += sys.argv[2:]  # dependencies; without `site`, no .pth file adds an editable install

import jax.numpy as jnp
import unrollbit
import unrollbit.problems
{theory}
for module in list(sys.modules.values()):
    if module.__name__.split(".")[0] == "unrollbit":
        assert module.__file__.startswith(target), module.__file__

problem = unrollbit.problems.SparseRecovery(8, 16)
net = unrollbit.Unrolled(unrollbit.AMP(), problem, depth=2)
estimate = net(jnp.ones((3, 8)))
assert estimate.shape == (3, 16)
assert bool(jnp.isfinite(estimate).all())
print("works")
"""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources: the checkout stays clean."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    copy.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, copy / name)
    try:
        installed = int(importlib.metadata.version("setuptools").split(".")[0])
    except importlib.metadata.PackageNotFoundError:
        installed = 0
    options = ["--no-isolation"] if installed >= 77 else []  # isolation downloads the build back end
    run(sys.executable, "-m", "build", "--wheel", *options, "--outdir", folder, copy, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.long
def test_the_wheel_holds_one_package_with_licence_and_types(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"unrollbit"}
    assert "unrollbit/py.typed" in names
    assert {"unrollbit/packed/FORMAT.md", "unrollbit/packed/runtime.py"} <= set(names)
    assert "unrollbit/problems/sparse.py" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


@pytest.mark.long
def test_every_module_is_in_the_wheel(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}
    core = {path for path in (ROOT / "unrollbit").rglob("*.py") if path.resolve().is_relative_to(ROOT / "unrollbit")}
    linked = {ROOT / "unrollbit" / path.relative_to(ROOT) for name in LINKED for path in (ROOT / name).rglob("*.py")}
    assert packed == {path.relative_to(ROOT).as_posix() for path in core | linked}


@pytest.mark.long
def test_the_wheel_runs_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    target, elsewhere = tmp_path / "target", tmp_path / "elsewhere"
    elsewhere.mkdir()
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-index")
    run(*pip, "--target", target, wheel, cwd=elsewhere)
    dependencies = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    script = USE.format(theory="import unrollbit.theory" if (ROOT / "theory" / "__init__.py").exists() else "")
    assert run(sys.executable, "-I", "-S", "-c", script, target, *dependencies, cwd=elsewhere).strip() == "works"
