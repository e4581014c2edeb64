"""The fingerprint of a run: what must be the same for it to be resumed."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from unrollbit.networks import Network
from unrollbit.training.stage import Stage

_TRACED = 4  # updates of an optimiser that are compared
_SHOWN = 3  # differences in a message


def run_fingerprint(
    net: Network, problem: Any, stages: Sequence[Stage], teacher: Network | None = None
) -> dict[str, Any]:
    """Network, problem, stages and teacher as JSON values; they are compared after a trip through a file.

    The network is about to be trained, so its formats count, with all their options, and its values do not; of a
    teacher everything does. Runs without one say nothing of it. Of data what it holds counts, not where it lies.
    """
    maps = {name: weights.pack().spec for name, weights in net.maps.items()}
    described = problem.recipe() if hasattr(problem, "recipe") else None
    run = {**_described(net), "maps": maps, "problem": described, "stages": [_stage(stage) for stage in stages]}
    if teacher is not None:
        run["teacher"] = {**_described(teacher), "content": _content(teacher)}
    return json.loads(json.dumps(run, default=_text))


def environment() -> dict[str, Any]:
    """What decides the last bits of a run: versions, backend, numbers of devices and of processes."""
    import flax

    versions = {"jax": jax.__version__, "flax": flax.__version__, "optax": optax.__version__}
    devices = {"devices": jax.device_count(), "processes": jax.process_count()}
    return {**versions, "backend": jax.default_backend(), **devices}


def check_resumable(record: Mapping[str, Any], described: Mapping[str, Any], folder: Path) -> None:
    """Raise ``ValueError`` that names what differs if a checkpoint is of another run; warn of other versions."""
    found = list(differences(record["run"], described))
    if found:
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise ValueError(
            f"resume: the run in {folder} was started otherwise: {'; '.join(found[:_SHOWN])}{more}. Give the same "
            "arguments, or train into another folder"
        )
    if record["environment"] != environment():
        warnings.warn(
            f"resume: the run was started under {record['environment']}, now it is {environment()}; "
            "the result may differ in the last bits",
            stacklevel=4,
        )


def differences(then: Any, now: Any, where: str = "") -> Iterator[str]:
    """In words, the entries in which two trees of JSON values differ.

    Example:
        >>> list(differences({"seed": 0, "maps": {"W": {"planes": 1}}}, {"seed": 0, "maps": {"W": {"planes": 2}}}))
        ['maps.W.planes was 1 and is 2 now']
    """
    if isinstance(then, dict) and isinstance(now, dict):
        for name in [*then, *(name for name in now if name not in then)]:
            yield from differences(then.get(name), now.get(name), f"{where}.{name}" if where else name)
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for index, (a, b) in enumerate(zip(then, now, strict=True)):
            yield from differences(a, b, f"{where}[{index}]")
    elif then != now:
        yield f"{where} was {_short(then)} and is {_short(now)} now"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _stage(stage: Stage) -> dict[str, Any]:
    spec = stage.described()
    if stage.optimisers:
        spec["optimisers"] = {kind: _trace(transform) for kind, transform in stage.optimisers.items()}
    return spec


def _trace(transform: optax.GradientTransformation) -> dict[str, Any]:
    """What an optax transform, which has no description of itself, does to given gradients, and its state's form.

    Transforms that first differ later (a schedule with another end) are not told apart.
    """
    parameters = jnp.linspace(-1.0, 1.0, 8)
    state, updates = transform.init(parameters), []
    form = str(jax.tree.map(jnp.shape, state))
    for step in range(_TRACED):
        update, state = transform.update(jnp.cos(jnp.arange(8.0) + step), state, parameters)
        parameters = optax.apply_updates(parameters, update)
        updates.append([float(f"{float(value):.4e}") for value in jnp.asarray(update)])
    return {"updates": updates, "state": form}


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


def _text(value: Any) -> str:
    return _hash_of(value) if isinstance(value, np.ndarray | jax.Array) else str(value)


def _hash_of(values: Any) -> str:
    array = np.ascontiguousarray(values)
    return hashlib.sha256(f"{array.dtype}|{array.shape}|".encode() + array.tobytes()).hexdigest()
