"""Objects are asked, not sorted by their class: every `isinstance` on a concrete class of the library stands here, with
its reason. Concrete: not abstract, no protocol, and no base of several kinds.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import types
import typing
from collections import Counter
from collections.abc import Iterator
from typing import Any

import unrollbit

MOST = 10
REASONS = {
    ("unrollbit.theory.registry", "Report"): "a theorem's function may give one report or several",
    ("unrollbit.bits", "Weights"): "a message for who counts the weights of a map instead of its network",
    ("unrollbit.export.onnx_graph", "Recorded"): "NumPy hands over what it was given: recorded arrays and numbers",
    ("unrollbit.export.onnx_products", "Recorded"): "one product for recorded signals and for arrays",
    ("unrollbit.networks.maps", "Weights"): "an argument may be a format or weights that exist",
    ("unrollbit.operators.structured", "Structured"): "what stands on the other side of +",
    ("unrollbit.packed.runtime", "Stored"): "a value of a description is what JSON has, or an array of the file",
    ("unrollbit.pytrees", "_Place"): "a leaf of a tree, or what lies between leaves",
    ("unrollbit.training.check", "Stage"): "one alone may stand for a list of one",
    ("unrollbit.training.fit", "TrainingDiverged"): "an exception",
}


def is_concrete(value: Any) -> bool:
    """Whether there are objects of this class of the library, and no kinds of it."""
    if not is_ours(value) or inspect.isabstract(value) or getattr(value, "_is_protocol", False):
        return False
    return sum(map(is_ours, value.__subclasses__())) < 2


def is_ours(value: Any) -> bool:
    return inspect.isclass(value) and value.__module__.startswith("unrollbit")


def modules() -> list[types.ModuleType]:
    """Of the library, without the command and the C extension."""
    names = [found.name for found in pkgutil.walk_packages(unrollbit.__path__, "unrollbit.")]
    return [importlib.import_module(name) for name in names if not name.rpartition(".")[2].startswith("_")]


def asked_for_class() -> Iterator[tuple[str, str]]:
    """Module and class, of every test for a concrete class."""
    for module in modules():
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
                try:
                    kinds = eval(ast.unparse(node.args[1]), dict(vars(module)))
                except NameError:  # a variable of a function, which has the class from elsewhere
                    continue
                listed = kinds if isinstance(kinds, tuple) else typing.get_args(kinds) or (kinds,)
                yield from ((module.__name__, kind.__name__) for kind in listed if is_concrete(kind))


def test_few_objects_are_asked_for_their_class():
    found = Counter(asked_for_class())
    assert set(found) == set(REASONS), "ask the object (a method), or name the reason here"
    assert found.total() <= MOST
