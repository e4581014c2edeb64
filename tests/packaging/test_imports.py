"""Which part may import which, what importing costs, and that linked folders are one package."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINKED = ("problems", "theory")
COMMAND_LINE = ("cli", "__main__.py")  # the only place in the core that may use all parts
HEAVY = ("orbax", "matplotlib", "scipy.optimize", "skimage", "sklearn")
LONGEST_IMPORT = 2.0  # seconds beyond jax, flax and optax

TIMED_IMPORT = """
import sys, time
import jax, flax, optax
from flax import nnx
before = set(sys.modules)
began = time.perf_counter()
import unrollbit
print(time.perf_counter() - began)
print(*(set(sys.modules) - before))
"""


def core_files() -> list[Path]:
    core = ROOT / "unrollbit"
    return sorted(path for path in core.rglob("*.py") if path.relative_to(core).parts[0] not in LINKED)


class Running(ast.NodeTransformer):
    """Leaves out what only type checkers read."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else self.generic_visit(node)


def imported(path: Path, package: tuple[str, ...], *, typing_too: bool = True) -> Iterator[str]:
    """Full names of what a module imports anywhere, relative imports resolved; ``package`` is the one it lies in."""
    tree = ast.parse(path.read_text(), str(path))
    for node in ast.walk(tree if typing_too else Running().visit(tree)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def offences(files: list[Path], parent: tuple[str, ...], *forbidden: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name in imported(path, (*parent, *path.relative_to(ROOT).parts[:-1]))
        if within(name, *forbidden)
    ]


def import_graph() -> dict[str, set[str]]:
    """Which file of the library imports which when it runs, imports inside functions included."""
    files = {}
    for package, folder in (
        ("unrollbit", ROOT / "unrollbit"),
        *((f"unrollbit.{name}", ROOT / name) for name in LINKED),
    ):
        for path in core_files() if package == "unrollbit" else sorted(folder.rglob("*.py")):
            name = ".".join([package, *path.relative_to(folder).with_suffix("").parts])
            files[name.removesuffix(".__init__")] = path
    graph: dict[str, set[str]] = {}
    for name, path in files.items():
        package = tuple(name.split(".")) if path.name == "__init__.py" else tuple(name.split(".")[:-1])
        graph[name] = set()
        for full in imported(path, package, typing_too=False):
            while full and full not in files:
                full = full.rpartition(".")[0]
            graph[name] |= {full} - {"", name}
    return graph


def test_no_files_import_each_other() -> None:
    """Not even inside functions, where Python would not complain; nor do folders."""
    graph = import_graph()
    assert "unrollbit.operators.base" in graph["unrollbit.operators.dense"]
    tuple(TopologicalSorter(graph).static_order())  # CycleError names the files
    folders: dict[str, set[str]] = {}
    for name, found in graph.items():
        own = ".".join(name.split(".")[:2])
        folders.setdefault(own, set()).update({".".join(other.split(".")[:2]) for other in found} - {own})
    tuple(TopologicalSorter(folders).static_order())


def test_the_core_imports_neither_problems_nor_theory() -> None:
    files = [path for path in core_files() if path.relative_to(ROOT).parts[1] not in COMMAND_LINE]
    assert len(files) > 40
    assert offences(files, (), "unrollbit.problems", "unrollbit.theory", "unrollbit.cli", *LINKED) == []


def test_problems_does_not_import_theory() -> None:
    files = sorted((ROOT / "problems").rglob("*.py"))
    assert files
    assert offences(files, ("unrollbit",), "unrollbit.theory", "unrollbit.cli", *LINKED) == []


def test_code_names_linked_folders_by_their_full_name() -> None:
    files = [*core_files(), *(ROOT / "theory").rglob("*.py")]
    assert [path for path in files if any(within(name, *LINKED) for name in imported(path, ("unrollbit",)))] == []


def test_the_import_check_sees_relative_imports(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("def f():\n    from ..problems import sparse\n    from . import base\n    import a.b\n")
    names = set(imported(module, ("unrollbit", "training")))
    assert names == {"unrollbit.problems.sparse", "unrollbit.training.base", "a.b"}


@pytest.mark.parametrize("name", LINKED)
def test_linked_folders_are_relative_links(name: str) -> None:
    link = ROOT / "unrollbit" / name
    assert link.is_symlink()
    assert link.readlink() == Path("..", name)


@pytest.mark.long
@pytest.mark.parametrize("name", LINKED)
def test_a_folder_at_the_top_gives_the_same_objects(name: str) -> None:
    if not (ROOT / name / "__init__.py").exists():
        pytest.skip(f"no package {name}")
    script = (
        f"import {name} as top, unrollbit.{name} as inside\n"
        "assert top.__file__ != inside.__file__ and set(top.__all__) == set(inside.__all__)\n"
        "assert all(getattr(top, n) is getattr(inside, n) for n in top.__all__)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_importing_is_quick_and_light() -> None:
    runs = []
    for _ in range(3):
        command = [sys.executable, "-c", TIMED_IMPORT]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
        seconds, modules = done.stdout.splitlines()
        assert [name for name in modules.split() if within(name, *HEAVY)] == []
        runs.append(float(seconds))
    assert min(runs) < LONGEST_IMPORT


def test_scipy_is_imported_only_where_something_is_made_with_it() -> None:
    """Nobody waits for what he does not use."""
    script = "import sys, jax, flax.nnx, optax\nbefore = set(sys.modules)\nimport unrollbit.packed\n"
    command = [sys.executable, "-c", script + "print(*(set(sys.modules) - before))"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert "unrollbit.operators.foreign" in done.stdout.split()
    assert [name for name in done.stdout.split() if within(name, "scipy")] == []


def test_names_of_the_library_are_not_those_of_modules_deep_inside() -> None:
    """`recipes` is that of training, though operators have a module of that name."""
    import unrollbit.operators.recipes
    from unrollbit import recipes

    assert recipes is not unrollbit.operators.recipes
    assert recipes.__name__ == "unrollbit.training.recipes"
