"""What primitives of JAX become on a tape: one rule each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from unrollbit.kernels.builder import Builder
from unrollbit.kernels.hadamard import hadamard_transform_p
from unrollbit.kernels.programs import NoTape
from unrollbit.kernels.signs_product import signs_product_p
from unrollbit.kernels.tape import ELEMENTWISE
from unrollbit.kernels.values import Known, Value

_EXACT = 2**24  # whole numbers below it are floats
_ONE = Known(np.float32(1))

Rule = Callable[[Builder, Any, list[Any]], Value]  # an equation with inputs, of which one depends on the measurements


def _shape(equation: Any) -> tuple[int, ...]:
    return equation.outvars[0].aval.shape


def _is_mask(variable: Any) -> bool:
    return variable.aval.dtype == jnp.bool_


def _elementwise(name: str, order: int = 1) -> Rule:
    """The operation of a name on the inputs, or on the reversed ones."""
    return lambda builder, equation, inputs: builder.elementwise(name, inputs[::order], _shape(equation))


def _signs(builder: Builder, equation: Any, inputs: list[Any]) -> Value:
    bits, x = inputs
    if bits.varies or not x.varies:
        raise NoTape("signs that depend on the measurements")
    params = equation.params
    return builder.signs(bits, x, _shape(equation), params["columns"], params["transpose"])


def _hadamard(builder: Builder, equation: Any, inputs: list[Any]) -> Value:
    shape = _shape(equation)
    return builder.rows("hadamard", inputs[0], shape, shape[:-1], shape[-1:])


def _reduced(name: str) -> Rule:
    """The operation of a name on each row: of the entries that the last axes hold."""

    def rule(builder: Builder, equation: Any, inputs: list[Any]) -> Value:
        (value,), axes = inputs, equation.params["axes"]
        kept = len(value.shape) - len(axes)
        if tuple(axes) != tuple(range(kept, len(value.shape))):
            raise NoTape(f"a {name} over leading axes")
        shape = _shape(equation)
        return builder.rows(name, value, shape, shape, (math.prod(value.shape[kept:]),))

    return rule


def _select(builder: Builder, equation: Any, inputs: list[Any]) -> Value:
    if len(inputs) != 3:
        raise NoTape("a choice of more than two")
    return builder.elementwise("select", inputs, _shape(equation))


def _clamp(builder: Builder, equation: Any, inputs: list[Any]) -> Value:
    (low, x, high), shape = inputs, _shape(equation)
    return builder.elementwise("min", [builder.elementwise("max", [low, x], shape), high], shape)


def _power(builder: Builder, equation: Any, inputs: list[Any]) -> Value:
    if equation.params.get("y", 2) != 2:
        raise NoTape(f"power {equation.params['y']}")
    return builder.elementwise("mul", [inputs[0], inputs[0]], _shape(equation))


def _reciprocal_root(builder: Builder, equation: Any, inputs: list[Any]) -> Value:
    shape = _shape(equation)
    return builder.elementwise("div", [_ONE, builder.elementwise("sqrt", inputs, shape)], shape)


def _not(builder: Builder, equation: Any, inputs: list[Any]) -> Value:
    return builder.elementwise("sub", [_ONE, inputs[0]], _shape(equation))


def _unequal(builder: Builder, equation: Any, inputs: list[Any]) -> Value:
    shape = _shape(equation)
    return builder.elementwise("sub", [_ONE, builder.elementwise("eq", inputs, shape)], shape)


def _finite(builder: Builder, equation: Any, inputs: list[Any]) -> Value:
    """x - x is 0, or not a number."""
    (x,), shape = inputs, _shape(equation)
    return builder.elementwise("eq", [builder.elementwise("sub", [x, x], shape), Known(np.float32(0))], shape)


def _rounded(builder: Builder, equation: Any, inputs: list[Any]) -> Value:
    if equation.params["mantissa_bits"] != 0 or equation.params["exponent_bits"] < 8:
        raise NoTape("rounding to something else than powers of two")
    return builder.elementwise("binade", inputs, _shape(equation))


def _converted(builder: Builder, equation: Any, inputs: list[Any]) -> Value:
    if _is_mask(equation.outvars[0]) and not _is_mask(equation.invars[0]):
        raise NoTape("numbers as a mask")
    return inputs[0]._replace(shape=_shape(equation))


def _moved(builder: Builder, equation: Any, inputs: list[Any]) -> Value:
    """Entries in other places, and zeros: found by moving their numbers."""
    name, params = equation.primitive.name, equation.params
    if any(map(_is_mask, equation.invars)):
        raise NoTape(f"{name} of a mask")
    source, *others = {value for value in inputs if value.varies}
    if others or source.count > _EXACT:
        raise NoTape(f"{name} of several arrays, or of a large one")
    numbers = np.ones(source.shape, np.float32)  # of entries, from 1 on
    if source.count > 1:
        numbers = np.arange(1, source.count + 1, dtype=np.float32).reshape(source.shape)
    moved = []
    for value in inputs:
        array = numbers if value.varies else np.asarray(value.array())
        if not value.varies and array.dtype == np.float32 and np.any(array):
            raise NoTape(f"{name} with other numbers than zeros")
        moved.append(jnp.asarray(array))
    if params.get("fill_value") is not None:
        raise NoTape(f"{name} with a fill value")
    found = np.asarray(equation.primitive.bind(*moved, **params)).reshape(-1)
    if not np.isfinite(found).all():
        raise NoTape(f"{name} from outside")
    index = found.astype(np.int32) - 1
    if np.array_equal(index, np.arange(source.count)) or (source.count == 1 and not index.any()):
        return source._replace(shape=_shape(equation))
    return builder.take(source, index, _shape(equation))


RULES: dict[str, Rule] = {
    **{name: _elementwise(name) for name in ELEMENTWISE},
    **{primitive.name: rule for primitive, rule in ((signs_product_p, _signs), (hadamard_transform_p, _hadamard))},
    "add_any": _elementwise("add"),
    "and": _elementwise("mul"),  # masks are 1 and 0
    "or": _elementwise("max"),
    "not": _not,
    "gt": _elementwise("lt", order=-1),
    "ge": _elementwise("le", order=-1),
    "reduce_sum": _reduced("sum"),
    "reduce_max": _reduced("maximum"),
    "select_n": _select,
    "ne": _unequal,
    "is_finite": _finite,
    "reduce_precision": _rounded,
    "clamp": _clamp,
    "square": _power,
    "integer_pow": _power,
    "rsqrt": _reciprocal_root,
    "convert_element_type": _converted,
    **dict.fromkeys(("broadcast_in_dim", "gather", "transpose", "slice", "dynamic_slice", "rev"), _moved),
    **dict.fromkeys(("pad", "scatter", "tile", "concatenate"), _moved),
}
