"""Run a packed network with NumPy alone. This one file is all that a device needs next to a network's file::

    python runtime.py network.safetensors Y.npy X.npy     # or: runtime.load("network.safetensors")(y)

It imports the standard library and NumPy only, and reads format version 2, of which ``FORMAT.md`` is the specification
and this file the same in code. The library reads its files through it, too: ``read`` and the flip code are the only
ones. Estimates equal those of ``unrollbit.load`` to float32 rounding: sums run in float32 as they do there (in another
order), and in float64 where they do there. Packed matrices stay packed: ``PANEL`` rows at a time are unpacked. What is
wrong with a file or with measurements is one ``ValueError`` that says what was expected.

Every kind that a file can name is one small function in a table: ``STRUCTURES`` (where a matrix may be non-zero),
``OPERATORS`` (the physics A), ``FORMATS`` and ``WRAPPERS`` (learned matrices W), ``SHRINKAGES``, ``ALGORITHMS`` and
``NETWORKS``.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import json
import math
import os
import sys
import tokenize
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

FORMAT, VERSION = "unrollbit", "2"
METADATA = ("format", "version", "description", "run", "checksum")
DESCRIPTION = ("network", "maps", "physics", "fingerprint")  # what identifies the network
RUN = ("problem", "fingerprint", "training")  # what describes how it came about
CERTIFICATES = "certificates"  # beside them: what is known of the network on fresh signals, where something is
SIZES = ("measurement", "residual", "change", "deviation")  # norms that error bars are made of
MODEL = "Model"  # the kind of a file that holds the weights of a Flax model, which its own code runs
LOCAL_SIZES = ("change", "texture")  # maps that error bars of samples are made of
NETWORK_FILE = "network.safetensors"  # in a run folder
DTYPES = {
    "U8": "|u1",
    "U16": "<u2",
    "BF16": "<u2",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
    "I32": "<i4",
}  # BF16: upper half of a float32
LARGEST_HEADER = 100_000_000  # bytes; the limit of safetensors
DEEPEST = 32  # levels of lists and objects in JSON
LARGEST_SIDE = 2**26  # of a matrix; unknowns of a signal
LARGEST = 2**30  # entries of a matrix, mask or stack of blocks that is formed though the file holds no array of it
LARGEST_COUNT = 2**16  # blocks that are drawn one by one
LARGEST_SOLVE = 8192  # rows of a block that is decomposed
LARGEST_SVD = 2**22  # entries of a matrix that is decomposed for its regularised inverse
LARGEST_LOG = 88.0  # exp of more leaves float32
LARGEST_CODED = 2**32  # signs of a map that a flip code may stand for
NPY = b"\x93NUMPY"  # how such a file begins
CODE_HEADER = 5  # bytes of a flip code before its bits
MOST_OPERATORS = 16  # in the physics, masks included
PANEL = 64  # rows of a matrix that are unpacked at a time
FINGERPRINT_TOLERANCE = 1e-3  # relative
SOLVED = np.float32(1e-12)  # share of the squared residual at which conjugate gradients stop
RESOLUTION = 1e-6  # singular values below this share of the largest are rounding

Spec = Mapping[str, Any]
Function = Callable[[np.ndarray], np.ndarray]  # of (batch, ...) arrays
Inverse = Callable[[np.ndarray, Any], np.ndarray]  # of residuals (batch, m) and rho: (A^T A + rho ||A||^2 I)^-1 A^T r


def load(path: str | os.PathLike[str]) -> Network:
    """Read a packed network, from its file or from the folder of its run.

    Raises ``FileNotFoundError``, ``TypeError`` for what is no path, and ``ValueError`` for everything that is wrong
    with the file.
    """
    file = read(path)
    with refusing(file.path):
        if of_model(file.description):
            raise ValueError(
                "the weights of a Flax model, which its own code runs: unrollbit.load(path, model); here, "
                "matrices(path) reads them"
            )
        return Network(file.description, file.arrays)


def matrices(path: str | os.PathLike[str]) -> tuple[dict[str, Operator], dict[str, np.ndarray]]:
    """What a file of a Flax model holds: the matrices (out, in) of its quantised layers, which ``apply`` to inputs
    (batch, in), and all its other variables, each by its path in the model.

    A convolution's columns are taps and input features in the order of Flax's kernel. Raises as ``load`` does.
    """
    file = read(path)
    with refusing(file.path):
        if not of_model(file.description):
            raise ValueError("expected the weights of a Flax model; load(path) reads a recovery network")
        parts, found = parts_of(file.description, file.arrays), {}
        nothing = diagonal(np.zeros(1, np.float32))  # physics, which these formats do not look at
        for name, (spec, arrays) in parts.maps.items():
            held = held_map(spec, dict(arrays))
            kind_of(held.format, FORMATS, f"weight format of layer {name}")  # a wrapper would need physics
            linear = Map(structure_of(held.structure).shape, lambda: nothing)
            (found[name],) = matrices_of(held.format, held, linear, nothing)
        others = {name: a.floats() if a.dtype == "BF16" else a.entries for name, a in parts.scalars.items()}
        return found, others


@contextlib.contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Turns what a wrong description leads to into one ``ValueError`` that names the file."""
    try:
        yield
    except MemoryError as error:
        raise ValueError(f"{path}: the network needs more memory than there is") from error
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"{path}: the description of the network is damaged ({type(error).__name__}: {error})"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


# ---- the file ------------------------------------------------------------------------------------------------------


class Stored(NamedTuple):
    """An array of a file: the name of its dtype there, and its entries (bfloat16 as uint16)."""

    dtype: str
    entries: np.ndarray

    def __repr__(self) -> str:
        return f"{self.dtype} of shape {self.entries.shape}"

    def floats(self) -> np.ndarray:
        """As float32; raises ``ValueError`` for entries that are not finite."""
        wide = self.entries.astype(np.uint32) << 16 if self.dtype == "BF16" else self.entries
        with np.errstate(over="ignore"):
            values = wide.view(np.float32) if self.dtype == "BF16" else wide.astype(np.float32)
        if not np.isfinite(values).all():
            raise ValueError(f"expected finite numbers in an array of shape {values.shape}, got NaN or infinity")
        return values


class File(NamedTuple):
    """The content of a file: what identifies the network, what describes its run, and arrays by name."""

    path: Path
    description: dict[str, Any]
    run: dict[str, Any]
    arrays: dict[str, Stored]
    size: int  # bytes


