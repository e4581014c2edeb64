"""A user's data in the recipe of a problem: its name and what is in it, not where it lies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from unrollbit.operators.named import names_code
from unrollbit.problems.images import ENDINGS

Place = str | os.PathLike[str]
_ENDINGS = (".npy", *ENDINGS)  # of data in a folder


def described(path: Place, folder: Place | None = None) -> dict[str, Any]:
    """``{"name", "sha256"}`` of a file, or of the data in a folder; relative paths are relative to ``folder``.

    The name is the path as given if that is relative, else its last part. The hash is None where nothing can be read.
    """
    given = Path(path)
    name = Path(*given.parts[1:]).name if given.is_absolute() else given.as_posix()
    try:
        return {"name": name, "sha256": content_hash(Path(folder or ".") / given)}
    except OSError:
        return {"name": name, "sha256": None}


def described_data(value: Any, folder: Place | None = None) -> Any:
    """An argument that may name data, as a recipe carries it: a path, the ``path`` of a table, or a list of them is
    ``described``.
    """
    if isinstance(value, str):
        return described(value, folder)
    if isinstance(value, list):
        return [described_data(entry, folder) for entry in value]
    return {**value, "path": described(value["path"], folder)} if _has_path(value) else value


def located_data(what: str, value: Any, places: Iterable[Place]) -> Any:
    """The inverse of ``described_data``, of data in one of these folders; raises ``ValueError`` as ``located``."""
    places = list(places)
    if is_description(value):
        return located(what, value, places)
    if isinstance(value, list):
        return [located_data(what, entry, places) for entry in value]
    if _has_path(value) and is_description(value["path"]):
        return {**value, "path": located(what, value["path"], places)}
    return value


def named_data(value: Any) -> Any:
    """An argument of a recipe, with the name of data in the place of its description."""
    if is_description(value):
        return value["name"]
    if isinstance(value, list):
        return [named_data(entry) for entry in value]
    return {**value, "path": named_data(value["path"])} if _has_path(value) else value


def places_of(value: Any, folder: Place = "") -> list[str]:
    """The absolute folders of data that an argument names, files or folders; none for other arguments."""
    if isinstance(value, list):
        return [place for entry in value for place in places_of(entry, folder)]
    path = value["path"] if _has_path(value) else value
    if not isinstance(path, str):
        return []
    absolute = os.path.abspath(os.path.join(folder, path))
    return [absolute if os.path.isdir(absolute) else os.path.dirname(absolute)]


def beside(value: Any, folder: Path) -> Any:
    """An argument whose paths of files or folders, anywhere in it, are relative to ``folder`` where they are there."""
    if isinstance(value, str) and names_code(value):
        module, _, name = value.partition(":")
        there = f"{folder / module.removesuffix('.py')}.py"
        return f"{there}:{name}" if os.path.isfile(there) and names_code(f"{there}:{name}") else value
    if isinstance(value, str):
        return str(folder / value) if value and (folder / value).exists() else value
    if isinstance(value, Mapping):
        return {name: beside(entry, folder) for name, entry in value.items()}
    return [beside(entry, folder) for entry in value] if isinstance(value, list) else value


def _has_path(value: Any) -> bool:
    return isinstance(value, Mapping) and "path" in value


def is_description(value: Any) -> bool:
    """Whether it is one of ``described``."""
    return isinstance(value, Mapping) and set(value) == {"name", "sha256"} and isinstance(value["name"], str)


def content_hash(path: Path) -> str:
    """SHA-256 of a file, or of all arrays and images in a folder, with their names relative to the innermost folder
    that has all of them. Raises ``OSError``.
    """
    return _content(path)[1]


def _content(path: Path) -> tuple[Path, str]:
    """The file, or the innermost folder that has all data of a folder, and the hash."""
    if not path.is_dir():
        return path, hashlib.sha256(path.read_bytes()).hexdigest()
    files = [file for file in path.rglob("*") if file.suffix.lower() in _ENDINGS and file.is_file()]
    if not files:
        raise FileNotFoundError(f"{path}: no arrays or images inside")
    root = Path(os.path.commonpath([file.parent for file in files]))
    digest = hashlib.sha256()
    for name, file in sorted((file.relative_to(root).as_posix(), file) for file in files):
        digest.update(f"{name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return root, digest.hexdigest()


def located(what: str, description: Mapping[str, Any], places: Iterable[Place]) -> str:
    """The path of described data in one of these folders (or at one of these paths).

    Raises ``ValueError`` where it is in none of them, or has another content in all that have it.
    """
    name, expected = description["name"], description["sha256"]
    looked = [Path(place) for place in places]
    other = None
    for place in looked:
        for path in (place / name, place / Path(name).name, place):
            if not path.exists() or (path == place and not path.is_dir()):
                continue
            try:
                root, found = _content(path)
            except OSError:
                continue
            if expected in (None, found):
                return str(root)
            other = path if other is None and path != place else other
    if other is not None:
        raise ValueError(f"{what}: {other} is not the data of training (its content differs); pass the right folder")
    where = ", ".join(str(place) for place in looked) or "no folder"
    raise ValueError(
        f"{what}: the data of this problem, {name}, is not in {where}; pass the folder that has it (--data FOLDER, "
        "or data=FOLDER in Python)"
    )
