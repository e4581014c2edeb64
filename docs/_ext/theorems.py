"""``{theorems} family``: every theorem of a family, from the registry and the docstrings of its function."""

from __future__ import annotations

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from unrollbit.theory import theorems

_CERTAINTY = {
    "proven": "Proven: a violation is a defect.",
    "probable": "It holds with probability 1 - delta.",
    "limit": "It holds in the limit of many unknowns: at finite sizes it can be off.",
}


class Theorems(SphinxDirective):
    """Statement, what is measured and the docstring of each theorem of the family named."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        family = self.arguments[0]
        entries = [entry for entry in theorems().values() if entry.family == family]
        if not entries:
            raise self.error(f"no theorem of the family {family!r}")
        return [node for entry in entries for node in self._section(entry)]

    def _section(self, entry) -> list[nodes.Node]:
        lines = [f"**{entry.summary}.** Bound and measurement are values of: {entry.quantity}.", ""]
        lines += [_CERTAINTY[entry.certainty], ""]
        lines += ["```{eval-rst}", f".. autofunction:: {entry.defined[0]}.{entry.defined[1]}", "```", ""]
        title = nodes.make_id(entry.name)
        section = nodes.section(ids=[title], names=[entry.name.lower()])
        section += nodes.title(text=entry.name)
        self.state.nested_parse(StringList(lines, source=__file__), 0, section)
        self.state.document.note_explicit_target(section)
        return [section]


def setup(app):
    app.add_directive("theorems", Theorems)
    return {"parallel_read_safe": True}