def network_file(path: str | os.PathLike[str]) -> Path:
    """The file of a packed network, which may be given by the folder of its run."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"expected the path of a packed network or of a run folder, got {type(path).__name__}")
    path = Path(path)
    if path.is_dir():
        if not (path / NETWORK_FILE).is_file():
            unfinished = (path / "metrics.jsonl").exists()
            hint = (
                "training has not finished; continue with unrollbit train --resume" if unfinished else "no run folder?"
            )
            raise ValueError(f"{path}: no {NETWORK_FILE} inside ({hint})")
        return path / NETWORK_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a packed network (.safetensors) or a run folder")
    return path


def read(path: str | os.PathLike[str]) -> File:
    """The content of a file, after all checks of ``FORMAT.md`` that need no knowledge of networks."""
    path = network_file(path)
    try:
        return content_of(path, path.read_bytes())
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{path}: expected dtype, shape and data_offsets of every array ({error!r})") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def content_of(path: Path, content: bytes) -> File:
    """``read`` without the name of the file in what it raises."""
    if content.startswith(b"\x93NUMPY"):
        raise ValueError("not a readable safetensors file: an array of numpy.save, no packed network")
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 or size > min(LARGEST_HEADER, len(content) - 8):
        raise ValueError(
            f"not a readable safetensors file, or cut off: {len(content)} bytes cannot hold a header of {size}"
        )
    try:
        header = parsed(content[8 : 8 + size].decode("utf-8"), "header")
    except ValueError as error:
        raise ValueError(f"not a readable safetensors file ({error})") from error
    metadata, data = header.pop("__metadata__", None), memoryview(content)[8 + size :]
    check_metadata(metadata)
    arrays, begins = {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        arrays[name] = array_of(name, entry, data, begins)
        begins = entry["data_offsets"][1]
    if begins != len(data):
        raise ValueError(f"expected {begins} bytes of arrays, got {len(data)}")
    if metadata["checksum"] != checksum_of(metadata["description"], metadata["run"], arrays):
        raise ValueError("the checksum does not match; the file was damaged or changed")
    description, run = parsed(metadata["description"], "description"), parsed(metadata["run"], "run")
    certificates = run.get(CERTIFICATES)
    more = (CERTIFICATES,) if certificates is not None else ()
    for part, names, what in ((description, DESCRIPTION, "description"), (run, (*RUN, *more), "run")):
        if set(part) != set(names):
            raise ValueError(f"the {what} must have exactly the fields {', '.join(names)}; got {sorted(part)!r:.200}")
    if not all(isinstance(run[name], dict | None) for name in ("problem", "training")):
        raise ValueError("expected objects, or null, as problem and training")
    if not of_model(description):
        fingerprint_of(description["fingerprint"])
    elif description["physics"] is not None or description["fingerprint"] is not None:
        raise ValueError("expected null as physics and fingerprint of a Flax model")
    if run["fingerprint"] is not None:
        fingerprint_of(run["fingerprint"])
    if certificates is not None:
        check_certificates(certificates, checksum_of(metadata["description"], "", arrays))
    if not isinstance(description["maps"], dict):
        raise ValueError(f"expected an object of maps, got {description['maps']!r:.60}")
    return File(path, description, run, arrays, len(content))


def of_model(description: Spec) -> bool:
    """Whether a file holds the weights of a Flax model."""
    spec = description["network"]
    return isinstance(spec, dict) and spec.get("kind") == MODEL


def check_metadata(metadata: Any) -> None:
    """Raises ``ValueError`` unless these are the strings of this version."""
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ValueError(f"a safetensors file, but no packed network of {FORMAT}")
    if metadata.get("version") != VERSION:
        raise ValueError(f"format version {metadata.get('version')!r}; this program reads version {VERSION}")
    if missing := [name for name in METADATA if not isinstance(metadata.get(name), str)]:
        raise ValueError(f"the header lacks {', '.join(missing)}")
    if unknown := sorted(set(metadata) - set(METADATA)):
        raise ValueError(f"the header has entries of no use: {', '.join(map(repr, unknown))}")


def parsed(text: str, what: str) -> dict[str, Any]:
    """A JSON object; names that occur twice, numbers that JSON does not have or of more than 64 bits are refused.

    Example:
        >>> parsed('{"depth": 4}', "text")
        {'depth': 4}
        >>> parsed('{"depth": 4, "depth": 1000000}', "text")
        Traceback (most recent call last):
        ...
        ValueError: the text is damaged (the key 'depth' occurs twice)
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} occurs twice")
        return found

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no number of JSON")

    def whole(digits: str) -> int:
        if len(digits) > 20 or abs(value := int(digits)) >= 2**63:
            raise ValueError(f"an integer of {len(digits)} digits; expected at most 64 bits")
        return value

    def real(digits: str) -> float:
        if not math.isfinite(value := float(digits)):
            raise ValueError(f"the number {digits[:20]} is infinite")
        return value

    try:
        found = json.loads(text, object_pairs_hook=unique, parse_constant=refuse, parse_int=whole, parse_float=real)
        check_depth(found)
    except RecursionError as error:
        raise ValueError(f"the {what} is damaged (lists and objects nest too deep)") from error
    except ValueError as error:
        raise ValueError(f"the {what} is damaged ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"the {what} is damaged (expected a JSON object, got {type(found).__name__})")
    return found


def check_depth(value: Any) -> None:
    """Raises ``ValueError`` for lists and objects that nest too deep."""
    level = [value]
    for _ in range(DEEPEST + 1):
        inner = [entry for entry in level if isinstance(entry, dict | list)]
        level = [part for entry in inner for part in (entry.values() if isinstance(entry, dict) else entry)]
        if not level:
            return
    raise ValueError(f"lists and objects nest more than {DEEPEST} levels deep")


def array_of(name: str, entry: Spec, data: memoryview, begins: int) -> Stored:
    """One array of the data section, which must begin where the one before it ended. Copies nothing."""
    dtype, shape, offsets = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    begin, end = offsets if len(offsets) == 2 else (-1, -1)
    if dtype not in DTYPES:
        raise ValueError(f"array {name!r} has dtype {dtype}; expected one of {', '.join(DTYPES)}")
    if not all(type(number) is int and number >= 0 for number in (*shape, begin, end)):
        raise ValueError(f"array {name!r}: expected integers >= 0 as shape {shape} and two as data_offsets {offsets}")
    expected = math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
    if begin != begins or end - begin != expected or end > len(data):
        raise ValueError(
            f"array {name!r}: expected the bytes {begins} to {begins + expected} of {len(data)}, got {begin} to {end}"
        )
    return Stored(dtype, np.frombuffer(data[begin:end], DTYPES[dtype]).reshape(shape))


def checksum_of(description: str, run: str, arrays: Mapping[str, Stored]) -> str:
    """SHA-256 of description and run, a zero byte after each, then of name, dtype, shape and bytes of every array, by
    name.
    """
    digest = hashlib.sha256()
    for text in (description, run):
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    for name in sorted(arrays):
        dtype, entries = arrays[name]
        digest.update(f"{name}|{dtype}|{entries.shape}|".encode("utf-8", "surrogatepass"))
        digest.update(entries.tobytes())
    return digest.hexdigest()


def check_certificates(value: Any, network: str | None = None) -> None:
    """Raises ``ValueError`` unless certificates are such as their numbers of signals allow, and of this network."""
    if not isinstance(value, dict):
        raise ValueError(f"expected an object of certificates, got {value!r:.60}")
    if network is not None and value.get("network") != network:
        raise ValueError("the certificates are of another network; calibrate this one")
    facts = ("signals", "confidence", "share", "limit_db", "failure_db", "failure", "risk", "error_bar", "assumes")
    if missing := [name for name in facts if name not in value]:
        raise ValueError(f"certificates: expected {', '.join(facts)}; {', '.join(missing)} missing")
    signals = integer("certificates signals", value["signals"])
    numbers = {name: number(f"certificates {name}", value[name]) for name in facts[1:-2]}
    fails = 1 - numbers["confidence"]
    if not (0 < fails < 1 and 0 < numbers["share"] < 1 and isinstance(value["assumes"], str)):
        raise ValueError("certificates: expected a confidence and a share in (0, 1), and assumptions in words")
    slack = 1 + RESOLUTION
    least = 1 - fails ** (1 / signals)  # of a probability of which no event was seen
    if not (least <= numbers["failure"] * slack and numbers["failure"] <= 1 and least <= numbers["risk"] * slack):
        raise ValueError(f"certificates: {signals} signals allow no probability and no risk below {least:.3g}")
    if numbers["share"] ** signals > fails * slack:
        raise ValueError(f"certificates: {signals} signals allow no limit for a share of {numbers['share']:g}")
    check_error_bar(value["error_bar"], SIZES)
    if "sample_error_bar" in value:
        check_error_bar(value["sample_error_bar"], LOCAL_SIZES)


def check_error_bar(value: Any, sizes: Sequence[str]) -> None:
    """Raises ``ValueError`` unless an error bar is one that its number of signals allows, made of these sizes."""
    if not isinstance(value, dict):
        raise ValueError(f"expected an object as error bar, got {value!r:.60}")
    level, quantile, floor = (number(f"error bar {name}", value.get(name)) for name in ("level", "quantile", "floor"))
    signals, exponents = integer("error bar signals", value.get("signals")), value.get("exponents")
    if not isinstance(exponents, dict) or not set(exponents) <= set(sizes):
        raise ValueError(f"error bar: expected exponents of {', '.join(sizes)}, got {exponents!r:.60}")
    powers = [number(f"exponent {name}", power) for name, power in exponents.items()]
    if not (0 < level < 1 and quantile > 0 and floor > 0 and min(powers, default=0.0) >= 0):
        raise ValueError("error bar: expected a level in (0, 1), a quantile and a floor above 0, exponents from 0")
    if math.ceil((signals + 1) * level) > signals:
        raise ValueError(f"error bar: {signals} signals allow no level of {level:g}")


T = TypeVar("T")


def with_arrays(value: Any, arrays: Mapping[str, T], used: set[str]) -> Any:
    """A part of the description with its references ``{"array": name}`` replaced by the arrays, ``used`` ones."""
    if not isinstance(value, dict):
        return value
    if set(value) == {"array"}:
        name = value["array"]
        if not isinstance(name, str) or name not in arrays:
            raise ValueError(f"array {name!r} is missing")
        used.add(name)
        return arrays[name]
    return {name: with_arrays(entry, arrays, used) for name, entry in value.items()}


class Parts(NamedTuple, Generic[T]):
    """A description with its arrays in place: those of scalars and of each map by their own names."""

    network: Any
    physics: Any
    fingerprint: Any
    maps: dict[str, tuple[Any, dict[str, T]]]
    scalars: dict[str, T]


def parts_of(description: Spec, arrays: Mapping[str, T]) -> Parts[T]:
    """Sort the arrays of a file. Raises ``ValueError`` for one that is missing or of no use."""
    used: set[str] = set()
    physics = with_arrays(description["physics"], arrays, used)
    specs = with_arrays(description["maps"], arrays, used)
    if not isinstance(specs, dict):
        raise ValueError(f"expected an object of maps, got {specs!r:.60}")
    if (count := count_operators(physics)) > MOST_OPERATORS:
        raise ValueError(f"the physics has {count} parts; expected at most {MOST_OPERATORS}")

    def under(prefix: str) -> dict[str, T]:
        found = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        used.update(prefix + name for name in found)
        return found

    maps = {name: (spec, under(f"maps/{name}/")) for name, spec in specs.items()}
    scalars = under("scalars/")
    if useless := sorted(set(arrays) - used):
        raise ValueError(f"arrays of no use: {', '.join(map(repr, useless))}")
    return Parts(description["network"], physics, description["fingerprint"], maps, scalars)


def taken(arrays: dict[str, Stored], name: str, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """An array of weights or scalars (float32, or bytes) after checking dtype, shape and that it is finite.

    It is no longer among ``arrays`` then: what is left there in the end is of no use.
    """
    if name not in arrays:
        raise ValueError(f"array {name!r} is missing")
    array = arrays.pop(name)
    found, entries = array
    if found != dtype or entries.shape != shape:
        raise ValueError(f"array {name!r}: expected {dtype} of shape {shape}, got {found} of shape {entries.shape}")
    try:
        return entries if dtype == "U8" else array.floats()
    except ValueError as error:
        raise ValueError(f"array {name!r}: {error}") from error


def stored_as(value: Any, *dtypes: str) -> Stored | None:
    """A value of a description, if it is an array of one of these dtypes (of none: of any); it may be anything that
    JSON has.
    """
    return value if isinstance(value, Stored) and (not dtypes or value.dtype in dtypes) else None


def floats(value: Any, ndim: int) -> np.ndarray:
    """An array of the physics, float32."""
    array = stored_as(value, "F32", "F64")
    if array is None or array.entries.ndim != ndim:
        raise ValueError(f"expected a {ndim}-D array of floats of the file, got {value!r:.80}")
    return array.floats()


def bytes_of(value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """An array of bytes of the physics or of a structure; -1 in ``shape`` stands for any size."""
    array = stored_as(value, "U8")
    if (
        array is None
        or array.entries.ndim != len(shape)
        or any(wanted not in (-1, side) for side, wanted in zip(array.entries.shape, shape, strict=True))
    ):
        raise ValueError(f"expected bytes of shape {shape}, got {value!r:.80}")
    return array.entries


# ---- specs: {"kind": name, field: value, ...} -----------------------------------------------------------------------


def whole_numbers(name: str, value: Any) -> np.ndarray:
    """A vector of integers of the file, as int64."""
    array = stored_as(value, "U8", "U16", "I32")
    if array is None or array.entries.ndim != 1:
        raise ValueError(f"{name}: expected a vector of U8, U16 or I32 of the file, got {value!r:.80}")
    return array.entries.astype(np.int64)


def kind_of(spec: Any, table: Mapping[str, Any], what: str) -> Any:
    """The entry of a table that a spec names."""
    kind = spec.get("kind") if isinstance(spec, Mapping) else None
    if not isinstance(kind, str) or kind not in table:
        raise ValueError(f"unknown {what} {kind!r}; this reader knows {', '.join(sorted(table))}")
    return table[kind]


def fields(spec: Spec, *names: str, **defaults: Any) -> list[Any]:
    """The values of the fields of a spec, in this order: required ones, then those with defaults."""
    unknown, missing = set(spec) - {"kind", *names, *defaults}, [name for name in names if name not in spec]
    if unknown or missing:
        wrong = f"does not know {sorted(unknown)}" if unknown else f"needs {missing}"
        raise ValueError(f"{spec['kind']} {wrong}; its fields: {', '.join((*names, *defaults))}")
    return [spec[name] for name in names] + [spec.get(name, default) for name, default in defaults.items()]


def integer(name: str, value: Any, low: int = 1, high: int = LARGEST_SIDE) -> int:
    """A checked integer: ``low <= value <= high``."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name}: expected an integer from {low} to {high}, got {value!r}")
    return value


def integers(low: int = 1, **values: Any) -> list[int]:
    """``integer`` for several names."""
    return [integer(name, value, low) for name, value in values.items()]


def seed_of(value: Any) -> np.random.RandomState:
    """Mersenne Twister with NumPy's legacy distributions: the same numbers in every version."""
    return np.random.RandomState(integer("seed", value, 0, 2**32 - 1))


def number(name: str, value: Any) -> float:
    """A checked real number; files write infinities as ``"inf"`` and ``"-inf"``."""
    value = {"inf": math.inf, "-inf": -math.inf}.get(value, value) if isinstance(value, str) else value
    if type(value) not in (int, float) or math.isnan(value):
        raise ValueError(f"{name}: expected a number, got {value!r}")
    return float(value)


def one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    """A checked choice."""
    if not any(type(value) is type(choice) and value == choice for choice in allowed):
        raise ValueError(f"{name}: expected one of {allowed}, got {value!r}")
    return value


def limited(what: str, *sizes: int, largest: int = LARGEST) -> None:
    """Raises ``ValueError`` where the product of sizes is more than may be formed."""
    if math.prod(sizes) > largest:
        raise ValueError(f"{what} of {' x '.join(map(str, sizes))}: expected at most {largest} entries")


def sides_of(value: Any) -> tuple[int, ...]:
    """A signal's shape ``[n]`` or ``[height, width]``."""
    if not isinstance(value, list) or len(value) not in (1, 2):
        raise ValueError(f"signal_shape: expected [n] or [height, width], got {value!r}")
    sides = tuple(integer("signal_shape", side) for side in value)
    limited("a signal", *sides, largest=LARGEST_SIDE)
    return sides


# ---- linear operators ----------------------------------------------------------------------------------------------


class Made(NamedTuple):
    """How an operator was made, for programs that write it in another language: a name, and what it was made of."""

    kind: str
    parts: dict[str, Any]
    estimate: Mapping[str, Any] = MappingProxyType({})  # what its linear estimate needs beside them


@dataclass(frozen=True)
class Operator:
    """A matrix A (m, n): ``apply`` maps (batch, n) to (batch, m), ``adjoint`` back; both in float32."""

    shape: tuple[int, int]
    apply: Function
    adjoint: Function
    rows: Callable[[int, int], np.ndarray] | None = None  # rows i to j - 1, where that is quicker than by ``adjoint``
    blocks: int = 1  # diagonal blocks, of which each has its own noise level
    frame: float | None = None  # c where A A^T = c I exactly
    accept: Operator | None = None  # what is done to measurements first (preconditioned physics)
    complex: bool = False  # whether measurements are the real, then the imaginary parts of m / 2 complex numbers
    parts: tuple[Operator, Operator] | None = None  # (outer, inner) of a composition
    reference: Callable[[Structure], np.ndarray | None] | None = None  # packed sign(A), where rounding can turn none
    made: Made | None = None  # None where only its products are known
    estimate: Function | None = None  # W y, the linear estimate of x, where it is not A^T y (over c of a frame)
    inverse: Callable[[], Inverse] | None = None  # where a formula gives it
    bank: tuple[np.ndarray, Structure] | None = None  # filters (*taps, channels) and where they act

    def linear_estimate(self, y: np.ndarray) -> np.ndarray:
        """``W y``, (batch, m) to (batch, n): where algorithms start and what their data step multiplies."""
        return self.adjoint(y) / np.float32(self.frame or 1) if self.estimate is None else self.estimate(y)

    def panel(self, i: int, j: int) -> np.ndarray:
        """Rows i to j - 1 of the matrix."""
        if self.rows is not None:
            return self.rows(i, j)
        return self.adjoint(np.eye(j - i, self.shape[0], i, dtype=np.float32))

    def panels(self) -> Iterator[tuple[int, int]]:
        """Ranges of rows to take at a time."""
        m = self.shape[0]
        return ((i, min(i + PANEL, m)) for i in range(0, m, PANEL))

    def dense(self) -> np.ndarray:
        """The matrix, for what is computed from it once."""
        limited("a matrix", *self.shape)
        return self.panel(0, self.shape[0])

    def column_rms(self) -> float:
        """``||A||_F / sqrt(n)``."""
        m, n = self.shape
        if self.frame is not None:
            return math.sqrt(m * self.frame / n)
        return math.sqrt(sum(float((self.panel(i, j).astype(np.float64) ** 2).sum()) for i, j in self.panels()) / n)

    def norm(self) -> float:
        """Spectral norm, exact."""
        if self.frame is not None:
            return math.sqrt(self.frame)
        if min(self.shape) > 4096 or math.prod(self.shape) > 2**25:
            raise ValueError(f"the norm of a {self.shape} operator without a formula needs the full library")
        return float(np.linalg.norm(self.dense().astype(np.float64), 2))


def transposed(A: Operator) -> Operator:
    """``A^T``."""
    m, n = A.shape
    made = Made("transposed", {"operator": A})
    return Operator((n, m), A.adjoint, A.apply, blocks=A.blocks, frame=A.frame if m == n else None, made=made)


def scaled(A: Operator, factor: float) -> Operator:
    """``factor A``."""
    frame = None if A.frame is None else factor**2 * A.frame
    maps = (lambda x: factor * A.apply(x)), (lambda r: factor * A.adjoint(r)), (lambda i, j: factor * A.panel(i, j))
    reference = A.reference if factor > 0 else None
    estimate = None if A.estimate is None or not factor else lambda y: A.linear_estimate(y) / np.float32(factor)
    changed = {"frame": frame, "reference": reference, "estimate": estimate}
    changed["made"] = Made("scaled", {"operator": A, "factor": factor})
    return Operator(A.shape, *maps, blocks=A.blocks, accept=A.accept, complex=A.complex, **changed)


def composed(outer: Operator, inner: Operator) -> Operator:
    """``outer inner``: x -> outer(inner(x))."""
    if outer.shape[1] != inner.shape[0] or inner.accept is not None:
        raise ValueError(f"cannot compose operators of shapes {outer.shape} and {inner.shape}, or preconditioned ones")
    frame = None if outer.frame is None or inner.frame is None else inner.frame * outer.frame
    return Operator(
        (outer.shape[0], inner.shape[1]),
        lambda x: outer.apply(inner.apply(x)),
        lambda r: inner.adjoint(outer.adjoint(r)),
        lambda i, j: inner.adjoint(outer.panel(i, j)),
        frame=frame,
        accept=outer.accept,
        complex=outer.complex,
        parts=(outer, inner),
        made=Made("composed", {"outer": outer, "inner": inner}),
    )


def added(first: Operator, second: Operator) -> Operator:
    """``first + second``."""
    if first.shape != second.shape or second.accept is not None:
        raise ValueError(f"cannot add operators of shapes {first.shape} and {second.shape}, or preconditioned ones")
    return Operator(
        first.shape,
        lambda x: first.apply(x) + second.apply(x),
        lambda r: first.adjoint(r) + second.adjoint(r),
        lambda i, j: first.panel(i, j) + second.panel(i, j),
        blocks=first.blocks if first.blocks == second.blocks else 1,
        made=Made("added", {"first": first, "second": second}),
    )


def diagonal(d: np.ndarray) -> Operator:
    """``diag(d)``."""
    return Operator((len(d), len(d)), lambda x: x * d, lambda r: r * d, made=Made("diagonal", {"diagonal": d}))


def tiled(shape: tuple[int, int], blocks: int, panel: Callable[[int, int], np.ndarray], height: int) -> Operator:
    """A matrix of equal diagonal blocks (or of one), made at most ``height`` rows at a time.

    ``panel(i, j)``: rows i to j - 1, which lie in one block, without the zeros outside it.
    """
    (m, n), block_m, block_n = shape, shape[0] // blocks, shape[1] // blocks
    tiles = [
        (i, min(i + height, (b + 1) * block_m), slice(b * block_n, (b + 1) * block_n))
        for b in range(blocks)
        for i in range(b * block_m, (b + 1) * block_m, height)
    ]

    def apply(x: np.ndarray) -> np.ndarray:
        out = np.empty((len(x), m), np.float32)
        for i, j, columns in tiles:
            out[:, i:j] = x[:, columns] @ panel(i, j).T
        return out

    def adjoint(r: np.ndarray) -> np.ndarray:
        out = np.zeros((len(r), n), np.float32)
        for i, j, columns in tiles:
            out[:, columns] += r[:, i:j] @ panel(i, j)
        return out

    def rows(start: int, stop: int) -> np.ndarray:
        out = np.zeros((stop - start, n), np.float32)
        for i, j, columns in tiles:
            i, j = max(i, start), min(j, stop)
            if i < j:
                out[i - start : j - start, columns] = panel(i, j)
        return out

    return Operator(shape, apply, adjoint, rows, blocks=blocks)


def add_at(out: np.ndarray, places: np.ndarray, values: np.ndarray) -> None:
    """``out[..., places] += values`` for places that may occur several times."""
    np.add.at(out, (..., places), values)  # pyright: ignore[reportArgumentType]


def correlation(
    taps: np.ndarray, sides: tuple[int, ...], counts: tuple[int, ...], lower: tuple[int, ...], stride: int, wraps: bool
) -> Operator:
    """``y[i] = sum_k taps[k] x[stride i + lower + k]`` on 1 or 2 axes; x outside is 0, or periodic if it ``wraps``."""
    m, n = math.prod(counts), math.prod(sides)

    def places(k: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:  # of x in y, and whether they exist
        flat, exists = np.zeros(1, np.int64), np.ones(1, bool)
        for side, count, low, tap in zip(sides, counts, lower, k, strict=True):
            index = stride * np.arange(count) + low + tap
            flat = (flat[:, None] * side + index % side).ravel()
            exists = (exists[:, None] & (wraps | ((index >= 0) & (index < side)))).ravel()
        return flat, exists

    def apply(x: np.ndarray) -> np.ndarray:
        out = np.zeros((len(x), m), np.float32)
        for k, tap in np.ndenumerate(taps):
            flat, exists = places(k)
            out += tap * np.where(exists, x[:, flat], np.float32(0))
        return out

    def adjoint(r: np.ndarray) -> np.ndarray:
        out = np.zeros((len(r), n), np.float32)
        for k, tap in np.ndenumerate(taps):
            flat, exists = places(k)
            add_at(out, flat, tap * np.where(exists, r, np.float32(0)))
        return out

    grid = {"sides": sides, "counts": counts, "lower": lower, "stride": stride, "wraps": wraps}
    return Operator((m, n), apply, adjoint, made=Made("correlation", {"taps": taps, **grid}))


def convolution(kernel: np.ndarray, sides: tuple[int, ...], wraps: bool, stride: int) -> Operator:
    """``y[i] = sum_t kernel[t] x[i + c - t]``, ``c = (size - 1) // 2``, at ``i = stride // 2 + stride k``."""
    lower = tuple(stride // 2 - size // 2 for size in kernel.shape)
    return correlation(np.flip(kernel), sides, tuple(side // stride for side in sides), lower, stride, wraps)


# ---- structures: where a matrix may be non-zero ---------------------------------------------------------------------


class Structure(NamedTuple):
    """Shape (m, n); the shape of the core that holds the entries; how many of them exist and which."""

    shape: tuple[int, int]
    core: tuple[int, ...]
    blocks: int = 1
    exists: Callable[[], np.ndarray] | None = None  # the mask of an irregular structure
    grid: tuple[tuple[int, ...], bool, int] | None = None  # sides, periodic, stride of shared taps
    factors: tuple[Structure, ...] = ()  # whose masks have the mask as their Kronecker product
    places: tuple[np.ndarray, np.ndarray] | None = None  # rows and columns of a core that lists entries, row by row
    bank: tuple[tuple[int, ...], str] | None = None  # sides and edge of a bank of filters

    def mask(self) -> np.ndarray | None:
        """The mask, or None where all entries of the core exist."""
        if self.exists is None:
            return None
        limited("a mask", *self.shape)
        return self.exists()

    def whole(self, shape: tuple[int, int]) -> bool:
        """Whether it is a matrix of this shape without zeros."""
        plain = self.exists is None and self.grid is None and self.places is None and self.bank is None
        return self.core == shape and plain


def full(spec: Spec) -> Structure:
    m, n = (integer("m, n", size) for size in fields(spec, "m", "n"))
    return Structure((m, n), (m, n))


def blocks(spec: Spec) -> Structure:
    count, m, n = (integer("a size of blocks", size) for size in fields(spec, "count", "block_m", "block_n"))
    return Structure((count * m, count * n), (count, m, n), blocks=count)


def band(spec: Spec) -> Structure:
    """``lower <= j - stride i <= upper`` (modulo n if circular), or the transpose of that."""
    m, n, lower, upper, *rest = fields(spec, "m", "n", "lower", "upper", stride=1, circular=False, transposed=False)
    (m, n, stride), circular, turned = integers(m=m, n=n, stride=rest[0]), rest[1], rest[2]
    lower, upper = (integer("lower, upper", v, 1 - 2**53, 2**53 - 1) for v in (lower, upper))
    if lower > upper:
        raise ValueError(f"Band: expected lower <= upper, got {lower} and {upper}")
    one_of("circular", circular, (False, True))
    one_of("transposed", turned, (False, True))

    def exists() -> np.ndarray:
        rows, columns = (n, m) if turned else (m, n)
        offset = np.arange(columns) - stride * np.arange(rows)[:, None]
        inside = (offset - lower) % columns <= upper - lower if circular else (lower <= offset) & (offset <= upper)
        return inside.T if turned else inside

    return Structure((m, n), (m, n), exists=exists)


def stencil(spec: Spec) -> Structure:
    """Kronecker product of two bands."""
    first, second = (kind_of(part, {"Band": band}, "band")(part) for part in fields(spec, "vertical", "horizontal"))
    shape = (first.shape[0] * second.shape[0], first.shape[1] * second.shape[1])
    return Structure(shape, shape, exists=lambda: np.kron(first.exists(), second.exists()), factors=(first, second))


def indexed(spec: Spec) -> Structure:
    """Existing entries as a bitmap, or as indices of ``ceil(log2(m n))`` bits; packed little-endian."""
    m, n, size, indices, bitmap = fields(spec, "m", "n", "size", indices=None, bitmap=None)
    m, n = integers(m=m, n=n)
    limited("a mask", m, n)
    size = integer("size", size, 1, m * n)
    if (indices is None) == (bitmap is None):
        raise ValueError("Indexed: expected either a bitmap or indices")
    width = max(1, (m * n - 1).bit_length())
    count = size * width if bitmap is None else m * n
    packed = bytes_of(indices if bitmap is None else bitmap, (-(-count // 8),))

    def exists() -> np.ndarray:
        bits = np.unpackbits(packed, count=count, bitorder="little")
        if bitmap is None:
            flat = (bits.reshape(size, width).astype(np.int64) << np.arange(width)).sum(1)
        else:
            flat = np.flatnonzero(bits)
        if len(flat) != size or (np.diff(flat) <= 0).any() or (flat >= m * n).any():
            raise ValueError(f"Indexed: expected {size} increasing indices below {m * n}, got {len(flat)} others")
        mask = np.zeros(m * n, bool)
        mask[flat] = True
        return mask.reshape(m, n)

    return Structure((m, n), (m, n), exists=exists)


def drawn(spec: Spec) -> Structure:
    """The non-zeros of ``Subsampling``: row i has one, in the i-th of n columns that a seed permutes."""
    m, n, seed, turned = fields(spec, "m", "n", "seed", transposed=False)
    m, n = integers(m=m, n=n)
    seed_of(seed)
    one_of("transposed", turned, (False, True))
    if m > n:
        raise ValueError(f"Drawn: expected at most as many rows as columns, got {m} and {n}")

    def exists() -> np.ndarray:
        mask = np.zeros((m, n), bool)
        mask[np.arange(m), seed_of(seed).permutation(np.arange(n))[:m]] = True
        return mask.T if turned else mask

    shape = (n, m) if turned else (m, n)
    return Structure(shape, shape, exists=exists)


def rays(spec: Spec) -> Structure:
    """The non-zeros of ``Radon``."""
    size, degrees, turned = fields(spec, "size_of_image", "angles", transposed=False)
    size, degrees = integer("size_of_image", size, 1, math.isqrt(LARGEST_SIDE)), angles_of(degrees)
    one_of("transposed", turned, (False, True))

    def exists() -> np.ndarray:
        mask = np.zeros((len(degrees), size, size**2), bool)
        for met, angle in zip(mask, np.deg2rad(degrees), strict=True):
            places, weights = bilinear(size, angle, np.float64)
            found = weights > 1e-6
            met[np.broadcast_to(np.arange(size**2) % size, places.shape)[found], places[found]] = True
        mask = mask.reshape(-1, size**2)
        return mask.T if turned else mask

    m, n = len(degrees) * size, size**2
    limited("a mask", m, n)
    shape = (n, m) if turned else (m, n)
    return Structure(shape, shape, exists=exists)


def shared(spec: Spec) -> Structure:
    """A convolution: the core is its kernel."""
    sides, kernel, boundary, stride = fields(spec, "signal_shape", "kernel_shape", boundary="circular", stride=1)
    sides, kernel, stride = sides_of(sides), sides_of(kernel), integer("stride", stride)
    if len(kernel) != len(sides) or any(side % stride or k > side for side, k in zip(sides, kernel, strict=True)):
        raise ValueError(f"Shared: {kernel} taps and stride {stride} do not fit a signal of shape {sides}")
    n = math.prod(sides)
    grid = (sides, one_of("boundary", boundary, ("circular", "zero")) == "circular", stride)
    return Structure((n // stride ** len(sides), n), kernel, grid=grid)


def pattern(spec: Spec) -> Structure:
    """Entries row by row: how many each row has, and their columns."""
    m, n, counts, places = fields(spec, "m", "n", "counts", "places")
    m, n = integers(m=m, n=n)
    counts, places = whole_numbers("counts", counts), whole_numbers("places", places)
    if counts.shape != (m,) or counts.min() < 0 or counts.sum() != len(places) or not len(places):
        raise ValueError(f"Pattern: expected the entries of each of {m} rows, {len(places)} in all, got {counts.sum()}")
    rows = np.repeat(np.arange(m), counts)
    if places.min() < 0 or places.max() >= n or (np.diff(rows * n + places) <= 0).any():
        raise ValueError(f"Pattern: expected columns below {n} that increase in each row")
    return Structure((m, n), (len(places),), places=(rows, places))


EDGES = {"symmetric": "symmetric", "reflect": "reflect", "circular": "wrap", "zero": "constant"}


def filter_bank(spec: Spec) -> Structure:
    """Many filters of one signal: the core holds their taps, (*kernel_shape, channels)."""
    sides, channels, kernel, edge = fields(spec, "signal_shape", "channels", "kernel_shape", edge="symmetric")
    sides, kernel, channels = sides_of(sides), sides_of(kernel), integer("channels", channels)
    if len(kernel) != len(sides) or any(k > side for side, k in zip(sides, kernel, strict=True)):
        raise ValueError(f"FilterBank: {kernel} taps do not fit a signal of shape {sides}")
    n = math.prod(sides)
    limited("responses", channels, n, largest=LARGEST_SIDE)
    return Structure((channels * n, n), (*kernel, channels), bank=(sides, one_of("edge", edge, tuple(EDGES))))


STRUCTURES: dict[str, Callable[[Spec], Structure]] = {
    "FilterBank": filter_bank,
    "Full": full,
    "Blocks": blocks,
    "Band": band,
    "Stencil": stencil,
    "Indexed": indexed,
    "Drawn": drawn,
    "Pattern": pattern,
    "Rays": rays,
    "Shared": shared,
}


def structure_of(spec: Any) -> Structure:
    """The structure that a spec describes; nothing of a matrix's size is formed yet, a mask is formed once."""
    found: Structure = kind_of(spec, STRUCTURES, "structure")(spec)
    return found if found.exists is None else found._replace(exists=functools.cache(found.exists))


# ---- packed matrices -----------------------------------------------------------------------------------------------


def unpack_signs(packed: np.ndarray, n: int) -> np.ndarray:
    """(..., ceil(n / 8)) bytes to (..., n) signs, int8: bit 1, least significant first, is -1."""
    return 1 - 2 * np.unpackbits(packed, axis=-1, count=n, bitorder="little").view(np.int8)


def unpack_trits(packed: np.ndarray, n: int, per_byte: int) -> np.ndarray:
    """(..., ceil(n / per_byte)) bytes to (..., n) of -1, 0, 1, int8: base 3 digits (five a byte), or 2-bit codes."""
    if per_byte == 5:
        digits = packed[..., None] // np.array([1, 3, 9, 27, 81], np.uint8) % 3
    else:
        codes = packed[..., None] >> np.arange(0, 8, 2, dtype=np.uint8) & 3
        digits = codes - (codes == 3)  # 3 stands for -1, which is digit 2
    values = np.array([0, 1, -1], np.int8)[digits]
    return values.reshape(*packed.shape[:-1], -1)[..., :n]


def check_trits(packed: np.ndarray, n: int, per_byte: int) -> None:
    """Raises ``ValueError`` for codes that stand for no weight, and for padding that is not 0."""
    codes = packed[..., None] >> np.arange(0, 8, 2, dtype=np.uint8) & 3
    unknown = packed > 242 if per_byte == 5 else (codes == 2).any(-1)
    used = (3 if per_byte == 5 else 4) ** (n % per_byte or per_byte)
    if unknown.any() or (packed[..., -1].astype(int) >= used).any():
        raise ValueError("ternary weights: expected codes of -1, 0 and 1 and zeros as padding; got other bytes")


def check_signs(packed: np.ndarray, n: int) -> None:
    """Raises ``ValueError`` for padding that is not 0."""
    if n % 8 and (packed[..., -1] >> n % 8).any():
        raise ValueError("signs: the padding after a row is not zero")


def row_of(structure: Structure) -> int:
    """Codes in a row of a file: those of the core, or all that exist in an irregular one."""
    mask = structure.mask()
    return structure.core[-1] if mask is None else int(mask.sum())


def packed_shape(structure: Structure, per_byte: int) -> tuple[int, ...]:
    """Shape of a matrix of codes in a file: rows of the core, or existing entries of an irregular one in a row."""
    rows = structure.core[:-1] if structure.exists is None else ()
    return (*rows, -(-row_of(structure) // per_byte))


def quantised(
    structure: Structure,
    packed: np.ndarray,
    scales: np.ndarray,
    scale: str = "layer",
    per_byte: int = 8,
    *,
    compact: bool = True,
) -> Operator:
    """``W = sum_p c_p (M o S_p)``: packed planes (P, ...); scales (P,), per ``row`` (P, m) or per ``column`` (P, n).

    ``per_byte``: 8 for signs, 5 or 4 for trits. ``compact``: only existing entries of an irregular structure are packed
    (weights); else whole rows (physics).
    """
    unpack = unpack_signs if per_byte == 8 else functools.partial(unpack_trits, per_byte=per_byte)
    parts = {"structure": structure, "packed": packed, "scales": scales, "scale": scale}
    made = Made("quantised", {**parts, "per_byte": per_byte, "compact": compact})
    (m, n), count, last = structure.shape, structure.blocks, structure.core[-1]

    def shared_core() -> np.ndarray:
        if scale in ("row", "column"):
            raise ValueError(f"shared taps have no scales per {scale}; expected a global or layer scale")
        taps = [c * unpack(plane, last) for c, plane in zip(scales, packed, strict=True)]
        return functools.reduce(np.add, taps).astype(np.float32)

    if structure.grid is not None:
        return convolution(shared_core(), *structure.grid)
    if structure.bank is not None:
        return bank(structure, shared_core())
    if structure.places is not None:
        lines = {"row": structure.places[0], "column": structure.places[1]}.get(scale, ...)
        entries = [c[lines] * unpack(bits, last) for c, bits in zip(np.asarray(scales), packed, strict=True)]
        return replace(listed(structure, functools.reduce(np.add, entries).astype(np.float32)), made=made)
    mask = structure.mask()
    if mask is None:
        planes = packed.reshape(len(packed), m, -1)
    else:  # whole rows at a byte per entry
        planes = np.zeros((len(packed), m, n), np.int8)
        for plane, bits in zip(planes, packed, strict=True):
            plane[mask] = unpack(bits, int(mask.sum())) if compact else unpack(bits, n)[mask]

    def factor(p: int, i: int, j: int) -> np.ndarray:
        if scale == "column":
            return scales[p].reshape(count, -1)[i // (m // count)]
        return scales[p, i:j, None] if scale == "row" else scales[p]

    def panel(i: int, j: int) -> np.ndarray:
        parts = (
            factor(p, i, j) * (unpack(plane[i:j], last) if mask is None else plane[i:j])
            for p, plane in enumerate(planes)
        )
        return functools.reduce(np.add, parts)

    return replace(tiled((m, n), count, panel, PANEL), made=made)


def listed(structure: Structure, entries: np.ndarray) -> Operator:
    """A sparse matrix: sums over the entries of each row, or column, some signals at a time."""
    assert structure.places is not None
    (m, n), (rows, columns) = structure.shape, structure.places
    order = np.argsort(columns, kind="stable")

    def sums(x: np.ndarray, values: np.ndarray, taken: np.ndarray, lines: np.ndarray, count: int) -> np.ndarray:
        first = np.flatnonzero(np.diff(lines, prepend=-1))  # where the entries of a line begin
        out = np.zeros((len(x), count), np.float32)
        for k, signal in enumerate(x):
            out[k, lines[first]] = np.add.reduceat(values * signal[taken], first)
        return out

    def panel(i: int, j: int) -> np.ndarray:
        out = np.zeros((j - i, n), np.float32)
        begin, end = np.searchsorted(rows, (i, j))
        out[rows[begin:end] - i, columns[begin:end]] = entries[begin:end]
        return out

    by_column = entries[order], rows[order], columns[order]
    products = (lambda x: sums(x, entries, columns, rows, m)), (lambda r: sums(r, *by_column, n))
    return Operator((m, n), *products, panel, made=Made("listed", {"structure": structure, "entries": entries}))


def bank(structure: Structure, core: np.ndarray) -> Operator:
    """``z[c, i] = sum_t w[t, c] x[i + t - o]``, ``o = (size - 1) // 2``; x beyond its border as the edge says."""
    assert structure.bank is not None
    (sides, edge), (*kernel, channels) = structure.bank, structure.core
    taps, n = np.ascontiguousarray(core.reshape(-1, channels).T), structure.shape[1]
    pads = [((size - 1) // 2, size // 2) for size in kernel]
    padded = tuple(side + size - 1 for side, size in zip(sides, kernel, strict=True))
    places = np.pad(np.arange(1, n + 1).reshape(sides), pads, mode=EDGES[edge]).ravel() - 1  # pyright: ignore[reportCallIssue, reportArgumentType]
    windows = [tuple(slice(t, t + side) for t, side in zip(o, sides, strict=True)) for o in np.ndindex(*kernel)]
    inside = places >= 0

    def apply(x: np.ndarray) -> np.ndarray:
        signal = np.where(inside, x[:, places], np.float32(0)).reshape(-1, *padded)
        patches = np.stack([signal[(slice(None), *window)] for window in windows], axis=1)
        return (taps @ patches.reshape(len(x), len(windows), n)).reshape(len(x), -1)

    def adjoint(r: np.ndarray) -> np.ndarray:
        patches = (taps.T @ r.reshape(len(r), channels, n)).reshape(len(r), -1, *sides)
        signal = np.zeros((len(r), *padded), np.float32)
        for index, window in enumerate(windows):
            signal[(slice(None), *window)] += patches[:, index]
        out = np.zeros((len(r), n), np.float32)
        core_places = tuple(slice(low, low + side) for (low, _), side in zip(pads, sides, strict=True))
        out += signal[(slice(None), *core_places)].reshape(len(r), n)
        signal[(slice(None), *core_places)] = 0
        border = np.ones(padded, bool)
        border[core_places] = False
        added = np.flatnonzero(border.ravel() & inside)
        add_at(out, places[added], signal.reshape(len(r), -1)[:, added])
        return out

    return Operator(structure.shape, apply, adjoint, bank=(core, structure))


def structured(structure: Structure, core: np.ndarray) -> Operator:
    """A matrix of floats by its core."""
    if structure.places is not None:
        return listed(structure, core)
    if structure.grid is not None:
        return convolution(core, *structure.grid)
    if structure.bank is not None:
        return bank(structure, core)
    (m, n), count = structure.shape, structure.blocks
    rows = core.reshape(m, n // count)
    made = Made("floats", {"rows": rows, "blocks": count})
    return replace(tiled((m, n), count, lambda i, j: rows[i:j], m // count), made=made)


def of_blocks(core: np.ndarray) -> Operator:
    """A block-diagonal matrix of floats; ``core`` is (blocks, block_m, block_n)."""
    count, m, n = core.shape
    return structured(Structure((count * m, count * n), core.shape, blocks=count), core.astype(np.float32))


def signs_of(core: np.ndarray) -> Callable[[Structure], np.ndarray | None]:
    """``Operator.reference`` of a matrix or blocks, for structures with the same core."""

    def reference(structure: Structure) -> np.ndarray | None:
        if structure.core != core.shape:
            return None
        mask = structure.mask()
        return np.packbits((core if mask is None else core[mask]) < 0, axis=-1, bitorder="little")

    return reference


def core_of(A: Operator) -> np.ndarray:
    """The diagonal blocks of an operator, float64; inverse of ``of_blocks``."""
    (m, n), count = A.shape, A.blocks
    matrix = A.dense().reshape(count, m // count, count, n // count)
    return matrix[np.arange(count), :, np.arange(count)].astype(np.float64)


def core_to_solve(A: Operator) -> np.ndarray:
    """``core_of``, where a decomposition of its blocks takes no hours."""
    if A.shape[0] // A.blocks > LARGEST_SOLVE:
        raise ValueError(f"a dense solve of {A.shape[0] // A.blocks} rows: expected at most {LARGEST_SOLVE}")
    return core_of(A)


def low_rank(rows: np.ndarray, L: Operator, middle: np.ndarray, R: Operator, columns: np.ndarray) -> Operator:
    """``diag(rows) L diag(middle) R diag(columns)``."""
    parts = (diagonal(rows), L, diagonal(middle), R, diagonal(columns))
    return functools.reduce(composed, parts)


# ---- physics -------------------------------------------------------------------------------------------------------


def unit_columns(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.linalg.norm(matrix, axis=0)


def normal(m: int, n: int, seed: Any) -> np.ndarray:
    limited("a matrix", *integers(m=m, n=n))
    return seed_of(seed).standard_normal((m, n))


def gaussian(m: int, n: int, seed: int = 0) -> np.ndarray:
    """Independent normal entries, columns of unit norm."""
    return unit_columns(normal(m, n, seed))


def count_of(count: Any) -> int:
    return integer("count", count, 1, LARGEST_COUNT)


def ill_conditioned(m: int, n: int, seed: int = 0, condition: float = 50.0) -> np.ndarray:
    """Normal entries, singular values replaced by a geometric series, columns of unit norm."""
    if not 1 <= number("condition", condition) < math.inf:
        raise ValueError(f"condition: expected a ratio of singular values >= 1, got {condition}")
    U, s, Vt = np.linalg.svd(normal(m, n, seed), full_matrices=False)
    return unit_columns((U * np.geomspace(1.0, 1.0 / condition, len(s))) @ Vt)


def gaussian_blocks(count: int, m: int, n: int, seed: int = 0) -> np.ndarray:
    """Blocks of ``gaussian``, drawn in order from one generator."""
    count, m, n = count_of(count), *integers(m=m, n=n)
    return np.stack([unit_columns(block) for block in normal(count * m, n, seed).reshape(count, m, n)])


def rademacher_blocks(count: int, m: int, n: int, seed: int = 0) -> np.ndarray:
    """Blocks of independent ``+-1 / sqrt(m)``."""
    count, m, n = integers(count=count, m=m, n=n)
    limited("blocks", count, m, n)
    return (1 - 2 * seed_of(seed).randint(0, 2, (count, m, n), dtype=np.int64)) / math.sqrt(m)


def hadamard_blocks(count: int, m: int, n: int, seed: int = 0) -> np.ndarray:
    """Blocks that are ``Hadamard`` with seeds of their own."""
    count, m, n = count_of(count), *integers(m=m, n=n)
    limited("blocks", count, m, n)
    seeds = seed_of(seed).randint(0, 2**31 - 1, count, dtype=np.int64)
    return np.stack([hadamard({"kind": "Hadamard", "m": m, "n": n, "seed": int(own)}).dense() for own in seeds])


RECIPES: dict[str, Callable[..., np.ndarray]] = {
    "gaussian": gaussian,
    "ill_conditioned": ill_conditioned,
    "gaussian_blocks": gaussian_blocks,
    "rademacher_blocks": rademacher_blocks,
    "hadamard_blocks": hadamard_blocks,
}


def given(spec: Spec, name: str, ndim: int, **others: Any) -> tuple[np.ndarray, list[Any]]:
    """The matrix of ``{"recipe": [name, *arguments]}`` or of an array, float32; and the values of other fields."""
    recipe, stored, *rest = fields(spec, recipe=None, **{name: None}, **others)
    if recipe is None:
        return floats(stored, ndim), rest
    if not isinstance(recipe, list) or not recipe or recipe[0] not in RECIPES or set(spec) > {"kind", "recipe"}:
        raise ValueError(
            f"unknown matrix recipe {recipe!r:.80}; expected one of {', '.join(RECIPES)}, and nothing else"
        )
    matrix = RECIPES[recipe[0]](*recipe[1:]).astype(np.float32)
    if matrix.ndim != ndim:
        raise ValueError(f"matrix recipe {recipe!r}: expected {ndim} axes for {spec['kind']}, got {matrix.ndim}")
    return matrix, rest


def dense(spec: Spec) -> Operator:
    matrix, (mask,) = given(spec, "matrix", 2, mask=None)
    structure = Structure(matrix.shape, matrix.shape) if mask is None else structure_of(mask)
    if structure.shape != matrix.shape or structure.grid is not None:
        raise ValueError(f"mask: expected a mask of shape {matrix.shape}, got {mask!r:.80}")
    exists = structure.mask()
    matrix = matrix if exists is None else matrix * exists
    whole = structured(Structure(matrix.shape, matrix.shape), matrix)
    if structure.blocks > 1:
        whole = of_blocks(core_of(replace(whole, blocks=structure.blocks)))
        matrix = whole.dense()
    exact = spec.get("recipe", ["gaussian"])[0] == "gaussian"
    return replace(whole, reference=signs_of(matrix) if exact else None)


def block_diagonal(spec: Spec) -> Operator:
    core, _ = given(spec, "core", 3)
    return replace(of_blocks(core), reference=signs_of(core))


def block_patterns(spec: Spec) -> Operator:
    """``y_b = S x_b / size`` of every block of an image, and ``W = size C S^T (S C S^T)^-1``."""
    sides, size, signs, variances = fields(spec, "signal_shape", "size", "signs", "variances")
    sides, size = sides_of(sides), integer("size", size, high=256)
    if len(sides) != 2 or sides[0] % size or sides[1] % size:
        raise ValueError(f"BlockPatterns: expected an image whose sides are multiples of {size}, got {sides}")
    pixels, n = size * size, math.prod(sides)
    S = unpack_signs(bytes_of(signs, (-1, -(-pixels // 8))), pixels)
    held = stored_as(variances, "BF16", "F32", "F64")
    if held is None or held.entries.shape != (pixels,) or not 1 <= len(S) <= pixels:
        raise ValueError(f"BlockPatterns: expected at most {pixels} patterns and as many variances")
    spread = held.floats().astype(np.float64)
    line = np.sqrt(2 / size) * np.cos(math.pi * np.outer(np.arange(size), np.arange(0.5, size)) / size)
    line[0] /= math.sqrt(2)
    D = np.kron(line, line)  # the atoms of the 2-D DCT
    C = D.T * spread @ D @ S.T.astype(np.float64)
    if not (spread > 0).all() or np.linalg.matrix_rank(S) < len(S):
        raise ValueError("BlockPatterns: expected variances > 0 and independent patterns")
    W = (size * np.linalg.solve(S @ C, C.T)).astype(np.float32)
    A, rows, columns = S.astype(np.float32) / np.float32(size), sides[0] // size, sides[1] // size

    def apply(x: np.ndarray) -> np.ndarray:
        blocks = x.reshape(len(x), rows, size, columns, size).swapaxes(2, 3).reshape(len(x), -1, pixels)
        return (blocks @ A.T).reshape(len(x), -1)

    def image(y: np.ndarray, patterns: np.ndarray) -> np.ndarray:
        blocks = y.reshape(len(y), -1, len(A)) @ patterns
        return blocks.reshape(len(y), rows, columns, size, size).swapaxes(2, 3).reshape(len(y), n)

    shape = (rows * columns * len(A), n)
    packed = np.packbits(S < 0, axis=-1, bitorder="little")
    made = Made("patterns", {"sides": sides, "size": size, "signs": packed}, {"estimate": W})
    return Operator(shape, apply, lambda r: image(r, A), estimate=lambda y: image(y, W), made=made)


def structured_physics(spec: Spec) -> Operator:
    core, structure = fields(spec, "core", "structure")
    structure = structure_of(structure)
    values = floats(core, len(structure.core))
    if values.shape != structure.core:
        raise ValueError(f"Structured: expected a core of shape {structure.core}, got {values.shape}")
    return structured(structure, values)


def sparse_physics(spec: Spec) -> Operator:
    """Entries at the places of a pattern; the signs of W are known where it has the same."""
    own = structure_of(spec.get("structure"))
    if own.places is None:
        raise ValueError(f"Sparse: expected the structure Pattern, got {spec.get('structure')!r:.80}")
    places, entries = own.places, floats(spec.get("core"), 1)

    def reference(structure: Structure) -> np.ndarray | None:
        same = structure.places is not None and all(map(np.array_equal, structure.places, places))
        return np.packbits(entries < 0, bitorder="little") if same and structure.shape == own.shape else None

    return replace(structured_physics(spec), reference=reference)


def packed_physics(spec: Spec) -> Operator:
    bits, scales, structure, scale = fields(spec, "bits", "scales", "structure", "scale")
    structure, scale = structure_of(structure), one_of("scale", scale, ("none", "global", "layer", "row", "column"))
    *rows, last = structure.core
    packed = bytes_of(bits, (-1, *rows, -(-last // 8)))
    lines = {"row": structure.shape[:1], "column": structure.shape[1:]}.get(scale, ())
    values = floats(scales, 1 + len(lines))
    if not len(packed) or values.shape != (len(packed), *lines):
        raise ValueError(f"{spec['kind']}: expected scales of shape {(len(packed), *lines)}, got {values.shape}")
    return quantised(structure, packed, values, scale, compact=False)


def low_rank_physics(spec: Spec) -> Operator:
    rows, left, middle, right, columns = fields(spec, "rows", "left", "middle", "right", "columns")
    return low_rank(floats(rows, 1), physics_of(left), floats(middle, 1), physics_of(right), floats(columns, 1))


def rademacher(spec: Spec) -> Operator:
    """Independent ``+-1 / sqrt(m)``, held as bits."""
    m, n, seed = fields(spec, "m", "n", seed=0)
    m, n = integers(m=m, n=n)
    limited("a matrix", m, n)
    drawn = seed_of(seed).randint(0, 2, (m, n), dtype=np.int8)
    packed = np.packbits(drawn, axis=-1, bitorder="little")
    A = quantised(Structure((m, n), (m, n)), packed[None], np.full(1, 1 / math.sqrt(m), np.float32))
    return replace(A, reference=lambda structure: packed if structure.whole((m, n)) else None)


def hadamard(spec: Spec) -> Operator:
    """``R H diag(s) / sqrt(m)``: m rows of Sylvester's n x n matrix, random signs s."""
    m, n, seed = fields(spec, "m", "n", seed=0)
    m, n = integers(m=m, n=n)
    if n & (n - 1) or m > n:
        raise ValueError(f"Hadamard: expected n a power of two and m <= n, got m = {m}, n = {n}")
    seed_of(seed)
    size = np.float32(math.sqrt(m))

    @functools.cache
    def drawn() -> tuple[
        np.ndarray, np.ndarray
    ]:  # rows and signs, once they are needed: other parts are checked before
        random = seed_of(seed)
        kept = random.permutation(n)[:m]
        return kept, (1 - 2 * random.randint(0, 2, n, dtype=np.int8)).astype(np.float32)

    def transform(x: np.ndarray) -> np.ndarray:  # butterflies: log2(n) additions per entry
        order = 1
        while order < n:
            pairs = x.reshape(len(x), -1, 2, order)
            first, second = pairs[:, :, 0], pairs[:, :, 1]
            x, order = np.stack([first + second, first - second], axis=2), 2 * order
        return x.reshape(-1, n)

    def apply(x: np.ndarray) -> np.ndarray:
        kept, signs = drawn()
        return transform(x * signs)[:, kept] / size

    def adjoint(r: np.ndarray) -> np.ndarray:
        kept, signs = drawn()
        return transform(placed(r, kept, n)) * signs / size

    def reference(structure: Structure) -> np.ndarray | None:
        height, parts = max(1, 2**22 // n), []
        for i in range(0, m, height) if structure.whole((m, n)) else ():
            rows = adjoint(np.eye(min(height, m - i), m, i, dtype=np.float32))
            parts.append(np.packbits(rows < 0, axis=-1, bitorder="little"))
        return np.concatenate(parts) if parts else None

    made = Made("hadamard", {"drawn": drawn, "size": size})
    return Operator((m, n), apply, adjoint, frame=n / m, reference=reference, made=made)


def preconditioned(spec: Spec) -> Operator:
    """``P A``, ``P = c (A A^T + delta ||A||^2 I)^{-1/2}`` block by block; measurements y of A become P y."""
    inner, delta = fields(spec, "operator", "delta")
    A, delta = physics_of(inner), number("delta", delta)
    if A.accept is not None or not 0 <= delta < math.inf:
        raise ValueError(f"Preconditioned: expected delta >= 0 and physics that is not preconditioned, got {delta}")
    core = core_to_solve(A)
    values, vectors = np.linalg.eigh(core @ core.swapaxes(-1, -2))
    largest = values.max()
    if not largest > 0:
        raise ValueError("Preconditioned: expected an operator with non-zero entries")
    kept = values > RESOLUTION**2 * largest
    shrunk = np.where(kept, 1 / np.sqrt(np.where(kept, values + delta * largest, 1)), 0)
    P = (vectors * shrunk[:, None, :]) @ vectors.swapaxes(-1, -2)
    PA = P @ core
    scale = 1 / np.sqrt((PA**2).sum() / A.shape[1])
    return replace(of_blocks(scale * PA), accept=of_blocks(scale * P))


def banded(spec: Spec) -> Operator:
    taps, m, n, lower, stride, circular = fields(spec, "taps", "m", "n", "lower", "stride", "circular")
    (m, n, stride), values = integers(m=m, n=n, stride=stride), floats(taps, 1)
    span = integer("Banded: places that the rows span", (m - 1) * stride + values.size, 1, 2 * LARGEST_SIDE)
    circular = one_of("circular", circular, (False, True))
    first, last = (-2 * LARGEST_SIDE, 2 * LARGEST_SIDE) if circular else (-span, n)
    lower = integer("lower", lower, first + 1, last - 1)
    return correlation(values, (n,), (m,), (lower,), stride, circular)


def convolution_physics(spec: Spec) -> Operator:
    kernel, sides, boundary, stride = fields(spec, "kernel", "signal_shape", "boundary", stride=1)
    sides, stride = sides_of(sides), integer("stride", stride)
    if any(side % stride for side in sides):
        raise ValueError(f"Convolution: stride {stride} does not divide the sides of {sides}")
    circular = one_of("boundary", boundary, ("circular", "zero")) == "circular"
    taps = floats(kernel, len(sides))
    inverse = functools.partial(periodic_inverse, taps, sides) if circular and stride == 1 else None
    return replace(convolution(taps, sides, circular, stride), inverse=inverse)


def periodic_inverse(kernel: np.ndarray, sides: tuple[int, ...]) -> Inverse:
    """That of a periodic convolution, by Fourier transforms."""
    period, axes = np.zeros(sides), tuple(range(-len(sides), 0))
    places = ((np.arange(taps) - (taps - 1) // 2) % side for taps, side in zip(kernel.shape, sides, strict=True))
    np.add.at(period, np.ix_(*places), kernel)
    transfer = np.fft.rfftn(period)
    power = np.abs(transfer) ** 2

    def inverse(r: np.ndarray, rho: Any) -> np.ndarray:
        rho = np.asarray(rho).reshape(*np.shape(rho)[:-1], *(1,) * len(sides))
        spectrum = np.fft.rfftn(r.reshape(-1, *sides), axes=axes) * np.conj(transfer) / (power + rho * power.max())
        return np.fft.irfftn(spectrum, s=sides, axes=axes).reshape(r.shape).astype(np.float32)

    return inverse


def inverse_of(A: Operator) -> Inverse:
    """``(r, rho) -> (A^T A + rho ||A||^2 I)^-1 A^T r``: by a formula, a decomposition of a small matrix, or ten steps
    of conjugate gradients.
    """
    if A.inverse is not None:
        return A.inverse()
    if A.frame is not None or A.estimate is not None:
        return lambda r, rho: A.linear_estimate(r) / (1 + rho)
    if math.prod(A.shape) > LARGEST_SVD:
        return conjugate_gradients(A, np.float32(A.norm() ** 2))
    U, s, Vt = np.linalg.svd(A.dense().astype(np.float64), full_matrices=False)
    kept = s > s[0] * np.finfo(np.float64).eps * max(A.shape)
    U, s, Vt = (part.astype(np.float32) for part in (U[:, kept], s[kept], Vt[kept]))
    gain = s / s[0]
    return lambda r, rho: ((r @ U) * (gain / (gain**2 + rho) / s[0])) @ Vt


def conjugate_gradients(A: Operator, square: Any, steps: int = 10) -> Inverse:
    """From 0, for ``(A^T A + rho square I) x = A^T r``."""

    def quotient(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.where(b > 0, a / np.where(b > 0, b, 1), 0)

    def inverse(r: np.ndarray, rho: Any) -> np.ndarray:
        left = p = A.adjoint(r)
        x, energy = np.zeros_like(left), (left * left).sum(-1, keepdims=True)
        enough = SOLVED * energy
        for _ in range(steps):
            q = A.adjoint(A.apply(p)) + rho * square * p
            open_ = energy > enough
            step = np.where(open_, quotient(energy, (p * q).sum(-1, keepdims=True)), np.float32(0))
            x, left = x + step * p, left - step * q
            following = (left * left).sum(-1, keepdims=True)
            p, energy = left + np.where(open_, quotient(following, energy), np.float32(0)) * p, following
        return x

    return inverse


def kept_entries(spec: Spec, candidates: Callable[[tuple[int, ...]], np.ndarray]) -> tuple[tuple[int, ...], np.ndarray]:
    """Sides of a signal and flat indices: listed, drawn from the candidates by a seed, or all."""
    sides, count, seed, listed, bitmap = fields(spec, "signal_shape", count=None, seed=None, indices=None, bitmap=None)
    sides = sides_of(sides)
    n = math.prod(sides)
    if bitmap is not None:
        kept = np.flatnonzero(np.unpackbits(bytes_of(bitmap, (-1,)), bitorder="little"))
        if not kept.size or kept[-1] >= n:
            raise ValueError(f"bitmap: expected bits among the first {n}")
        return sides, kept
    if listed is not None:
        array = stored_as(listed, "I32")
        if array is None or array.entries.ndim != 1:
            raise ValueError(f"indices: expected a 1-D array of I32, got {listed!r:.80}")
        kept = array.entries
        if not kept.size or kept.min() < 0 or kept.max() >= n or np.unique(kept).size != kept.size:
            raise ValueError(f"indices: expected distinct integers in [0, {n})")
        return sides, kept
    if seed is None:
        return sides, np.arange(integer("count", count, n, n))
    drawn = seed_of(seed).permutation(candidates(sides))
    return sides, drawn[: integer("count", count, 1, len(drawn))]


def every(sides: tuple[int, ...]) -> np.ndarray:
    return np.arange(math.prod(sides))


def conjugates(sides: tuple[int, ...]) -> np.ndarray:
    """The flat index of ``-f`` for every frequency f."""
    return every(sides).reshape(sides)[np.ix_(*(-np.arange(side) % side for side in sides))].ravel()


def one_of_each_pair(sides: tuple[int, ...]) -> np.ndarray:
    flat = every(sides)
    return flat[flat < conjugates(sides)]


def placed(r: np.ndarray, kept: np.ndarray, n: int) -> np.ndarray:
    """(batch, n) with r at the kept places and zeros elsewhere."""
    out = np.zeros((len(r), n), r.dtype)
    out[:, kept] = r
    return out


def subsampling(spec: Spec) -> Operator:
    """``x[S]``."""
    sides, kept = kept_entries(spec, every)
    n = math.prod(sides)
    made = Made("subsampling", {"kept": kept})
    return Operator((len(kept), n), lambda x: x[:, kept], lambda r: placed(r, kept, n), frame=1.0, made=made)


def fourier(spec: Spec) -> Operator:
    """``(Re F_S x, Im F_S x)`` with the unitary DFT."""
    sides, kept = kept_entries(spec, one_of_each_pair)
    axes, n, pairs = tuple(range(1, len(sides) + 1)), math.prod(sides), len(kept)

    def apply(x: np.ndarray) -> np.ndarray:
        found = np.fft.fftn(x.reshape(-1, *sides), axes=axes, norm="ortho").reshape(-1, n)[:, kept]
        return np.concatenate([found.real, found.imag], 1).astype(np.float32)

    def adjoint(r: np.ndarray) -> np.ndarray:
        spectrum = placed(r[:, :pairs] + 1j * r[:, pairs:], kept, n).reshape(-1, *sides)
        return np.fft.ifftn(spectrum, axes=axes, norm="ortho").real.reshape(-1, n).astype(np.float32)

    paired = np.isin(conjugates(sides)[kept], kept)  # with its conjugate, which may be itself
    weights = np.tile(np.where(paired, 1, 2), 2).astype(np.float32)
    frame = None if paired.any() else 0.5
    made = Made("fourier", {"sides": sides, "kept": kept}, {"weights": weights})
    whole = Operator((2 * pairs, n), apply, adjoint, frame=frame, complex=True, made=made)
    return replace(whole, estimate=lambda y: adjoint(weights * y))


def dct(spec: Spec) -> Operator:
    """Orthonormal DCT-II: ``w_k sum_t x[t] cos(pi k (2 t + 1) / (2 n))``, on every axis."""
    sides, kept = kept_entries(spec, every)
    n = math.prod(sides)

    def along(x: np.ndarray, axis: int, inverse: bool) -> np.ndarray:  # by transforms of twice the length
        side, x = x.shape[axis], np.moveaxis(x, axis, -1)
        weights = np.where(np.arange(side) == 0, math.sqrt(1 / side), math.sqrt(2 / side))
        turn = weights * np.exp(-0.5j * math.pi * np.arange(side) / side)
        if inverse:
            x = 2 * side * np.fft.ifft(x * turn.conj(), 2 * side)[..., :side].real
        else:
            x = (turn * np.fft.fft(x, 2 * side)[..., :side]).real
        return np.moveaxis(x, -1, axis)

    def transform(x: np.ndarray, inverse: bool) -> np.ndarray:
        image = x.reshape(-1, *sides).astype(np.float64)
        for axis in range(1, len(sides) + 1):
            image = along(image, axis, inverse)
        return image.reshape(-1, n).astype(np.float32)

    def adjoint(r: np.ndarray) -> np.ndarray:
        return transform(placed(r, kept, n), True)

    made = Made("dct", {"sides": sides, "kept": kept})
    return Operator((len(kept), n), lambda x: transform(x, False)[:, kept], adjoint, frame=1.0, made=made)


def daubechies(order: int) -> np.ndarray:
    """The 2 order taps of the scaling filter, of sum sqrt(2) and minimal phase, by spectral factorisation."""
    taps = np.ones(1)
    for _ in range(order):
        taps = np.convolve(taps, [1.0, 1.0])
    for y in np.roots([math.comb(order - 1 + k, k) for k in range(order)][::-1]):
        root = 1 - 2 * y + np.sqrt((1 - 2 * y) ** 2 - 1 + 0j)
        taps = np.convolve(taps, [1.0, -(root if abs(root) < 1 else 1 / root)])
    return np.real(taps) * math.sqrt(2) / np.real(taps).sum()


def wavelet(spec: Spec) -> Operator:
    """Synthesis from periodic Daubechies coefficients, coarse to fine; orthogonal."""
    sides, name, levels = fields(spec, "signal_shape", "name", "levels")
    sides, name = sides_of(sides), one_of("name", name, tuple(f"db{order}" for order in range(1, 9)))
    levels, n = integer("levels", levels, 1, min((side & -side).bit_length() - 1 for side in sides)), math.prod(sides)
    low = daubechies(int(name[2:]))
    bank = np.stack([low, low[::-1] * (-1.0) ** np.arange(len(low))]).astype(np.float32)

    def places(length: int) -> np.ndarray:
        return (2 * np.arange(length // 2)[:, None] + 1 - len(low) // 2 + np.arange(len(low))) % length

    def split(x: np.ndarray) -> list[np.ndarray]:  # low and high half of the last axis
        halves = x[..., places(x.shape[-1])] @ bank.T
        return [halves[..., 0], halves[..., 1]]

    def merge(low_half: np.ndarray, high_half: np.ndarray) -> np.ndarray:
        out = np.zeros((*low_half.shape[:-1], 2 * low_half.shape[-1]), np.float32)
        add_at(out, places(out.shape[-1]), np.stack([low_half, high_half], -1) @ bank)
        return out

    def turned(x: np.ndarray) -> np.ndarray:
        return x.swapaxes(-1, -2)

    def analysis(x: np.ndarray) -> np.ndarray:
        image, parts = x.reshape(-1, *sides), []
        for _ in range(levels):
            bands = split(image)
            if len(sides) == 2:  # down the columns as well
                bands = [turned(q) for half in bands for q in split(turned(half))]
            image, parts = bands[0], [*bands[1:], *parts]
        return np.concatenate([part.reshape(len(x), -1) for part in (image, *parts)], 1)

    def synthesis(c: np.ndarray) -> np.ndarray:
        shape = tuple(side >> levels for side in sides)
        at = math.prod(shape)
        image = c[:, :at].reshape(-1, *shape)
        for _ in range(levels):
            size = math.prod(image.shape[1:])
            ends = range(at, at + (2 ** len(sides) - 1) * size, size)
            bands = [image, *(c[:, i : i + size].reshape(image.shape) for i in ends)]
            if len(sides) == 2:
                bands = [turned(merge(turned(a), turned(b))) for a, b in (bands[:2], bands[2:])]
            image, at = merge(*bands), ends.stop
        return image.reshape(-1, n)

    made = Made("wavelet", {"sides": sides, "bank": bank, "levels": levels})
    return Operator((n, n), synthesis, analysis, frame=1.0, made=made)


def angles_of(value: Any) -> np.ndarray:
    if not isinstance(value, list) or not value:
        raise ValueError(f"angles: expected a list of degrees, got {value!r:.80}")
    angles = np.array([number("angle", angle) for angle in value])
    if not np.isfinite(angles).all():
        raise ValueError("angles: expected finite degrees")
    return angles


def bilinear(size: int, angle: Any, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Four pixels (flat, clipped) and weights (0 outside) that every pixel of an image turned by ``angle`` reads."""
    c, offset = size // 2, np.arange(size).astype(dtype) - size // 2
    cos, sin = np.cos(dtype(angle)), np.sin(dtype(angle))
    row = (c + cos * offset[:, None] - sin * offset).ravel()
    column = (c + sin * offset[:, None] + cos * offset).ravel()
    places, weights = [], []
    for y in (np.floor(row), np.floor(row) + 1):
        for x in (np.floor(column), np.floor(column) + 1):
            inside = (y >= 0) & (y < size) & (x >= 0) & (x < size)
            weights.append(np.where(inside, (1 - np.abs(row - y)) * (1 - np.abs(column - x)), 0))
            places.append(np.clip(y, 0, size - 1).astype(int) * size + np.clip(x, 0, size - 1).astype(int))
    return np.stack(places), np.stack(weights)


def radon(spec: Spec) -> Operator:
    """Sums of the columns of the image turned by each angle."""
    size, degrees = fields(spec, "size", "angles")
    size, degrees = integer("size", size, 1, math.isqrt(LARGEST_SIDE)), angles_of(degrees)
    limited("a sinogram", len(degrees), size, largest=LARGEST_SIDE)
    radians = np.deg2rad(degrees).astype(np.float32)

    def apply(x: np.ndarray) -> np.ndarray:
        out = np.empty((len(x), len(radians), size), np.float32)
        for k, angle in enumerate(radians):
            places, weights = bilinear(size, angle, np.float32)
            turned = sum(w * x[:, place] for place, w in zip(places, weights, strict=True))
            out[:, k] = np.asarray(turned, np.float32).reshape(-1, size, size).sum(1)
        return out.reshape(len(x), -1)

    def adjoint(r: np.ndarray) -> np.ndarray:
        out = np.zeros((len(r), size**2), np.float32)
        for k, angle in enumerate(radians):
            spread = np.tile(r[:, k * size : (k + 1) * size], size)
            for place, w in zip(*bilinear(size, angle, np.float32), strict=True):
                add_at(out, place, w * spread)
        return out

    made = Made("radon", {"size": size, "radians": radians})
    return Operator((len(radians) * size, size**2), apply, adjoint, made=made)


def complex_measurements(spec: Spec) -> Operator:
    """An operator whose measurements are the real, then the imaginary parts of complex numbers."""
    A = physics_of(fields(spec, "operator")[0])
    if A.shape[0] % 2 or A.accept is not None:
        raise ValueError(f"complex measurements: expected an even number of them, not preconditioned, got {A.shape}")
    return replace(A, complex=True)


def multi_coil(spec: Spec) -> Operator:
    """``B (s_c x)`` of every coil c; B on complex numbers from B on their parts, ``B p + i B q``."""
    operator, real, imaginary, unknowns = fields(spec, "operator", "real", "imaginary", unknowns="real")
    B, real, imaginary = physics_of(operator), floats(real, 2), floats(imaginary, 2)
    both = one_of("unknowns", unknowns, ("real", "complex")) == "complex"
    (m, n), count = B.shape, len(real)
    if not B.complex or B.accept is not None or {real.shape, imaginary.shape} != {(count, n)} or not count:
        raise ValueError(f"MultiCoil: expected complex physics and maps of {n} entries, got {real.shape}")
    limited("measurements", count, m, largest=LARGEST_SIDE)

    def halves(values: np.ndarray) -> list[np.ndarray]:
        return np.split(values, 2, axis=1)

    def apply(x: np.ndarray) -> np.ndarray:
        u, v = halves(x) if both else (x, np.zeros_like(x))
        out = np.empty((len(x), 2, count, m // 2), np.float32)
        for c, (s, t) in enumerate(zip(real, imaginary, strict=True)):
            (p, q), (f, g) = halves(B.apply(s * u - t * v)), halves(B.apply(s * v + t * u))
            out[:, 0, c], out[:, 1, c] = p - g, q + f
        return out.reshape(len(x), count * m)

    def adjoint(r: np.ndarray) -> np.ndarray:
        u, v = np.zeros((2, len(r), n), np.float32)
        parts = r.reshape(len(r), 2, count, m // 2)
        for c, (s, t) in enumerate(zip(real, imaginary, strict=True)):
            re, im = parts[:, 0, c], parts[:, 1, c]
            p, q = B.adjoint(np.concatenate([re, im], 1)), B.adjoint(np.concatenate([im, -re], 1))
            u += s * p + t * q
            v += s * q - t * p
        return np.concatenate([u, v], 1) if both else u

    return Operator((count * m, n * (1 + both)), apply, adjoint, complex=True)


def scaled_physics(spec: Spec) -> Operator:
    operator, factor = fields(spec, "operator", "factor")
    if not math.isfinite(number("factor", factor)):
        raise ValueError(f"factor: expected a finite number, got {factor}")
    return scaled(physics_of(operator), factor)


OPERATORS: dict[str, Callable[[Spec], Operator]] = {
    "Adjoint": lambda spec: transposed(physics_of(fields(spec, "operator")[0])),
    "Banded": banded,
    "BlockDiagonal": block_diagonal,
    "BlockPatterns": block_patterns,
    "ComplexMeasurements": complex_measurements,
    "Composition": lambda spec: composed(*(physics_of(part) for part in fields(spec, "outer", "inner"))),
    "Convolution": convolution_physics,
    "Dense": dense,
    "Diagonal": lambda spec: diagonal(floats(fields(spec, "diagonal")[0], 1)),
    "Hadamard": hadamard,
    "LowRank": low_rank_physics,
    "MultiCoil": multi_coil,
    "PackedSigns": packed_physics,
    "Preconditioned": preconditioned,
    "Rademacher": rademacher,
    "Radon": radon,
    "Scaled": scaled_physics,
    "Sparse": sparse_physics,
    "Structured": structured_physics,
    "SubsampledDCT": dct,
    "SubsampledFourier": fourier,
    "Subsampling": subsampling,
    "Sum": lambda spec: added(*(physics_of(part) for part in fields(spec, "first", "second"))),
    "Wavelet": wavelet,
}


def physics_of(spec: Any) -> Operator:
    """The operator that a spec describes."""
    return kind_of(spec, OPERATORS, "operator")(spec)


def count_operators(spec: Any) -> int:
    """Operators in a spec, masks included: each may be as large as a matrix may be."""
    return 1 + sum(map(count_operators, spec.values())) if isinstance(spec, dict) else 0


def fingerprint_of(value: Any) -> np.ndarray:
    """The fingerprint in a file. Raises ``ValueError`` unless it is a list of numbers."""
    if not isinstance(value, list) or not value or any(type(entry) not in (int, float) for entry in value):
        raise ValueError(f"expected a list of numbers as the fingerprint of the physics, got {value!r:.60}")
    return np.array(value, np.float64)


def fingerprint(A: Operator) -> np.ndarray:
    """``A p`` for a fixed +-1 vector p, weighted by cosines and summed in 8 groups."""
    m, n = A.shape
    probe = np.random.RandomState(20250212).choice(np.array([-1.0, 1.0], np.float32), size=n)
    weighted = A.apply(probe[None])[0].astype(np.float64) * np.cos(np.arange(m))
    return np.add.reduceat(weighted, np.unique(np.linspace(0, m, 9).astype(int)[:-1]))


def check_fingerprint(found: Any, expected: Any) -> None:
    """Raises ``ValueError`` unless physics of the fingerprint ``found`` are those of training."""
    found, wanted = np.asarray(found), fingerprint_of(expected)
    if len(wanted) != len(found):
        raise ValueError(f"the fingerprint of the physics is damaged: expected {len(found)} numbers, got {len(wanted)}")
    if not np.abs(found - wanted).max() <= FINGERPRINT_TOLERANCE * np.abs(wanted).max() < math.inf:
        raise ValueError("the physics rebuilt from its recipe differs from that of training (fingerprints disagree)")


def coherence_matrix(A: Operator) -> Operator:
    """ALISTA's ``w_j = (A A^T)^+ a_j / (a_j^T (A A^T)^+ a_j)``, block by block, in float64."""
    core = core_to_solve(A)
    W = core if A.frame is not None else np.linalg.pinv(core, rcond=RESOLUTION).swapaxes(-1, -2)
    products = (W * core).sum(-2, keepdims=True)
    measured = products > 0  # an unknown that is not measured has no column: w_j = 0
    return of_blocks(np.where(measured, W / np.where(measured, products, 1), 0))


def regularised_inverse(A: Operator, rho: float) -> Operator:
    """``(A A^T + rho I)^{-1} A``, block by block, in float64."""
    if A.frame is not None:
        return scaled(A, 1 / (A.frame + rho))
    core = core_to_solve(A)
    return of_blocks(np.linalg.solve(core @ core.swapaxes(-1, -2) + rho * np.eye(core.shape[-2]), core))


# ---- learned matrices ----------------------------------------------------------------------------------------------


class Map(NamedTuple):
    """A linear map of an algorithm: its shape, its value before training, and whether it is applied as W^T."""

    shape: tuple[int, int]
    initial: Callable[[], Operator]
    adjoint: bool = False
    both: bool = False  # it is applied as W and as W^T


Arrays = dict[str, Stored]


def positions_of(code: np.ndarray, entries: int) -> tuple[np.ndarray, int]:
    """Where one matrix of so many signs differs from its reference, and the bytes that its flip code takes.

    Raises ``ValueError`` for what does not decode. Memory is O(entries) bytes, and only as much as the code can fill.

    Example:
        >>> places, used = positions_of(np.array([1, 3, 0, 0, 0, 99, 0], np.uint8), 12)
        >>> places.tolist(), used
        ([1, 2, 9], 7)
    """
    if len(code) < CODE_HEADER:
        raise ValueError("flip code: cut off")
    k, count, body = int(code[0]), int.from_bytes(code[1:5].tobytes(), "little"), code[CODE_HEADER:]
    if k > 31 or count > entries:
        raise ValueError(f"flip code: expected at most {entries} flips and a parameter up to 31, got {count} and {k}")
    if count * (1 + k) > 8 * len(body):
        raise ValueError(f"flip code: cut off, {count} flips take more than the {len(body)} bytes that follow")
    longest = count + ((entries - count) >> k)  # of the quotients: more would lead past the last entry
    unary = np.unpackbits(body[: -(-longest // 8)], count=min(longest, 8 * len(body)), bitorder="little")
    ends = np.flatnonzero(unary)[:count]
    if len(ends) < count:
        raise ValueError(f"flip code: a flip past the last of {entries} entries, or cut off")
    start = int(ends[-1]) + 1 if count else 0
    used = -(-(start + count * k) // 8)
    if used > len(body):
        raise ValueError("flip code: cut off")
    tail = np.unpackbits(body[start // 8 : used], bitorder="little")[start % 8 :]
    if tail[count * k :].any():
        raise ValueError("flip code: the filling of the last byte is not zero")
    remainders, digits = np.zeros(count, np.int64), tail[: count * k].reshape(count, k)
    for bit in range(k):
        remainders |= digits[:, bit].astype(np.int64) << bit
    positions = np.cumsum((np.diff(ends, prepend=-1) - 1 << k | remainders) + 1) - 1
    if count and positions[-1] >= entries:
        raise ValueError(f"flip code: a flip at {positions[-1]}, past the last of {entries} entries")
    return positions, CODE_HEADER + used


def flips_of(stream: np.ndarray, matrices: int, entries: int) -> Iterator[np.ndarray]:
    """The positions of the flips, matrix after matrix; raises ``ValueError`` (while it is iterated)."""
    if len(stream) < CODE_HEADER * matrices:
        raise ValueError(f"flip code: {matrices} matrices of {entries} signs are not in {len(stream)} bytes")
    for _ in range(matrices):
        positions, used = positions_of(stream, entries)
        stream = stream[used:]
        yield positions
    if len(stream):
        raise ValueError(f"flip code: {len(stream)} bytes follow the last matrix")


class Layout(NamedTuple):
    """How one matrix of signs lies in a file: signs in a row and in all, and the rows of sign(A), where A gives it."""

    row: int
    entries: int
    reference: Callable[[], np.ndarray | None]


def first_planes(code: Any, checksum: Any, layout: Layout, copies: int) -> np.ndarray:
    """The first sign plane of every matrix, packed: ``sign(A)`` with the flips of its code."""
    stream = bytes_of(code, (-1,))
    if copies * layout.entries > LARGEST_CODED or CODE_HEADER * copies > len(stream):
        raise ValueError(f"flip code: {copies} matrices of {layout.entries} signs are not in {len(stream)} bytes")
    reference = layout.reference()
    if reference is None:
        raise ValueError("flip code: the physics give no exact reference for these weights")
    first = np.repeat(reference[None], copies, axis=0)
    for plane, positions in zip(first.reshape(copies, -1), flips_of(stream, copies, layout.entries), strict=True):
        line, place = np.divmod(positions, layout.row)
        bits = np.left_shift(1, place % 8).astype(np.uint8)
        np.bitwise_xor.at(plane, line * reference.shape[-1] + place // 8, bits)
    if checksum != hashlib.sha256(first.tobytes()).hexdigest():
        raise ValueError(
            "flip code: the decoded signs are not those that were saved (their checksum differs); this machine "
            "computes other signs of A"
        )
    return first


class Held(NamedTuple):
    """One map of a file: its format, and the structure, number, flip code and arrays of the matrices that it stores."""

    format: Spec
    structure: Any
    copies: Any
    coded: bool  # whether the first sign plane is in the flip code
    checksum: Any  # of the signs in it
    arrays: Arrays


def held_map(spec: Any, arrays: Arrays) -> Held:
    """What the spec of a map says. The only place that knows how it is laid out."""
    if not isinstance(spec, Mapping) or not isinstance(spec.get("format"), Mapping):
        raise ValueError(f"weights: expected a table with the key 'format', got {spec!r:.60}")
    if unknown := sorted(set(spec) - {"format", "structure", "copies", "flips"}):
        raise ValueError(f"weights: fields of no use: {', '.join(map(repr, unknown))}")
    structure, copies, flips = (spec.get(name) for name in ("structure", "copies", "flips"))
    return Held(dict(spec["format"]), structure, copies, "flips" in spec, flips, arrays)


def with_signs(held: Held, layout: Layout) -> Held:
    """The map with the array ``signs`` in the place of its flip code."""
    spec, arrays = innermost(held.format), dict(held.arrays)
    if "flips" not in arrays:
        raise ValueError("array 'flips' is missing")
    copies, planes = integers(copies=held.copies, planes=spec.get("planes", 1))
    first = first_planes(arrays.pop("flips"), held.checksum, layout, copies)
    signs = first[:, None] if spec["kind"] == "OneBit" else first
    if planes > 1:
        others = taken(arrays, "signs", "U8", (copies, planes - 1, *first.shape[1:]))
        signs = np.concatenate([signs, others], axis=1)
    elif "signs" in arrays:
        raise ValueError("array 'signs' is of no use beside a flip code of the only plane")
    return held._replace(coded=False, arrays={**arrays, "signs": Stored("U8", signs)})


def packed_signs(arrays: Arrays, structure: Structure, *lead: int, name: str = "signs") -> np.ndarray:
    """Packed matrices of signs, whose padding must be 0."""
    bits = taken(arrays, name, "U8", (*lead, *packed_shape(structure, 8)))
    check_signs(bits, row_of(structure))
    return bits


def one_bit(structure: Structure, copies: int, arrays: Arrays, o: Spec) -> list[Operator]:
    """``sum_p c_p (M o S_p)``, scales as logarithms."""
    planes, (m, n) = integer("planes", o["planes"]), structure.shape
    scale = one_of("scale", o["scale"], ("none", "global", "layer", "row", "column"))
    lead = (copies, planes)
    bits = packed_signs(arrays, structure, *lead)
    scales = np.ones(lead, np.float32)
    if scale != "none":
        shape = {"global": (planes,), "layer": lead, "row": (*lead, m), "column": (*lead, n)}[scale]
        logs = taken(arrays, "log_scales", "F32", shape)
        if (logs > LARGEST_LOG).any():
            raise ValueError(f"array 'log_scales': expected logarithms of float32 scales, got {logs.max()}")
        scales = np.broadcast_to(np.exp(logs), lead) if scale == "global" else np.exp(logs)
    return [quantised(structure, bits[k], scales[k], scale) for k in range(copies)]


def uniform(structure: Structure, copies: int, arrays: Arrays, o: Spec) -> list[Operator]:
    """``sum_p 2^-p (M o S_p)``."""
    planes = integer("planes", o["planes"])
    bits = packed_signs(arrays, structure, copies, planes)
    scales = np.ldexp(np.float32(1), -np.arange(planes)).astype(np.float32)
    return [quantised(structure, bits[k], scales) for k in range(copies)]


def positive(arrays: Arrays, name: str, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    values = taken(arrays, name, dtype, shape)
    if not (values > 0).all():
        raise ValueError(f"array {name!r}: expected scales > 0, got {values.min()}")
    return values


def bitnet(structure: Structure, copies: int, arrays: Arrays, o: Spec) -> list[Operator]:
    """``beta S``."""
    bits = packed_signs(arrays, structure, copies)
    scale = positive(arrays, "scale", "BF16", (copies,))
    return [quantised(structure, bits[k : k + 1], scale[k : k + 1]) for k in range(copies)]


def ternary(structure: Structure, copies: int, arrays: Arrays, o: Spec) -> list[Operator]:
    """``gamma T``, T in {-1, 0, 1}."""
    per_byte = one_of("per_byte", o["per_byte"], (5, 4))
    trits = taken(arrays, "trits", "U8", (copies, *packed_shape(structure, per_byte)))
    scale = positive(arrays, "scale", "F32", (copies,))
    check_trits(trits, row_of(structure), per_byte)
    return [quantised(structure, trits[k : k + 1], scale[k : k + 1], per_byte=per_byte) for k in range(copies)]


def one_bit_svid(structure: Structure, copies: int, arrays: Arrays, o: Spec) -> list[Operator]:
    """``diag(h) S diag(g)``."""
    bits = packed_signs(arrays, structure, copies)
    h, g = (
        positive(arrays, name, "BF16", (copies, size))
        for name, size in zip(("rows", "columns"), structure.shape, strict=True)
    )
    one = np.ones(1, np.float32)
    signs = [quantised(structure, bits[k : k + 1], one) for k in range(copies)]
    return [composed(diagonal(h[k]), composed(signs[k], diagonal(g[k]))) for k in range(copies)]


def rank_of(m: int, n: int, entries: int, o: Spec) -> int:
    """The rank of sign factors of (m, n) blocks of so many existing entries.

    It is given, or the largest multiple at which they take at most the wanted bits for each of the entries:
    ``rank (m + n + 16) + 16 (m + n)`` on every path.
    """
    rank = o["rank"]
    if rank is None:
        step, rate = integer("multiple", o["multiple"], 1, min(m, n)), number("bits_per_weight", o["bits_per_weight"])
        exact = (rate * entries / (1 + o["residual"]) - 16 * (m + n)) / (m + n + 16)
        rank = step * math.floor(exact / step + 1e-9) if math.isfinite(exact) else 0
    return integer("rank", rank, 1, min(m, n))


def little_bit(structure: Structure, copies: int, arrays: Arrays, o: Spec) -> list[Operator]:
    """``sum_p diag(h_p) L_p diag(l_p) R_p diag(g_p)`` with sign factors; an irregular mask multiplies the sum."""
    (m, n), count = structure.shape, structure.blocks
    if structure.core[-2:] != (m // count, n // count):
        raise ValueError("LittleBit: taps of a convolution have no rank")
    for name in ("residual", "rotate", "turns"):
        one_of(name, o[name], (False, True))
    paths, whole = 1 + o["residual"], structure.mask()
    entries = (math.prod(structure.core) if whole is None else int(whole.sum())) // count
    rank = rank_of(m // count, n // count, entries, o)
    inner = count * rank
    if len(structure.core) == 3:
        left = Structure((m, inner), (count, m // count, rank), blocks=count)
        right = Structure((inner, n), (count, rank, n // count), blocks=count)
    else:
        left, right = Structure((m, rank), (m, rank)), Structure((rank, n), (rank, n))
    lead = (copies, paths)
    bits = [packed_signs(arrays, s, *lead, name=name) for name, s in (("left", left), ("right", right))]
    sizes = {"rows": m, "middle": inner, "columns": n}
    h, middle, g = (positive(arrays, name, "BF16", (*lead, size)) for name, size in sizes.items())
    one, mask = np.ones(1, np.float32), structure.mask()

    def factor(side: int, k: int, p: int) -> Operator:
        return quantised((left, right)[side], bits[side][k, p][None], one)

    def copy(k: int) -> Operator:
        terms = (low_rank(h[k, p], factor(0, k, p), middle[k, p], factor(1, k, p), g[k, p]) for p in range(paths))
        whole = functools.reduce(added, terms)
        if mask is None:
            return whole
        shown = mask  # of the matrix itself: products cost as much as with the dense one
        return tiled((m, n), 1, lambda i, j: whole.panel(i, j) * shown[i:j], PANEL)

    return [copy(k) for k in range(copies)]


def full_precision(structure: Structure, copies: int, arrays: Arrays, o: Spec) -> list[Operator]:
    """float32 entries; of an irregular structure only those that exist."""
    mask = structure.mask()
    values = taken(arrays, "values", "F32", (copies, *(structure.core if mask is None else (int(mask.sum()),))))
    if mask is None:
        return [structured(structure, values[k]) for k in range(copies)]
    cores = np.zeros((copies, *structure.core), np.float32)
    cores[:, mask] = values
    return [structured(structure, core) for core in cores]


SURROGATE: dict[str, Any] = {"surrogate": None}  # how signs train
FACTORS = {"bits_per_weight": 1.0, "residual": False, "rotate": False, "multiple": 8, "rank": None, "turns": False}

# a format that stores matrices, with the defaults of its options
FORMATS: dict[str, tuple[Callable[[Structure, int, Arrays, Spec], list[Operator]], dict[str, Any]]] = {
    "BitNet": (bitnet, SURROGATE),
    "FullPrecision": (full_precision, {}),
    "LittleBit": (little_bit, {**FACTORS, **SURROGATE}),
    "OneBit": (one_bit, {"planes": 1, "scale": "layer", **SURROGATE}),
    "OneBitSVID": (one_bit_svid, SURROGATE),
    "Ternary": (ternary, {"per_byte": 5}),
    "Uniform": (uniform, {"planes": 2, **SURROGATE}),
}
CODED = ("BitNet", "OneBit", "OneBitSVID")  # formats whose first sign plane may be in the flip code


def fixed(format: Spec, held: Held, linear: Map, A: Operator) -> list[Operator]:
    """``W = A``, or what the algorithm starts from."""
    fields(format)
    if held.structure is not None or held.copies is not None:
        raise ValueError("Fixed stores nothing: it has neither a structure nor copies")
    if held.arrays:
        raise ValueError(f"arrays of no use: {', '.join(map(repr, sorted(held.arrays)))}")
    return [linear.initial()]


def inside(format: Spec, held: Held, linear: Map, A: Operator, **options: Any) -> list[Operator]:
    """The matrices inside a wrapper, whose other fields only say how training starts."""
    return matrices_of(fields(format, "inner", **options)[0], held, linear, A)


def check_adjoint(format: Spec, linear: Map) -> None:
    if not linear.adjoint:
        raise ValueError(f"{format['kind']}: expected a map of the shape of A, applied as W^T")


def normalised(format: Spec, held: Held, linear: Map, A: Operator) -> list[Operator]:
    """``W D`` with ``D_j = 1 / (w_j^T a_j)``, so that ``diag((W D)^T A) = 1``."""

    def scale(W: Operator) -> np.ndarray:
        products = sum((W.panel(i, j) * A.panel(i, j)).sum(0, dtype=np.float64) for i, j in A.panels())
        size = np.abs(products)
        return np.sign(products) / np.where(size > 0, np.maximum(size, 1e-6 * size.max()), 1)

    check_adjoint(format, linear)
    return [composed(W, diagonal(scale(W).astype(np.float32))) for W in inside(format, held, linear, A)]


def coherent(format: Spec, held: Held, linear: Map, A: Operator) -> list[Operator]:
    """A start at ALISTA's matrix."""
    check_adjoint(format, linear)
    return inside(format, held, linear._replace(initial=lambda: coherence_matrix(A)), A)


def designed(format: Spec, held: Held, linear: Map, A: Operator) -> list[Operator]:
    """Signs that were designed before they were trained."""
    check_adjoint(format, linear)
    if not isinstance(format.get("inner"), Mapping) or format["inner"].get("kind") != "OneBit":
        raise ValueError(f"Designed: expected OneBit inside, got {format.get('inner')!r:.60}")
    return inside(format, held, linear, A, noise=0.0, steps=400, seed=0)


def shared_taps(format: Spec, held: Held, linear: Map, A: Operator) -> list[Operator]:
    """The taps of a convolution, as the structure says."""
    return inside(format, held, linear, A, wider=0)


def anchored(format: Spec, held: Held, linear: Map, A: Operator) -> list[Operator]:
    """``A + V``."""
    if held.coded:
        raise ValueError("Anchored: V of W = A + V has no reference for a flip code")
    anchor = linear.initial()
    start = linear._replace(initial=lambda: scaled(anchor, 0.0))
    return [added(anchor, V) for V in inside(format, held, start, A, share=0.0625)]


def signal_domain(format: Spec, held: Held, linear: Map, A: Operator) -> list[Operator]:
    """``S Psi`` for physics ``A = Phi Psi``, where S starts at Phi (elsewhere: at ``W Psi^T``)."""
    if A.parts is None or A.parts[1].shape != (A.shape[1],) * 2 or A.parts[1].frame != 1 or not linear.adjoint:
        raise ValueError("SignalDomain: expected physics that is a composition with an orthonormal synthesis")
    outer, psi = A.parts

    def initial() -> Operator:
        W = linear.initial()
        return outer if W is A else composed(W, transposed(psi))

    signal = Map(outer.shape, initial, linear.adjoint)
    return [composed(S, psi) for S in inside(format, held, signal, outer)]


def unit_filters(format: Spec, held: Held, linear: Map, A: Operator) -> list[Operator]:
    """Every filter without its mean, over its norm."""

    def unit(W: Operator) -> Operator:
        if W.bank is None:
            raise ValueError("UnitFilters: expected a map that is a bank of filters")
        core, structure = W.bank
        flat = core.reshape(-1, core.shape[-1])
        flat = flat - flat.mean(0)
        size = np.sqrt((flat * flat).sum(0))
        return bank(structure, (flat / np.where(size > 0, size, np.float32(1))).reshape(core.shape))

    return [unit(W) for W in inside(format, held, linear, A)]


WRAPPERS: dict[str, Callable[[Spec, Held, Map, Operator], list[Operator]]] = {
    "Anchored": anchored,
    "Coherent": coherent,
    "Designed": designed,
    "Fixed": fixed,
    "Normalised": normalised,
    "SharedTaps": shared_taps,
    "SignalDomain": signal_domain,
    "UnitFilters": unit_filters,
}


def weights_of(spec: Any, arrays: Arrays, linear: Map, A: Operator) -> list[Operator]:
    """The matrices of a map; layer k uses number ``k mod len``."""
    held = held_map(spec, dict(arrays))
    return matrices_of(held.format, held, linear, A)


def matrices_of(format: Any, held: Held, linear: Map, A: Operator) -> list[Operator]:
    """The matrices of a format, which takes its arrays away from those of the map."""
    found = kind_of(format, {**WRAPPERS, **FORMATS}, "weight format")
    if not isinstance(found, tuple):
        return found(format, held, linear, A)
    build, defaults = found
    options = options_of(format, defaults)
    if held.structure is None or held.copies is None:
        raise ValueError(f"{format['kind']}: expected the structure and the copies of its matrices")
    copies, structure = integer("copies", held.copies), structure_of(held.structure)
    if structure.shape != linear.shape:
        raise ValueError(f"weights: expected matrices of shape {linear.shape}, the file has {structure.shape}")
    if not row_of(structure):
        raise ValueError("weights: expected a mask with entries")
    if held.coded:
        if format["kind"] not in CODED:
            raise ValueError(f"{format['kind']} does not know a flip code; only {', '.join(CODED)} do")
        entries = row_of(structure) if structure.exists is not None else math.prod(structure.core)
        known = A.reference if structure.shape == A.shape else None
        layout = Layout(row_of(structure), entries, lambda: None if known is None else known(structure))
        held = with_signs(held, layout)
    matrices = build(structure, copies, held.arrays, options)
    if held.arrays:
        raise ValueError(f"arrays of no use: {', '.join(map(repr, sorted(held.arrays)))}")
    return matrices


def innermost(format: Spec) -> Spec:
    """The format inside all wrappers."""
    while "inner" in format:
        format = format["inner"]
    return format


# ---- shrinkages: shrink(u, scalars, tau) -> estimate of x in u = x + noise, and its derivative -----------------------


def unit_of(x: np.ndarray) -> np.ndarray:
    """A power of two near the largest magnitude along the last axis, 1 for zeros: in it squares stay in range."""
    largest = np.abs(x).max(-1, keepdims=True)
    usable = (largest > 0) & np.isfinite(largest)
    exponent = np.clip(np.frexp(np.where(usable, largest, np.float32(1)))[1], -126, 126)
    return np.where(usable, np.ldexp(np.float32(1), exponent), np.float32(1)).astype(np.float32)


def root_mean_square(x: np.ndarray) -> np.ndarray:
    """``sqrt(mean x^2)`` along the last axis."""
    unit = unit_of(x)
    return unit[..., 0] * np.sqrt(np.square(x / unit).mean(-1))


Scalars = Mapping[str, Any]  # of one layer, as the algorithm sees them
Shrunk = tuple[np.ndarray, Any]
THRESHOLD = {"threshold": "nonnegative"}


def soft(o: Spec, u: np.ndarray, s: Scalars, tau: Any) -> Shrunk:
    """``sign(u) max(|u| - t, 0)``, ``t = tau theta``."""
    t = tau * s["threshold"]
    return u - np.minimum(np.maximum(u, -t), t), np.abs(u) > t


def support_selection(o: Spec, u: np.ndarray, s: Scalars, tau: Any) -> Shrunk:
    """Soft threshold, but the ``share`` per cent largest entries pass unshrunk where they exceed the threshold."""
    n, size = u.shape[-1], np.abs(u)
    count = min(int(np.round(s["share"] * np.float32(n) / np.float32(100))), n)
    border = 0 if count == n else np.sort(size, axis=-1)[:, n - 1 - count, None]
    shrunk, slope = soft(o, u, s, tau)
    return np.where((size > border) & slope, u, shrunk), slope


def firm(o: Spec, u: np.ndarray, s: Scalars, tau: Any) -> Shrunk:
    """``sign(u) min(max(|u| - t, 0) (1 + theta / omega), |u|)``."""
    width = np.maximum(s["width"], np.float32(1e-6) * s["threshold"])
    gain, size = 1 + s["threshold"] / np.where(width > 0, width, np.float32(1)), np.abs(u)
    risen = gain * np.maximum(size - tau * s["threshold"], 0)
    slope = np.where(risen < size, gain * (risen > 0), 1)
    return np.sign(u) * np.minimum(risen, size), slope


def hard(o: Spec, u: np.ndarray, s: Scalars, tau: Any) -> Shrunk:
    """u where ``|u| > t``, else 0."""
    large = np.abs(u) > tau * s["threshold"]
    return np.where(large, u, 0), large


def group_soft(o: Spec, u: np.ndarray, s: Scalars, tau: Any) -> Shrunk:
    """``u_g max(1 - t / ||u_g||, 0)`` for groups of consecutive entries; t is the mean over the group."""
    size = integer("group_size", o["group_size"])
    if u.shape[-1] % size:
        raise ValueError(f"GroupSoft: {u.shape[-1]} entries do not divide into groups of {size}")
    groups = u.reshape(len(u), -1, size)
    t = np.broadcast_to(tau * s["threshold"], u.shape).reshape(groups.shape).mean(-1)
    norm = root_mean_square(groups) * np.float32(math.sqrt(size))
    factor = np.where(norm == 0, 0, np.maximum(1 - t / np.where(norm == 0, np.float32(1), norm), 0))
    return (groups * factor[..., None]).reshape(u.shape), None


def bernoulli_gaussian(o: Spec, u: np.ndarray, s: Scalars, tau: Any) -> Shrunk:
    """Posterior mean: ``u w / (1 + exp(-z))``, ``z = a w (u / (t d))^2 / 2 - kappa - log(1 + 1 / t^2) / 2``.

    ``d = sqrt(v)``, ``t = max(sigma tau / d, 1e-6)``, ``w = 1 / (1 + t^2)``.
    """
    v = s["variance"] if o["learn_variance"] else np.float32(number("variance", o["variance"]))
    d = np.sqrt(v)
    t = np.clip(np.float32(1) * s["noise"] * tau / d, np.float32(1e-6), np.float32(1e18))
    w = 1 / (1 + t**2)
    ratio = np.clip(u / d / t, -1e12, 1e12).astype(np.float32)
    z = s["gain"] * w * ratio**2 / 2 - s["log_odds"] - np.log1p(1 / t**2) / 2
    with np.errstate(over="ignore"):
        share = 1 / (1 + np.exp(-z))
    return u * w * share, w * share * (1 + (1 - share) * s["gain"] * w * ratio**2)


def non_negative(o: Spec, u: np.ndarray, s: Scalars, tau: Any) -> Shrunk:
    """``max(u - t, 0)``."""
    shrunk = np.maximum(u - tau * s["threshold"], 0)
    return shrunk, shrunk > 0


def box(o: Spec, u: np.ndarray, s: Scalars, tau: Any) -> Shrunk:
    """``min(max(u, lower), upper)``."""
    lower, upper = (np.float32(o[name]) for name in ("lower", "upper"))
    return np.minimum(np.maximum(u, lower), upper), (u > lower) & (u < upper)


def group_ids(o: Spec) -> np.ndarray:
    """The group of every unknown, from a list of them or of runs ``[group, count]``."""
    entries = o["groups"]
    if not isinstance(entries, list) or not entries:
        raise ValueError("Grouped: expected a list of groups, or of runs [group, count]")
    if isinstance(entries[0], list):
        runs = np.array([[integer("group", v, 0) for v in run] for run in entries], np.int64)
        if runs.shape[1:] != (2,):
            raise ValueError("Grouped: expected runs [group, count]")
        limited("runs of groups", int(runs[:, 1].sum()), largest=2**22)
        ids = np.repeat(runs[:, 0], runs[:, 1])
    else:
        ids = np.array([integer("group", v, 0) for v in entries])
    if not ids.size or set(np.unique(ids)) != set(range(ids.max() + 1 if ids.max() < ids.size else 0)):
        raise ValueError("Grouped: expected the groups 0..G-1, each used at least once")
    return ids


class Shrinkage(NamedTuple):
    """Options with defaults, constraints of the scalars by name, and the function."""

    options: dict[str, Any]
    scalars: Callable[[Spec], dict[str, str]]
    function: Callable[[Spec, np.ndarray, Scalars, Any], Shrunk]


def bernoulli_scalars(o: Spec) -> dict[str, str]:
    learned = {"variance": "positive"} if one_of("learn_variance", o["learn_variance"], (False, True)) else {}
    if not 0 < number("variance", o["variance"]) < math.inf:
        raise ValueError(f"BernoulliGaussian: expected a variance > 0, got {o['variance']!r}")
    return {**learned, "gain": "positive", "log_odds": "free", "noise": "positive"}


def box_scalars(o: Spec) -> dict[str, str]:
    lower, upper = (number(name, o[name]) for name in ("lower", "upper"))
    if not lower <= upper or lower == math.inf or upper == -math.inf:
        raise ValueError(f"Box: expected lower <= upper with numbers between them, got {lower} and {upper}")
    return {}


REQUIRED: Any = object()
SHRINKAGES: dict[str, Shrinkage] = {
    "BernoulliGaussian": Shrinkage(
        {"sparsity": 0.1, "variance": 1.0, "noise": 1.3, "learn_variance": False}, bernoulli_scalars, bernoulli_gaussian
    ),
    "Box": Shrinkage({"lower": 0.0, "upper": 1.0}, box_scalars, box),
    "Firm": Shrinkage({"relative_width": 1.0}, lambda o: {**THRESHOLD, "width": "positive"}, firm),
    "GroupSoft": Shrinkage({"group_size": REQUIRED}, lambda o: THRESHOLD, group_soft),
    "Hard": Shrinkage({}, lambda o: THRESHOLD, hard),
    "Identity": Shrinkage({}, lambda o: {}, lambda o, u, s, tau: (u, np.ones_like(u))),
    "NonNegative": Shrinkage({}, lambda o: THRESHOLD, non_negative),
    "Soft": Shrinkage({}, lambda o: THRESHOLD, soft),
    "SupportSelection": Shrinkage(
        {"share": 1.2, "max_share": 13.0}, lambda o: {**THRESHOLD, "share": "nonnegative"}, support_selection
    ),
}
Shrink = Callable[[np.ndarray, Scalars, Any], Shrunk]


def options_of(spec: Spec, defaults: Spec) -> dict[str, Any]:
    """The options of a spec by name: given ones, of the type of their defaults, and the defaults."""
    needed = [name for name, default in defaults.items() if default is REQUIRED]
    others = {name: default for name, default in defaults.items() if default is not REQUIRED}
    found = dict(zip((*needed, *others), fields(spec, *needed, **others), strict=True))
    for name, default in others.items():
        if isinstance(default, float):
            number(name, found[name])
    return found


def shrinkage_of(spec: Any, n: int) -> tuple[Shrink, dict[str, tuple[str, tuple[int, ...]]]]:
    """The function ``shrink(u, scalars, tau)``, and constraint and shape of its scalars by name."""
    if isinstance(spec, Mapping) and spec.get("kind") == "Grouped":
        inner, groups, _ = fields(spec, "shrinkage", "groups", initial=[])
        (shrink, scalars), ids = shrinkage_of(inner, n), group_ids({"groups": groups})
        if len(ids) != n or not scalars or any(shape for _, shape in scalars.values()) or "share" in scalars:
            raise ValueError(f"Grouped: expected groups of {n} unknowns around a shrinkage whose scalars are numbers")
        shape = (int(ids.max()) + 1,)

        def grouped(u: np.ndarray, s: Scalars, tau: Any) -> Shrunk:
            return shrink(u, {name: s[name][ids] for name in scalars}, tau)

        return grouped, {name: (constraint, shape) for name, (constraint, _) in scalars.items()}
    kind: Shrinkage = kind_of(spec, SHRINKAGES, "shrinkage")
    options = options_of(spec, kind.options)
    return functools.partial(kind.function, options), {k: (c, ()) for k, c in kind.scalars(options).items()}


# ---- algorithms: step(options, state, y, A, maps, scalars, shrink) -> state ------------------------------------------

State = dict[str, Any]
Maps = Mapping[str, Function]


def noise_level(r: np.ndarray, A: Operator) -> np.ndarray:
    """``sqrt(mean r^2)`` of every signal, or of every block of it (repeated for its unknowns)."""
    level = root_mean_square(r.reshape(len(r), A.blocks, -1))
    return level if A.blocks == 1 else np.repeat(level, A.shape[1] // A.blocks, axis=1)


def ista(o: Spec, state: State, y: np.ndarray, A: Operator, W: Maps, s: Scalars, shrink: Shrink) -> State:
    """``x <- shrink(x + step W^T (y - A x))``, or ``shrink(beta x + W2 x + W1 y)`` (classic)."""
    x = state["x"]
    if o["parametrisation"] == "classic":
        u = s["beta"] * x + W["W2"](x) + W["W1"](y)
        tau = noise_level(y - A.apply(x), A) if o["adaptive"] else 1.0
    else:
        r = y - A.apply(x)
        u = x + s["step"] * W["W"](r)
        tau = noise_level(r, A) if o["adaptive"] else 1.0
    return {"x": shrink(u, s, tau)[0]}


def fista(o: Spec, state: State, y: np.ndarray, A: Operator, W: Maps, s: Scalars, shrink: Shrink) -> State:
    """``x' = shrink(z + step W^T (y - A z))``, ``z' = x' + momentum (x' - x)``."""
    z = state["z"]
    x, _ = shrink(z + s["step"] * W["W"](y - A.apply(z)), s, 1.0)
    return {"x": x, "z": x + s["momentum"] * (x - state["x"])}


def gradient_descent(o: Spec, state: State, y: np.ndarray, A: Operator, W: Maps, s: Scalars, shrink: Shrink) -> State:
    """``x <- shrink(x + step W^T (y - A x))``."""
    x = state["x"]
    return {"x": shrink(x + s["step"] * W["W"](y - A.apply(x)), s, 1.0)[0]}


def admm(o: Spec, state: State, y: np.ndarray, A: Operator, W: Maps, s: Scalars, shrink: Shrink) -> State:
    """``q = 2 x - v``, ``v' = v - x + q + step W^T (y - A q)``, ``x' = shrink(v')``."""
    x, v = state["x"], state["v"]
    q = 2 * x - v
    v = v - x + q + s["step"] * W["W"](y - A.apply(q))
    return {"x": shrink(v, s, 1.0)[0], "v": v}


def amp(o: Spec, state: State, y: np.ndarray, A: Operator, W: Maps, s: Scalars, shrink: Shrink) -> State:
    """``v' = y - A x + b v``, ``u = x + step W^T v' + momentum (x - x_before)``, ``x' = shrink(u, tau)``.

    ``tau = ||v'|| / (sqrt(m) a)``, a the RMS norm of the columns of A; b is learned, or computed from the step before:
    ``(n / m) mean shrink'(u)``.
    """
    x, (m, n) = state["x"], A.shape
    v = y - A.apply(x)
    if o["onsager"] != "none":
        v = v + (s["memory"] if o["onsager"] == "learned" else state["onsager"]) * state["v"]
    u = x + s["step"] * W["W"](v)
    if o["momentum"]:
        u = u + s["momentum"] * (x - state["previous"])
    estimate, slope = shrink(u, s, noise_level(v, A) / state["column"])
    following = {"x": estimate, "previous": x, "v": v, "column": state["column"]}
    if o["onsager"] == "computed":
        means = (np.float32(1) * slope).reshape(len(u), A.blocks, -1).mean(-1)
        following["onsager"] = np.float32(n / m) * np.repeat(means, m // A.blocks, axis=1)
    return following


def the_physics(o: Spec, A: Operator) -> dict[str, Map]:
    return {"W": Map(A.shape, lambda: A, adjoint=True)}


def ista_maps(o: Spec, A: Operator) -> dict[str, Map]:
    if o["parametrisation"] == "coupled":
        return the_physics(o, A)
    if o["parametrisation"] == "step":
        return {"W": Map(A.shape, lambda: coherence_matrix(A), adjoint=True)}
    m, n = A.shape
    return {
        "W1": Map((n, m), lambda: scaled(transposed(A), 1 / A.norm() ** 2)),
        "W2": Map((n, n), lambda: scaled(composed(transposed(A), A), -1 / A.norm() ** 2)),
    }


def ista_scalars(o: Spec) -> dict[str, str]:
    one_of("parametrisation", o["parametrisation"], ("coupled", "classic", "step"))
    one_of("adaptive", o["adaptive"], (False, True))
    return {"beta": "free"} if o["parametrisation"] == "classic" else {"step": "positive"}


def amp_scalars(o: Spec) -> dict[str, str]:
    learned = one_of("onsager", o["onsager"], ("learned", "computed", "none")) == "learned"
    momentum = {"momentum": "free"} if one_of("momentum", o["momentum"], (False, True)) else {}
    return {"step": "positive", **momentum, **({"memory": "free"} if learned else {})}


def admm_scalars(o: Spec) -> dict[str, str]:
    if not 0 < number("rho", o["rho"]) < math.inf:
        raise ValueError(f"rho: expected a finite penalty parameter > 0, got {o['rho']}")
    return {"step": "positive"}


def bank_of(o: Spec) -> Structure:
    """The structure of the filters of a prior."""
    sides = sides_of(o["signal_shape"])
    size, channels = integers(size=o["size"], filters=o["filters"])
    if one_of("start", o["start"], ("dct", "differences")) == "differences":
        size, channels = 2, len(sides)
    kernel = [size] * len(sides)
    return filter_bank(
        {
            "kind": "FilterBank",
            "signal_shape": list(sides),
            "channels": channels,
            "kernel_shape": kernel,
            "edge": o["edge"],
        }
    )


def filter_maps(o: Spec, A: Operator) -> dict[str, Map]:
    """K, which stands for nothing before training that a file could leave out."""
    structure = bank_of(o)
    if structure.shape[1] != A.shape[1]:
        raise ValueError(f"signal_shape: expected the grid of {A.shape[1]} unknowns, got {o['signal_shape']}")

    def initial() -> Operator:
        raise ValueError("a map of filters stores its taps: expected a format that has arrays")

    return {"K": Map(structure.shape, initial, both=True)}


CLIPS = {"shared": "none", "bits": 16, "knots": None, "slopes": None}
INFLUENCES = {"Clips": "free", "MonotoneClips": "positive"}  # the constraint of the slopes
LEVELS = {"unit": 1.0, "share": 0.05, "of": "signal", "alpha": 0.4, "beta": 0.3, "gamma": 0.5, "floor": 0.02}


def prior_scalars(o: Spec) -> dict[str, str | Scalar]:
    """Those of the influence function and of the levels."""
    sign, channels = kind_of(o["influence"], INFLUENCES, "influence function"), bank_of(o).core[-1]
    clips = options_of(o["influence"], CLIPS)
    count = len(clips["knots"]) if isinstance(clips["knots"], list) else 4
    shared = one_of("shared", clips["shared"], ("none", "knots", "all"))
    bits = one_of("bits", clips["bits"], (32, 16, 8))
    whole, row = (integer("knots", count), channels), (count,)
    levels = {} if o["levels"] is None else {**dict.fromkeys(("alpha", "beta", "gamma"), "free"), "floor": "positive"}
    return {
        "slopes": Scalar(sign, row if shared == "all" else whole, bits),
        "knots": Scalar("positive", whole if shared == "none" else row, bits),
        **levels,
    }


def levels_of(o: Spec) -> dict[str, Any] | None:
    """The options of the levels of signals, or None."""
    if o["levels"] is None:
        return None
    levels = options_of({"kind": "Levels", **o["levels"]}, LEVELS)
    one_of("of", levels["of"], ("signal", "noise"))
    if not all(0 < number(name, levels[name]) < math.inf for name in ("unit", "share", "floor")):
        raise ValueError(f"Levels: expected unit, share and floor > 0, got {levels}")
    return levels


def begun(o: Spec, x: np.ndarray) -> State:
    """The state of a prior's first estimate."""
    state: State = {"x": x, "previous": x}
    levels = levels_of(o)
    if levels is None:
        return state
    if levels["of"] == "signal":
        level = root_mean_square(x)
    else:
        image, axes = x.reshape(-1, *o["signal_shape"]), range(1, 1 + len(o["signal_shape"]))
        for axis in axes:
            image = np.diff(image, 2, axis)
        level = np.float32(math.sqrt(math.pi / 2 / 6 ** len(axes))) * np.abs(image).mean(tuple(axes))
    level = level[:, None] / np.float32(levels["unit"])
    return {**state, "level": level, "correction": np.zeros_like(level)}


def thresholds(o: Spec, state: State, s: Scalars) -> tuple[Any, Any]:
    """tau, and what multiplies rho."""
    levels = levels_of(o)
    if levels is None:
        return np.float32(1), np.float32(1)
    level = np.where(state["level"] > 0, state["level"], np.float32(1))
    moved = np.hypot(state["correction"], s["floor"] * level) / np.float32(levels["share"])
    return level ** s["alpha"] * moved ** s["beta"], level ** (2 * s["gamma"])


def followed(o: Spec, state: State, correction: np.ndarray) -> State:
    """The levels after a data step."""
    levels = levels_of(o)
    if levels is None:
        return {}
    moved = root_mean_square(correction)[:, None] / np.float32(levels["unit"])
    return {"level": state["level"], "correction": moved}


def prior_gradient(x: np.ndarray, K: Operator, s: Scalars, tau: Any) -> np.ndarray:
    """``tau K^T phi(K x / tau)``, ``phi_c(z) = (1/C) sum_j a_cj clip(z, -t_cj, t_cj)``."""
    channels = K.shape[0] // K.shape[1]
    z = K.apply(x / tau).reshape(len(x), channels, -1)
    slopes, knots = (
        np.broadcast_to(s[k].reshape(len(s[k]), -1, 1), (len(s[k]), channels, 1)) for k in ("slopes", "knots")
    )
    phi = np.zeros_like(z)
    for a, t in zip(slopes / np.float32(channels), knots, strict=True):
        phi = phi + a * np.minimum(np.maximum(z, -t), t)
    return tau * K.adjoint(phi.reshape(len(x), -1))


def forward_backward(o: Spec, state: State, y: np.ndarray, A: Operator, W: Any, s: Scalars, shrink: Shrink) -> State:
    """``u = v - tau K^T phi(K v / tau)``, ``x <- u - step B (A u - y)``."""
    x, (tau, weight) = state["x"], thresholds(o, state, s)
    v = x + s["momentum"] * (x - state["previous"])
    u = v - prior_gradient(v, W["K"], s, tau)
    correction = s["step"] * o["inverse"](A.apply(u) - y, s["rho"] * weight)
    return {"x": shrink(u - correction, s, 1.0)[0], "previous": x, **followed(o, state, correction)}


def forward_backward_start(o: dict[str, Any], y: np.ndarray, A: Operator, s: Scalars) -> State:
    """``x = B y``."""
    if o.get("inverse_for") is not A:  # found once
        o["inverse"], o["inverse_for"] = inverse_of(A), A
    return begun(o, o["inverse"](y, s["rho"]))


def reaction_diffusion(o: Spec, state: State, y: np.ndarray, A: Operator, W: Any, s: Scalars, shrink: Shrink) -> State:
    """``x <- v - step A^T (A v - y) / ||A||^2 - tau K^T phi(K v / tau)``."""
    x, (tau, _) = state["x"], thresholds(o, state, s)
    v = x + s["momentum"] * (x - state["previous"])
    correction = s["step"] * A.adjoint(A.apply(v) - y) / o["square"]
    u = v - correction - prior_gradient(v, W["K"], s, tau)
    return {"x": shrink(u, s, 1.0)[0], "previous": x, **followed(o, state, correction)}


def reaction_diffusion_start(o: dict[str, Any], y: np.ndarray, A: Operator, s: Scalars) -> State:
    """``x = A^T y / ||A||^2``."""
    if o.get("square_for") is not A:
        o["square"], o["square_for"] = np.float32(A.norm() ** 2), A
    return begun(o, A.adjoint(y) / o["square"])


class Algorithm(NamedTuple):
    """Options with defaults; constraints of scalars; linear maps; what the state holds besides x; the step."""

    options: dict[str, Any]
    scalars: Callable[[Spec], Mapping[str, str | Scalar]]
    maps: Callable[[Spec, Operator], dict[str, Map]]
    state: tuple[str, ...]
    step: Callable[..., State]
    start: Callable[..., State] | None = None  # (options, y, A, scalars) -> state; None: zeros


PROXIMAL = {"shrinkage": {"kind": "Soft"}, "regularisation": 0.1}
STEP = {"step": "positive"}
PRIOR = {
    "signal_shape": REQUIRED,
    "shrinkage": {"kind": "Identity"},
    "influence": {"kind": "Clips"},
    "filters": 24,
    "size": 5,
    "start": "dct",
    "edge": "symmetric",
    "regularisation": 1.0,
    "levels": None,
}
ALGORITHMS: dict[str, Algorithm] = {
    "ADMM": Algorithm(
        {**PROXIMAL, "rho": 1.0},
        admm_scalars,
        lambda o, A: {"W": Map(A.shape, lambda: regularised_inverse(A, o["rho"]), adjoint=True)},
        ("v",),
        admm,
    ),
    "AMP": Algorithm(
        {"shrinkage": {"kind": "BernoulliGaussian"}, "onsager": "learned", "momentum": True},
        amp_scalars,
        the_physics,
        ("previous",),
        amp,
    ),
    "FISTA": Algorithm(PROXIMAL, lambda o: {**STEP, "momentum": "free"}, the_physics, ("z",), fista),
    "ForwardBackward": Algorithm(
        PRIOR,
        lambda o: {"step": "positive", "rho": "positive", "momentum": "free", **prior_scalars(o)},
        filter_maps,
        (),
        forward_backward,
        forward_backward_start,
    ),
    "GradientDescent": Algorithm(
        {"shrinkage": {"kind": "Identity"}, "regularisation": 0.0}, lambda o: STEP, the_physics, (), gradient_descent
    ),
    "ISTA": Algorithm({**PROXIMAL, "parametrisation": "coupled", "adaptive": False}, ista_scalars, ista_maps, (), ista),
    "ReactionDiffusion": Algorithm(
        PRIOR,
        lambda o: {"step": "positive", "momentum": "free", **prior_scalars(o)},
        filter_maps,
        (),
        reaction_diffusion,
        reaction_diffusion_start,
    ),
}


# ---- networks ------------------------------------------------------------------------------------------------------


def quantise(x: np.ndarray, bits: int) -> np.ndarray:
    """``clip(round(x s), -Q - 1, Q) / s``, ``s = Q / max |x|`` of each sample, ``Q = 2^(bits - 1) - 1``."""
    Q = 2 ** (bits - 1) - 1
    largest = np.abs(x).max(-1, keepdims=True)
    s = np.float32(Q) / np.where(largest == 0, np.float32(1), largest)
    return np.clip(np.round(x * s), -Q - 1, Q) / s


def normalise(x: np.ndarray) -> np.ndarray:
    """``(x - mean) / sqrt(variance + 1e-5 mean x^2)``."""
    x = x / unit_of(x)
    centred = x - x.mean(-1, keepdims=True)
    square = (centred * centred).mean(-1, keepdims=True) + np.float32(1e-5) * (x * x).mean(-1, keepdims=True)
    return centred / np.sqrt(np.where(square == 0, np.float32(1), square))


def around(spec: Any, product: Function) -> Function:
    """A learned map with the activations of the network before and after it."""
    bits, where = fields({"kind": "Activations", **spec}, bits=None, normalisation="none")
    one_of("normalisation", where, ("none", "input", "output"))
    bits = None if bits is None else integer("bits", bits, 2, 16)

    def function(x: np.ndarray) -> np.ndarray:
        x = normalise(x) if where == "input" else x
        u = product(x if bits is None else quantise(x, bits))
        return normalise(u) if where == "output" else u

    return function


class Plan(NamedTuple):
    """A kind of network: its linear maps, the layers that use each, and what runs on (batch, m) measurements."""

    maps: dict[str, Map]
    uses: dict[str, int]
    run: Callable[[Mapping[str, list[Function]], np.ndarray, Operator], np.ndarray]
    options: dict[str, Any]  # of the algorithm or network, and its ``depth``
    scalars: dict[str, np.ndarray]  # as the layers see them
    knows_physics: bool  # so that a map may start at it and store nothing
    all_distinct: bool  # a matrix of its own in each layer


class Network:
    """A network that runs from its file: ``network(y)`` maps measurements (..., m) to estimates (..., n)."""

    def __init__(self, description: Spec, arrays: Mapping[str, Stored]) -> None:
        spec, physics, expected, specs, scalars = parts_of(description, arrays)
        A = physics_of(physics)
        check_fingerprint(fingerprint(A), expected)
        plan: Plan = kind_of(spec, NETWORKS, "network")(spec, A, scalars)
        self.operator, self.shape, self.plan, self.matrices = A, A.shape, plan, {}
        if set(specs) != set(plan.maps):
            raise ValueError(f"expected the maps {sorted(plan.maps)}, got {sorted(specs)}")
        self.activated = {name for name, (_, stored) in specs.items() if stored and "activations" in spec}
        for name, (own, stored) in specs.items():
            self.matrices[name] = self._matrices(name, own, stored)
        self._products = self.products()

    def products(self, changed: Callable[[Operator], Operator] = lambda W: W) -> dict[str, list[Any]]:
        """The products of layers with the matrices of each map, activations included (``Map.both``: operators);
        ``changed``: those of another form of a matrix.
        """
        found: dict[str, list[Any]] = {}
        for name, matrices in self.matrices.items():
            linear, operators = self.plan.maps[name], [changed(W) for W in matrices]
            if name in self.activated:
                act = self.plan.options["activations"]
                operators = [replace(W, apply=around(act, W.apply), adjoint=around(act, W.adjoint)) for W in operators]
            found[name] = operators if linear.both else [W.adjoint if linear.adjoint else W.apply for W in operators]
        return found

    def _matrices(self, name: str, spec: Any, arrays: Arrays) -> list[Operator]:
        """The matrices of a map, one after another for the layers."""
        plan, linear = self.plan, self.plan.maps[name]
        matrices = weights_of(spec, arrays, linear, self.operator)
        if any(W.shape != linear.shape for W in matrices):
            raise ValueError(f"map {name!r}: expected shape {linear.shape}, got {matrices[0].shape}")
        layers = plan.uses[name]
        if len(matrices) > layers or (plan.all_distinct and len(matrices) < layers):
            raise ValueError(f"map {name!r}: expected {layers} matrices, one a layer, got {len(matrices)}")
        if not (plan.knows_physics or arrays):
            raise ValueError(f"map {name!r} stores nothing, and no physics gives its matrix")
        return matrices

    def __call__(self, y: Any) -> np.ndarray:
        """Estimates (..., n) of measurements (..., m): real numbers of any width and byte order.

        float32; for measurements of 16 bits rounded to their dtype. Physics of complex measurements take those, m / 2
        of them. Raises ``TypeError`` for what are no such numbers, ``ValueError`` for a wrong shape.
        """
        rows, dtype = signals_of(y, self.shape[0], self.operator.complex)
        with np.errstate(all="ignore"):  # measurements far outside the trained range may overflow, as in the library
            x = self.plan.run(self._products, rows, self.operator) if len(rows) else np.empty((0, self.shape[1]))
            return np.asarray(x, np.float32).astype(dtype).reshape(*np.shape(y)[:-1], self.shape[1])


def signals_of(y: Any, m: int, complex_physics: bool = False) -> tuple[np.ndarray, np.dtype[Any]]:
    """Measurements as float32 rows of m entries, and the dtype of their estimates; raises as ``Network.__call__``."""
    y = np.asarray(y)
    half = y.dtype.itemsize == 2 and (y.dtype.kind == "f" or y.dtype.name == "bfloat16")
    if y.dtype.kind == "c" and complex_physics:
        y = np.concatenate([y.real, y.imag], -1)
    if y.dtype.kind == "c":
        raise TypeError(
            f"measurements: expected real numbers, got dtype {y.dtype}; stack real and imaginary parts on the last "
            "axis, concatenate([y.real, y.imag], -1)"
        )
    if not (y.dtype.kind in "fiub" or half):
        raise TypeError(f"measurements: expected an array of real numbers, got dtype {y.dtype}")
    if y.ndim == 0 or y.shape[-1] != m:
        raise ValueError(f"measurements: expected the last axis to have m = {m} entries, got shape {y.shape}")
    with np.errstate(over="ignore"):
        rows = y.reshape(-1, m).astype(np.float32)
    return rows, y.dtype.newbyteorder("=") if half else np.dtype(np.float32)


class Scalar(NamedTuple):
    """One number of a layer, or a table: its constraint, its shape, and the width of its raw values in a file."""

    constraint: str = "free"
    shape: tuple[int, ...] = ()
    bits: int = 32


def layers_of(scalars: Arrays, declared: Mapping[str, Scalar], lead: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Scalars as the algorithm sees them: the file's, or their exponentials where they must be positive; ``lead`` goes
    before the shape of each.
    """
    if set(declared) != set(scalars):
        raise ValueError(f"expected the scalars {sorted(declared)}, got {sorted(scalars)}")
    raw = {name: raw_of(scalars, name, (*lead, *own.shape), own.bits) for name, own in declared.items()}
    for name, values in raw.items():
        if declared[name].constraint != "free" and (values > LARGEST_LOG).any():
            raise ValueError(f"scalar {name!r}: exp({values.max()}) is too large for a float32")
    return {name: v if declared[name].constraint == "free" else np.exp(v) for name, v in raw.items()}


def raw_of(scalars: Arrays, name: str, shape: tuple[int, ...], bits: int) -> np.ndarray:
    """Raw values of a scalar: floats, or rows of signed bytes, each followed by its step (a bfloat16)."""
    if bits != 8:
        return taken(scalars, name, {32: "F32", 16: "F16"}[bits], shape)
    stored = taken(scalars, name, "U8", (*shape[:-1], shape[-1] + 2))
    codes, steps = np.ascontiguousarray(stored[..., :-2]), np.ascontiguousarray(stored[..., -2:])
    with np.errstate(over="ignore", invalid="ignore"):
        raw = codes.view(np.int8) * (steps.view("<u2").astype(np.uint32) << 16).view(np.float32)
    if not np.isfinite(raw).all():
        raise ValueError(f"scalar {name!r} has steps that are not finite")
    return raw


def unrolled(spec: Spec, A: Operator, scalars: Arrays) -> Plan:
    """Steps of an algorithm from its initial state."""
    algorithm, depth, activations = fields(spec, "algorithm", "depth", activations=None)
    kind: Algorithm = kind_of(algorithm, ALGORITHMS, "algorithm")
    o, depth = options_of(algorithm, kind.options), integer("depth", depth)
    if not 0 <= number("regularisation", o.get("regularisation", 0)) < math.inf:
        raise ValueError(f"regularisation: expected a finite weight >= 0, got {o['regularisation']}")
    shrink, own = shrinkage_of(o["shrinkage"], A.shape[1])
    declared = {name: Scalar(form) if isinstance(form, str) else form for name, form in kind.scalars(o).items()}
    declared |= {name: Scalar(constraint, shape) for name, (constraint, shape) in own.items()}
    values = layers_of(scalars, declared, (depth,))
    column = np.float32(A.column_rms() if kind.step is amp else 1)
    if o.get("onsager") == "computed" and o["shrinkage"].get("kind") == "GroupSoft":
        raise ValueError("AMP: a computed Onsager term needs a separable shrinkage")

    def run(products: Mapping[str, list[Function]], y: np.ndarray, A: Operator) -> np.ndarray:
        y = y if A.accept is None else A.accept.apply(y)
        zero = np.zeros((len(y), A.shape[1]), np.float32)
        state: State = {"x": zero, **dict.fromkeys(kind.state, zero)}
        if kind.step is amp:
            state |= {"v": np.zeros_like(y), "onsager": np.zeros_like(y), "column": column}
        layers = [{name: v[k] for name, v in values.items()} for k in range(depth)]
        if kind.start is not None:
            state = kind.start(o, y, A, layers[0])
        for k, s in enumerate(layers):
            maps = {name: own[k % len(own)] for name, own in products.items()}
            state = kind.step(o, state, y, A, maps, s, shrink)
        return state["x"]

    maps = kind.maps(o, A)
    sizes = {"depth": depth, "column": float(column)}
    options = {**o, **sizes, "kind": algorithm["kind"], "activations": activations}
    return Plan(maps, dict.fromkeys(maps, depth), run, options, values, knows_physics=True, all_distinct=False)


def fully_connected(spec: Spec, A: Operator, scalars: Arrays) -> Plan:
    """A ReLU network that knows of the physics the sizes only."""
    depth, width, skip, activations = fields(spec, "depth", "width", "skip", activations=None)
    (m, n), depth, width = A.shape, integer("depth", depth, 2), integer("width", width)
    skip, hidden = one_of("skip", skip, (False, True)), depth - 2
    shapes = {"first": (width, m), "hidden": (width, width), "last": (n, width)}
    if not hidden:
        del shapes["hidden"]
    shapes_of_biases = {"bias_first": Scalar(shape=(1, width)), "bias_hidden": Scalar(shape=(hidden, width))}
    bias = layers_of(scalars, shapes_of_biases, ())

    def run(products: Mapping[str, list[Function]], y: np.ndarray, A: Operator) -> np.ndarray:
        h = products["first"][0](y) + bias["bias_first"]
        h = h if skip else np.maximum(h, 0)
        for matrix, b in zip(products.get("hidden", []), bias["bias_hidden"], strict=True):
            h = h + matrix(np.maximum(h + b, 0)) if skip else np.maximum(matrix(h) + b, 0)
        return products["last"][0](h)

    maps = {name: Map(shape, lambda shape=shape: zero_matrix(shape)) for name, shape in shapes.items()}
    uses = {"first": 1, "hidden": hidden, "last": 1}
    options = {"kind": "FullyConnected", "depth": depth, "width": width, "skip": skip, "activations": activations}
    return Plan(maps, uses, run, options, bias, knows_physics=False, all_distinct=True)


NETWORKS: dict[str, Callable[[Spec, Operator, Arrays], Plan]] = {
    "FullyConnected": fully_connected,
    "Unrolled": unrolled,
}


def zero_matrix(shape: tuple[int, int]) -> Operator:
    return tiled(shape, 1, lambda i, j: np.zeros((j - i, shape[1]), np.float32), PANEL)


def main(arguments: list[str] | None = None) -> int:
    """``python runtime.py FILE Y.npy X.npy``. Returns the exit status: 0, or 1 after one line on what is wrong."""
    parser = argparse.ArgumentParser(prog="runtime.py", description="apply a packed network to measurements")
    parser.add_argument("network", metavar="FILE", help="packed network (.safetensors), or the folder of a run")
    parser.add_argument("measurements", metavar="Y.npy", help="measurements, shape (..., m), real numbers")
    parser.add_argument("estimates", metavar="X.npy", help="where to write the estimates, shape (..., n)")
    options = parser.parse_args(arguments)
    target = Path(options.estimates)
    try:
        check_target(target, options.network, options.measurements)
        network = load(options.network)
        y = measurements_of(options.measurements, network.shape[0], network.operator.complex)
        x = network(y)
        if not np.isfinite(x).all():
            raise ValueError(f"{options.measurements}: the estimate is not finite; are the measurements out of range?")
        write_array(target, x)
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def check_target(target: Path, *inputs: str | os.PathLike[str]) -> None:
    """Refuses to write estimates over an input, or over anything but estimates of before.

    Raises ``ValueError``, and ``FileNotFoundError`` where the folder is missing.
    """
    if target.suffix != ".npy" or target.is_dir():
        raise ValueError(f"{target}: expected the name of a .npy file for the estimates (order: FILE Y.npy X.npy)")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target.parent}: no such folder; make it before, or choose another for {target.name}")
    if not target.exists():
        return
    if any(Path(path).exists() and target.samefile(path) for path in inputs):
        raise ValueError(f"{target}: is an input, which would be written over; name another file for the estimates")
    with target.open("rb") as file:
        if file.read(len(NPY)) not in (NPY, b""):
            raise ValueError(f"{target}: exists and is no .npy file, so it is not written over")


def numbers_of(path: str | os.PathLike[str], what: str) -> np.ndarray:
    """The array of a ``.npy`` file, of any numbers. Raises ``ValueError`` or ``FileNotFoundError`` in one line."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; expected {what} saved with numpy.save")
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError, zipfile.BadZipFile, tokenize.TokenError) as error:
        raise ValueError(f"{path}: not a .npy file of numbers; save {what} with numpy.save") from error
    if not isinstance(found, np.ndarray):
        raise ValueError(f"{path}: an archive of several arrays; expected a single .npy array")
    return found


def measurements_of(path: str | os.PathLike[str], m: int, complex_physics: bool = False) -> np.ndarray:
    """The measurements (..., m) in a ``.npy`` file, in the dtype of their estimates.

    Raises ``ValueError`` or ``FileNotFoundError`` in one line.
    """
    y = numbers_of(path, "measurements")
    try:
        rows, dtype = signals_of(y, m, complex_physics)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    if not rows.size:
        raise ValueError(f"{path}: expected at least one measurement vector of length {m}, got shape {y.shape}")
    if not np.isfinite(rows).all():
        wrong = int((~np.isfinite(rows)).sum())
        raise ValueError(f"{path}: {wrong} entries are NaN, infinite or beyond the range of float32")
    return rows.astype(dtype).reshape(*y.shape[:-1], m)


def write_array(target: Path, x: np.ndarray) -> None:
    """Writes a whole ``.npy`` file or none."""
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as file:
            np.save(file, x)
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
