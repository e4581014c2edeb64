"""Arrays that record what NumPy is asked to do with them, as nodes of an ONNX graph.

The NumPy reader of packed networks runs on them as on any array: so its algorithms and shrinkages are exported without
being written again. The first axis of every recorded array is the batch, of size 1 here and of any size in the graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 20, 9


class Graph:
    """Nodes and constants; equal constants are held once."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: dict[tuple[Any, ...], str] = {}
        self._tensors: list[Any] = []
        self._known: dict[Any, str] = {}
        self.matrices: dict[int, np.ndarray] = {}  # of operators without a rule, by their identity

    def constant(self, array: Any) -> str:
        """The name of a constant; floats are float32."""
        array = np.asarray(array)
        array = array.astype(np.float32) if array.dtype.kind == "f" else array
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = self._constants[key] = f"constant_{len(self._constants)}"
            self._tensors.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return self._constants[key]

    def value(self, array: Any) -> Recorded:
        """A constant as a value of the graph."""
        array = np.asarray(array)
        truth = array.dtype == np.bool_
        return Recorded(self, self.constant(array if truth else array.astype(np.float32)), array.shape, truth)

    def node(self, kind: str, *inputs: str, unused: int = 0, **attributes: Any) -> str:
        """The name of what a node computes first, before what is ``unused``; one that is there is not added again."""
        key = (kind, inputs, str(sorted(attributes.items())))
        if key not in self._known:
            name = self._known[key] = f"value_{len(self._nodes)}"
            results = [name, *(f"{name}_{k}" for k in range(unused))]
            self._nodes.append(helper.make_node(kind, list(inputs), results, **attributes))
        return self._known[key]

    def model(self, source: Any, result: str, shape: tuple[int, int]) -> onnx.ModelProto:
        """The model from ``y`` (batch, m) to ``x`` (batch, n)."""
        m, n = shape
        ends = [helper.make_tensor_value_info(name, source, ["batch", size]) for name, size in (("y", m), ("x", n))]
        last = helper.make_node("Cast", [result], ["x"], to=source)
        graph = helper.make_graph([*self._nodes, last], "recover", ends[:1], ends[1:], self._tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="unrollbit")
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model)
        return model


class Recorded(np.lib.mixins.NDArrayOperatorsMixin):
    """An array of floats, or of truth values, that a graph computes."""

    def __init__(self, graph: Graph, name: str, shape: tuple[int, ...], truth: bool = False) -> None:
        self.graph, self.name, self.shape, self.truth = graph, name, shape, truth

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        rule = UFUNCS.get(ufunc.__name__)
        if rule is None or method != "__call__" or options:
            raise ValueError(f"export to ONNX: {ufunc.__name__} has no rule")
        return rule(ufunc, *inputs)

    def __array_function__(self, function: Callable[..., Any], types: Any, inputs: Any, options: Any) -> Any:
        rule = FUNCTIONS.get(function.__name__)
        if rule is None:
            raise ValueError(f"export to ONNX: {function.__name__} has no rule")
        return rule(*inputs, **options)

    def derived(self, kind: str, shape: tuple[int, ...], *inputs: str, **attributes: Any) -> Recorded:
        """What a node makes of this array."""
        return Recorded(self.graph, self.graph.node(kind, self.name, *inputs, **attributes), shape, self.truth)

    def integers(self, *values: int) -> str:
        """A constant of 64-bit integers."""
        return self.graph.constant(np.array(values, np.int64))

    def astype(self, dtype: Any) -> Recorded:
        return self.floats()

    def floats(self) -> Recorded:
        """Truth values as 1 and 0."""
        if not self.truth:
            return self
        return Recorded(self.graph, self.graph.node("Cast", self.name, to=TensorProto.FLOAT), self.shape)

    def like(self) -> np.ndarray:
        """An array of this shape and kind: what NumPy makes of it has those of the result."""
        return np.broadcast_to(np.ones((), np.bool_ if self.truth else np.float32), self.shape)

    def reshape(self, *shape: Any) -> Recorded:
        whole = np.empty(self.shape, np.bool_).reshape(*shape).shape
        return self.derived("Reshape", whole, self.integers(0, *whole[1:]))

    def swapaxes(self, first: int, second: int) -> Recorded:
        axes = list(range(self.ndim))
        axes[first], axes[second] = axes[second], axes[first]
        return self.derived("Transpose", tuple(self.shape[axis] for axis in axes), perm=axes)

    def mean(self, axis: int | tuple[int, ...] = -1, keepdims: bool = False) -> Recorded:
        return self._reduced("ReduceMean", axis, keepdims)

    def max(self, axis: int = -1, keepdims: bool = False) -> Recorded:
        return self._reduced("ReduceMax", axis, keepdims)

    def sum(self, axis: int = -1, keepdims: bool = False) -> Recorded:
        return self._reduced("ReduceSum", axis, keepdims)

    def _reduced(self, kind: str, axis: int | tuple[int, ...], keepdims: bool) -> Recorded:
        shape, axes = np.empty(self.shape, np.bool_).max(axis=axis, keepdims=keepdims).shape, np.atleast_1d(axis)
        return self.floats().derived(kind, shape, self.integers(*map(int, axes)), keepdims=int(keepdims))

    def __getitem__(self, places: Any) -> Recorded:
        """Slices, whole numbers, lists of places, new axes; the first axis stays whole."""
        places = places if isinstance(places, tuple) else (places,)
        found, axis = self, 0
        missing = self.ndim - sum(place is not None and place is not Ellipsis for place in places)
        for place in places:
            if place is Ellipsis:
                axis += missing
            elif place is None:
                shape = (*found.shape[:axis], 1, *found.shape[axis:])
                found, axis = found.derived("Unsqueeze", shape, found.integers(axis)), axis + 1
            elif isinstance(place, slice):
                found, axis = found._sliced(axis, place), axis + 1
            else:
                index = np.asarray(place, np.int64) % found.shape[axis]
                shape = (*found.shape[:axis], *index.shape, *found.shape[axis + 1 :])
                found, axis = found.derived("Gather", shape, found.graph.constant(index), axis=axis), axis + index.ndim
        return found

    def _sliced(self, axis: int, place: slice) -> Recorded:
        if place == slice(None):
            return self
        start, stop, step = place.indices(self.shape[axis])
        shape = (*self.shape[:axis], len(range(start, stop, step)), *self.shape[axis + 1 :])
        ends = [self.integers(value) for value in (start, stop, axis, step)]
        return self.derived("Slice", shape, *ends)


