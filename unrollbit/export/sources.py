"""The C functions that exported programs are made of: those of ``c/*.c``, each with what it calls."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path

_FUNCTION = re.compile(r"(?:^/\*(?:(?!\*/).)*\*/\n)?^static (?:(?!^}).)*^}\n", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"^static [\w *]*?(\w+)\(", re.MULTILINE)
_WORD = re.compile(r"\w+")


@functools.cache
def functions() -> dict[str, str]:
    """The text of every function, with the comment above it, by its name, callees first."""
    found = {}
    for path in sorted(Path(__file__).with_name("c").glob("*.c")):
        for text in _FUNCTION.findall(path.read_text(encoding="utf-8")):
            match = _NAME.search(text)
            assert match is not None, f"{path}: no function in {text!r:.80}"
            found[match[1]] = text
    return found


def used(texts: Iterable[str]) -> list[str]:
    """The functions that some C text needs, those that they call included, callees first.

    Example:
        >>> "unit_of" in " ".join(used(["level = root_mean_square(8, x);"]))
        True
    """
    known, order = functions(), []

    def visit(text: str, own: str) -> None:
        for word in _WORD.findall(_code(text)):
            if word in known and word != own and word not in order:
                visit(known[word], word)
                order.append(word)

    for text in texts:
        visit(text, "")
    return [known[name] for name in order]


def _code(text: str) -> str:
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
