"""``--import MODULE``: code of the user's own, whose classes are known by name once they are imported."""

from __future__ import annotations

import importlib
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from zlib import crc32

_imported: list[str] = []


def import_extension(name: str, folder: Path | None = None) -> ModuleType:
    """Import a module by its name, or a ``.py`` file by its path; both also relative to ``folder`` (the working one).

    Raises ``ValueError`` for what is not found, and what raises an exception.

    Example:
        >>> import_extension("json").__name__
        'json'
    """
    folder = Path.cwd() if folder is None else folder
    try:
        module = _from_file(folder / name) if name.endswith(".py") else _by_name(name, folder)
    except Exception as error:  # whatever the user's code raises
        what = error if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {error}"
        raise ValueError(f"import {name}: {what}") from error
    known = str((folder / name).resolve()) if name.endswith(".py") else name
    if known not in _imported:
        _imported.append(known)
    return module


def imported_extensions() -> tuple[str, ...]:
    """What was imported so far, for worker processes to import as well."""
    return tuple(_imported)


def _by_name(name: str, folder: Path) -> ModuleType:
    if str(folder) not in sys.path:  # last: nothing there takes the place of an installed module
        sys.path.append(str(folder))
    return importlib.import_module(name)


def _from_file(file: Path) -> ModuleType:
    """The module of a file, under the name of the file or, where a module has it, that and a number made of the path:
    what pickles and spawned processes find it by.
    """
    if not file.is_file():
        raise FileNotFoundError(f"no such file: {file}")
    file = file.resolve()
    for name in (file.stem, f"{file.stem}_{crc32(str(file).encode()):08x}"):
        held = sys.modules.get(name)
        if held is None:
            return _loaded(name, file)
        if Path(getattr(held, "__file__", None) or "").resolve() == file:
            return held
    raise ValueError(f"a module {file.stem!r} is imported already; give the file another name")


def _loaded(name: str, file: Path) -> ModuleType:
    spec = spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
