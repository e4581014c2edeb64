"""Mutation: a theorem with one factor changed in its source, which the checks of the true one must catch."""

import inspect
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest


def mutate(function: Callable[..., Any], old: str, new: str) -> Callable[..., Any]:
    """``function`` compiled again with the one occurrence of ``old`` in its source replaced by ``new``."""
    source = textwrap.dedent(inspect.getsource(function))
    source = source[source.index("def ") :]  # without the decorator, which would register the mutation
    assert source.count(old) == 1, f"{old!r} occurs {source.count(old)} times in {function.__name__}"
    namespace = dict(vars(sys.modules[function.__module__]))
    exec("from __future__ import annotations\n" + source.replace(old, new), namespace)
    return namespace[function.__name__]


@pytest.fixture(name="mutate")
def mutate_fixture() -> Callable[..., Any]:
    return mutate
