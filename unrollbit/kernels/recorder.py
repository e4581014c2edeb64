"""Tapes of programs: what JAX traced, as the few operations that a tape has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr

from unrollbit.kernels.builder import Builder
from unrollbit.kernels.programs import INLINED, NoTape, check, inner_program, is_literal, scanned
from unrollbit.kernels.rules import RULES
from unrollbit.kernels.tape import Tape
from unrollbit.kernels.values import RENAMED, Known, Operand, known

_PRIMITIVES = {*RULES, *RENAMED}


def record(program: ClosedJaxpr) -> Tape:
    """The tape of a program of one float32 array.

    Raises ``NoTape``, which says why, where there is none.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from unrollbit.kernels import hadamard_transform
        >>> [operation.name for operation in record(jax.make_jaxpr(hadamard_transform)(jnp.ones(4))).operations]
        ['hadamard']
        >>> record(jax.make_jaxpr(jnp.sort)(jnp.ones(3)))
        Traceback (most recent call last):
        unrollbit.kernels.programs.NoTape: sort
    """
    (measurements,) = program.in_avals
    if measurements.dtype != jnp.float32 or 0 in measurements.shape:
        raise NoTape(f"measurements of {measurements}")
    check(program.jaxpr, [True], _PRIMITIVES)
    builder = Builder(measurements.shape)
    with jax.ensure_compile_time_eval():  # what is known stays known, even while something else is traced
        (result,) = _run(builder, program.jaxpr, program.consts, [builder.start])
    return builder.tape(result)


def _run(builder: Builder, jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Operand]) -> list[Operand]:
    """The outputs of a program."""
    environment: dict[Any, Operand] = {}

    def read(variable: Any) -> Operand:
        return Known(variable.val) if is_literal(variable) else environment[variable]

    environment.update(zip(jaxpr.constvars, map(known, consts), strict=True))
    environment.update(zip(jaxpr.invars, inputs, strict=True))
    for equation in jaxpr.eqns:
        found = _equation(builder, equation, [read(variable) for variable in equation.invars])
        environment.update(zip(equation.outvars, found, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _equation(builder: Builder, equation: Any, inputs: list[Any]) -> Sequence[Operand]:
    name, params = equation.primitive.name, equation.params
    if name in INLINED:
        return _run(builder, *inner_program(equation), inputs)
    if name == "scan":
        return _scan(builder, params, inputs)
    shapes = [variable.aval.shape for variable in equation.outvars]
    parts = [value.part(name, inputs[1:], params, shape) for value, shape in zip(inputs, shapes, strict=False)]
    if len(parts) == len(shapes) and None not in parts:
        return parts
    if not any(value.varies for value in inputs):
        found = equation.primitive.bind(*(jnp.asarray(value.array()) for value in inputs), **params)
        return list(map(known, found if equation.primitive.multiple_results else [found]))
    if any(variable.aval.dtype not in (jnp.float32, jnp.bool_) for variable in equation.outvars):
        raise NoTape(f"{name} gives {equation.outvars[0].aval}")
    if name in RENAMED:  # several arrays, of which some are known
        pairs = zip(inputs, parts, strict=True)
        return [value if part is None else part for value, part in pairs]
    return [RULES[name](builder, equation, inputs)]


def _scan(builder: Builder, params: dict[str, Any], inputs: list[Any]) -> list[Operand]:
    (constant, carried), jaxpr = scanned(params), params["jaxpr"]
    consts, carry, sliced = inputs[:constant], inputs[constant:][:carried], inputs[constant + carried :]
    if any(value.varies for value in sliced) or params["reverse"] or len(jaxpr.out_avals) != carried:
        raise NoTape("a scan over what depends on the measurements")
    for k in range(params["length"]):
        rows = [value.row(k) for value in sliced]
        carry = _run(builder, jaxpr.jaxpr, jaxpr.consts, [*consts, *carry, *rows])
    return carry
