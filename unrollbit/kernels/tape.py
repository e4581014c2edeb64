"""A whole packed network in one call of the C extension: its program, recorded as a tape of a few vector operations.

XLA runs a small network one operation at a time, and each costs about a microsecond before it computes anything. The
tape is made from the program that JAX traced, so that an algorithm is written once: what does not depend on the
measurements is computed while recording, products with signs and elementwise operations become operations of the tape
(``csrc/tape.inc``), scans over layers are unrolled. A program with anything else has no tape.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.kernels.native import LEVELS, TAPE_TARGET, kernels
from unrollbit.kernels.primitive import signs_product_p

OPERATIONS = (
    *("signs", "select", "repeat", "sum", "add", "sub", "mul", "div", "max", "min"),
    *("lt", "le", "eq", "neg", "abs", "sign", "sqrt", "exp"),
)  # as in signs.h
MOST_MATRICES = 64  # as in ffi.c
_MOST_OPERATIONS = 20_000
_SAME = {"add_any": "add", "and": "mul", "or": "max"}  # masks are 1 and 0
_SWAPPED = {"gt": "lt", "ge": "le"}
_RENAMED = ("reshape", "squeeze", "expand_dims", "copy", "copy_p", "stop_gradient", "optimization_barrier")
_INLINED = {"jit": "jaxpr", "pjit": "jaxpr", "checkpoint": "jaxpr", "remat2": "jaxpr", "closed_call": "call_jaxpr"}
_INLINED |= {"custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}
_ALIGNED = 16  # floats of a cache line


class NoTape(Exception):
    """The program does something that a tape does not."""


class Value(NamedTuple):
    """An array that depends on the measurements; ``count`` 1: one number, broadcast to ``shape``."""

    number: int
    count: int
    shape: tuple[int, ...]


class Bits(NamedTuple):
    """Part of an array of bytes, from byte ``start`` on: layers share the array that the network holds."""

    whole: Array
    start: int
    shape: tuple[int, ...]

    def array(self) -> np.ndarray:
        size = math.prod(self.shape)
        return np.asarray(self.whole).reshape(-1)[self.start : self.start + size].reshape(self.shape)


class Operation(NamedTuple):
    """``inputs``: values, or constants as negative numbers -1 - k."""

    name: str
    out: int
    n: int
    inputs: tuple[int, ...]
    steps: tuple[int, ...] = (0, 0, 0)
    sizes: tuple[int, ...] = ()


class Tape(NamedTuple):
    """A recorded program: run by ``play``."""

    operations: Array
    constants: Array
    matrices: tuple[Array, ...]
    scratch: int
    result: int
    shape: tuple[int, ...]
    level: int


def record(program: Callable[[Array], Array], shape: tuple[int, ...]) -> Tape | None:
    """The tape of ``program`` for float32 inputs of a shape; None where there is none (no C extension, or the program
    does more than a tape can). Raises what ``program`` raises.
    """
    path = kernels().path
    if path not in LEVELS or 0 in shape:
        return None
    closed = jax.make_jaxpr(program)(jax.ShapeDtypeStruct(shape, jnp.float32))
    recorder = _Recorder(math.prod(shape))
    try:
        (result,) = recorder.run(closed.jaxpr, closed.consts, [Value(0, math.prod(shape), shape)])
        return recorder.tape(result, LEVELS[path])
    except NoTape:
        return None


def play(tape: Tape, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
    """Run the program on measurements of the shape that it was recorded for."""
    options = {"shape": tape.shape, "scratch": tape.scratch, "result": tape.result, "level": tape.level}
    return _played(y, tape.operations, tape.constants, *tape.matrices, **options)


@functools.partial(jax.jit, static_argnames=("shape", "scratch", "result", "level"))
def _played(*arguments: Array, shape: tuple[int, ...], scratch: int, result: int, level: int) -> Array:
    made = [jax.ShapeDtypeStruct(size, jnp.float32) for size in (shape, (scratch,))]
    call = jax.ffi.ffi_call(TAPE_TARGET, made)
    return call(*arguments, level=np.int64(level), result=np.int64(result))[0]


class _Recorder:
    def __init__(self, inputs: int) -> None:
        self.sizes = [inputs]
        self.operations: list[Operation] = []
        self.constants: list[np.ndarray] = []
        self.matrices: list[Array] = []
        self._known: dict[bytes, int] = {}

    def run(self, jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
        """The outputs of a program, known arrays or values."""
        environment: dict[Any, Any] = {}

        def read(variable: Any) -> Any:
            return variable.val if hasattr(variable, "val") else environment[variable]

        environment.update(zip(jaxpr.constvars, map(_held, consts), strict=True))
        environment.update(zip(jaxpr.invars, inputs, strict=True))
        for equation in jaxpr.eqns:
            found = self._equation(equation, [read(variable) for variable in equation.invars])
            environment.update(zip(equation.outvars, found, strict=True))
        return [read(variable) for variable in jaxpr.outvars]

    def _equation(self, equation: Any, inputs: list[Any]) -> Sequence[Any]:
        name, params = equation.primitive.name, equation.params
        if name in _INLINED:
            inner = params[_INLINED[name]]
            closed = hasattr(inner, "consts")
            return self.run(inner.jaxpr if closed else inner, inner.consts if closed else (), inputs)
        if name == "scan":
            return self._scan(inputs, **params)
        shapes = [variable.aval.shape for variable in equation.outvars]
        if inputs and isinstance(inputs[0], Bits) and equation.primitive is not signs_product_p:
            part = _part(name, inputs, params, shapes[0])
            if part is not None:
                return [part]
        if not any(isinstance(value, Value) for value in inputs):
            arrays = [value.array() if isinstance(value, Bits) else value for value in inputs]
            found = equation.primitive.bind(*map(jnp.asarray, arrays), **params)
            return list(map(_held, found if equation.primitive.multiple_results else [found]))
        if any(variable.aval.dtype not in (jnp.float32, jnp.bool_) for variable in equation.outvars):
            raise NoTape(f"{name} gives {equation.outvars[0].aval}")
        if name in _RENAMED or (name == "convert_element_type" and isinstance(inputs[0], Value)):
            return [value._replace(shape=shape) for value, shape in zip(inputs, shapes, strict=True)]
        return [self._operation(name, inputs, params, shapes[0])]

    def _operation(self, name: str, inputs: list[Any], params: dict[str, Any], shape: tuple[int, ...]) -> Value:
        if name == "signs_product":
            return self._signs(*inputs, shape=shape, **params)
        if name == "broadcast_in_dim":
            return self._broadcast(inputs[0], params["broadcast_dimensions"], shape)
        if name == "reduce_sum":
            return self._sum(inputs[0], params["axes"], shape)
        if name == "select_n" and len(inputs) == 3:
            return self._elementwise("select", inputs, shape)
        if name == "clamp":
            low, x, high = inputs
            return self._elementwise("min", [self._elementwise("max", [low, x], shape), high], shape)
        if name in ("square", "integer_pow") and params.get("y", 2) == 2:
            return self._elementwise("mul", [inputs[0], inputs[0]], shape)
        if name == "rsqrt":
            return self._elementwise("div", [np.float32(1), self._elementwise("sqrt", inputs, shape)], shape)
        if name == "not":
            return self._elementwise("sub", [np.float32(1), inputs[0]], shape)
        if name in _SWAPPED:
            return self._elementwise(_SWAPPED[name], inputs[::-1], shape)
        name = _SAME.get(name, name)
        if name not in OPERATIONS[4:]:
            raise NoTape(name)
        return self._elementwise(name, inputs, shape)

    def _scan(self, inputs: list[Any], *, jaxpr: Any, length: int, num_consts: int, num_carry: int, **params: Any) -> list:
        consts, carry = inputs[:num_consts], inputs[num_consts : num_consts + num_carry]
        sliced = inputs[num_consts + num_carry :]
        if any(isinstance(value, Value) for value in sliced) or params["reverse"] or len(jaxpr.out_avals) != num_carry:
            raise NoTape("a scan over what depends on the measurements")
        for k in range(length):
            carry = self.run(jaxpr.jaxpr, jaxpr.consts, [*consts, *carry, *(_row(value, k) for value in sliced)])
        return carry

    def _new(self, name: str, size: int, shape: tuple[int, ...], n: int, inputs: Sequence[int], **more: Any) -> Value:
        if len(self.operations) == _MOST_OPERATIONS:
            raise NoTape("too long")
        self.sizes.append(size)
        out = len(self.sizes) - 1
        self.operations.append(Operation(name, out, n, tuple(inputs), **more))
        return Value(out, size, shape)

    def _elementwise(self, name: str, inputs: Sequence[Any], shape: tuple[int, ...]) -> Value:
        n = max(value.count for value in inputs if isinstance(value, Value))
        found = []
        for value in inputs:
            if not isinstance(value, Value):
                value = np.asarray(value, np.float32)
                if value.size > 1 and (value == value.flat[0]).all():
                    value = value.flat[0]
                n = max(n, value.size)
            found.append(value)
        counts = [value.count if isinstance(value, Value) else value.size for value in found]
        if set(counts) - {1, n}:
            raise NoTape(f"{name} of {counts}")
        places = [value.number if isinstance(value, Value) else self._constant(value) for value in found]
        return self._new(name, n, shape, n, places, steps=tuple(int(count > 1) for count in counts))

    def _constant(self, values: np.ndarray) -> int:
        """Its number, as an input; equal constants are held once."""
        key = values.tobytes()
        if key not in self._known:
            self._known[key] = sum(constant.size for constant in self.constants)
            self.constants.append(values.reshape(-1))
        return -1 - self._known[key]

    def _signs(self, bits: Any, x: Value, *, shape: tuple[int, int], columns: int, transpose: bool, **params: Any) -> Value:
        if not isinstance(bits, Bits) or not isinstance(x, Value):
            raise NoTape("signs that depend on the measurements")
        matrix = next((i for i, held in enumerate(self.matrices) if held is bits.whole), len(self.matrices))
        if matrix == len(self.matrices):
            self.matrices.append(bits.whole)
        sizes = (matrix, bits.start, params["blocks"], params["rows"], columns, int(transpose))
        return self._new("signs", math.prod(shape), shape, shape[0], [self._full(x).number], sizes=sizes)

    def _full(self, value: Value) -> Value:
        """The value with every entry of its shape."""
        size = math.prod(value.shape)
        if value.count == size:
            return value
        return self._new("repeat", size, value.shape, 1, [value.number], sizes=(1, 1, size))

    def _broadcast(self, value: Value, dimensions: Sequence[int], shape: tuple[int, ...]) -> Value:
        if value.count in (1, math.prod(shape)):
            return value._replace(shape=shape)
        axes = [d for d, size in zip(dimensions, value.shape, strict=True) if size > 1]
        first, last = axes[0], axes[-1] + 1
        if math.prod(shape[first:last]) != value.count:
            raise NoTape("a broadcast between axes")
        sizes = (math.prod(shape[:first]), value.count, math.prod(shape[last:]))
        return self._new("repeat", math.prod(shape), shape, value.count, [value.number], sizes=sizes)

    def _sum(self, value: Value, axes: Sequence[int], shape: tuple[int, ...]) -> Value:
        kept = len(value.shape) - len(axes)
        if tuple(axes) != tuple(range(kept, len(value.shape))):
            raise NoTape("a sum over leading axes")
        rows, inner = math.prod(shape), math.prod(value.shape[kept:])
        return self._new("sum", rows, shape, rows, [self._full(value).number], sizes=(inner,))

    def tape(self, result: Any, level: int) -> Tape:
        """Values get places in the scratch, which are used again once their value is not."""
        if not isinstance(result, Value) or not 0 < len(self.matrices) <= MOST_MATRICES:
            raise NoTape("no product with signs, or too many")
        result = self._full(result)
        last = {result.number: len(self.operations)}
        for i, operation in enumerate(self.operations):
            last |= {number: max(i, last.get(number, 0)) for number in operation.inputs if number >= 0}
        places, free, top = {0: 0}, {}, _rounded(self.sizes[0])
        rows = []
        for i, operation in enumerate(self.operations):
            size = _rounded(self.sizes[operation.out])
            if free.get(size):
                places[operation.out] = free[size].pop()
            else:
                places[operation.out], top = top, top + size
            inputs = [number if number < 0 else places[number] for number in operation.inputs]
            rows.append((OPERATIONS.index(operation.name), places[operation.out], operation.n, *_three(inputs)))
            rows[-1] += (*_three(operation.steps), *_three(operation.sizes, 6))
            for number in set(operation.inputs) | {operation.out}:
                if number > 0 and last.get(number, i) == i:
                    free.setdefault(_rounded(self.sizes[number]), []).append(places[number])
        constants = np.concatenate([*self.constants, np.zeros(1, np.float32)])
        packed = jnp.asarray(np.asarray(rows, np.int64).view(np.uint8).reshape(-1))
        matrices = tuple(self.matrices)
        return Tape(packed, jnp.asarray(constants), matrices, top, places[result.number], result.shape, level)


def _held(value: Any) -> Any:
    """A known array; bytes keep the array that they are part of."""
    if not isinstance(value, Value | Bits) and getattr(value, "dtype", None) == jnp.uint8 and np.ndim(value):
        return Bits(value, 0, value.shape)
    return value


def _row(value: Any, k: int) -> Any:
    if isinstance(value, Bits):
        return Bits(value.whole, value.start + k * math.prod(value.shape[1:]), value.shape[1:])
    return value[k]


def _part(name: str, inputs: list[Any], params: dict[str, Any], shape: tuple[int, ...]) -> Bits | None:
    """A contiguous part of bytes, or all of them in another shape; None for anything else."""
    whole, size = inputs[0], math.prod(shape)
    if name in _RENAMED or (name == "broadcast_in_dim" and size == math.prod(whole.shape)):
        return whole._replace(shape=shape)
    if name == "slice" and params["strides"] is None:
        starts = params["start_indices"]
    elif name == "dynamic_slice" and not any(isinstance(value, Value) for value in inputs):
        starts = [min(max(int(s), 0), n - k) for s, n, k in zip(inputs[1:], whole.shape, shape, strict=True)]
    else:
        return None
    axis = next((axis for axis, kept in enumerate(shape) if kept > 1), len(shape))
    if shape[axis + 1 :] != whole.shape[axis + 1 :]:
        return None
    strides = [math.prod(whole.shape[axis + 1 :]) for axis in range(len(shape))]
    return Bits(whole.whole, whole.start + sum(s * stride for s, stride in zip(starts, strides, strict=True)), shape)


def _three(values: Sequence[int], size: int = 3) -> Iterator[int]:
    return iter([*values, *[0] * (size - len(values))])


def _rounded(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
