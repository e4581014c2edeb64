"""Signs in a file as their differences from ``sign(A)``, where that is shorter.

A network whose signs start at those of the physics and change little needs ``H2(f / P)`` bits a sign, not one. What is
coded is the first plane of every stored matrix (each copy against the same reference), entry by entry of the core in
row-major order, entries that a mask forbids left out; further planes stay as they are. Signs live in the form of the
file only: a loaded network holds all of them, at one bit each.

The reference must be the same on every machine (``LinearOperator.sign_reference``). So it is taken where ``sign(A)``
follows from integers and from arrays of the file without rounding that could turn a sign, and the file holds the
SHA-256 of the decoded signs: another reference is a ``ValueError``, never another network.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from unrollbit.operators import LinearOperator
from unrollbit.packed import runtime
from unrollbit.packed.file import stored, unstored
from unrollbit.packed.flip_code import encode_flips
from unrollbit.structures import Structure
from unrollbit.weights import PackedWeights
from unrollbit.weights.stored import Signs

_OVERHEAD = 256  # bytes by which the description grows, at most


def code_signs(packed: PackedWeights, physics: LinearOperator) -> PackedWeights:
    """The weights with their first sign plane in the flip code; as they are where it is not shorter or has no
    reference.

    The innermost spec gets the field ``flips`` (the SHA-256 of the packed first planes), the array ``flips`` takes the
    place of ``signs``, which keeps the other planes if there are any.
    """
    found = _coded(packed.spec, physics)
    if found is None:
        return packed
    spec, structure, physics = found
    if (
        spec["copies"] * structure.size > runtime.LARGEST_CODED
        or (reference := physics.sign_reference(structure)) is None
    ):
        return packed
    signs, rows = packed.arrays["signs"], Signs((), structure).rows
    planes = spec.get("planes", 1)
    first = signs[:, 0] if spec["kind"] == "OneBit" else signs
    different = (np.flatnonzero(_entries(one ^ reference, rows[-1])) for one in first)
    stream = encode_flips(different, structure.size)
    if len(stream) + _OVERHEAD >= first.nbytes:
        return packed
    others = {name: array for name, array in packed.arrays.items() if name != "signs"}
    if planes > 1:
        others["signs"] = np.ascontiguousarray(signs[:, 1:])
    return PackedWeights(_with_flips(packed.spec, _digest(first)), {"flips": stream, **others})


def decode_signs(packed: PackedWeights, physics: LinearOperator) -> PackedWeights:
    """Inverse of ``code_signs``; weights without a flip code as they are.

    Raises ``ValueError`` for a damaged code, for weights that have no reference, and where the decoded signs are not
    those that were saved.
    """
    held = runtime.held_map(packed.spec, {name: stored(array) for name, array in packed.arrays.items()})
    if not held.coded:
        return packed
    found = _coded(packed.spec, physics)
    if found is None:
        raise ValueError(f"flip code: {type(physics).__name__} physics give no exact reference for these weights")
    _, structure, physics = found
    layout = runtime.Layout(Signs((), structure).rows[-1], structure.size, lambda: physics.sign_reference(structure))
    arrays = {name: unstored(array) for name, array in runtime.with_signs(held, layout).arrays.items()}
    return PackedWeights(_with_flips(packed.spec, None), arrays)


def _with_flips(spec: dict[str, Any], digest: str | None) -> dict[str, Any]:
    """A spec whose innermost part has (or no longer has) the field ``flips``."""
    if "inner" in spec:
        return {**spec, "inner": _with_flips(spec["inner"], digest)}
    bare = {name: value for name, value in spec.items() if name != "flips"}
    return bare if digest is None else {**bare, "flips": digest}


def _coded(spec: Any, physics: LinearOperator) -> tuple[dict[str, Any], Structure, LinearOperator] | None:
    """The spec of a format of signs that may be coded, its structure, and the physics whose signs it starts at."""
    while isinstance(spec, dict) and "inner" in spec:
        if spec.get("kind") == "Transformed" and (parts := physics.split) is not None:
            physics = parts[0]  # signs in the domain of the signal start at those of Phi
        elif spec.get("kind") != "Normalised":
            return None  # V of W = A + V has no natural reference
        spec = spec["inner"]
    if not isinstance(spec, dict) or spec.get("kind") not in runtime.CODED:
        return None
    structure = Structure.from_spec(spec["structure"])
    return (spec, structure, physics) if structure.shape == physics.shape else None


def _entries(packed: np.ndarray, n: int) -> np.ndarray:
    """The bits of packed rows of n entries without their padding, in a row."""
    return np.unpackbits(packed, axis=-1, count=n, bitorder="little").ravel()


def _digest(first: np.ndarray) -> str:
    return hashlib.sha256(first.tobytes()).hexdigest()
