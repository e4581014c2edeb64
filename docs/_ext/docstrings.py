"""How docstrings become text: indented paragraphs are formulas, stars and bars in sentences stand for themselves."""

from __future__ import annotations

import re

_HEADINGS = ("Args:", "Attributes:", "Example:", "Examples:", "Raises:", "Returns:", "Yields:", "Note:")
_CODE = re.compile(r"(``.*?``)")
_NUMBERED_TYPES = ("Alias for field", "int(", "str(", "bool(", "float(")


def as_text(lines: list[str]) -> list[str]:
    """Lines of a docstring as reStructuredText."""
    found: list[str] = []
    section = literal = False
    for line in lines:
        indented = line.startswith("    ")
        if line and not indented:
            section = line.strip() in _HEADINGS
            literal = False
        if not section and indented and not literal and (not found or not found[-1].strip()):
            before = next((text for text in reversed(found) if text.strip()), "")
            found += [] if before.endswith("::") else ["::", ""]
            literal = True
        found.append(line if literal or ">>>" in line or _in_example(found) else _plain(line))
    return found


def _in_example(found: list[str]) -> bool:
    """Whether the last line but the blank ones belongs to an interactive example."""
    return bool(found) and found[-1].lstrip().startswith((">>>", "..."))


def _plain(line: str) -> str:
    parts = _CODE.split(line)
    return "".join(part if k % 2 else _escaped(part) for k, part in enumerate(parts))


def _escaped(text: str) -> str:
    bold = "**" in text
    return text.replace("|", "\\|") if bold else text.replace("*", "\\*").replace("|", "\\|")


def _process(app, what, name, obj, options, lines):
    if what == "attribute" and lines and lines[0].startswith(_NUMBERED_TYPES):
        lines.clear()  # fields without a text of their own show that of their type
    lines[:] = as_text(lines)


def setup(app):
    app.connect("autodoc-process-docstring", _process, priority=100)  # before napoleon reads the sections
    return {"parallel_read_safe": True}
