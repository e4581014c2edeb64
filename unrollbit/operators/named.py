"""Physics by name: a file, or an object of the user's own code."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from unrollbit.arguments import shown
from unrollbit.extensions import import_extension
from unrollbit.operators.base import LinearOperator
from unrollbit.operators.physics import physics_of

_CODE = re.compile(r"(?P<module>[\w./\\-]+):(?P<name>[A-Za-z_]\w*)")
Place = str | os.PathLike[str]


def named_physics(text: Place, folder: Place | None = None, name: str = "physics") -> LinearOperator:
    """The operator that a text names, relative to ``folder`` (by default the working one):

    - ``matrix.npy``: a matrix saved by ``numpy.save``, real or complex;
    - ``matrix.npz``: a sparse one saved by ``scipy.sparse.save_npz``;
    - ``module:name`` (or ``file.py:name``): an object of the user's own code that ``as_operator`` takes, or a function
      without arguments that makes one. The module is imported, from ``folder`` too: only for text of the user's own.

    Raises ``ValueError`` for a file that is missing or of another kind, and for what cannot be imported.

    Example:
        >>> import numpy as np
        >>> np.save("measured.npy", np.eye(3))
        >>> named_physics("measured.npy").shape
        (3, 3)
    """
    found = _CODE.fullmatch(os.fspath(text))
    file = Path(folder or ".") / text
    if found is not None and not file.is_file():
        return physics_of(_imported(name, Path(folder or "."), **found.groupdict()), name)
    if not file.is_file():
        raise ValueError(f"{name}: no such file: {file}")
    return physics_of(_loaded(name, file), name)


def names_code(value: Any) -> bool:
    """Whether a text would make ``named_physics`` import code, where no file has that name."""
    return isinstance(value, str) and _CODE.fullmatch(value) is not None


def _imported(argument: str, folder: Path, module: str, name: str) -> Any:
    try:
        held = import_extension(module, folder.resolve())
    except ValueError as error:
        raise ValueError(f"{argument}: {error}") from error
    if not hasattr(held, name):
        known = ", ".join(sorted(key for key in vars(held) if not key.startswith("_"))[:8])
        raise ValueError(f"{argument}: the module {module!r} has no {name!r}; it has {known or 'nothing'}")
    value = getattr(held, name)
    if inspect.isfunction(value):
        parameters = inspect.signature(value).parameters.values()
        if any(p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
            raise ValueError(
                f"{argument}: {module}:{name} is a function with arguments; expected an operator, or a function "
                "without arguments that makes one: return as_operator(f, shape=(height, width))"
            )
        value = value()
    return value


def _loaded(name: str, file: Path) -> Any:
    if file.suffix == ".npz":
        try:
            return sparse.load_npz(file)
        except Exception as error:  # whatever is in a file that anyone wrote
            raise ValueError(f"{name}: {file} is no sparse matrix of scipy.sparse.save_npz ({error})") from error
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)  # mapped: a lying header allocates nothing
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{name}: {file} is not a .npy file of plain numbers: {error}") from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name}: {file} is an archive of several arrays; expected one array, got {shown(array)}")
    return np.asarray(array)
