"""One compilation cache for a run of the tests: most of the suite's time is compiling, much of it the same programs."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

# Read by jax when it is imported: the environment takes them to workers, to processes that tests start and to kernels.
_CACHE = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
_FOLDER = "JAX_COMPILATION_CACHE_DIR"
_made = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    if _FOLDER in os.environ:  # a worker, or somebody chose one
        return
    # a fresh one: nothing that an earlier run compiled can hide what this one does
    config.stash[_made] = os.environ[_FOLDER] = tempfile.mkdtemp(prefix="unrollbit-compiled-")
    os.environ.update(_CACHE)


def pytest_unconfigure(config: pytest.Config) -> None:
    folder = config.stash.get(_made, None)
    if folder is not None:
        for name in (_FOLDER, *_CACHE):
            os.environ.pop(name, None)
        shutil.rmtree(Path(folder), ignore_errors=True)
