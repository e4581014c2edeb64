"""Run the notebooks of this folder from top to bottom and store them with their outputs."""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
LARGEST = 700_000  # bytes of a stored notebook
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
_SECONDS = 900  # for one cell
_MACHINE_PATH = re.compile(r"(?<![\w.:/])/(home|root|tmp|work|Users|usr|opt|var|private|mnt|media|srv)/|\b[A-Z]:\\+\w")


class NotebookFailed(RuntimeError):
    """A cell raised, took too long or killed its kernel; the message names it."""


def notebooks() -> list[Path]:
    """The notebooks of this folder in the order of their numbers."""
    return sorted(FOLDER.glob("*.ipynb"))


def execute(
    path: Path,
    *,
    quick: bool = False,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: int = _SECONDS,
) -> Any:
    """The notebook ``path``, every cell run in a fresh kernel of this interpreter; the file stays as it is.

    The kernel works in ``folder`` (default: that of the notebook) and imports the package of this checkout. ``quick``
    sets ``UNROLLBIT_QUICK``, which the notebooks read, and compiles without optimising. Raises ``NotebookFailed`` for a
    cell that fails or takes longer than ``seconds``.
    """
    notebook = nbformat.read(path, as_version=4)
    code = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    started: list[int] = []
    with tempfile.TemporaryDirectory(prefix="unrollbit-") as private:
        inherited = {name: value for name, value in os.environ.items() if name != "UNROLLBIT_QUICK"}
        variables = inherited | dict(environment or {})
        search = [str(ROOT), *filter(None, [variables.get("PYTHONPATH")])]
        variables |= {"PYTHONPATH": os.pathsep.join(search), "IPYTHONDIR": private}  # nobody's start-up files
        if quick:  # most of a quick run is compiling
            variables |= {"UNROLLBIT_QUICK": "1", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
        manager = AsyncKernelManager(
            kernel_name="python3",
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),  # the kernel of this interpreter, no other
            connection_file=str(Path(private) / "kernel.json"),
            transport="ipc",  # kernels that start together would race for ports
        )
        client = NotebookClient(
            notebook,
            km=manager,
            timeout=seconds,
            record_timing=False,
            resources={"metadata": {"path": str(folder or path.parent)}},
            on_cell_start=lambda cell, cell_index: started.append(cell_index),
        )
        try:
            client.execute(env=variables, cleanup_kc=True)  # a kernel of a given manager is kept otherwise
        except CellExecutionError as error:
            raise NotebookFailed(_message(path, code, started, f"{error.ename}: {error.evalue}")) from error
        except CellTimeoutError as error:
            raise NotebookFailed(_message(path, code, started, f"not done after {seconds} s")) from error
        except DeadKernelError as error:
            raise NotebookFailed(_message(path, code, started, "its kernel died")) from error
    return notebook


def clean(notebook: Any) -> Any:
    """The notebook without what depends on the machine or the moment: versions, timings, state of widgets."""
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({name: cell.metadata[name] for name in ("tags",) if name in cell.metadata})
    return notebook


def faults(notebook: Any) -> list[str]:
    """What keeps a notebook from being shipped, in words; nothing: it is fine.

    Every code cell is to be run, in order, without error, warning or other output to stderr; there is to be at least
    one figure, a cell that draws is to show it, no path of the machine is to be found in sources, outputs or metadata,
    and the file is to be at most ``LARGEST`` bytes.
    """
    found = []
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        found.append("its code cells were not all run once, in order")
    for number, cell in enumerate(code, start=1):
        kinds = {output.output_type for output in cell.outputs}
        if "error" in kinds:
            found.append(f"code cell {number} shows an error")
        if any(output.get("name") == "stderr" for output in cell.outputs):
            found.append(f"code cell {number} shows output to stderr, such as a warning")
        if re.search(r"^with paper_style\(\)", cell.source, re.MULTILINE) and not _figures([cell]):
            found.append(f"code cell {number} draws and shows no figure")
    if not _figures(code):
        found.append("it shows no figure")
    found += [f"{place} holds a path of a machine: {text!r}" for place, text in _machine_paths(notebook)]
    size = len(nbformat.writes(notebook).encode())
    if size > LARGEST:
        found.append(f"it has {size} bytes, more than {LARGEST}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run notebooks; the exit status is the number of those that failed."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="Without --quick, all of them take some minutes.")
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK", help="default: all of this folder")
    parser.add_argument("--quick", action="store_true", help="short runs that only check that every cell works")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="store there instead of in place (quick runs: instead of nowhere)"
    )
    options = parser.parse_args(arguments)
    paths = options.notebooks or notebooks()
    if missing := [str(path) for path in paths if not path.is_file()]:
        parser.error(f"no such notebook: {', '.join(missing)}")
    failed = 0
    for path in paths:
        began = time.perf_counter()
        try:
            notebook = clean(execute(path, quick=options.quick))
            if wrong := faults(notebook):
                raise NotebookFailed(f"{path.name}: {'; '.join(wrong)}")
        except NotebookFailed as error:
            print(error, file=sys.stderr)
            failed += 1
            continue
        print(f"{path.name}: {time.perf_counter() - began:.0f} s", flush=True)
        if options.out is not None or not options.quick:
            _store(notebook, path if options.out is None else options.out / path.name)
    return failed


def _store(notebook: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def _message(path: Path, code: list[int], started: list[int], what: str) -> str:
    """``what`` went wrong, and the cell that was running: its number among the code cells, and its first line."""
    if not started:
        return f"{path.name}: {what}"
    number = code.index(started[-1]) + 1 if started[-1] in code else 0
    source = nbformat.read(path, as_version=4).cells[started[-1]].source.strip()
    first = source.splitlines()[0] if source else ""
    return f"{path.name}, code cell {number} of {len(code)} ({first}): {what}"


def _figures(cells: Sequence[Any]) -> int:
    outputs = [output for cell in cells for output in cell.outputs]
    return sum(1 for output in outputs if "image/png" in output.get("data", {}))


def _machine_paths(notebook: Any) -> list[tuple[str, str]]:
    """Where a text looks like a path of a machine; pictures are left out."""
    texts = [("the metadata", str(dict(notebook.metadata)))]
    for index, cell in enumerate(notebook.cells, start=1):
        texts += [(f"cell {index}", cell.source), (f"cell {index}'s metadata", str(dict(cell.metadata)))]
        for output in cell.get("outputs", []):
            parts = [output.get("text", ""), *output.get("traceback", [])]
            parts += [value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")]
            texts += [(f"the output of cell {index}", str(part)) for part in parts]
    found = []
    for place, text in texts:
        hit = _MACHINE_PATH.search(text)
        if hit or str(ROOT) in text:
            at = hit.start() if hit else text.index(str(ROOT))
            found.append((place, text[at : at + 40]))
    return found


if __name__ == "__main__":
    sys.exit(main())
