"""Whole packed networks against the same networks in float32, one signal at a time, end to end."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.algorithms import FISTA
from unrollbit.algorithms.base import Algorithm
from unrollbit.cli.bench_products import Row, relative_error
from unrollbit.cli.bench_timing import Timer
from unrollbit.formats import Fixed, FullPrecision, OneBit, Place
from unrollbit.networks import Network, Unrolled
from unrollbit.operators import Dense, Hadamard, LinearOperator, Rademacher, gaussian
from unrollbit.packed import PackedNetwork, load, pack

DEPTH = 16
_SEED = 0


class Case(NamedTuple):
    """A network: its physics, and the matrices of its layers."""

    name: str
    m: int
    n: int
    physics: Callable[[int, int], LinearOperator]
    weights: Any  # of the packed network
    floats: Any  # of the same network in float32
    copies: int


def _case(name: str, m: int, n: int, physics: Callable[[int, int], LinearOperator], learned: bool, copies: int) -> Case:
    return Case(name, m, n, physics, *((OneBit(), FullPrecision()) if learned else (Fixed(), Fixed())), copies)


def cases(quick: bool) -> list[Case]:
    """Small networks first; the large ones need 0.3 GB (W = A) to 2.5 GB (16 matrices) in float32."""
    small = [(256, 512), (512, 1024)]
    found = [_case("signs, W = A", m, n, Rademacher, False, 1) for m, n in small]
    found += [_case("Gaussian, one-bit W", m, n, gaussian, True, DEPTH) for m, n in small]
    found.append(_case("single-pixel, W = A", 4096, 8192, Hadamard, False, 1))
    found.append(_case("signs, W = A", 4096, 8192, Rademacher, False, 1))
    if not quick:
        found.append(_case("signs, one-bit W", 4096, 8192, Rademacher, True, 1))
        found.append(_case("Gaussian, one-bit W", 4096, 8192, gaussian, True, 1))
    return found


def measure(timer: Timer, quick: bool, path: str) -> Iterator[Row]:
    """Rows as they come: float32 under ``jax.jit`` with dense matrices, and ``load(file)(y)``."""
    for case in cases(quick):
        yield _row(case, timer, path)


def build(case: Case) -> tuple[Unrolled, PackedNetwork, Array]:
    """The float32 network with dense matrices, the same one packed and read from a file, and measurements."""
    A = case.physics(case.m, case.n)
    algorithm = FISTA(regularisation=0.05)
    scalars = initial_scalars(algorithm, A)
    net = Unrolled(algorithm, A, DEPTH, case.weights, distinct=case.copies, scalars=scalars)
    dense = Dense(jnp.asarray(A.dense(), jnp.float32))
    matrices = {"W": case.floats.build(Place(algorithm.maps(dense)["W"], dense, case.copies))}
    if case.weights == OneBit():  # the same values
        matrices = {"W": FullPrecision().from_matrix(net.maps["W"].dense(), copies=case.copies)}
    floats = Unrolled(algorithm, dense, DEPTH, matrices, scalars=scalars)
    y = np.random.RandomState(_SEED).standard_normal((1, case.m)).astype(np.float32)
    return floats, through_file(net), jnp.asarray(y)


def _row(case: Case, timer: Timer, path: str) -> Row:
    floats, packed, y = build(case)
    functions = {
        "float32": lambda: forward(floats, y).block_until_ready(),
        "packed": lambda: packed(y).block_until_ready(),
    }
    error = relative_error(packed(y), np.asarray(forward(floats, y), np.float64))
    seconds = timer.compare(functions)
    held = resident_bytes(floats)
    resident = packed.bits().resident_bits // 8
    return {
        "network": case.name,
        "path": path,
        "physics": f"{case.m} x {case.n}",
        "m": case.m,
        "n": case.n,
        "depth": DEPTH,
        "batch": 1,
        "speedup": seconds["float32"] / seconds["packed"],
        "difference": error,
        "float32_microseconds": 1e6 * seconds["float32"],
        "packed_microseconds": 1e6 * seconds["packed"],
        "float32_resident_bytes": held,
        "packed_resident_bytes": resident,
        "memory_ratio": held / max(resident, 1),
        "file_bytes": (packed.bits().file_bits or 0) // 8,
    }


def initial_scalars(algorithm: Algorithm, A: LinearOperator) -> dict[str, Any]:
    """Scalars that the algorithm starts at, with the norm of random physics, ``1 + sqrt(n/m)``, in place of an SVD."""
    m, n = A.shape
    specs = algorithm.scalar_forms(A)
    scalars = {name: spec.raw(spec.initial_values(DEPTH)) for name, spec in specs.items()}
    scalars["step"] = specs["step"].raw(np.full(DEPTH, 1.0 / (1.0 + math.sqrt(n / m)) ** 2))
    return scalars


@jax.jit
def forward(net: Network, y: Any) -> Any:
    """The float32 network, compiled end to end."""
    return net(y)


def through_file(net: Network) -> PackedNetwork:
    """A network as users get it: saved and loaded."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.safetensors"
        pack(net).save(path)
        return load(path)


def resident_bytes(net: Network) -> int:
    """What the maps and the physics of a network hold in memory."""
    arrays = {id(leaf): leaf.nbytes for leaf in jax.tree.leaves((net.maps, net.physics))}
    return sum(arrays.values())
