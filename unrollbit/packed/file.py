"""Writing a packed network: one safetensors file, the same bytes for the same network. Reading is in ``runtime``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from unrollbit.arrays import same_array
from unrollbit.packed import runtime
from unrollbit.packed.runtime import Stored

BFLOAT16 = jax.dtypes.bfloat16
_NAMES = {np.dtype(code): name for name, code in runtime.DTYPES.items() if name != "BF16"} | {
    np.dtype(BFLOAT16): "BF16"
}
_ALIGNMENT = 8  # bytes, at which the data section begins


def stored(array: np.ndarray) -> Stored:
    """An array as a file holds it. Raises ``ValueError`` for a dtype that the format does not have."""
    array = np.ascontiguousarray(array)
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    name = _NAMES.get(array.dtype)
    if name is None:
        raise ValueError(f"a file holds arrays of {', '.join(map(str, _NAMES))}, got {array.dtype}")
    return Stored(name, array.view(np.uint16) if name == "BF16" else array)


def unstored(array: Stored) -> np.ndarray:
    """Inverse of ``stored``."""
    return array.entries.view(BFLOAT16) if array.dtype == "BF16" else array.entries


def extract_arrays(
    value: Any, name: str, held: Mapping[str, np.ndarray] | None = None
) -> tuple[Any, dict[str, np.ndarray]]:
    """A spec with its arrays replaced by references ``{"array": name}``, and those arrays; ``runtime.with_arrays`` puts
    them back. An array that equals one of those that the file holds already is not written again.
    """
    if isinstance(value, np.ndarray | jax.Array):
        array = np.asarray(value)
        known = next((other for other, content in (held or {}).items() if same_array(array, content)), None)
        return ({"array": name}, {name: array}) if known is None else ({"array": known}, {})
    if not isinstance(value, dict):
        return value, {}
    arrays: dict[str, np.ndarray] = {}
    bare = {}
    for key, entry in value.items():
        bare[key], found = extract_arrays(entry, f"{name}/{key}", held)
        arrays |= found
    return bare, arrays


def write_file(
    path: Path, description: Mapping[str, Any], run: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> Path:
    """Write what identifies a network, what describes its run, and arrays; atomic. Returns the path."""
    held = {name: stored(array) for name, array in arrays.items()}
    first = _text({name: description[name] for name in runtime.DESCRIPTION})
    facts = {name: run[name] for name in runtime.RUN}
    if (certificates := run.get(runtime.CERTIFICATES)) is not None:  # they are of this network and of no other
        facts[runtime.CERTIFICATES] = {**certificates, "network": runtime.checksum_of(first, "", held)}
    second = _text(facts)
    metadata = {
        "format": runtime.FORMAT,
        "version": runtime.VERSION,
        "description": first,
        "run": second,
        "checksum": runtime.checksum_of(first, second, held),
    }
    if path.is_dir():
        raise IsADirectoryError(
            f"{path}: a folder; expected the path of a file, such as {path / 'network.safetensors'}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_bytes(content_of(metadata, held))
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    return path


def content_of(metadata: Mapping[str, str], arrays: Mapping[str, Stored]) -> bytes:
    """The bytes of a safetensors file: arrays from wide to narrow entries, so that all of them are aligned; what may
    differ between files of one network comes last in the header.
    """
    order = sorted(arrays, key=lambda name: (-arrays[name].entries.itemsize, name))
    header: dict[str, Any] = {}
    begin = 0
    for name in order:
        dtype, entries = arrays[name]
        header[name] = {"dtype": dtype, "shape": list(entries.shape), "data_offsets": [begin, begin + entries.nbytes]}
        begin += entries.nbytes
    header["__metadata__"] = dict(metadata)
    text = _text(header).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return b"".join([len(text).to_bytes(8, "little"), text, *(arrays[name].entries.tobytes() for name in order)])


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
