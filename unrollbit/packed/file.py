"""One file per network: safetensors with a JSON header and a checksum. No pickle anywhere."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from unrollbit.packed.strict_json import strict_json

FORMAT = "unrollbit"
VERSION = 1
_DTYPES = ("U8", "BF16", "F32", "F64", "I32")
_METADATA = ("format", "version", "description", "checksum")
_FIELDS = ("network", "maps", "physics", "fingerprint", "problem", "training")


def write_file(path: Path, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Path:
    """Write ``header`` (JSON-able, with the keys of the format) and ``arrays``; atomic. Returns the path."""
    description = json.dumps({name: header[name] for name in _FIELDS}, separators=(",", ":"), allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "description": description,
        "checksum": _checksum(description, arrays),
    }
    try:
        scratch.write_bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata))
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    return path


def read_file(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of a file, after checking format, version, dtypes and checksum.

    Raises ``FileNotFoundError`` for a missing file and ``ValueError`` for everything that is wrong with one.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a packed network (.safetensors)")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            _check_metadata(metadata)
            arrays = {}
            for name in file.keys():  # noqa: SIM118 - safe_open is no mapping
                dtype = file.get_slice(name).get_dtype()
                if dtype not in _DTYPES:
                    raise ValueError(f"array {name!r} has dtype {dtype}; expected one of {sorted(_DTYPES)}")
                arrays[name] = file.get_tensor(name)
        strict_json(_header(path))  # safetensors takes the last of two equal keys
    except (SafetensorError, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    description = metadata["description"]
    if metadata["checksum"] != _checksum(description, arrays):
        raise ValueError(f"{path}: the checksum does not match; the file was damaged or changed")
    try:
        header = strict_json(description)
    except ValueError as error:
        raise ValueError(f"{path}: the description is damaged ({error})") from error
    if not isinstance(header, dict) or set(header) != set(_FIELDS):
        raise ValueError(f"{path}: the description must have exactly the fields {', '.join(_FIELDS)}")
    return header, arrays


def _header(path: Path) -> str:
    """The header of a safetensors file that has been opened as one: its length in 8 bytes, and JSON."""
    with path.open("rb") as file:
        return file.read(int.from_bytes(file.read(8), "little")).decode()


def _check_metadata(metadata: dict[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise ValueError("a safetensors file, but no packed network of unrollbit")
    if metadata.get("version") != str(VERSION):
        found = metadata.get("version")
        raise ValueError(f"format version {found!r}; this library reads version {VERSION}. Update unrollbit")
    if missing := sorted(set(_METADATA) - set(metadata)):
        raise ValueError(f"the header lacks {', '.join(missing)}")
    if unknown := sorted(set(metadata) - set(_METADATA)):
        raise ValueError(f"the header has entries of no use: {', '.join(map(repr, unknown))}")


def _checksum(description: str, arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(description.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
