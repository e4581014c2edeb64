"""The fingerprint of a run: what must be the same for it to be resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from unrollbit.networks import Network
from unrollbit.training.stage import Stage


def run_fingerprint(
    net: Network, problem: Any, stages: Sequence[Stage], teacher: Network | None = None
) -> dict[str, Any]:
    """Network, problem, stages and teacher as JSON values; they are compared after a trip through a file.

    The network is about to be trained, so its formats count and its values do not; of a teacher everything does. Runs
    without one say nothing of it.
    """
    maps = {name: type(weights).__name__ for name, weights in net.maps.items()}
    described = problem.to_spec() if hasattr(problem, "to_spec") else None
    run = {**_described(net), "maps": maps, "problem": described, "stages": [stage.to_spec() for stage in stages]}
    if teacher is not None:
        run["teacher"] = {**_described(teacher), "content": _content(teacher)}
    return json.loads(json.dumps(run, default=str))


def _described(net: Network) -> dict[str, Any]:
    """Rounded: products on other machines differ in the last bits."""
    return {"network": net.to_spec(), "physics": [float(f"{value:.4e}") for value in net.operator.fingerprint()]}


def _content(net: Network) -> str:
    """A hash of what the file of a network holds of its maps and scalars."""
    digest = hashlib.sha256()
    for name in sorted(net.maps):
        packed = net.maps[name].pack()
        digest.update(json.dumps([name, packed.spec], sort_keys=True, default=_hash_of).encode())
        for key in sorted(packed.arrays):
            digest.update(f"{key}|{_hash_of(packed.arrays[key])}".encode())
    for name in sorted(net.scalars):
        digest.update(f"{name}|{_hash_of(net.scalars[name][...])}".encode())
    return digest.hexdigest()


def _hash_of(values: Any) -> str:
    array = np.ascontiguousarray(values)
    return hashlib.sha256(f"{array.dtype}|{array.shape}|".encode() + array.tobytes()).hexdigest()
