"""Networks that a command reads, and the problems that they carry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unrollbit.cli.changes import changes_text
from unrollbit.cli.outputs import DATA_FILE
from unrollbit.operators.named import names_code
from unrollbit.packed import PackedNetwork
from unrollbit.packed.runtime import check_fingerprint
from unrollbit.problems import Problem


def problem_of(network: PackedNetwork, changes: Mapping[str, Any] | None = None, data: Path | None = None) -> Problem:
    """The problem that a file carries, with the fields in ``changes`` replaced (None: removed, back to its default).

    Its data is looked for in ``data``, or else where it was in training, in the working directory and beside the file.
    Raises ``ValueError`` if the file carries no problem, for data that is not there, for what the problem's
    constructor refuses, and for physics other than those of training: a network is for its A.
    """
    if network.problem is None:
        raise ValueError(
            "this file carries no problem, so no fresh signals can be drawn; save with pack(net, problem=...)"
        )
    if any(map(names_code, network.problem.values())):
        raise ValueError("the problem in this file names code (module:name), and code that a file names is never run")
    changes = changes or {}
    spec = {name: value for name, value in network.problem.items() if name not in changes}
    # a removed field that the spec lacks goes to the constructor as None, which refuses names that it does not know
    spec |= {name: value for name, value in changes.items() if value is not None or name not in network.problem}
    places = _places(network) if data is None else [data]
    measures = network.network.operator if network.run.fingerprint is None else None  # where it holds no other form
    problem = Problem.from_spec(spec, data=places, operator=measures)
    try:
        check_fingerprint(problem.operator.fingerprint(), network.measured)
    except ValueError as error:
        if not changes:
            raise
        raise ValueError(
            f"{changes_text(changes)}: {error}. A network is for the physics it was trained on: change only what "
            "leaves A as it is, such as sparsity or snr_db"
        ) from error
    return problem


def _places(network: PackedNetwork) -> list[Path]:
    """Where data is looked for: where a run folder says it was, in the working directory, and beside the file."""
    if network.file is None:
        return [Path()]
    noted = network.file.parent / DATA_FILE
    folders = json.loads(noted.read_text(encoding="utf-8"))["folders"] if noted.is_file() else []
    return [*map(Path, folders), Path(), network.file.parent]
