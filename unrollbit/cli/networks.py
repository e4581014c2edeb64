"""Networks that a command reads, and the problems that they carry."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unrollbit.cli.changes import changes_text
from unrollbit.cli.outputs import NETWORK_FILE
from unrollbit.packed import PackedNetwork, load
from unrollbit.packed.description import check_fingerprint
from unrollbit.problems import Problem


def open_network(path: Path) -> PackedNetwork:
    """A packed network from its file or run folder."""
    if path.is_dir():
        inside = path / NETWORK_FILE
        if not inside.exists():
            unfinished = (path / "metrics.jsonl").exists()
            hint = (
                "training has not finished; continue with unrollbit train --resume" if unfinished else "no run folder?"
            )
            raise ValueError(f"{path}: no {NETWORK_FILE} inside ({hint})")
        path = inside
    return load(path)


def problem_of(network: PackedNetwork, changes: Mapping[str, Any] | None = None) -> Problem:
    """The problem that a file carries, with the fields in ``changes`` replaced (None: removed, back to its default).

    Raises ``ValueError`` if the file carries no problem, for what the problem's constructor refuses, and for physics
    other than those of training: a network is for its A.
    """
    if network.problem is None:
        raise ValueError(
            "this file carries no problem, so no fresh signals can be drawn; save with pack(net, problem=...)"
        )
    changes = changes or {}
    spec = {name: value for name, value in network.problem.items() if name not in changes}
    # a removed field that the spec lacks goes to the constructor as None, which refuses names that it does not know
    spec |= {name: value for name, value in changes.items() if value is not None or name not in network.problem}
    problem = Problem.from_spec(spec)
    try:
        check_fingerprint(problem.operator, network.problem_fingerprint or [])
    except ValueError as error:
        if not changes:
            raise
        raise ValueError(
            f"{changes_text(changes)}: {error}. A network is for the physics it was trained on: change only what "
            "leaves A as it is, such as sparsity or snr_db"
        ) from error
    return problem
