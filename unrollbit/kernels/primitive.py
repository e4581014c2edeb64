"""What every primitive of these kernels needs to be called outside of ``jax.jit``."""

from __future__ import annotations

import functools
from typing import Any

import jax
from jax.extend.core import Primitive


def primitive(name: str) -> Primitive:
    """A primitive that is compiled where it is called on concrete arrays; its other rules are to be added."""
    made = Primitive(name)

    @functools.lru_cache(maxsize=1024)
    def compiled(**params: Any) -> Any:
        return jax.jit(functools.partial(made.bind, **params))

    @made.def_impl
    def _run(*arrays: Any, **params: Any) -> Any:
        with jax.disable_jit(False):  # without jit, the compiled call would come back here
            return compiled(**params)(*arrays)

    return made
