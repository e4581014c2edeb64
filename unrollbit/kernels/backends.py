"""The table of backends: which of them run here, and which one products take."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import jax

from unrollbit.kernels.backend import Backend
from unrollbit.kernels.gpu import PALLAS
from unrollbit.kernels.native import NATIVE
from unrollbit.kernels.unpacked import PORTABLE

VARIABLE = "UNROLLBIT_KERNELS"
BACKENDS: dict[str, Backend] = {}  # the best ones come last
_forced: list[str] = []


class Kernels(NamedTuple):
    """Which path packed products take on this machine, and why."""

    path: str
    reason: str
    available: tuple[str, ...]


def add_backend(backend: Backend) -> None:
    """Put a backend at the end of the table: where it runs, it is preferred to those before it.

    Raises ``ValueError`` if the table has one of this name.

    Example:
        >>> from jax.interpreters import mlir
        >>> from unrollbit.kernels import Backend
        >>> add_backend(Backend("mine", "tpu", mlir.lower_fun(lambda bits, x, *, columns, transpose: x)))
        >>> "mine" in BACKENDS
        True
    """
    if backend.name in BACKENDS:
        raise ValueError(f"add_backend: there is a backend {backend.name!r} already; choose another name")
    BACKENDS[backend.name] = backend
    _choose.cache_clear()


def kernels() -> Kernels:
    """The path of packed products: ``portable`` (pure JAX), ``avx2``, ``avx512``, ``amx``, ``neon`` (C) or ``pallas``
    (GPUs).

    The environment variable ``UNROLLBIT_KERNELS`` or ``use_kernels`` force one. Raises ``ValueError`` for a path that
    does not exist or does not run here.

    Example:
        >>> kernels().path in kernels().available
        True
    """
    return _choose(_forced[-1] if _forced else os.environ.get(VARIABLE), jax.default_backend())


@functools.lru_cache(maxsize=64)
def _choose(forced: str | None, backend: str) -> Kernels:
    platform = _platform() if backend == "gpu" else backend
    here = [entry for entry in BACKENDS.values() if entry.platform in (None, platform)]
    obstacles = {entry.name: entry.obstacle() for entry in here}
    running = [entry for entry in here if not obstacles[entry.name]]
    available = tuple(entry.name for entry in running)
    if forced:
        if forced not in BACKENDS:
            raise ValueError(f"{VARIABLE}: expected one of {', '.join(BACKENDS)}, got {forced!r}")
        if forced not in available:
            why = obstacles.get(forced, f"JAX runs on {platform}")
            raise ValueError(f"{VARIABLE}: {forced} does not run here ({why}); available: {', '.join(available)}")
        return Kernels(forced, "it was asked for", available)
    best = [entry for entry in running if entry.automatic][-1]
    better = [obstacles[entry.name] for entry in here[here.index(best) + 1 :] if entry.automatic]
    return Kernels(best.name, best.why or next(iter(better), f"JAX runs on {platform}"), available)


def _platform() -> str:
    """What XLA calls the GPU."""
    return "rocm" if "rocm" in jax.devices()[0].client.platform_version.lower() else "cuda"


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


for _backend in (PORTABLE, *NATIVE, PALLAS):
    add_backend(_backend)
