"""The notebooks run, and are shipped as they ran; the script that runs them says what is wrong with one."""

from __future__ import annotations

import ast
import copy
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
NAMES = ("1-tour", "2-generalization", "3-convergence", "4-stability", "5-sensitivity", "6-predictions")
FOUND = sorted(EXAMPLES.glob("*.ipynb"))
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}
PICTURE = new_output("display_data", {"image/png": "iVBORw0KGgo/tmp/", "text/plain": "<Figure>"})

each_notebook = pytest.mark.parametrize("path", FOUND, ids=[path.stem for path in FOUND])


def imported_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_notebooks", EXAMPLES / "run_notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = imported_script()


def test_all_notebooks_are_there() -> None:
    assert [path.stem for path in FOUND] == list(NAMES)
    assert script.notebooks() == FOUND


@pytest.mark.slow
@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    held = Path(shutil.copy(path, tmp_path))
    notebook = script.execute(held, quick=True, folder=tmp_path, environment=ONE_THREAD, seconds=300)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert held.read_bytes() == path.read_bytes()


@each_notebook
def test_what_a_notebook_imports_of_the_library_is_there(path: Path) -> None:
    """Found in seconds, where to run one takes minutes."""
    for cell in nbformat.read(path, as_version=4).cells:
        lines = cell.source.splitlines() if cell.cell_type == "code" else []
        for node in ast.walk(ast.parse("\n".join(line for line in lines if not line.startswith("%")))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unrollbit"):
                module = importlib.import_module(node.module or "")
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@each_notebook
def test_a_notebook_is_shipped_as_it_ran(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert script.faults(notebook) == []
    assert path.stat().st_size <= 700_000
    assert notebook == script.clean(copy.deepcopy(notebook))
    assert notebook.cells[0].source.startswith("# ")


def good() -> Any:
    """A notebook without faults."""
    cells = [
        new_markdown_cell("# 1. Title"),
        new_code_cell("a = 1 / 2", execution_count=1),
        new_code_cell("with paper_style():\n    draw()", execution_count=2, outputs=[PICTURE]),
    ]
    return new_notebook(cells=cells, metadata={"kernelspec": dict(script.KERNEL)})


def test_a_good_notebook_has_no_faults() -> None:
    assert script.faults(good()) == []


def _set(place: str, value: Any) -> Callable[[Any], None]:
    def change(notebook: Any) -> None:
        if place == "metadata":
            notebook.metadata["note"] = value
        else:
            setattr(notebook.cells[1], place, value)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set("execution_count", None), "not all run once, in order"),
        (_set("execution_count", 3), "not all run once, in order"),
        (_set("outputs", [new_output("error", ename="ValueError", evalue="no", traceback=[])]), "1 shows an error"),
        (_set("outputs", [new_output("stream", name="stderr", text="UserWarning")]), "1 shows output to stderr"),
        (lambda notebook: notebook.cells[2].outputs.clear(), "2 draws and shows no figure"),
        (lambda notebook: notebook.cells.pop(), "it shows no figure"),
        (_set("source", 'open("/home/me/x.npy")'), "cell 2 holds a path of a machine: '/home/me/x.npy"),
        (_set("source", r'open("C:\\data\\x.npy")'), "cell 2 holds a path of a machine"),
        (_set("metadata", "/tmp/x"), "the metadata holds a path of a machine"),
        (_set("outputs", [new_output("stream", text=f"at {ROOT}")]), "the output of cell 2 holds a path of a machine"),
        (_set("outputs", [new_output("display_data", {"text/html": "<p>/srv/x</p>"})]), "holds a path of a machine"),
        (_set("source", "#" * 700_000), "bytes, more than 700000"),
    ],
)
def test_every_fault_is_named(change: Callable[[Any], None], words: str) -> None:
    notebook = good()
    change(notebook)
    assert words in "; ".join(script.faults(notebook))


def test_cleaning_leaves_nothing_of_the_machine() -> None:
    notebook = good()
    notebook.metadata["language_info"] = {"name": "python", "version": "3.11.7"}
    notebook.metadata["widgets"] = {"state": {}}
    notebook.cells[1].metadata["execution"] = {"iopub.execute_input": "2025-01-01T00:00:00Z"}
    notebook.cells[1].metadata["tags"] = ["long"]
    cleaned = script.clean(notebook)
    assert cleaned.metadata == {"kernelspec": script.KERNEL, "language_info": {"name": "python"}}
    assert cleaned.cells[1].metadata == {"tags": ["long"]}


def run_script(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / "run_notebooks.py"), *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name != "UNROLLBIT_QUICK"} | ONE_THREAD
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A notebook that is not run yet, says whether it ran quickly, and shows a figure."""
    cells = [
        new_markdown_cell("# 1. Title"),
        new_code_cell('import os\n\nprint("quick:", os.environ.get("UNROLLBIT_QUICK"))'),
        new_code_cell(
            "%matplotlib inline\nfrom matplotlib.figure import Figure\n\nfigure = Figure()\nfigure.subplots()\nfigure"
        ),
    ]
    path = tmp_path / "small.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return path


def test_the_script_stores_in_place(small: Path) -> None:
    done = run_script(small)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("small.ipynb: ")
    notebook = nbformat.read(small, as_version=4)
    assert script.faults(notebook) == []
    assert notebook.cells[1].outputs[0].text == "quick: None\n"
    assert notebook.metadata == {"kernelspec": script.KERNEL, "language_info": {"name": "python"}}


def test_a_quick_run_stores_only_where_it_is_told(small: Path) -> None:
    before, out = small.read_bytes(), small.parent / "out"
    assert run_script("--quick", small).returncode == 0
    assert run_script("--quick", "--out", out, small).returncode == 0
    assert small.read_bytes() == before
    assert nbformat.read(out / "small.ipynb", as_version=4).cells[1].outputs[0].text == "quick: 1\n"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("value = 3\n1 / 0", "small.ipynb, code cell 2 of 2 (value = 3): ZeroDivisionError: division by zero"),
        ("import os\nos._exit(1)", "small.ipynb, code cell 2 of 2 (import os): its kernel died"),
        ('import warnings\nwarnings.warn("careful")', "small.ipynb: code cell 2 shows output to stderr"),
    ],
)
def test_a_failing_cell_is_named_and_nothing_is_stored(small: Path, source: str, words: str) -> None:
    notebook = nbformat.read(small, as_version=4)
    notebook.cells[2].source = source
    nbformat.write(notebook, small)
    before = small.read_bytes()
    done = run_script(small)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert small.read_bytes() == before


def test_a_cell_that_takes_too_long_is_named(small: Path) -> None:
    notebook = nbformat.read(small, as_version=4)
    notebook.cells[1].source = "import time\ntime.sleep(60)"
    nbformat.write(notebook, small)
    with pytest.raises(script.NotebookFailed, match=r"code cell 1 of 2 \(import time\): not done after 2 s"):
        script.execute(small, seconds=2)


def test_the_script_has_help_and_refuses_what_is_not_there(tmp_path: Path) -> None:
    assert "--quick" in run_script("--help").stdout
    done = run_script(tmp_path / "none.ipynb")
    assert done.returncode == 2
    assert "no such notebook" in done.stderr


def test_make_help_names_the_notebooks() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert "make notebooks" in done.stdout
