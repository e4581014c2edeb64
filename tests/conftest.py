"""What keeps a run of the tests short: most of the suite's time is compiling.

Compiled programs are kept for the run, since many are the same. Without the slow tests they are compiled with few
optimisations (jax's own test suite does so too), and of grids marked ``grid(n)`` only n cases run.

Shapes and dtypes in signatures are enforced while tests run.
"""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import sys
import tempfile
import zlib
from pathlib import Path

import array_annotations
import pytest
from jaxtyping import install_import_hook

# Whose annotations beartype checks at every call; of all others, shapes and dtypes of arrays are compared.
_ENFORCED = (
    "unrollbit.kernels",
    "unrollbit.signbits",
    "unrollbit.trits",
)
# before conftests of folders that are named import anything
install_import_hook(_ENFORCED, "beartype.beartype")
array_annotations.install("unrollbit", _ENFORCED)

# Read by jax when it is imported: the environment takes them to workers, to processes that tests start and to kernels.
_CACHE = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "JAX_TRACEBACK_IN_LOCATIONS_LIMIT": "0",  # where each operation was written takes 5 % of compiling
}
_FEW_OPTIMISATIONS = "JAX_DISABLE_MOST_OPTIMIZATIONS"
_FOLDER = "JAX_COMPILATION_CACHE_DIR"
_MAPS = Path("/proc/self/maps")
_MOST_PIECES, _LOOK_EVERY = 25_000, 10  # of 65,530 (vm.max_map_count); tests
_finished = itertools.count(1)
_made = pytest.StashKey[str]()
_before = pytest.StashKey[dict[str, str | None]]()


def pytest_configure(config: pytest.Config) -> None:
    if _FOLDER in os.environ:  # a worker, or somebody chose one
        return
    # a fresh one: nothing that an earlier run compiled can hide what this one does
    config.stash[_made] = tempfile.mkdtemp(prefix="unrollbit-compiled-")
    chosen = {_FOLDER: config.stash[_made], **_CACHE}
    if "not slow" in config.option.markexpr and _FEW_OPTIMISATIONS not in os.environ:  # `make optimised` says no
        chosen[_FEW_OPTIMISATIONS] = "1"
    config.stash[_before] = {name: os.environ.get(name) for name in chosen}
    os.environ.update(chosen)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Modules and tests that stay are not looked through again and again, and programs, which are many, less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_unconfigure(config: pytest.Config) -> None:
    for name, value in config.stash.get(_before, {}).items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if _made in config.stash:
        shutil.rmtree(Path(config.stash[_made]), ignore_errors=True)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Forget compiled programs before a process has as many pieces of memory as Linux lets it map: it would crash."""
    if next(_finished) % _LOOK_EVERY == 0 and "jax" in sys.modules and _MAPS.exists():
        with _MAPS.open("rb") as maps:
            pieces = sum(1 for _ in maps)
        if pieces > _MOST_PIECES:
            sys.modules["jax"].clear_caches()
            gc.collect()


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow, or as ``others`` says, what a ``grid(n)`` leaves out: n cases, evenly spread from one that depends
    on the name, stay.
    """
    grids: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("grid") is not None:
            grids.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for name, cases in grids.items():
        marker = cases[0].get_closest_marker("grid")
        assert marker is not None
        kept, first = min(marker.args[0], len(cases)), zlib.crc32(name.encode())
        chosen = {(first + k * len(cases) // kept) % len(cases) for k in range(kept)}
        for k, case in enumerate(cases):
            if k not in chosen:
                case.add_marker(getattr(pytest.mark, marker.kwargs.get("others", "slow")))
