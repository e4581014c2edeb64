"""Text that every Python has: the sources of its standard library and its help topics, split by file."""

from __future__ import annotations

import hashlib
import sysconfig
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

_SHARES = 20  # of the files: one for the test, one for validation, the others to train on


class Text(NamedTuple):
    """Bytes to train on, to choose by and to report, of different files; and what they are."""

    train: UInt8[np.ndarray, " train"]
    validation: UInt8[np.ndarray, " validation"]
    test: UInt8[np.ndarray, " test"]
    facts: dict[str, object]


def standard_library(folder: Path | None = None) -> Text:
    """The text of this Python: modules at the top of its library (or of ``folder``) and ``pydoc_data``.

    A file belongs to the split that its name says (CRC-32 modulo 20): 0 to the test, 1 to validation. Other versions of
    Python have other text: figures of two machines compare where the checksum in ``facts`` is the same. Raises
    ``ValueError`` where a split has no file.
    """
    folder = Path(sysconfig.get_paths()["stdlib"]) if folder is None else folder
    files = sorted([*folder.glob("*.py"), *folder.glob("pydoc_data/*.py")])
    parts: dict[str, list[bytes]] = {"train": [], "validation": [], "test": []}
    for file in files:
        split = {0: "test", 1: "validation"}.get(zlib.crc32(file.name.encode()) % _SHARES, "train")
        parts[split].append(file.read_bytes())
    if empty := [name for name, found in parts.items() if not b"".join(found)]:
        raise ValueError(f"expected sources of the standard library in {folder}; no text for {', '.join(empty)}")
    joined = {name: b"\n".join(found) for name, found in parts.items()}
    facts: dict[str, object] = {f"{name}_bytes": len(content) for name, content in joined.items()}
    facts["files"] = len(files)
    facts["sha256"] = hashlib.sha256(b"\0".join(joined.values())).hexdigest()
    train, validation, test = (np.frombuffer(content, np.uint8) for content in joined.values())
    return Text(train, validation, test, facts)


def windows(text: UInt8[np.ndarray, " n"], length: int, count: int) -> UInt8[np.ndarray, "count length"]:
    """So many windows at equal distances, at most as many as fit side by side."""
    count = min(count, len(text) // length)
    starts = np.linspace(0, len(text) - length, count).astype(int)
    return np.stack([text[start : start + length] for start in starts])
