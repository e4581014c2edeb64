"""Shrinkages as C: what each kind of ``runtime.SHRINKAGES`` becomes, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from unrollbit.export.tables import Tables, literal
from unrollbit.packed import runtime
from unrollbit.packed.runtime import Spec


class Segments(NamedTuple):
    """Runs of unknowns that have their scalars and their noise level in common."""

    counts: np.ndarray
    groups: np.ndarray
    blocks: np.ndarray


class Entrywise(NamedTuple):
    """A shrinkage of single entries: C functions that prepare its constants, shrink an entry, give the slope there."""

    prepare: str
    shrink: str
    slope: str
    scalars: tuple[str, ...] = ("threshold",)
    options: Callable[[Spec], dict[str, float]] = lambda o: {}  # numbers that stand for scalars

    def code(self, o: Spec, runs: Segments, scalars: Mapping[str, np.ndarray], tables: Tables, slope: bool) -> str:
        """What ``shrinkage_code`` gives, for runs of unknowns with scalars and levels of their own."""
        count, groups = len(runs.counts), int(runs.groups.max()) + 1
        given = self.options(o)
        index = "layer" if groups == 1 else f"(layer * {groups}) + (int32_t){tables.places('groups', runs.groups)}[s]"
        level = "tau[0]" if not runs.blocks.any() else f"tau[{tables.places('blocks', runs.blocks)}[s]]"
        own = [
            literal(given[name]) if name in given else f"{tables.floats(name, [scalars[name]])}[{index}]"
            for name in self.scalars
        ]
        size = str(runs.counts[0]) if count == 1 else f"(int32_t){tables.places('counts', runs.counts)}[s]"
        start = ["float c[5];", "int32_t j = 0;", f"for (int32_t s = 0; s < {count}; s++) {{"]
        start += [f"    const int32_t end = j + {size};", f"    {self.prepare}({', '.join(['c', level, *own])});"]

        def loop(head: str, line: str) -> str:
            return _function(head, [*start, "    for (; j < end; j++) {", f"        {line}", "    }", "}"])

        text = loop(_SHRINK, f"u[j] = {self.shrink}(c, u[j]);")
        if slope:
            text += "\n" + loop(_SLOPES, f"{level.replace('tau', 'sums')} += {self.slope}(c, u[j]);")
        return text


class Whole(NamedTuple):
    """A shrinkage of all entries at once: the text of a call for ``n`` entries at ``u`` with threshold ``t``."""

    call: Callable[[Spec, Mapping[str, str]], str]

    def code(self, o: Spec, runs: Segments, scalars: Mapping[str, np.ndarray], tables: Tables, slope: bool) -> str:
        """The same; raises ``ValueError`` for more than one run."""
        if len(runs.counts) > 1:
            raise ValueError(f"export to C: {o['kind']} has no C for groups of unknowns or blocks of physics")
        table = {name: f"{tables.floats(name, [values])}[layer]" for name, values in scalars.items()}
        lines = [
            f"const int32_t n = {runs.counts[0]};",
            f"const float t = tau[0] * {table['threshold']};",
            f"{self.call(o, table)};",
        ]
        return _function(_SHRINK, lines)


def _variance(o: Spec) -> dict[str, float]:
    return {} if o["learn_variance"] else {"variance": float(o["variance"])}


SHRINKAGES: dict[str, Entrywise | Whole] = {
    "BernoulliGaussian": Entrywise(
        "bernoulli_gaussian_prepare",
        "bernoulli_gaussian",
        "bernoulli_gaussian_slope",
        ("gain", "log_odds", "noise", "variance"),
        _variance,
    ),
    "Box": Entrywise(
        "box_prepare",
        "box",
        "box_slope",
        ("lower", "upper"),
        lambda o: {name: runtime.number(name, o[name]) for name in ("lower", "upper")},
    ),
    "Firm": Entrywise("firm_prepare", "firm", "firm_slope", ("threshold", "width")),
    "GroupSoft": Whole(lambda o, s: f"group_soft(n, {o['group_size']}, t, u)"),
    "Hard": Entrywise("soft_prepare", "hard", "soft_slope"),
    "Identity": Entrywise("identity_prepare", "identity", "identity_slope", ()),
    "NonNegative": Entrywise("soft_prepare", "non_negative", "non_negative_slope"),
    "Soft": Entrywise("soft_prepare", "soft", "soft_slope"),
    "SupportSelection": Whole(lambda o, s: f"support_selection(n, t, {s['share']}, u)"),
}


def segments_of(groups: np.ndarray, blocks: int) -> Segments:
    """Runs of equal groups, cut at the borders of blocks."""
    own = np.repeat(np.arange(blocks), len(groups) // blocks)
    starts = np.flatnonzero(np.diff(groups, prepend=-1) | np.diff(own, prepend=-1))
    return Segments(np.diff(starts, append=len(groups)), groups[starts], own[starts])


def shrinkage_code(
    spec: Any, n: int, blocks: int, scalars: Mapping[str, np.ndarray], tables: Tables, slope: bool
) -> str:
    """C functions ``shrinkage(layer, tau, u)``, in place, and ``slopes(layer, tau, u, sums)``, if they are wanted.

    ``tau``: one number, or one a block. Raises ``ValueError`` for a kind without C.
    """
    groups = np.zeros(n, np.int64)
    if spec["kind"] == "Grouped":
        groups, spec = runtime.group_ids(spec), spec["shrinkage"]
    found = runtime.kind_of(spec, SHRINKAGES, "shrinkage of the export to C")
    options = runtime.options_of(spec, runtime.SHRINKAGES[spec["kind"]].options)
    return found.code(options, segments_of(groups, blocks), scalars, tables, slope)


_SHRINK = "static void shrinkage(int32_t layer, const float *tau, float *u)"
_SLOPES = "static void slopes(int32_t layer, const float *tau, const float *u, float *sums)"


def _function(head: str, lines: Sequence[str]) -> str:
    return function(head, ("layer", "tau"), lines)


def function(head: str, parameters: Sequence[str], lines: Sequence[str]) -> str:
    """A C function; of its parameters, those that it does not use are marked so."""
    body = "\n".join(lines)
    unused = [f"(void){name};" for name in parameters if name not in _words(body)]
    return "\n".join([head, "{", *(f"    {line}" for line in [*unused, *lines]), "}", ""])


def _words(text: str) -> set[str]:
    return set("".join(c if c.isalnum() or c == "_" else " " for c in text).split())
