"""A tape under construction: values, constants and matrices get numbers, operations follow one another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Array

from unrollbit.kernels.programs import NoTape
from unrollbit.kernels.tape import Operation, Tape, laid_out
from unrollbit.kernels.values import Bits, Operand, Value

_MOST_OPERATIONS = 20_000


class Builder:
    """Operations that were recorded, on an input of a shape, which is ``start``."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.start = Value(0, math.prod(shape), shape)
        self._sizes = [self.start.count]
        self._operations: list[Operation] = []
        self._constants: list[np.ndarray] = []
        self._known: dict[bytes, int] = {}
        self._matrices: list[Array] = []

    def operation(self, name: str, shape: tuple[int, ...], n: int, inputs: Sequence[int], **more: Any) -> Value:
        """A new value of a shape."""
        return self._add(name, math.prod(shape), shape, n, inputs, **more)

    def elementwise(self, name: str, inputs: Sequence[Operand], shape: tuple[int, ...]) -> Value:
        """An operation on entries of the same place; of values with one number each, it gives one number."""
        operands = [self._operand(value, shape) for value in inputs]
        n = max(count for _, count in operands)
        steps = tuple(int(count > 1) for _, count in operands)
        return self._add(name, n, shape, n, [place for place, _ in operands], steps=steps)

    def rows(
        self, name: str, value: Value, shape: tuple[int, ...], kept: tuple[int, ...], sizes: tuple[int, ...]
    ) -> Value:
        """An operation on each row of a value."""
        return self.operation(name, shape, math.prod(kept), [self.full(value).number], sizes=sizes)

    def take(self, value: Value, index: np.ndarray, shape: tuple[int, ...]) -> Value:
        """Entries by their numbers; -1 gives a zero."""
        if not value.count or not index.size:
            raise NoTape("an empty array")
        times = index.size // value.count
        if np.array_equal(index, np.repeat(np.arange(value.count), times)):
            return self.operation("repeat", shape, value.count, [value.number], sizes=(times,))
        places = [value.number, self._constant(index.view(np.float32))]
        return self.operation("take", shape, index.size, places, sizes=(value.count,))

    def full(self, value: Value) -> Value:
        """The value with every entry of its shape."""
        size = math.prod(value.shape)
        return value if value.count == size else self.take(value, np.zeros(size, np.int32), value.shape)

    def signs(self, bits: Bits, x: Value, shape: tuple[int, ...], columns: int, transpose: bool) -> Value:
        """A product with part of an array of packed signs, which is held once."""
        known = (i for i, whole in enumerate(self._matrices) if whole is bits.whole)
        matrix = next(known, len(self._matrices))
        if matrix == len(self._matrices):
            self._matrices.append(bits.whole)
        blocks, rows, _ = bits.shape
        sizes = (matrix, bits.start, blocks, rows, columns, int(transpose))
        return self.operation("signs", shape, shape[0], [self.full(x).number], sizes=sizes)

    def tape(self, result: Operand) -> Tape:
        """What was recorded, with the value that it is for. Raises ``NoTape`` where XLA does it as well."""
        if not any(operation.name in ("signs", "hadamard") for operation in self._operations):
            raise NoTape("no product with signs and no fast transform: XLA is as fast")
        if not result.varies:
            raise NoTape("the result does not depend on the measurements")
        value: Any = result
        value = self.full(value)
        constants = np.concatenate([*self._constants, np.zeros(1, np.float32)])
        return laid_out(self._operations, self._sizes, constants, self._matrices, value.number, value.shape)

    def _add(self, name: str, size: int, shape: tuple[int, ...], n: int, inputs: Sequence[int], **more: Any) -> Value:
        if len(self._operations) == _MOST_OPERATIONS:
            raise NoTape(f"more than {_MOST_OPERATIONS} operations")
        self._sizes.append(size)
        out = len(self._sizes) - 1
        self._operations.append(Operation(name, out, n, tuple(inputs), **more))
        return Value(out, size, shape)

    def _operand(self, value: Any, shape: tuple[int, ...]) -> tuple[int, int]:
        """The place of one number, or of as many as the result has, and how many they are."""
        if value.varies:
            if value.count not in (1, math.prod(shape)):
                numbers = np.arange(value.count, dtype=np.int32).reshape(value.shape)
                value = self.take(value, np.broadcast_to(numbers, shape).reshape(-1), shape)
            return value.number, value.count
        array = np.asarray(value.array(), np.float32)
        if not array.size:
            raise NoTape("an empty array")
        bits = array.reshape(-1).view(np.int32)  # 0 and -0 are two numbers
        same = bool((bits == bits[0]).all())
        numbers = array.reshape(-1)[:1] if same else np.broadcast_to(array, shape).reshape(-1)
        return self._constant(numbers), numbers.size

    def _constant(self, values: np.ndarray) -> int:
        """Its number, as an input; equal constants are held once."""
        key = values.tobytes()
        if key not in self._known:
            self._known[key] = sum(constant.size for constant in self._constants)
            self._constants.append(values.reshape(-1))
        return -1 - self._known[key]
