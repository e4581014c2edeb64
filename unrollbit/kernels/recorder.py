"""Tapes of programs: what JAX traced, as the few operations that a tape has."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.kernels.held_bits import RENAMED, Bits, held
from unrollbit.kernels.native import LEVELS, kernels
from unrollbit.kernels.primitive import signs_product_p
from unrollbit.kernels.supported import FAST, INLINED, MOVED, SAME, SWAPPED, NoTape, check, inner_program, scanned
from unrollbit.kernels.tape import ELEMENTWISE, MOST_MATRICES, Operation, Tape, laid_out

_MOST_OPERATIONS = 20_000
_EXACT = 2**24  # whole numbers below it are floats


class Value(NamedTuple):
    """An array that depends on the measurements; ``count`` 1: one number, broadcast to ``shape``."""

    number: int
    count: int
    shape: tuple[int, ...]


def record(program: Callable[[Array], Array], shape: tuple[int, ...]) -> Tape | None:
    """The tape of ``program`` for float32 inputs of a shape; None where there is none (no C extension, or the program
    does more than a tape can). Raises what ``program`` raises.
    """
    path = kernels().path
    if path not in LEVELS or 0 in shape:
        return None
    with jax.ensure_compile_time_eval():  # what is known stays known, even while something else is traced
        closed = jax.make_jaxpr(program)(jax.ShapeDtypeStruct(shape, jnp.float32))
        recorder = _Recorder(math.prod(shape))
        try:
            check(closed.jaxpr, [True])
            (result,) = recorder.run(closed.jaxpr, closed.consts, [Value(0, math.prod(shape), shape)])
            return recorder.tape(result, LEVELS[path])
        except NoTape:
            return None


class _Recorder:
    def __init__(self, inputs: int) -> None:
        self.sizes = [inputs]
        self.operations: list[Operation] = []
        self.constants: list[np.ndarray] = []
        self.matrices: list[Array] = []
        self._known: dict[bytes, int] = {}
        self._checked: dict[int, bool] = {}

    def run(self, jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
        """The outputs of a program, known arrays or values."""
        environment: dict[Any, Any] = {}

        def read(variable: Any) -> Any:
            return variable.val if hasattr(variable, "val") else environment[variable]

        environment.update(zip(jaxpr.constvars, map(held, consts), strict=True))
        environment.update(zip(jaxpr.invars, inputs, strict=True))
        for equation in jaxpr.eqns:
            found = self._equation(equation, [read(variable) for variable in equation.invars])
            environment.update(zip(equation.outvars, found, strict=True))
        return [read(variable) for variable in jaxpr.outvars]

    def _equation(self, equation: Any, inputs: list[Any]) -> Sequence[Any]:
        name, params = equation.primitive.name, equation.params
        fast = name in INLINED and params.get("name") in FAST and isinstance(inputs[0], Value)
        if fast and self._fast(equation):
            size = inputs[0].shape[-1]
            return [self._rows(FAST[params["name"]], inputs[0], inputs[0].shape, inputs[0].shape[:-1], (size,))]
        if name in INLINED:
            return self.run(*inner_program(equation), inputs)
        if name == "scan":
            return self._scan(inputs, params)
        shapes = [variable.aval.shape for variable in equation.outvars]
        if inputs and isinstance(inputs[0], Bits) and equation.primitive is not signs_product_p:
            part = inputs[0].part(name, inputs[1:], params, shapes[0])
            if part is not None:
                return [part]
        if not any(isinstance(value, Value) for value in inputs):
            arrays = [value.array() if isinstance(value, Bits) else value for value in inputs]
            found = equation.primitive.bind(*map(jnp.asarray, arrays), **params)
            return list(map(held, found if equation.primitive.multiple_results else [found]))
        if any(variable.aval.dtype not in (jnp.float32, jnp.bool_) for variable in equation.outvars):
            raise NoTape(f"{name} gives {equation.outvars[0].aval}")
        masks = [variable.aval.dtype == jnp.bool_ for variable in equation.invars]
        if name == "convert_element_type" and equation.outvars[0].aval.dtype == jnp.bool_ and not masks[0]:
            raise NoTape("numbers as a mask")
        if name in RENAMED or name == "convert_element_type":
            renamed = zip(inputs, shapes, strict=True)
            return [value._replace(shape=shape) if isinstance(value, Value) else value for value, shape in renamed]
        if name in MOVED and any(masks):
            raise NoTape(f"{name} of a mask")
        if name in MOVED:
            return [self._moved(equation.primitive, inputs, params, shapes[0])]
        return [self._operation(name, inputs, params, shapes[0])]

    def _fast(self, equation: Any) -> bool:
        """Whether a function does what its name says: batched along other axes or differentiated, it keeps the name."""
        program, consts = inner_program(equation)
        if id(program) not in self._checked:
            shape = program.invars[0].aval.shape if len(program.invars) == len(program.outvars) == 1 else ()
            right = bool(shape) and shape == program.outvars[0].aval.shape
            if right:
                x = np.random.RandomState(0).randint(-8, 9, shape).astype(np.float32)
                right = np.array_equal(self.run(program, consts, [jnp.asarray(x)])[0], hadamard(x))
            self._checked[id(program)] = right
        return self._checked[id(program)]

    def _operation(self, name: str, inputs: list[Any], params: dict[str, Any], shape: tuple[int, ...]) -> Value:
        if name == "signs_product":
            return self._signs(*inputs, shape=shape, **params)
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
        if name in SWAPPED:
            return self._elementwise(SWAPPED[name], inputs[::-1], shape)
        name = SAME.get(name, name)
        if name not in ELEMENTWISE:
            raise NoTape(name)
        return self._elementwise(name, inputs, shape)

    def _scan(self, inputs: list[Any], params: dict[str, Any]) -> list[Any]:
        (constant, carried), jaxpr = scanned(params), params["jaxpr"]
        consts, carry, sliced = inputs[:constant], inputs[constant:][:carried], inputs[constant + carried :]
        if any(isinstance(value, Value) for value in sliced) or params["reverse"] or len(jaxpr.out_avals) != carried:
            raise NoTape("a scan over what depends on the measurements")
        for k in range(params["length"]):
            carry = self.run(
                jaxpr.jaxpr,
                jaxpr.consts,
                [*consts, *carry, *(value.row(k) if isinstance(value, Bits) else value[k] for value in sliced)],
            )
        return carry

    def _new(self, name: str, size: int, shape: tuple[int, ...], n: int, inputs: Sequence[int], **more: Any) -> Value:
        if len(self.operations) == _MOST_OPERATIONS:
            raise NoTape("too long")
        self.sizes.append(size)
        out = len(self.sizes) - 1
        self.operations.append(Operation(name, out, n, tuple(inputs), **more))
        return Value(out, size, shape)

    def _elementwise(self, name: str, inputs: Sequence[Any], shape: tuple[int, ...]) -> Value:
        operands = [self._operand(value, shape) for value in inputs]
        counts = [operand.count if isinstance(operand, Value) else operand.size for operand in operands]
        places = [operand.number if isinstance(operand, Value) else self._constant(operand) for operand in operands]
        n = max(counts)
        return self._new(name, n, shape, n, places, steps=tuple(int(count > 1) for count in counts))

    def _operand(self, value: Any, shape: tuple[int, ...]) -> Value | np.ndarray:
        """One number, or as many as the result has."""
        size = math.prod(shape)
        if isinstance(value, Value):
            if value.count in (1, size):
                return value
            numbers = np.arange(value.count, dtype=np.int32).reshape(value.shape)
            return self._take(value, np.broadcast_to(numbers, shape).reshape(-1), shape)
        value = np.asarray(value, np.float32)
        if not value.size:
            raise NoTape("an empty array")
        bits = value.reshape(-1).view(np.int32)  # 0 and -0 are two numbers
        same = bool((bits == bits[0]).all())
        return value.reshape(-1)[:1] if same else np.broadcast_to(value, shape).reshape(-1)

    def _constant(self, values: np.ndarray) -> int:
        """Its number, as an input; equal constants are held once."""
        key = values.tobytes()
        if key not in self._known:
            self._known[key] = sum(constant.size for constant in self.constants)
            self.constants.append(values.reshape(-1))
        return -1 - self._known[key]

    def _signs(
        self, bits: Any, x: Value, *, shape: tuple[int, ...], columns: int, transpose: bool, **params: Any
    ) -> Value:
        if not isinstance(bits, Bits) or not isinstance(x, Value):
            raise NoTape("signs that depend on the measurements")
        matrix = next((i for i, whole in enumerate(self.matrices) if whole is bits.whole), len(self.matrices))
        if matrix == len(self.matrices):
            self.matrices.append(bits.whole)
        sizes = (matrix, bits.start, params["blocks"], params["rows"], columns, int(transpose))
        return self._new("signs", math.prod(shape), shape, shape[0], [self._full(x).number], sizes=sizes)

    def _full(self, value: Value) -> Value:
        """The value with every entry of its shape."""
        size = math.prod(value.shape)
        return value if value.count == size else self._take(value, np.zeros(size, np.int32), value.shape)

    def _moved(self, primitive: Any, inputs: list[Any], params: dict[str, Any], shape: tuple[int, ...]) -> Value:
        """Entries in other places, and zeros: found by moving their numbers."""
        sources = {value for value in inputs if isinstance(value, Value)}
        source = sources.pop()
        if sources or source.count > _EXACT:
            raise NoTape(f"{primitive.name} of several arrays, or of a large one")
        numbers = np.ones(source.shape, np.float32)  # of entries, from 1 on
        if source.count > 1:
            numbers = np.arange(1, source.count + 1, dtype=np.float32).reshape(source.shape)
        moved = []
        for value in inputs:
            known = not isinstance(value, Value)
            if known and np.asarray(value).dtype == np.float32 and np.any(np.asarray(value)):
                raise NoTape(f"{primitive.name} with other numbers than zeros")
            moved.append(jnp.asarray(value if known else numbers))
        if params.get("fill_value") is not None:
            raise NoTape(f"{primitive.name} with a fill value")
        found = np.asarray(primitive.bind(*moved, **params)).reshape(-1)
        if not np.isfinite(found).all():
            raise NoTape(f"{primitive.name} from outside")
        index = found.astype(np.int32) - 1
        if np.array_equal(index, np.arange(source.count)) or (source.count == 1 and not index.any()):
            return source._replace(shape=shape)
        return self._take(source, index, shape)

    def _take(self, value: Value, index: np.ndarray, shape: tuple[int, ...]) -> Value:
        places = [value.number, self._constant(index.view(np.float32))]
        return self._new("take", index.size, shape, index.size, places, sizes=(value.count,))

    def _rows(
        self, name: str, value: Value, shape: tuple[int, ...], kept: tuple[int, ...], sizes: tuple[int, ...]
    ) -> Value:
        """An operation on each row of a value."""
        return self._new(name, math.prod(shape), shape, math.prod(kept), [self._full(value).number], sizes=sizes)

    def _sum(self, value: Value, axes: Sequence[int], shape: tuple[int, ...]) -> Value:
        kept = len(value.shape) - len(axes)
        if tuple(axes) != tuple(range(kept, len(value.shape))):
            raise NoTape("a sum over leading axes")
        return self._rows("sum", value, shape, shape, (math.prod(value.shape[kept:]),))

    def tape(self, result: Any, level: int) -> Tape:
        """What was recorded, with the value that it is for."""
        worth = any(operation.name in ("signs", "hadamard") for operation in self.operations)
        if not isinstance(result, Value) or not worth or len(self.matrices) > MOST_MATRICES:
            raise NoTape("no product with signs, or too many matrices")
        result = self._full(result)
        constants = np.concatenate([*self.constants, np.zeros(1, np.float32)])
        return laid_out(self.operations, self.sizes, constants, self.matrices, result.number, result.shape, level)


def hadamard(x: np.ndarray) -> np.ndarray:
    """Sylvester's matrix times the last axis, stage by stage."""
    shape, distance = x.shape, 1
    while distance < shape[-1]:
        pairs = x.reshape(-1, 2, distance)
        x = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], 1)
        distance *= 2
    return x.reshape(shape)
