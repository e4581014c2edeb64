"""Signs in a file as their differences from ``sign(A)``, where that is shorter.

A network whose signs start at those of the physics and change little needs ``H2(f / P)`` bits a sign, not one. What is
coded is the first plane of every stored matrix (each copy against the same reference), entry by entry of the core in
row-major order, entries that a mask forbids left out; further planes stay as they are. Signs live in the form of the
file only: a loaded network holds all of them, at one bit each.

The reference must be the same on every machine. So it is taken where ``sign(A)`` follows from integers and from arrays
of the file without rounding that could turn a sign, and the file holds the SHA-256 of the decoded signs: another
reference is a ``ValueError``, never another network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from unrollbit.operators import BlockDiagonal, Composition, Dense, Hadamard, LinearOperator, Rademacher, Scaled
from unrollbit.packed.flip_code import HEADER, decode_flips, encode_flips
from unrollbit.sizes import positive_integers
from unrollbit.structures import Full, Structure
from unrollbit.weights import PackedWeights
from unrollbit.weights.stored import Signs

LARGEST = 2**32  # coded signs of a map: a few bytes of a file can stand for many
_OVERHEAD = 256  # bytes by which the description grows, at most
_EXACT = ("gaussian", "gaussian_blocks", "rademacher_blocks", "hadamard_blocks")  # a draw, times something positive
_FORMATS = ("OneBit", "BitNet", "OneBitSVID")  # whose array ``signs`` has A's entries
_AT_A_TIME = 2**20  # entries of a Hadamard matrix


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
    if spec["copies"] * structure.size > LARGEST or (reference := reference_signs(physics, structure)) is None:
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
    spec = _innermost(packed.spec)
    if spec is None or "flips" not in spec:
        return packed
    if "flips" not in packed.arrays:
        raise ValueError("array 'flips' is missing")
    stream, copies, planes = packed.arrays["flips"], spec["copies"], spec.get("planes", 1)
    positive_integers(copies=copies, planes=planes)
    found = _coded(packed.spec, physics)
    structure = None if found is None else found[1]
    if structure is not None and (copies * structure.size > LARGEST or HEADER * copies > stream.size):
        raise ValueError(f"flip code: {copies} matrices of {structure.size} signs are not in {stream.size} bytes")
    reference = None if found is None else reference_signs(found[2], found[1])
    if structure is None or reference is None:
        raise ValueError(f"flip code: {type(physics).__name__} physics give no exact reference for these weights")
    first = np.repeat(reference[None], copies, axis=0)
    last = Signs((), structure).rows[-1]
    for one, positions in zip(first, decode_flips(stream, copies, structure.size), strict=True):
        row, column = np.divmod(positions, last)
        byte = row * reference.shape[-1] + column // 8
        np.bitwise_xor.at(one.reshape(-1), byte, np.left_shift(1, column % 8).astype(np.uint8))
    if spec["flips"] != _digest(first):
        raise ValueError(
            "flip code: the decoded signs are not those that were saved (their checksum differs); this machine "
            "computes other signs of A"
        )
    arrays = {name: array for name, array in packed.arrays.items() if name not in ("flips", "signs")}
    whole = _planes(first, packed.arrays, planes)
    arrays["signs"] = whole if spec["kind"] == "OneBit" else first
    return PackedWeights(_with_flips(packed.spec, None), arrays)


def _planes(first: np.ndarray, arrays: Mapping[str, np.ndarray], planes: int) -> np.ndarray:
    """All planes of one-bit weights: the decoded one before those that are stored as they are."""
    if planes == 1:
        if "signs" in arrays:
            raise ValueError("array 'signs' is of no use beside a flip code of the only plane")
        return first[:, None]
    others, shape = arrays.get("signs"), (len(first), planes - 1, *first.shape[1:])
    if others is None or others.shape != shape or others.dtype != np.uint8:
        found = "none" if others is None else f"{others.dtype} {others.shape}"
        raise ValueError(f"array 'signs': expected uint8 {shape} beside a flip code, got {found}")
    return np.concatenate([first[:, None], others], axis=1)


def _innermost(spec: Any) -> dict[str, Any] | None:
    """The spec of the format inside wrappers; None for what is no spec."""
    while isinstance(spec, dict) and "inner" in spec:
        spec = spec["inner"]
    return spec if isinstance(spec, dict) else None


def _with_flips(spec: dict[str, Any], digest: str | None) -> dict[str, Any]:
    """A spec whose innermost part has (or no longer has) the field ``flips``."""
    if "inner" in spec:
        return {**spec, "inner": _with_flips(spec["inner"], digest)}
    bare = {name: value for name, value in spec.items() if name != "flips"}
    return bare if digest is None else {**bare, "flips": digest}


def _coded(spec: Any, physics: LinearOperator) -> tuple[dict[str, Any], Structure, LinearOperator] | None:
    """The spec of a format of signs that may be coded, its structure, and the physics whose signs it starts at."""
    while isinstance(spec, dict) and "inner" in spec:
        if spec.get("kind") == "Transformed" and isinstance(physics, Composition):
            physics = physics.outer  # signs in the domain of the signal start at those of Phi
        elif spec.get("kind") != "Normalised":
            return None  # V of W = A + V has no natural reference
        spec = spec["inner"]
    if not isinstance(spec, dict) or spec.get("kind") not in _FORMATS:
        return None
    structure = Structure.from_spec(spec["structure"])
    return (spec, structure, physics) if structure.shape == physics.shape else None


def reference_signs(A: LinearOperator, structure: Structure) -> np.ndarray | None:
    """Packed signs of A as one matrix of the file holds them (``unrollbit.weights.stored.Signs``), without the leading
    axes; None where they are not exact by construction.

    Exact: user's matrices and blocks (``Dense``, ``BlockDiagonal``), Gaussian ones from a seed (a draw divided by a
    norm), ``Rademacher``, ``Hadamard``, and positive multiples of them. Not exact: what is computed by decompositions,
    transforms or sums.

    Example:
        >>> from unrollbit.operators import Dense
        >>> A = Dense.of([[1.0, -2.0], [0.0, 4.0]])
        >>> reference_signs(A, A.mask()).tolist()
        [[2], [0]]
    """
    while isinstance(A, Scaled) and A.factor > 0:
        A = A.operator
    full = isinstance(structure, Full)
    if isinstance(A, Rademacher) and full:
        return np.asarray(A.packed)
    if isinstance(A, Hadamard) and full:
        return _hadamard_signs(A)
    if not isinstance(A, Dense | BlockDiagonal) or (A.recipe is not None and A.recipe[0] not in _EXACT):
        return None
    if isinstance(A, BlockDiagonal):
        if structure != A.mask():
            return None
        negative = np.asarray(A.core) < 0
    else:
        if structure.core_shape != A.shape:  # blocks, taps: another core than the matrix
            return None
        negative = np.asarray(A.matrix) < 0
    exists = structure.core_mask
    return np.packbits(negative if exists is None else negative[exists], axis=-1, bitorder="little")


def _hadamard_signs(A: Hadamard) -> np.ndarray:
    columns, negative = np.arange(A.n), A.column_signs < 0
    parts = []
    height = max(1, _AT_A_TIME // A.n)
    for start in range(0, A.m, height):
        odd = (np.bitwise_count(A.rows[start : start + height, None] & columns) & 1).astype(bool)
        parts.append(np.packbits(odd ^ negative, axis=-1, bitorder="little"))
    return np.concatenate(parts)


def _entries(packed: np.ndarray, n: int) -> np.ndarray:
    """The bits of packed rows of n entries without their padding, in a row."""
    return np.unpackbits(packed, axis=-1, count=n, bitorder="little").ravel()


def _digest(first: np.ndarray) -> str:
    return hashlib.sha256(first.tobytes()).hexdigest()
