"""Examples in docstrings: all of them run, and print what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import unrollbit

PACKAGE = Path(unrollbit.__file__).parent
FOLDERS = {"unrollbit": PACKAGE, "unrollbit.problems": PACKAGE / "problems", "unrollbit.theory": PACKAGE / "theory"}
ALLOWED = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def with_examples() -> list[str]:
    """Modules whose source has an example; found without importing anything."""
    found = set()
    for package, folder in FOLDERS.items():
        for path in folder.rglob("*.py"):
            if ">>> " in path.read_text(encoding="utf-8"):
                parts = path.relative_to(folder).with_suffix("").parts
                found.add(".".join((package, *(part for part in parts if part != "__init__"))))
    return sorted(found)


@pytest.mark.long
@pytest.mark.parametrize("name", with_examples())
def test_examples(name, tmp_path, monkeypatch):
    module = importlib.import_module(name)
    monkeypatch.chdir(tmp_path)  # what examples write
    result = doctest.testmod(module, optionflags=ALLOWED)
    assert result.attempted
    assert not result.failed


def test_examples_are_found_in_every_part():
    parts = {name.split(".")[1] for name in with_examples() if "." in name}
    assert parts >= {"operators", "problems", "theory", "kernels", "training", "packed"}
