"""The C extension: found, registered with XLA, and chosen by what the processor can do."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import jax

TARGET = "unrollbit_signs_product"
TAPE_TARGET = "unrollbit_run_tape"
LEVELS = {"plain": 0, "avx2": 1, "avx512": 2, "amx": 3}  # as in ffi.c; plain: generic C, for tests
PATHS = ("portable", *LEVELS, "pallas")
VARIABLE = "UNROLLBIT_KERNELS"
_forced: list[str] = []


class Kernels(NamedTuple):
    """Which path packed products take on this machine, and why."""

    path: str
    reason: str
    available: tuple[str, ...]


class _Library(NamedTuple):
    level: int
    reason: str


@functools.cache
def _library() -> _Library:
    """The best level of the extension, -1 without one."""
    found = sorted(Path(__file__).parent.glob("_signs*.so"))
    if not found:
        machine = platform.machine()
        built = machine in ("x86_64", "AMD64")
        why = "no C compiler when unrollbit was installed" if built else f"it is for x86-64, this is {machine}"
        return _Library(-1, f"the C extension is not there ({why})")
    try:
        library = ctypes.CDLL(str(found[0]))
        for target in (TARGET, TAPE_TARGET):
            jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(getattr(library, target)), platform="cpu")
        level = int(library.unrollbit_level())
    except (OSError, AttributeError) as error:
        return _Library(-1, f"the C extension {found[0].name} does not load ({error}); install unrollbit again")
    name = next(name for name, number in LEVELS.items() if number == level)
    if level == 0:
        return _Library(0, "the processor has no AVX2, and generic C is slower than XLA")
    return _Library(level, f"the C extension runs, and {name} is the best that this processor has")


def kernels() -> Kernels:
    """The path of packed products: ``portable`` (pure JAX), ``avx2``, ``avx512``, ``amx`` (C) or ``pallas`` (GPUs).

    The environment variable ``UNROLLBIT_KERNELS`` or ``use_kernels`` force one. Raises ``ValueError`` for a path that
    does not exist or does not run here.

    Example:
        >>> kernels().path in ("portable", "avx2", "avx512", "amx", "pallas")
        True
    """
    library = _library()
    native = tuple(name for name, number in LEVELS.items() if number <= library.level)
    backend = jax.default_backend()
    available = ("portable", *native) if backend == "cpu" else ("portable", *(("pallas",) if backend == "gpu" else ()))
    forced = _forced[-1] if _forced else os.environ.get(VARIABLE)
    if forced:
        if forced not in PATHS:
            raise ValueError(f"{VARIABLE}: expected one of {', '.join(PATHS)}, got {forced!r}")
        if forced not in available:
            why = library.reason if backend == "cpu" else f"JAX runs on {backend}"
            raise ValueError(f"{VARIABLE}: {forced} does not run here ({why}); available: {', '.join(available)}")
        return Kernels(forced, "it was asked for", available)
    if backend == "gpu":
        return Kernels("pallas", "JAX runs on an NVIDIA GPU", available)
    if backend != "cpu":
        return Kernels("portable", f"JAX runs on {backend}", available)
    best = native[-1] if library.level > 0 else "portable"
    return Kernels(best, library.reason, available)


@contextmanager
def use_kernels(path: str) -> Iterator[None]:
    """Force a path of packed products within a block. Compiled programs are dropped on the way in and out.

    Raises ``ValueError`` for a path that does not exist or does not run here.
    """
    _forced.append(path)
    try:
        kernels()
        jax.clear_caches()
        yield
    finally:
        _forced.pop()
        jax.clear_caches()
