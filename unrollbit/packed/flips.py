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
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from unrollbit.formats import Format, PackedWeights
from unrollbit.formats.stored import Signs
from unrollbit.operators import LinearOperator
from unrollbit.packed import runtime
from unrollbit.packed.file import stored, unstored
from unrollbit.packed.flip_code import encode_flips
from unrollbit.sizes import positive_integer
from unrollbit.structures import Structure

_OVERHEAD = 256  # bytes by which the description grows, at most


def code_signs(packed: PackedWeights, physics: LinearOperator) -> PackedWeights:
    """The weights with their first sign plane in the flip code; as they are where it is not shorter or has no
    reference.

    The spec gets the field ``flips`` (the SHA-256 of the packed first planes), the array ``flips`` takes the place of
    ``signs``, which keeps the other planes if there are any.
    """
    found = _coded(packed.spec, physics)
    if found is None or found.signs.lead[0] * found.signs.structure.size > runtime.LARGEST_CODED:
        return packed
    reference = found.physics.sign_reference(found.signs.structure)
    if reference is None:
        return packed
    signs, many = packed.arrays["signs"], len(found.signs.lead) > 1
    first = signs[:, 0] if many else signs
    different = (np.flatnonzero(_entries(one ^ reference, found.signs.structure.entries_shape[-1])) for one in first)
    stream = encode_flips(different, found.signs.structure.size)
    if len(stream) + _OVERHEAD >= first.nbytes:
        return packed
    others = {name: array for name, array in packed.arrays.items() if name != "signs"}
    if many and signs.shape[1] > 1:
        others["signs"] = np.ascontiguousarray(signs[:, 1:])
    return PackedWeights({**packed.spec, "flips": _digest(first)}, {"flips": stream, **others})


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
    structure, reference = found.signs.structure, found.physics.sign_reference
    layout = runtime.Layout(structure.entries_shape[-1], structure.size, lambda: reference(structure))
    arrays = {name: unstored(array) for name, array in runtime.with_signs(held, layout).arrays.items()}
    return PackedWeights({name: value for name, value in packed.spec.items() if name != "flips"}, arrays)


class _Coded(NamedTuple):
    """What the flip code needs to know of weights: their array of signs, and the physics that these start at."""

    signs: Signs
    physics: LinearOperator


def _coded(spec: Mapping[str, Any], physics: LinearOperator) -> _Coded | None:
    """None for weights whose signs have no reference."""
    format = Format.from_spec(spec["format"])
    reference = format.reference(physics)
    if reference is None or "structure" not in spec:
        return None
    structure = Structure.from_spec(spec["structure"])
    signs: Any = format.parts[-1].stored(structure, positive_integer("copies", spec["copies"])).get("signs")
    if signs is None or signs.bits != signs.weights or structure.shape != reference.shape:  # not one bit each
        return None
    return _Coded(signs, reference)


def _entries(packed: np.ndarray, n: int) -> np.ndarray:
    """The bits of packed rows of n entries without their padding, in a row."""
    return np.unpackbits(packed, axis=-1, count=n, bitorder="little").ravel()


def _digest(first: np.ndarray) -> str:
    return hashlib.sha256(first.tobytes()).hexdigest()
