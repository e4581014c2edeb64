"""Programs that JAX traced: what they call, and what in them depends on the measurements."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

INLINED = {"jit": "jaxpr", "pjit": "jaxpr", "checkpoint": "jaxpr", "remat2": "jaxpr", "closed_call": "call_jaxpr"}
INLINED |= {"custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}


class NoTape(Exception):
    """The program does something that a tape does not: its text says what."""


def inner_program(equation: Any) -> tuple[Any, Sequence[Any]]:
    """The program that an equation calls, and its constants."""
    inner = equation.params[INLINED.get(equation.primitive.name, "jaxpr")]
    return (inner.jaxpr, inner.consts) if hasattr(inner, "consts") else (inner, ())


def scanned(params: Any) -> tuple[int, int]:
    """How many inputs of a scan are constant, and how many are carried: behind them come those that are sliced."""
    if "num_carry" in params:
        return params["num_consts"], params["num_carry"]
    if "ft_in" in params:  # from JAX 0.11 on
        consts, carry, _ = params["ft_in"].unpack()
        return len(consts), len(carry)
    raise NoTape("a scan of a JAX that is not known")


def is_literal(variable: Any) -> bool:
    """Whether an input of an equation is a number that stands in the program."""
    return hasattr(variable, "val")


def check(jaxpr: Any, varying: Sequence[bool], primitives: Collection[str]) -> list[bool]:
    """Which outputs depend on the inputs that vary.

    Raises ``NoTape`` where that takes a primitive that is not among ``primitives``: at once, while recording would
    compute all that is known on the way there.
    """
    varies = {variable for variable, flag in zip(jaxpr.invars, varying, strict=True) if flag}
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        flags = [not is_literal(variable) and variable in varies for variable in equation.invars]
        if not any(flags):
            continue
        found = [True] * len(equation.outvars)
        if name in INLINED:
            found = check(inner_program(equation)[0], flags, primitives)
        elif name == "scan":
            found = _carried(equation, flags, primitives)
        elif name not in primitives:
            raise NoTape(name)
        varies |= {variable for variable, flag in zip(equation.outvars, found, strict=True) if flag}
    return [not is_literal(variable) and variable in varies for variable in jaxpr.outvars]


def _carried(equation: Any, flags: list[bool], primitives: Collection[str]) -> list[bool]:
    """What varies after all rounds of a scan."""
    first, carried = scanned(equation.params)
    last = first + carried
    while True:
        found = check(inner_program(equation)[0], flags, primitives)
        after = [before or now for before, now in zip(flags[first:last], found, strict=False)]
        if after == flags[first:last]:
            return found
        flags = [*flags[:first], *after, *flags[last:]]
