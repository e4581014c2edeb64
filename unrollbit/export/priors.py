"""Algorithms with a learned filter prior as C: ``runtime.forward_backward`` and ``runtime.reaction_diffusion``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from unrollbit.export.setting import Fragment, Setting, loop
from unrollbit.export.tables import Tables, literal
from unrollbit.packed import runtime
from unrollbit.packed.runtime import Operator

_EDGES = ("symmetric", "reflect", "circular", "zero")
_MOST_BITS = 4  # of a tap that is one of few values


class Prior(NamedTuple):
    """Lines that compute ``tau`` and ``weight``, that subtract the prior's gradient, that note the correction in v."""

    begun: list[str]
    thresholds: list[str]
    gradient: list[str]
    followed: list[str]
    weight: str
    state: dict[str, int]
    scratch: int
    operations: int


def forward_backward(s: Setting) -> Fragment:
    """``x <- u - step B (A u - y)`` with ``B = A^T / (c (1 + rho))`` where ``A A^T = c I`` or ``A^T A = c I``."""
    if s.A.inverse is not None or s.A.frame is None or s.A.estimate is not None:
        raise ValueError(
            "export to C: the data step of ForwardBackward has C for physics with A A^T = c I only (masks, "
            "orthonormal patterns, denoising). Take --onnx or --stablehlo, or a network without a filter prior"
        )
    prior, rho = _prior(s), s.scalar("rho")
    scale = literal(1 / s.A.frame)
    start = f"adjoint(0, {scale} / (1.0f + {rho.replace('[layer]', '[0]')}), y, x, scratch);"
    size = f"{s.scalar('step')} * ({scale} / (1.0f + ({rho} * {prior.weight})))"
    correction = f"adjoint(layer, {size}, residual, v, scratch);"
    return _fragment(s, prior, start, "x", correction)


def reaction_diffusion(s: Setting) -> Fragment:
    """``x <- v - step A^T (A v - y) / ||A||^2 - tau K^T phi(K v / tau)``."""
    scale = literal(1 / s.A.norm() ** 2)
    correction = f"adjoint(layer, {s.scalar('step')} * {scale}, residual, v, scratch);"
    return _fragment(s, _prior(s), f"adjoint(0, {scale}, y, x, scratch);", "v", correction)


def _fragment(s: Setting, prior: Prior, start: str, at: str, correction: str) -> Fragment:
    """A layer whose residual is taken at u (in x) or at v."""
    layer = [
        *prior.thresholds,
        *loop(
            s.n,
            f"v[j] = x[j] + ({s.scalar('momentum')} * (x[j] - previous[j]));",
            "previous[j] = x[j];",
            "x[j] = v[j];",
        ),
        *prior.gradient,
        *loop(s.m, "residual[j] = -y[j];"),
        f"physics(layer, 1.0f, {at}, residual, scratch);",
        f"zero({s.n}, v);",
        correction,
        *prior.followed,
        *loop(s.n, "x[j] -= v[j];"),
        "shrinkage(layer, tau, x);",
    ]
    state = {"previous": s.n, "v": s.n, "residual": max(s.m, s.n), "tau": 1, **prior.state}
    before = ["tau[0] = 1.0f;", start, *loop(s.n, "previous[j] = x[j];"), *prior.begun]
    return Fragment(state, before, layer, scratch=prior.scratch, operations=prior.operations)


def _prior(s: Setting) -> Prior:
    matrices, o = s.matrices["K"], s.options
    if "K" in s.activated:
        raise ValueError("export to C: quantised or normalised activations around a bank of filters have no C")
    assert matrices[0].bank is not None
    core, structure = matrices[0].bank
    assert structure.bank is not None
    (sides, edge), (*kernel, channels) = structure.bank, core.shape
    (height, width), (down, across) = (1, *sides)[-2:], (1, *kernel)[-2:]
    bits, codes, values = _taps(s.tables, matrices)
    rows = [s.row(name) for name in ("slopes", "knots")]
    each = [int(s.scalars[name].ndim == 3) for name in ("slopes", "knots")]  # whether of each channel
    pieces = s.scalars["slopes"].shape[1]
    grid = s.tables.integers("grid", [height, width, down, across, channels, _EDGES.index(edge), bits, pieces, *each])
    levels = runtime.levels_of(o)
    threshold = "1.0f" if levels is None else "threshold"
    arguments = [grid, codes, values, *rows, threshold, "v", "residual", "scratch"]
    # summed apart from x, beside which each of its many terms is small
    gradient = [f"zero({s.n}, residual);", f"prior_add({', '.join(arguments)});", *loop(s.n, "x[j] -= residual[j];")]
    size, work = down * across, s.n * channels * (4 * down * across + 4 * pieces)
    if levels is None:
        return Prior([], [], gradient, [], "1.0f", {}, size, work)
    unit = literal(levels["unit"])
    level = f"root_mean_square({s.n}, x)" if levels["of"] == "signal" else f"noise_of({height}, {width}, x)"
    begun = [f"levels[0] = {level} / {unit};", "levels[1] = 0.0f;"]
    words = ["levels[0]", "levels[1]", literal(levels["share"]), *map(s.scalar, ("alpha", "beta", "floor"))]
    thresholds = [f"const float threshold = prior_threshold({', '.join(words)});"]
    followed = [f"levels[1] = root_mean_square({s.n}, v) / {unit};"]
    weight = f"powf((levels[0] > 0.0f) ? levels[0] : 1.0f, 2.0f * {s.scalar('gamma')})"
    return Prior(begun, thresholds, gradient, followed, weight, {"levels": 2}, size, work)


def _taps(tables: Tables, matrices: Sequence[Operator]) -> tuple[int, str, str]:
    """Bits of a tap, and pointers to codes and values: filters of few values are held by those and by codes."""
    banks = [matrix.bank[0].reshape(-1, matrix.bank[0].shape[-1]).T for matrix in matrices if matrix.bank is not None]
    found = [[np.unique(taps, return_inverse=True) for taps in bank] for bank in banks]
    most = max(len(values) for bank in found for values, _ in bank)
    bits = next((b for b in (1, 2, _MOST_BITS) if most <= 2**b), 0)
    if not bits:
        return 0, tables.codes("codes", [np.zeros(1)]), tables.floats("taps", banks)
    values = [np.stack([np.resize(own, 2**bits) for own, _ in bank]) for bank in found]
    codes = [np.stack([_packed(places, bits) for _, places in bank]) for bank in found]
    return bits, tables.codes("codes", codes), tables.floats("taps", values)


def _packed(codes: np.ndarray, bits: int) -> np.ndarray:
    """Codes of so many bits as bytes, the first one least significant."""
    places = codes.reshape(-1, 1) >> np.arange(bits) & 1
    return np.packbits(places.astype(np.uint8).ravel(), bitorder="little")
