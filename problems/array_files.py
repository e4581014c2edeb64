"""Arrays as arguments: given in memory, or by the path of a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from jaxtyping import Float

from unrollbit.problems.parts import shuffled_parts

Place = str | os.PathLike[str]


def rows_of(
    name: str, value: Any, folder: Place | None = None, *, complex_physics: bool = False
) -> Float[np.ndarray, "rows columns"]:
    """``value`` or the ``.npy`` or ``.csv`` file it names, as a finite, non-empty 2-D float32 array.

    With ``complex_physics`` real and imaginary parts of complex rows are stacked. Raises ``ValueError`` for anything
    else.
    """
    if value is None:
        raise ValueError(f"{name}: missing; expected an array or the path of a .npy file")
    array: Any = load_array(name, value, folder) if isinstance(value, str | os.PathLike) else _as_array(name, value)
    if scipy.sparse.issparse(array):
        array = array.toarray()
    if complex_physics and np.iscomplexobj(array) and array.ndim == 2:
        array = np.concatenate([np.real(array), np.imag(array)], 1)
    if np.iscomplexobj(array):
        raise ValueError(
            f"{name}: expected real numbers, got {array.dtype}; stack real and imaginary parts (of "
            "measurements: give the physics as a complex matrix)"
        )
    if not np.issubdtype(array.dtype, np.number) and array.dtype != bool:
        raise ValueError(f"{name}: expected numbers, got dtype {array.dtype}")
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name}: expected a non-empty 2-D array, one signal a row, got shape {array.shape}")
    with np.errstate(over="ignore"):
        array = np.array(array, np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: contains NaN or infinite entries (or entries too large for float32)")
    return array


def _as_array(name: str, value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name}: expected an array with rows of equal length ({error})") from error
    except (TypeError, RuntimeError) as error:  # tensors of other libraries that NumPy cannot read
        raise ValueError(f"{name}: expected an array, got {type(value).__name__} ({error})") from error


def subsets_of(
    name: str,
    value: Any,
    columns: int,
    shares: tuple[float, float, float],
    seed: int,
    folder: Place | None = None,
    *,
    complex_physics: bool = False,
) -> tuple[Float[np.ndarray, "rows columns"], ...]:
    """Training, validation and test rows: of three arrays or files, or of one that is shuffled and split.

    Raises ``ValueError`` for what is no array of rows of so many ``columns``, and for too few rows.
    """
    three = isinstance(value, list | tuple) and len(value) == 3 and all(map(_is_set, value))
    given = [rows_of(name, entry, folder, complex_physics=complex_physics) for entry in (value if three else [value])]
    for rows in given:
        if rows.shape[1] != columns:
            advice = "; transpose it" if rows.shape[0] == columns else ", or is the matrix transposed?"
            raise ValueError(
                f"{name}: expected rows of {columns} entries, as the physics has; got shape {rows.shape}{advice}"
            )
    if three:
        return tuple(given)
    parts = shuffled_parts(f"{name}: rows", len(given[0]), shares, seed)
    return tuple(given[0][part] for part in parts)


def _is_set(entry: Any) -> bool:
    """Whether one of three is an array of rows or a file, not a row."""
    return isinstance(entry, str | os.PathLike) or getattr(entry, "ndim", 1) == 2


def load_array(name: str, path: Place, folder: Place | None = None) -> Any:
    """The array of a ``.npy`` file, of a ``.csv`` file (a row a line, after a line of names if there is one), or the
    sparse matrix of a ``.npz`` file of SciPy; relative paths are relative to ``folder``.

    Raises ``ValueError`` for a file that is missing or none of these.
    """
    file = Path(folder or ".") / path
    if not file.is_file():
        raise ValueError(f"{name}: no such file: {file}")
    if file.suffix.lower() == ".csv":
        return _table(name, file)
    try:
        if file.suffix.lower() == ".npz":
            return scipy.sparse.load_npz(file)
        array = np.load(file, mmap_mode="r", allow_pickle=False)  # mapped: a lying header allocates nothing
    except (ValueError, OSError, EOFError) as error:
        kind = "SciPy's .npz file of a sparse matrix" if file.suffix == ".npz" else "a .npy file of plain numbers"
        raise ValueError(f"{name}: {file} is not {kind}: {error}") from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name}: {file} is an archive of several arrays; expected one array, saved by numpy.save")
    return array


def _table(name: str, file: Path) -> np.ndarray:
    try:
        with file.open(encoding="utf-8-sig") as lines:
            first = next(lines, "").split(",")
        try:
            header = [float(entry) for entry in first] == []
        except ValueError:
            header = True
        return np.loadtxt(file, delimiter=",", skiprows=int(header), ndmin=2, encoding="utf-8-sig")
    except (ValueError, OSError) as error:
        raise ValueError(f"{name}: {file} is not a .csv file of rows of numbers of equal length: {error}") from error
