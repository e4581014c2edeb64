"""Algorithms as C: what each kind of ``runtime.ALGORITHMS`` (and a fully connected network) becomes, in one table.

A fragment gives the memory that its state takes, and the lines of the function ``recover(y, x, work)``. It calls the
products ``physics`` and ``map_NAME``, which add ``factor`` times their result to the target, and
``shrinkage``, which works in place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unrollbit.export.priors import forward_backward, reaction_diffusion
from unrollbit.export.setting import Fragment, Setting, loop
from unrollbit.export.tables import literal


def _levels(s: Setting, residual: str, divisor: float = 1.0) -> list[str]:
    """The noise level of every block of a residual, in ``tau``."""
    rows = s.m // s.blocks
    level = f"root_mean_square({rows}, &{residual}[b * {rows}])"
    shown = level if divisor == 1 else f"{level} / {literal(divisor)}"
    return [f"for (int32_t b = 0; b < {s.blocks}; b++) {{", f"    tau[b] = {shown};", "}"]


_ONE = ["tau[0] = 1.0f;"]


def _descent(s: Setting, at: str, into: str) -> list[str]:
    """``into += step W^T (y - A at)``."""
    return [
        *loop(s.m, "residual[j] = y[j];"),
        f"physics(layer, -1.0f, {at}, residual, scratch);",
        f"map_W(layer, {s.scalar('step')}, residual, {into}, scratch);",
    ]


def gradient_descent(s: Setting) -> Fragment:
    state = {"residual": s.m, "tau": 1}
    return Fragment(state, _ONE, [*_descent(s, "x", "x"), "shrinkage(layer, tau, x);"])


def ista(s: Setting) -> Fragment:
    o = s.options
    adaptive = _levels(s, "residual") if o["adaptive"] else []
    before = [] if o["adaptive"] else _ONE
    state = {"tau": s.blocks if o["adaptive"] else 1}
    if o["parametrisation"] != "classic":
        return Fragment(
            {"residual": s.m, **state}, before, [*_descent(s, "x", "x"), *adaptive, "shrinkage(layer, tau, x);"]
        )
    if adaptive:
        state["residual"] = s.m
        adaptive = [*loop(s.m, "residual[j] = y[j];"), "physics(layer, -1.0f, x, residual, scratch);", *adaptive]
    layer = [
        *adaptive,
        *loop(s.n, f"u[j] = {s.scalar('beta')} * x[j];"),
        "map_W2(layer, 1.0f, x, u, scratch);",
        "map_W1(layer, 1.0f, y, u, scratch);",
        "shrinkage(layer, tau, u);",
        *loop(s.n, "x[j] = u[j];"),
    ]
    return Fragment({"u": s.n, **state}, before, layer)


def fista(s: Setting) -> Fragment:
    state = {"z": s.n, "residual": s.m, "tau": 1}
    layer = [
        *_descent(s, "z", "z"),
        "shrinkage(layer, tau, z);",
        *loop(
            s.n,
            "const float estimate = z[j];",
            f"z[j] = estimate + ({s.scalar('momentum')} * (estimate - x[j]));",
            "x[j] = estimate;",
        ),
    ]
    return Fragment(state, [f"zero({s.n}, z);", *_ONE], layer)


def admm(s: Setting) -> Fragment:
    state = {"v": s.n, "q": s.n, "residual": s.m, "tau": 1}
    layer = [
        *loop(s.n, "q[j] = (2.0f * x[j]) - v[j];", "v[j] = (v[j] - x[j]) + q[j];"),
        *_descent(s, "q", "v"),
        *loop(s.n, "x[j] = v[j];"),
        "shrinkage(layer, tau, x);",
    ]
    return Fragment(state, [f"zero({s.n}, v);", *_ONE], layer)


def amp(s: Setting) -> Fragment:
    """``previous`` holds the estimate before, becomes u, is shrunk, and changes places with x."""
    o, rows = s.options, s.m // s.blocks
    state = {"previous": s.n, "v": s.m, "tau": s.blocks}
    before = [f"zero({s.n}, previous);", f"zero({s.m}, v);"]
    memory = {"learned": "memory", "computed": f"onsager[j / {rows}]", "none": "0.0f"}[o["onsager"]]
    following: list[str] = []
    if o["onsager"] == "learned":
        memory = s.scalar("memory")
    if o["onsager"] == "computed":
        state["onsager"] = s.blocks
        before.append(f"zero({s.blocks}, onsager);")
        scale = literal(s.n / s.m / (s.n // s.blocks))
        following = [
            f"zero({s.blocks}, onsager);",
            "slopes(layer, tau, previous, onsager);",
            f"for (int32_t b = 0; b < {s.blocks}; b++) {{",
            f"    onsager[b] *= {scale};",
            "}",
        ]
    moved = f"x[j] + ({s.scalar('momentum')} * (x[j] - previous[j]))" if o["momentum"] else "x[j]"
    layer = [
        *loop(s.m, f"v[j] = y[j] + ({memory} * v[j]);"),
        "physics(layer, -1.0f, x, v, scratch);",
        *loop(s.n, f"previous[j] = {moved};"),
        f"map_W(layer, {s.scalar('step')}, v, previous, scratch);",
        *_levels(s, "v", o["column"]),
        *following,
        "shrinkage(layer, tau, previous);",
        *loop(s.n, "const float estimate = previous[j];", "previous[j] = x[j];", "x[j] = estimate;"),
    ]
    return Fragment(state, before, layer, slope=o["onsager"] == "computed")


def fully_connected(s: Setting) -> Fragment:
    """``h = relu(first y + b)``, then hidden layers, then ``last h``."""
    width, skip, hidden = s.options["width"], s.options["skip"], s.options["depth"] - 2
    first = s.tables.floats("bias", [s.scalars["bias_first"]])
    own = s.tables.floats("bias", [s.scalars["bias_hidden"]]) if hidden else ""
    before = [*loop(width, f"h[j] = {first}[j];"), "map_first(0, 1.0f, y, h, scratch);"]
    relu = loop(width, "h[j] = fmaxf(h[j], 0.0f);")
    bias = f"{own}[(layer * {width}) + j]"
    if skip:
        layer = [*loop(width, f"u[j] = fmaxf(h[j] + {bias}, 0.0f);"), "map_hidden(layer, 1.0f, u, h, scratch);"]
    else:
        before += relu
        layer = [
            *loop(width, f"u[j] = {bias};"),
            "map_hidden(layer, 1.0f, h, u, scratch);",
            *loop(width, "h[j] = fmaxf(u[j], 0.0f);"),
        ]
    state = {"h": width, **({"u": width} if hidden else {})}
    return Fragment(state, before, layer if hidden else [], ["map_last(0, 1.0f, h, x, scratch);"])


ALGORITHMS: dict[str, Callable[[Setting], Fragment]] = {
    "ADMM": admm,
    "AMP": amp,
    "FISTA": fista,
    "ForwardBackward": forward_backward,
    "FullyConnected": fully_connected,
    "GradientDescent": gradient_descent,
    "ISTA": ista,
    "ReactionDiffusion": reaction_diffusion,
}


def fragment_of(setting: Setting) -> Fragment:
    """The fragment of an algorithm. Raises ``ValueError`` for one without C."""
    kind: Any = setting.options["kind"]
    if kind not in ALGORITHMS:
        raise ValueError(f"export to C: {kind} has no C; there is some for {', '.join(ALGORITHMS)}")
    return ALGORITHMS[kind](setting)
