"""Physics as an argument of a problem: an object, a file, or the table of an operator; and how its spec writes it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from unrollbit.operators import LinearOperator, named_physics
from unrollbit.operators.named import names_code
from unrollbit.operators.physics import physics_of
from unrollbit.problems.array_files import Place, load_array
from unrollbit.specs import Spec

_WRITTEN = 4096  # numbers of physics that a spec writes


def physics_and_source(
    name: str, physics: Any, folder: Place | None = None, shape: tuple[int, ...] | None = None
) -> tuple[LinearOperator, str | None]:
    """The operator of an argument, and the path where it came from a file, or the name in the user's own code
    (``module:name``).

    A table (``{kind = "Convolution", kernel = "kernel.npy"}``) is the spec of an operator; its arrays may be paths, and
    ``signal_shape`` is ``shape`` where it needs one and has none. Raises ``ValueError`` for what cannot be read and
    ``TypeError`` for what is no physics.
    """
    if physics is None:
        raise ValueError(
            f"{name}: missing; expected the physics: a matrix, an operator, the path of a .npy or .npz, or module:name"
        )
    if isinstance(physics, str) and names_code(physics) and not (Path(folder or ".") / physics).is_file():
        return named_physics(physics, folder, name), physics
    if isinstance(physics, str | os.PathLike):
        return physics_of(load_array(name, physics, folder), name), os.fspath(physics)
    if not isinstance(physics, Mapping):
        return physics_of(physics, name), None
    spec = {key: _array_of(f"{name}.{key}", value, folder) for key, value in physics.items()}
    kind = LinearOperator.kinds.get(spec.get("kind"))
    if shape is not None and "signal_shape" in getattr(kind, "__dataclass_fields__", ()):
        spec.setdefault("signal_shape", list(shape))
    return LinearOperator.from_spec(spec), None


def written(physics: LinearOperator) -> Spec | None:
    """The JSON-able spec of physics of few numbers; None for others."""
    try:
        spec = physics.to_spec()
    except TypeError:
        return None
    leaves = jax.tree.leaves(spec)
    if sum(np.size(leaf) for leaf in leaves) > _WRITTEN:
        return None
    return jax.tree.map(lambda leaf: leaf.tolist() if isinstance(leaf, np.ndarray) else leaf, spec)


def _array_of(name: str, value: Any, folder: Place | None) -> Any:
    if isinstance(value, str) and Path(value).suffix == ".npy":
        return load_array(name, value, folder)
    if isinstance(value, Mapping):
        return {key: _array_of(f"{name}.{key}", entry, folder) for key, entry in value.items()}
    return value