def _together(*inputs: Any) -> list[Recorded]:
    """Inputs of a node: numbers and arrays beside recorded ones are constants of their graph."""
    recorded = [isinstance(value, Recorded) for value in inputs]  # NumPy hands over what it is given
    graph = inputs[recorded.index(True)].graph
    return [value if known else graph.value(value) for value, known in zip(inputs, recorded, strict=True)]


def _elementwise(kind: str, *, truths: bool = False) -> Callable[..., Recorded]:
    """A ufunc as a node of a kind; ``truths``: of truth values."""

    def rule(ufunc: np.ufunc, *inputs: Any) -> Recorded:
        values = _together(*inputs)
        shaped = ufunc(*(value.like() for value in values))
        names = [value.name if truths else value.floats().name for value in values]
        graph = values[0].graph
        return Recorded(graph, graph.node(kind, *names), shaped.shape, shaped.dtype == np.bool_)

    return rule


def _power(ufunc: np.ufunc, base: Any, exponent: Any) -> Any:
    return base * base if np.ndim(exponent) == 0 and exponent == 2 else _elementwise("Pow")(ufunc, base, exponent)


def _frexp(ufunc: np.ufunc, x: Recorded) -> tuple[None, Recorded]:
    """The exponent of a magnitude between two powers of two, as a float."""
    log = x.derived("Log", x.shape) / np.float32(math.log(2))
    return None, log.derived("Floor", x.shape) + np.float32(1)


def _is_finite(ufunc: np.ufunc, x: Recorded) -> Recorded:
    return x - x == np.float32(0)


def _where(condition: Any, first: Any, second: Any) -> Recorded:
    values = _together(condition, first, second)
    chosen, *names = values[0].name, *(value.floats().name for value in values[1:])
    shape = np.broadcast_shapes(*(value.shape for value in values))
    graph = values[0].graph
    return Recorded(graph, graph.node("Where", chosen, *names), shape)


def _sort(x: Recorded, axis: int = -1) -> Recorded:
    return x.derived("TopK", x.shape, x.integers(x.shape[axis]), unused=1, axis=axis, largest=0, sorted=1)


def _repeat(x: Recorded, repeats: int, axis: int) -> Recorded:
    return x[(slice(None),) * axis + (np.repeat(np.arange(x.shape[axis]), repeats),)]


def _broadcast_to(x: Recorded, shape: Sequence[int]) -> Recorded:
    return x.derived("Expand", tuple(shape), x.integers(*shape))


def joined(parts: Sequence[Recorded], axis: int = 0) -> Recorded:
    """Arrays one after another on an axis."""
    shape = np.concatenate([part.like() for part in parts], axis).shape
    return parts[0].derived("Concat", shape, *(part.name for part in parts[1:]), axis=axis)


def _diff(x: Recorded, n: int = 1, axis: int = -1) -> Recorded:
    for _ in range(n):
        before = (slice(None),) * axis
        x = x[(*before, slice(1, None))] - x[(*before, slice(0, x.shape[axis] - 1))]
    return x


UFUNCS: dict[str, Callable[..., Any]] = {
    "absolute": _elementwise("Abs"),
    "add": _elementwise("Add"),
    "bitwise_and": _elementwise("And", truths=True),
    "divide": _elementwise("Div"),
    "equal": _elementwise("Equal"),
    "exp": _elementwise("Exp"),
    "frexp": _frexp,
    "greater": _elementwise("Greater"),
    "hypot": lambda ufunc, a, b: np.sqrt(a * a + b * b),
    "isfinite": _is_finite,
    "ldexp": lambda ufunc, x, exponent: x * _elementwise("Pow")(np.power, np.float32(2), exponent),
    "less": _elementwise("Less"),
    "log1p": lambda ufunc, x: _elementwise("Log")(np.log, x + np.float32(1)),
    "matmul": _elementwise("MatMul"),
    "maximum": _elementwise("Max"),
    "minimum": _elementwise("Min"),
    "multiply": _elementwise("Mul"),
    "negative": _elementwise("Neg"),
    "power": _power,
    "rint": _elementwise("Round"),
    "sign": _elementwise("Sign"),
    "sqrt": _elementwise("Sqrt"),
    "square": lambda ufunc, x: x * x,
    "subtract": _elementwise("Sub"),
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "broadcast_to": _broadcast_to,
    "clip": lambda x, low, high: np.minimum(np.maximum(x, low), high),
    "concatenate": joined,
    "diff": _diff,
    "ones_like": lambda x: np.ones(x.shape, np.float32),
    "repeat": _repeat,
    "reshape": lambda x, shape: x.reshape(*shape),
    "round": lambda x: np.rint(x),
    "shape": lambda x: x.shape,
    "ndim": lambda x: x.ndim,
    "sort": _sort,
    "where": _where,
    "zeros_like": lambda x: np.zeros(x.shape, np.float32),
}
