"""What the parts of a model give while it runs: its hidden states, without a change of its code."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flax import nnx
from flax.nnx import filterlib
from jaxtyping import Array

from unrollbit.models.selection import Path

_running: list[dict[int, list[Array]]] = []  # outputs by the module that gave them, of the models that run now


def hidden_states(model: nnx.Module, where: filterlib.Filter, *inputs: Any) -> tuple[Any, dict[Path, list[Array]]]:
    """``model(*inputs)`` and the outputs of the modules that ``where`` names, by path; a list, for each call one.

    Modules inside ``nnx.scan``, ``nnx.vmap`` or ``nnx.remat`` are not to be named: what they give belongs to the loop.

    Example:
        >>> import jax.numpy as jnp
        >>> model = nnx.Sequential(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), nnx.relu)
        >>> y, states = hidden_states(model, nnx.Linear, jnp.ones((1, 2)))
        >>> {path: [state.shape for state in found] for path, found in states.items()}
        {('layers', 0): [(1, 3)]}
    """
    wanted = filterlib.to_predicate(where)
    modules = {path: node for path, node in nnx.iter_modules(model) if wanted(path, node)}
    with _recording(list(modules.values())) as outputs:
        y = model(*inputs)  # pyright: ignore[reportCallIssue]
    return y, {path: outputs[id(node)] for path, node in modules.items()}


@contextmanager
def _recording(modules: list[nnx.Module]) -> Iterator[dict[int, list[Array]]]:
    """While it is open, calls of these modules are recorded: they are of a class below their own."""
    outputs: dict[int, list[Array]] = {id(module): [] for module in modules}
    kinds = {id(module): type(module) for module in modules}
    _running.append(outputs)
    try:
        for module in modules:
            object.__setattr__(module, "__class__", _recorded(kinds[id(module)]))
        yield outputs
    finally:
        _running.pop()
        for module in modules:
            object.__setattr__(module, "__class__", kinds[id(module)])


@functools.cache
def _recorded(kind: type[Any]) -> type[Any]:
    class Recorded(kind):
        def __call__(self, *inputs: Any, **options: Any) -> Any:
            output = super().__call__(*inputs, **options)
            _running[-1][id(self)].append(output)
            return output

    return Recorded
