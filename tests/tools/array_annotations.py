"""Whether arrays have the shapes and dtypes that signatures say, for every function of a package, while tests run.

A call that was refused is not looked at: its own message is what people see. One that ran is wrong here if an array
that it took, or gave, is not what its annotation says. Names of sides hold within a call. What is no array is the
business of pyright. Fields of dataclasses say what is held, which may be given in another form; so do parameters that
are floats or numbers, which people may give in any dtype.
"""

from __future__ import annotations

import ast
import builtins
import functools
import importlib.abc
import importlib.machinery
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from jaxtyping import AbstractArray, Float, Num, Shaped, jaxtyped

F = TypeVar("F", bound=Callable[..., Any])
NAME = "_announced"  # under which the decorator is built in
WRAPPER = "importlib_bootstrap array_annotations"  # `warnings` counts no frames of files with both of these words


class WrongAnnotation(TypeError):
    """A function took, or gave, an array that its signature does not announce."""


def announced(function: F) -> F:
    """The function; after each of its calls, arrays are compared with its annotations."""
    if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
        return function
    signature, name = inspect.signature(function), f"{function.__module__}.{function.__qualname__}"

    @functools.cache
    def expected() -> dict[str, Any]:
        found = {name: _arrays(hint, converted=name != "return") for name, hint in _hints(function)}
        return {name: arrays for name, arrays in found.items() if arrays}

    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        result = function(*arguments, **keywords)
        if expected():
            values = signature.bind(*arguments, **keywords).arguments | {"return": result}
            with jaxtyped("context"):
                for part, arrays in expected().items():
                    _compare(f"{name}: {part}", values.get(part), arrays)
        return result

    call.__code__ = call.__code__.replace(co_filename=WRAPPER)
    return typing.cast(F, call)


def _hints(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Annotations that can be evaluated: names that only type checkers import cannot."""
    scope = getattr(function, "__globals__", {})
    for name, hint in function.__annotations__.items():
        try:
            yield name, eval(hint, scope) if isinstance(hint, str) else hint
        except NameError:
            continue


def _arrays(hint: Any, converted: bool) -> Any:
    """The arrays that a hint allows, of any library, and what else it allows beside them; of a tuple, a list with one
    entry for each of its own. ``converted``: numbers may have any dtype.
    """
    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return ((Shaped if converted and hint.dtype in (Float, Num) else hint.dtype)[Any, hint.dim_str],)
    parts = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        found = [array for part in parts if isinstance(arrays := _arrays(part, converted), tuple) for array in arrays]
        others = [typing.get_origin(part) or part for part in parts if not _arrays(part, converted)]
        return (*found, *filter(inspect.isclass, others)) if found else ()
    if typing.get_origin(hint) is tuple and Ellipsis not in parts:
        found = [_arrays(part, converted) for part in parts]
        return found if any(found) else ()
    return ()


def _compare(name: str, value: Any, arrays: Any) -> None:
    if isinstance(arrays, list):
        for entry, own in zip(value, arrays, strict=True) if isinstance(value, tuple) else ():
            _compare(name, entry, own)
    elif arrays and hasattr(value, "shape") and hasattr(value, "dtype") and not isinstance(value, arrays):
        listed = " or ".join(kind.__name__ for kind in arrays)
        raise WrongAnnotation(f"{name}: its annotation says {listed}, it was {value.dtype}{list(value.shape)}")


class _Decorating(ast.NodeTransformer):
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.decorator_list.append(ast.copy_location(ast.Name(NAME, ast.Load()), node))
        return node


class _Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname: str) -> types.CodeType:  # not from a cache, which holds the code as it is
        path = self.get_filename(fullname)
        return compile(_Decorating().visit(ast.parse(self.get_data(path), path)), path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, package: str, left_out: Sequence[str]) -> None:
        self.package, self.left_out = package, left_out

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if not _within(fullname, self.package) or any(_within(fullname, name) for name in self.left_out):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def install(package: str, left_out: Sequence[str] = ()) -> None:
    """From now on, functions of modules of ``package`` are compared when they are called."""
    setattr(builtins, NAME, announced)
    sys.meta_path.insert(0, _Finder(package, left_out))
