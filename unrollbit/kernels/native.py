"""The C extension: found, compared with what is expected of it, registered with XLA, and its backends."""

from __future__ import annotations

import ctypes
import functools
import platform
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.kernels.backend import Backend, Player
from unrollbit.kernels.tape import OPERATIONS, Tape
from unrollbit.kernels.threads import most_threads

TARGET = "unrollbit_signs_product"
TAPE_TARGET = "unrollbit_run_tape"
INTERFACE = 3  # UNROLLBIT_INTERFACE of csrc/interface.h, which says when it is raised
_X86, _ARM = ("x86_64", "AMD64"), ("aarch64", "arm64")
# By the processors that they are for; plain: generic C, for tests.
LEVELS: dict[str, tuple[str, ...]] = {"plain": (*_X86, *_ARM), "avx2": _X86, "avx512": _X86, "amx": _X86, "neon": _ARM}


class Library(NamedTuple):
    """The extension as it was loaded; without one, ``trouble`` says why."""

    trouble: str = ""
    running: tuple[str, ...] = ()  # levels that this processor has, the best one last
    levels: Mapping[str, int] = MappingProxyType({})  # numbers by name, as the extension tells them
    operations: Mapping[str, int] = MappingProxyType({})


@functools.cache
def extension() -> Library:
    """Load the extension once."""
    found = sorted(Path(__file__).parent.glob("_signs*.so"))
    if not found:
        machine = platform.machine()
        built = machine in LEVELS["plain"]
        why = "no C compiler when unrollbit was installed" if built else f"it is for x86-64 and ARM64, not {machine}"
        return Library(f"the C extension is not there ({why})")
    try:
        loaded = ctypes.CDLL(str(found[0]))
        interface = _interface(loaded)
        for target in (TARGET, TAPE_TARGET):
            jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(getattr(loaded, target)), platform="cpu")
        running = tuple(name for k, name in enumerate(interface["levels"]) if loaded.unrollbit_runs(k))
    except (OSError, AttributeError, ValueError) as error:
        trouble = (
            f"the C extension {found[0].name} does not load: {error}; build it again (install unrollbit again, or in "
            "its source folder: python setup.py build_ext --inplace)"
        )
        warnings.warn(f"unrollbit: {trouble}. Until then, packed products run in pure JAX.", RuntimeWarning, 2)
        return Library(trouble)
    levels, operations = ({name: k for k, name in enumerate(interface[key])} for key in ("levels", "operations"))
    return Library("", running, levels, operations)


def _interface(loaded: Any) -> dict[str, list[str]]:
    """What an extension says about itself. Raises ``ValueError`` where it is not what this code was written for."""
    if not hasattr(loaded, "unrollbit_interface"):
        raise ValueError(f"it does not tell its interface, expected version {INTERFACE}: it is older than this code")
    loaded.unrollbit_interface.restype = ctypes.c_char_p
    lines = loaded.unrollbit_interface().decode("ascii").splitlines()
    found = {first: rest for first, *rest in map(str.split, lines)}
    if found.get("version") != [str(INTERFACE)]:
        version = " ".join(found.get("version", ["unknown"]))
        raise ValueError(f"its interface has version {version}, expected {INTERFACE}: it was built from other sources")
    for key, wanted in (("levels", LEVELS), ("operations", OPERATIONS)):
        if missing := [name for name in wanted if name not in found.get(key, ())]:
            raise ValueError(f"it lacks the {key} {', '.join(missing)}: it was built from other sources")
    return found


def _obstacle(name: str) -> str:
    there = extension()
    if there.trouble:
        return there.trouble
    if name in there.running:
        return ""
    if platform.machine() not in LEVELS[name]:
        return f"it is for {LEVELS[name][0]}, this is {platform.machine()}"
    if there.running == ("plain",):
        return "the processor has no AVX2, and generic C is slower than XLA"
    return f"{there.running[-1]} is the best that this processor has"


def _lower(ctx: Any, bits: Any, x: Any, *, columns: int, transpose: bool, level: str) -> Any:
    blocks, rows, _ = ctx.avals_in[0].shape
    sizes = {"blocks": blocks, "rows": rows, "columns": columns, "transpose": transpose}
    sizes |= {"level": extension().levels[level], "threads": most_threads()}
    return jax.ffi.ffi_lowering(TARGET)(ctx, bits, x, **{name: np.int64(size) for name, size in sizes.items()})


def play(tape: Tape, level: str) -> Player:
    """A function that runs a tape on measurements of the shape that it was recorded for."""
    arrays = jnp.asarray(encoded(tape)), jnp.asarray(tape.constants), *tape.matrices
    numbers = {"result": tape.result, "level": extension().levels[level], "threads": most_threads()}
    return lambda y: played(y, *arrays, shape=tape.shape, scratch=tape.scratch, **numbers)


def encoded(tape: Tape) -> np.ndarray:
    """The operations as the extension reads them: ``instruction_t``, as bytes."""
    rows = []
    for operation in tape.operations:
        row = [extension().operations[operation.name], operation.out, operation.n]
        for values, count in ((operation.inputs, 3), (operation.steps, 3), (operation.sizes, 6)):
            row += [*values, *[0] * (count - len(values))]
        rows.append(row)
    return np.asarray(rows, np.int64).view(np.uint8).reshape(-1)


@functools.partial(jax.jit, static_argnames=("shape", "scratch", "result", "level", "threads"))
def played(*arguments: Array, shape: tuple[int, ...], scratch: int, **numbers: int) -> Array:
    """The call itself: measurements, operations, constants and matrices."""
    made = [jax.ShapeDtypeStruct(size, jnp.float32) for size in (shape, (scratch,))]
    call = jax.ffi.ffi_call(TAPE_TARGET, made)
    return call(*arguments, **{name: np.int64(number) for name, number in numbers.items()})[0]


def _backend(name: str) -> Backend:
    return Backend(
        name,
        "cpu",
        functools.partial(_lower, level=name),
        obstacle=functools.partial(_obstacle, name),
        why=f"the C extension runs, and {name} is the best that this processor has",
        automatic=name != "plain",
        player=functools.partial(play, level=name),
    )


NATIVE = tuple(map(_backend, LEVELS))
