"""Which primitives of JAX have a place on a tape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unrollbit.kernels.held_bits import RENAMED
from unrollbit.kernels.tape import ELEMENTWISE

SAME = {"add_any": "add", "and": "mul", "or": "max"}  # masks are 1 and 0
SWAPPED = {"gt": "lt", "ge": "le"}
INLINED = {"jit": "jaxpr", "pjit": "jaxpr", "checkpoint": "jaxpr", "remat2": "jaxpr", "closed_call": "call_jaxpr"}
INLINED |= {"custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}
FAST = {"hadamard_transform": "hadamard"}  # functions under jax.jit that have an operation of their own
MOVED = {
    "broadcast_in_dim",
    "gather",
    "transpose",
    "slice",
    "dynamic_slice",
    "rev",
    "pad",
    "scatter",
    "tile",
    "concatenate",
}
_COMPOSED = {"reduce_sum", "select_n", "clamp", "square", "integer_pow", "rsqrt", "not", "convert_element_type"}
_KNOWN = {"signs_product", *RENAMED, *ELEMENTWISE, *SAME, *SWAPPED, *MOVED, *_COMPOSED}


class NoTape(Exception):
    """The program does something that a tape does not."""


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


def check(jaxpr: Any, varying: Sequence[bool]) -> list[bool]:
    """Which outputs depend on the inputs that vary.

    Raises ``NoTape`` where that takes a primitive that a tape lacks: at once, while recording would compute all that is
    known on the way there.
    """
    varies = {variable for variable, flag in zip(jaxpr.invars, varying, strict=True) if flag}
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        flags = [not hasattr(variable, "val") and variable in varies for variable in equation.invars]
        if not any(flags):
            continue
        found = [True] * len(equation.outvars)
        if name in INLINED and (equation.params.get("name") not in FAST or len(flags) != 1):
            found = check(inner_program(equation)[0], flags)
        elif name == "scan":
            found = _carried(equation, flags)
        elif name not in _KNOWN and name not in INLINED:
            raise NoTape(name)
        varies |= {variable for variable, flag in zip(equation.outvars, found, strict=True) if flag}
    return [not hasattr(variable, "val") and variable in varies for variable in jaxpr.outvars]


def _carried(equation: Any, flags: list[bool]) -> list[bool]:
    """What varies after all rounds of a scan."""
    first, carried = scanned(equation.params)
    last = first + carried
    while True:
        found = check(inner_program(equation)[0], flags)
        after = [before or now for before, now in zip(flags[first:last], found, strict=False)]
        if after == flags[first:last]:
            return found
        flags = [*flags[:first], *after, *flags[last:]]
