"""A packed network as one C99 file and its header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from unrollbit.export.algorithms import fragment_of
from unrollbit.export.product import Call, Product
from unrollbit.export.products import PRODUCTS
from unrollbit.export.setting import Fragment, Setting
from unrollbit.export.shrinkages import function, shrinkage_code
from unrollbit.export.sources import used
from unrollbit.export.tables import Tables, literal
from unrollbit.packed import runtime
from unrollbit.packed.runtime import Operator, Spec

HEADER, SOURCE = "unrollbit_recover.h", "unrollbit_recover.c"


class Program(NamedTuple):
    """The texts of the two files, and what the program takes: bytes of constants and of work, operations a signal."""

    header: str
    source: str
    shape: tuple[int, int]
    data_bytes: int
    work_bytes: int
    operations: dict[str, int]


def program_of(network: runtime.Network, *, fixed_point: bool = False) -> Program:
    """The C program of a packed network, as ``runtime.load`` reads it; args and errors as ``export_c``."""
    plan, A, tables = network.plan, network.operator, Tables()
    depth: int = plan.options["depth"]
    m, n = network.shape
    fragment = fragment_of(Setting(plan.options, A, network.matrices, network.activated, plan.scalars, tables))
    products = {f"map_{name}": (network.matrices[name], linear.adjoint) for name, linear in plan.maps.items()}
    if plan.knows_physics:
        products |= {"physics": ([A], False), "adjoint": ([A], True)}
    texts, operations, scratch = [], {}, fragment.scratch
    if fragment.operations:
        operations["layers"] = fragment.operations * depth
    for name, (matrices, adjoint) in products.items():
        if not _mentions(fragment, name):
            continue
        around = plan.options["activations"] if name.removeprefix("map_") in network.activated else {}
        product = Product(tables, PRODUCTS, fixed_point)
        text = _product(name, matrices, adjoint, product, around)
        texts.append(text)
        operations[name] = product.operations * plan.uses.get(name.removeprefix("map_"), depth)
        scratch = max(scratch, product.floats)
    if plan.knows_physics:
        spec = plan.options["shrinkage"]
        texts.append(shrinkage_code(spec, n, fragment.state["tau"], plan.scalars, tables, fragment.slope))
    state = dict(fragment.state)
    accepted: list[str] = []
    if A.accept is not None:
        product = Product(tables, PRODUCTS, fixed_point)
        texts.append(_product("accept", [A.accept], False, product, {}))
        operations["accept"], scratch = product.operations, max(scratch, product.floats)
        state["accepted"] = m
        accepted = [f"zero({m}, accepted);", "accept(0, 1.0f, measured, accepted, scratch);"]
    floats = sum(state.values()) + scratch
    recover = _recover(fragment, state, n, depth, accepted)
    body = "\n".join([*texts, recover, _ENTRY])
    if fixed_point and "_fixed(" not in body:
        raise ValueError(
            "export to C: --fixed-point is for products with signs, of which this network has none; leave it out"
        )
    source = "\n".join([_START, tables.text(), *used([body]), body])
    return Program(_header(m, n, 4 * floats), source, (m, n), tables.bytes, 4 * floats, operations)


def _mentions(fragment: Fragment, name: str) -> bool:
    return any(line.startswith(f"{name}(") for line in [*fragment.before, *fragment.layer, *fragment.after])


def _product(name: str, matrices: Sequence[Operator], adjoint: bool, product: Product, activations: Spec) -> str:
    """A C function that adds ``factor`` times a product of layer ``layer``, with the activations around it."""
    call = Call("in", "out", "factor", adjoint)
    sizes = matrices[0].shape if adjoint else matrices[0].shape[::-1]  # of the input and the output
    where, bits = activations.get("normalisation", "none"), activations.get("bits")
    if where == "input" or bits is not None:
        call = replace(call, source=product.work(sizes[0]))
        product.call("add", sizes[0], literal(1), "in", call.source)
    if where == "input":
        product.call("normalise", sizes[0], call.source, operations=8 * sizes[0])
    if bits is not None:
        product.call("quantise", sizes[0], literal(2 ** (bits - 1) - 1), call.source, operations=6 * sizes[0])
    if where == "output":
        call = replace(call, target=product.work(sizes[1]), factor=literal(1))
    product.emit(matrices, call)
    if where == "output":
        product.call("normalise", sizes[1], call.target, operations=8 * sizes[1])
        product.call("add", sizes[1], "factor", call.target, "out")
    head = f"static void {name}(int32_t layer, float factor, const float *in, float *out, float *work)"
    return function(head, ("layer", "work"), product.lines)


def _recover(fragment: Fragment, state: dict[str, int], n: int, depth: int, accepted: list[str]) -> str:
    """The function of all layers."""
    lines, at = [], 0
    for name, size in state.items():
        lines.append(f"float *const {name} = &work[{at}];")
        at += size
    lines.append(f"float *const scratch = &work[{at}];")
    if accepted:
        lines += ["const float *const y = accepted;", *accepted]
    lines += [f"zero({n}, x);", *fragment.before]
    if fragment.layer:
        rounds = depth - 2 if "h" in state else depth
        lines += [f"for (int32_t layer = 0; layer < {rounds}; layer++) {{"]
        lines += [*(f"    {line}" for line in fragment.layer), "}"]
    lines += fragment.after
    measured = "measured" if accepted else "y"
    return function(f"static void recover(const float *{measured}, float *x, float *work)", (), lines)


def _header(m: int, n: int, work_bytes: int) -> str:
    return _HEADER.format(m=m, n=n, work=work_bytes)


_HEADER = """\
/*
 * Recovery of a signal from its measurements by a trained network.
 *
 * y: UNROLLBIT_M measurements; x: UNROLLBIT_N unknowns, written; work: UNROLLBIT_WORK_BYTES bytes, aligned as float,
 * of any content. The three must not overlap. Nothing is kept between calls, and calls with other x and work may run
 * at the same time.
 *
 * Returns 0; UNROLLBIT_NOT_FINITE where a measurement is NaN or infinite (then x is not written); UNROLLBIT_OVERFLOW
 * where the estimate is not finite, as for measurements far outside the range that the network was trained for.
 */
#ifndef UNROLLBIT_RECOVER_H
#define UNROLLBIT_RECOVER_H

#define UNROLLBIT_M {m}
#define UNROLLBIT_N {n}
#define UNROLLBIT_WORK_BYTES {work}

#define UNROLLBIT_NOT_FINITE (-1)
#define UNROLLBIT_OVERFLOW (-2)

#ifdef __cplusplus
extern "C" {{
#endif

int unrollbit_recover(const float *y, float *x, void *work);

#ifdef __cplusplus
}}
#endif

#endif
"""

_START = """\
/* See unrollbit_recover.h. Generated from a packed network: edit that, not this. */
#include "unrollbit_recover.h"

#include <math.h>
#include <stdint.h>
"""

_ENTRY = """\
int unrollbit_recover(const float *y, float *x, void *work)
{
    for (int32_t j = 0; j < UNROLLBIT_M; j++) {
        if (!isfinite(y[j])) {
            return UNROLLBIT_NOT_FINITE;
        }
    }
    recover(y, x, (float *)work);
    for (int32_t j = 0; j < UNROLLBIT_N; j++) {
        if (!isfinite(x[j])) {
            return UNROLLBIT_OVERFLOW;
        }
    }
    return 0;
}
"""
