"""The reader in NumPy alone: equal to the library on everything that a file can hold, and strict about the rest."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tracemalloc
from functools import cache, partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit import AMP, ISTA, FullPrecision, FullyConnected, OneBit, Unrolled, load, pack
from unrollbit.algorithms import ADMM, FISTA, GradientDescent
from unrollbit.algorithms.analytic import coherence_matrix, regularised_inverse
from unrollbit.networks import Activations
from unrollbit.operators import (
    Banded,
    BlockDiagonal,
    Composition,
    Convolution,
    Dense,
    Hadamard,
    LinearOperator,
    Preconditioned,
    Rademacher,
    Radon,
    Scaled,
    SubsampledDCT,
    SubsampledFourier,
    Subsampling,
    Sum,
    Wavelet,
    gaussian,
    gaussian_blocks,
    hadamard_blocks,
    ill_conditioned,
    rademacher_blocks,
)
from unrollbit.operators.structured import Diagonal, Structured
from unrollbit.packed import runtime
from unrollbit.packed.flip_code import decode_flips, encode_flips
from unrollbit.packed_operators import sign_planes
from unrollbit.packed_operators.low_rank import LowRank
from unrollbit.packed_operators.packed_signs import PackedSigns, packed_mask
from unrollbit.packed_operators.packed_ternary import PackedTernary
from unrollbit.shrinkage import (
    BernoulliGaussian,
    Box,
    Firm,
    Grouped,
    GroupSoft,
    Hard,
    Identity,
    NonNegative,
    Soft,
    SupportSelection,
)
from unrollbit.shrinkage.divergence import derivative
from unrollbit.signbits import pack_signs
from unrollbit.structures import Full, Indexed, Shared
from unrollbit.structures.drawn import Drawn
from unrollbit.trits import pack_trits
from unrollbit.weights import (
    BitNet,
    Fixed,
    LittleBit,
    OneBitSVID,
    Ternary,
    Weights,
    anchored,
    in_signal_domain,
    normalised,
    shared,
)

ROOT = Path(__file__).resolve().parents[2]
SHELF = sorted((ROOT / "examples" / "networks").glob("*.safetensors"))
NAMES = {np.dtype(np.uint8): "U8", np.dtype(np.float32): "F32", np.dtype(np.int32): "I32"}


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def stored(value):
    """A spec, or arrays by name, as the reader holds them."""
    if isinstance(value, dict):
        return {name: stored(entry) for name, entry in value.items()}
    if isinstance(value, np.ndarray):
        name = NAMES.get(value.dtype, "BF16")
        return runtime.Stored(name, value.view(np.uint16) if name == "BF16" else value)
    return value


def assert_close(found: np.ndarray, expected, tolerance: float = 1e-5) -> None:
    expected = np.asarray(expected)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert np.linalg.norm(found - expected) <= tolerance * max(float(np.linalg.norm(expected)), 1e-6)


def assert_matrix(found: runtime.Operator, dense, tolerance: float = 2e-6) -> None:
    """Products both ways, rows and the whole, against a matrix of the library."""
    dense = np.asarray(dense)
    m, n = dense.shape
    x, r = normal(3, n, seed=1), normal(3, m, seed=2)
    assert found.shape == (m, n)
    assert_close(found.apply(x), x @ dense.T, tolerance)
    assert_close(found.adjoint(r), r @ dense, tolerance)
    assert_close(found.panel(m // 3, m), dense[m // 3 :], tolerance)


# ---- physics -------------------------------------------------------------------------------------------------------

MASK = np.random.RandomState(5).uniform(size=(6, 9)) < 0.6
SPARSE_MASK = np.random.RandomState(5).uniform(size=(30, 40)) < 0.02
INDEXED = Indexed.from_mask(MASK)
TRITS = np.random.RandomState(6).randint(-1, 2, (2, 6, 9))
PHYSICS = {
    "dense": lambda: Dense.of(normal(6, 9)),
    "dense, masked by a bitmap": lambda: Dense.of(normal(6, 9), MASK),
    "dense, masked by indices": lambda: Dense.of(normal(30, 40), SPARSE_MASK),
    "dense, band": lambda: Dense.of(normal(5, 10), Banded.of([1.0, 2.0, 3.0], (5, 10), -1, 2, True).mask()),
    "dense, blocks": lambda: Dense.of(normal(4, 6), gaussian_blocks(2, 2, 3).mask()),
    "gaussian": lambda: gaussian(9, 20, 3),
    "ill-conditioned": lambda: ill_conditioned(8, 16, 1, 100.0),
    "blocks": lambda: BlockDiagonal.of(normal(3, 2, 4)),
    "gaussian blocks": lambda: gaussian_blocks(3, 4, 7, 2),
    "rademacher blocks": lambda: rademacher_blocks(3, 4, 7, 2),
    "hadamard blocks": lambda: hadamard_blocks(3, 4, 8, 2),
    "rademacher": lambda: Rademacher(70, 21, 4),
    "hadamard": lambda: Hadamard(12, 64, 4),
    "convolution": lambda: Convolution.of([1.0, 2.0, -1.0, 0.5], 12),
    "convolution, zero, stride": lambda: Convolution.of([1.0, 2.0, -1.0], 12, "zero", 3),
    "convolution of images": lambda: Convolution.of(normal(3, 4), (6, 8), "circular", 2),
    "convolution of images, zero": lambda: Convolution.of(normal(2, 3), (5, 6), "zero"),
    "banded": lambda: Banded.of([1.0, -2.0, 3.0], (5, 9), -1, 2),
    "banded, wraps more than once": lambda: Banded.of(normal(5), (7, 4), -2, 3, True),
    "fourier": lambda: SubsampledFourier.random((4, 6), 7, 1),
    "fourier, real frequencies": lambda: SubsampledFourier.of(8, [0, 3, 4]),
    "fourier, all": lambda: SubsampledFourier.full(9),
    "cosines": lambda: SubsampledDCT.random(11, 5, 2),
    "cosines of images": lambda: SubsampledDCT.of((4, 6), [3, 0, 17, 23]),
    "subsampling": lambda: Subsampling.random((4, 5), 7, 3),
    **{f"db{p}": partial(Wavelet.of, 32, f"db{p}", 2) for p in range(1, 9)},
    "wavelet of images": lambda: Wavelet.of((8, 16), "db3", 3),
    "radon": lambda: Radon.of(7, [0.0, 33.0, 90.0, 121.5]),
    "preconditioned": lambda: Preconditioned.of(ill_conditioned(8, 16), 0.01),
    "preconditioned blocks": lambda: Preconditioned.of(gaussian_blocks(3, 4, 7)),
    "sign planes": lambda: sign_planes(gaussian(70, 21), 3),
    "sign planes of blocks": lambda: sign_planes(gaussian_blocks(2, 5, 9), 2),
    "signs by row, masked": lambda: PackedSigns(
        jnp.asarray(pack_signs(normal(2, 6, 9))), jnp.asarray(normal(2, 6)), packed_mask(INDEXED), INDEXED, "row"
    ),
    "trits": lambda: PackedTernary(
        jnp.asarray(pack_trits(TRITS)), jnp.asarray([1.0, 0.5]), None, Full(6, 9), "layer", 5
    ),
    "trits, four a byte": lambda: PackedTernary(
        jnp.asarray(pack_trits(TRITS, 4)), jnp.asarray(normal(2, 9)), None, Full(6, 9), "column", 4
    ),
    "structured": lambda: Structured(jnp.asarray(normal(2, 3, 4)), gaussian_blocks(2, 3, 4).mask()),
    "diagonal": lambda: Diagonal(jnp.asarray(normal(5))),
    "low rank": lambda: LowRank(
        jnp.asarray(normal(5)), Dense.of(normal(5, 2)), jnp.asarray(normal(2)), Dense.of(normal(2, 7)), jnp.ones(7)
    ),
    "adjoint": lambda: gaussian(5, 8).T,
    "scaled": lambda: Scaled.of(gaussian(5, 8), -2.5),
    "sum": lambda: Sum.of(gaussian(8, 16), Hadamard(8, 16)),
    "sum of blocks": lambda: Sum.of(gaussian_blocks(2, 3, 4), gaussian_blocks(2, 3, 4, 1)),
    "composition": lambda: Composition.of(Hadamard(12, 64), Wavelet.of((8, 8), "db2", 1)),
    "composition with the whole transform": lambda: Composition.of(Subsampling.of(8, [1, 5]), SubsampledDCT.full(8).T),
}


@cache
def built(name: str) -> LinearOperator:
    return PHYSICS[name]()


def physics(operator: LinearOperator) -> runtime.Operator:
    return runtime.physics_of(json_like(stored(operator.to_spec())))


def json_like(spec):
    """What is no array through JSON, as a file does: tuples become lists."""
    if isinstance(spec, dict):
        return {name: json_like(entry) for name, entry in spec.items()}
    return spec if isinstance(spec, runtime.Stored) else json.loads(json.dumps(spec))


FAST_PHYSICS = (  # the others in the slow tests: each costs a second to compile in the library
    "dense, masked by a bitmap",
    "gaussian",
    "gaussian blocks",
    "hadamard blocks",
    "rademacher",
    "hadamard",
    "ill-conditioned",
    "convolution of images",
    "fourier",
    "cosines of images",
    "subsampling",
    "wavelet of images",
    "radon",
    "preconditioned",
    "scaled",
    "sum",
)
PHYSICS_CASES = [pytest.param(n, marks=[] if n in FAST_PHYSICS else pytest.mark.slow) for n in PHYSICS]


@pytest.mark.parametrize("name", PHYSICS_CASES)
def test_physics(name: str) -> None:
    operator = built(name)
    found, dense = physics(operator), np.asarray(operator.dense(), np.float32)
    assert_matrix(found, dense, 5e-6)
    assert found.blocks == operator.mask().blocks
    assert found.frame == pytest.approx(operator.frame_constant)
    assert found.column_rms() == pytest.approx(np.linalg.norm(dense) / dense.shape[1] ** 0.5, rel=1e-5)
    assert found.norm() == pytest.approx(np.linalg.norm(dense, 2), rel=1e-4)
    assert (found.accept is not None) == operator.preconditioned
    if found.accept is not None:
        y = normal(2, operator.shape[0])
        assert_close(found.accept(y), operator.accept(jnp.asarray(y)))


@pytest.mark.parametrize("name", ["gaussian blocks", "hadamard", "ill-conditioned"])
def test_matrices_computed_from_the_physics(name: str) -> None:
    operator = built(name)
    assert_matrix(runtime.coherence_matrix(physics(operator)), coherence_matrix(operator).dense(), 1e-4)
    assert_matrix(runtime.regularised_inverse(physics(operator), 0.3), regularised_inverse(operator, 0.3).dense())


def test_every_kind_of_operator_is_supported() -> None:
    held = {"MaskedLowRank"}  # what weights run as; no file names it
    own = {name for name, kind in LinearOperator.kinds.items() if kind.__module__.startswith("unrollbit.")}
    assert set(runtime.OPERATORS) == own - held
    weights = {name for name, kind in Weights.kinds.items() if kind.__module__.startswith("unrollbit.")}
    assert {*runtime.FORMATS, *runtime.WRAPPERS} == weights - {"Frozen", "Quantised", "Formatted", "Wrapper"}


@pytest.mark.slow
def test_every_kind_of_operator_is_tested() -> None:
    assert set(runtime.OPERATORS) == {built(name).to_spec()["kind"] for name in PHYSICS}


# ---- weights -------------------------------------------------------------------------------------------------------

STRUCTURES = {  # of one shape, for the library's compiler
    "full": Full(9, 9),
    "blocks": gaussian_blocks(3, 3, 3).mask(),
    "indexed": Indexed.from_mask(np.random.RandomState(5).uniform(size=(9, 9)) < 0.6),
    "indexed, sparse": Indexed.from_mask(np.random.RandomState(5).uniform(size=(9, 9)) < 0.1),
    "band": Banded.of(normal(3), (9, 9), -1, 1, True).mask(),
    "transposed band": Banded.of(normal(3), (9, 9), -1, 2).mask().T,
    "stencil": Convolution.of(normal(3, 2), (3, 3), "zero").mask(),
    "rays": Radon.of(3, 3).mask(),
    "drawn": Drawn(9, 9, seed=4),
    "shared": Shared((6, 6), (3, 3), "circular", 2),
}
FORMATS = {
    **{f"OneBit {scale}": partial(OneBit.from_matrix, scale=scale, planes=2) for scale in ("none", "global", "layer")},
    **{f"OneBit {scale}": partial(OneBit.from_matrix, scale=scale) for scale in ("row", "column")},
    "Ternary": Ternary.from_matrix,
    "Ternary, four a byte": partial(Ternary.from_matrix, per_byte=4),
    "BitNet": BitNet.from_matrix,
    "OneBitSVID": OneBitSVID.from_matrix,
    "LittleBit": partial(LittleBit.from_matrix, rank=2),
    "LittleBit, residual": partial(LittleBit.from_matrix, rank=1, residual=True),
    "FullPrecision": FullPrecision.from_matrix,
}
LINED = ("row", "column", "SVID", "LittleBit")  # formats that shared taps do not have


QUICK_WEIGHTS = (
    ("OneBit layer", "transposed band"),
    ("OneBit column", "rays"),
    ("Ternary, four a byte", "full"),
    ("OneBitSVID", "indexed"),
)
WEIGHTS = [  # every format with every kind of structure; four pairs in the fast tests
    pytest.param(name, structure, marks=[] if (name, structure) in QUICK_WEIGHTS else pytest.mark.slow)
    for name in FORMATS
    for structure in STRUCTURES
    if structure != "shared" or not any(word in name for word in LINED)
]


@pytest.mark.parametrize(("name", "structure"), WEIGHTS)
def test_weights(name: str, structure: str) -> None:
    mask = STRUCTURES[structure]
    lower = {"stride": mask.stride} if isinstance(mask, Shared) else {}
    matrices = jnp.asarray(normal(2, *mask.shape)) if not lower else mask.scatter(jnp.asarray(normal(2, 3, 3)))
    weights = FORMATS[name](matrices, mask, copies=2)
    weights.round_scales()
    packed = weights.pack()
    linear = runtime.Map(weights.shape, lambda: runtime.zero_matrix(weights.shape))
    spec = json_like(stored(packed.spec))
    found = runtime.weights_of(spec, stored(packed.arrays), linear, linear.initial())
    assert len(found) == 2
    dense = np.asarray(weights.dense())
    for matrix, expected in zip(found, dense, strict=True):
        assert_matrix(matrix, expected, 1e-5)  # scales that train are logarithms, whose exponentials round


@given(
    size=st.tuples(st.integers(1, 150), st.integers(1, 20)),
    copies=st.integers(1, 3),
    planes=st.integers(1, 3),
    scale=st.sampled_from(["none", "global", "layer", "row", "column"]),
    seed=st.integers(0, 100),
)
@settings(max_examples=25, deadline=None)
def test_one_bit_of_any_size(size, copies, planes, scale, seed) -> None:
    """Against the definition, bit by bit."""
    m, n = size
    random = np.random.RandomState(seed)
    signs = random.choice([-1, 1], (copies, planes, m, n))
    lead = (copies, planes)
    shape = {"none": (), "global": (planes,), "layer": lead, "row": (*lead, m), "column": (*lead, n)}[scale]
    logs = random.uniform(-1, 1, shape).astype(np.float32)
    lines = {"none": np.ones((1, 1, 1, 1)), "global": np.exp(logs)[None, :, None, None] if shape else None}
    lines |= {"layer": np.exp(logs)[..., None, None], "row": np.exp(logs)[..., None]}
    factor = np.exp(logs)[:, :, None] if scale == "column" else lines[scale]
    arrays = {"signs": pack_signs(signs), "log_scales": logs}
    structure = {"kind": "Full", "m": m, "n": n}
    spec = {"kind": "OneBit", "copies": copies, "planes": planes, "scale": scale, "structure": structure}
    linear = runtime.Map((m, n), lambda: runtime.zero_matrix((m, n)))
    found = runtime.weights_of(spec, stored(arrays), linear, linear.initial())
    for matrix, expected in zip(found, (factor * signs).sum(1), strict=True):
        np.testing.assert_allclose(matrix.dense(), expected, rtol=1e-5, atol=1e-6)


# ---- shrinkages ----------------------------------------------------------------------------------------------------

SHRINKAGES = [
    Soft(),
    Hard(),
    Firm(),
    NonNegative(),
    Box(-0.5, 0.8),
    Box(0.0, float("inf")),
    Identity(),
    GroupSoft(4),
    SupportSelection(11.0, 50.0),
    BernoulliGaussian(),
    BernoulliGaussian(learn_variance=True),
    Grouped(Soft(), (0,) * 4 + (1,) * 8),
    Grouped(BernoulliGaussian(learn_variance=True), (0, 1, 2) * 4),
    Grouped(GroupSoft(3), (1,) * 6 + (0,) * 6),
]


def shrinkage_cases() -> list:
    """The most involved one, with a level per signal, in the fast tests."""
    levels, quick = ("one", "per signal", "per unknown"), Grouped(BernoulliGaussian(learn_variance=True), (0, 1, 2) * 4)
    return [
        pytest.param(shrinkage, level, marks=[] if fast else pytest.mark.slow, id=f"{level}-{str(shrinkage)[:60]}")
        for shrinkage in SHRINKAGES
        for level in levels
        for fast in [level == "per signal" and shrinkage == quick]
    ]


@pytest.mark.parametrize(("shrinkage", "levels"), shrinkage_cases())
def test_shrinkages(shrinkage, levels: str) -> None:
    u = 2 * normal(5, 12)
    tau = {"one": 1.0, "per signal": np.abs(normal(5, 1)) + 0.1, "per unknown": np.abs(normal(5, 12)) + 0.1}[levels]
    specs = shrinkage.scalars(0.4)
    values = {name: np.asarray(spec.initial_values(3)[1], np.float32) * 1.1 for name, spec in specs.items()}
    shrink, declared = runtime.shrinkage_of(json.loads(json.dumps(shrinkage.to_spec())), 12)
    assert {name: (spec.constraint, spec.shape) for name, spec in specs.items()} == declared
    found, slope = shrink(u, values, tau)
    device = {name: jnp.asarray(value) for name, value in values.items()}
    assert_close(np.asarray(found, np.float32), shrinkage(jnp.asarray(u), device, jnp.asarray(tau)))
    if shrinkage.separable:
        expected = derivative(shrinkage, jnp.asarray(u), device, jnp.asarray(tau))
        assert_close(np.asarray(slope, np.float32), expected)
    else:
        assert slope is None


# ---- networks ------------------------------------------------------------------------------------------------------

ALGORITHMS = {
    "ISTA": ISTA(Soft(), 0.05),
    "ISTA, adaptive": ISTA(SupportSelection(5.0, 20.0), 0.5, adaptive=True),
    "LISTA": ISTA(Firm(), 0.05, parametrisation="classic"),
    "ALISTA": ISTA(Soft(), 0.05, parametrisation="step"),
    "FISTA": FISTA(NonNegative(), 0.01),
    "AMP": AMP(),
    "AMP, computed": AMP(BernoulliGaussian(learn_variance=True), onsager="computed"),
    "AMP, none": AMP(Soft(), onsager="none", momentum=False),
    "gradient descent": GradientDescent(),
    "ADMM": ADMM(GroupSoft(2), 0.05, rho=0.5),
}
FACTORIES = {
    "OneBit row": partial(OneBit.for_map, scale="row", planes=2),
    "OneBit global": partial(OneBit.for_map, scale="global"),
    "Ternary": Ternary.for_map,
    "BitNet": BitNet.for_map,
    "OneBitSVID": OneBitSVID.for_map,
    "LittleBit": partial(LittleBit.for_map, rank=2),
    "FullPrecision": FullPrecision,
    "W = A": Fixed.for_map,
    "coherent": Fixed.coherent_with,
    "normalised": normalised(partial(OneBit.for_map, scale="none")),
    "anchored": normalised(anchored(partial(OneBit.for_map, scale="layer"))),
}
SHAPED = ("coherent", "normalised", "anchored")  # only for maps of the shape of A


def compare(net, folder: Path, tolerance: float = 1e-5, batch: tuple[int, ...] = (3,)) -> Path:
    """Write a network, and run it from the file with both readers."""
    path = pack(net).save(folder / "net.safetensors")
    A = net.operator
    measured = LinearOperator.from_spec(A.origin.spec) if isinstance(A, Preconditioned) else A
    x = normal(*batch, A.shape[1]) * (np.random.RandomState(3).uniform(size=(*batch, A.shape[1])) < 0.2)
    y = np.asarray(measured(jnp.asarray(x)))
    expected = np.asarray(load(path)(y))
    assert np.linalg.norm(expected) > 0.01 * np.linalg.norm(x)  # not everything is shrunken away
    assert_close(runtime.load(path)(y), expected, tolerance)
    return path


def cases() -> list:
    """One pair in the fast tests, beside the networks of the shelf; every pair in the slow ones."""
    found = []
    for algorithm in ALGORITHMS:
        for factory in FACTORIES:
            if (algorithm == "LISTA" and factory in SHAPED) or (algorithm == "ALISTA" and factory != "W = A"):
                continue
            if algorithm == "ADMM" and factory == "anchored":
                continue
            quick = (algorithm, factory) == ("AMP, computed", "FullPrecision")
            marks = [] if quick else pytest.mark.slow
            found.append(pytest.param(algorithm, factory, marks=marks))
    return found


@pytest.mark.parametrize(("algorithm", "factory"), cases())
def test_algorithms_and_formats(algorithm: str, factory: str, tmp_path: Path) -> None:
    net = Unrolled(ALGORITHMS[algorithm], gaussian(8, 16), 2, FACTORIES[factory], distinct=2)
    compare(net, tmp_path)


NETWORKS = {
    "blocks": lambda: Unrolled(
        AMP(Soft(), onsager="computed"), gaussian_blocks(3, 4, 7), 3, normalised(anchored(OneBit.for_map))
    ),
    "preconditioned": lambda: Unrolled(
        ISTA(adaptive=True), Preconditioned.of(Dense.of(normal(6, 9), MASK), 0.1), 2, normalised(OneBit.for_map)
    ),
    "signal domain": lambda: Unrolled(
        AMP(Grouped(Soft(), (0,) * 4 + (1,) * 12)),
        Composition.of(Hadamard(8, 16), Wavelet.of(16, "db2", 1)),
        2,
        in_signal_domain(OneBit.for_map),
    ),
    "signal domain, fixed, classic threshold": lambda: Unrolled(
        ADMM(), Composition.of(gaussian(6, 16), Wavelet.of(16, "db1", 1)), 2, in_signal_domain(Fixed.for_map)
    ),
    "signal domain, one-bit taps": lambda: Unrolled(
        ISTA(),
        Composition.of(Convolution.of(normal(3), 16), Wavelet.of(16, "db2", 1)),
        2,
        in_signal_domain(shared(OneBit.for_map)),
    ),
    "taps": lambda: Unrolled(
        FISTA(), Convolution.of(normal(3, 3), (6, 6), "zero"), 2, normalised(shared(OneBit.for_map, wider=1))
    ),
    "sign planes": lambda: Unrolled(AMP(), sign_planes(gaussian(8, 16), 3), 2, normalised(Fixed.for_map)),
    "mask of indices": lambda: Unrolled(ISTA(), Dense.of(normal(30, 40), SPARSE_MASK), 2, Ternary),
    "mask, classic": lambda: Unrolled(
        ISTA(Hard(), 1e-3, parametrisation="classic"), Dense.of(normal(6, 9), MASK), 2, OneBit
    ),
    "kept frequencies": lambda: Unrolled(GradientDescent(Box(-1.0, 1.0)), SubsampledFourier.of(8, [0, 3]), 2, Fixed),
    "8 bits": lambda: Unrolled(ISTA(), gaussian(8, 16), 2, OneBit, activations=Activations(8)),
    "input normalised": lambda: Unrolled(FISTA(), gaussian(8, 16), 2, OneBit, activations=Activations(4, "input")),
    "output normalised": lambda: Unrolled(
        ISTA(parametrisation="classic"), gaussian(8, 16), 2, BitNet, activations=Activations(None, "output")
    ),
    "fully connected": lambda: FullyConnected(gaussian(8, 16), 4, 12, FullPrecision),
    "fully connected, skip": lambda: FullyConnected(gaussian(8, 16), 4, 20, OneBit, skip=True),
    "fully connected, two matrices": lambda: FullyConnected(gaussian(8, 16), 2, 12, OneBit, activations=Activations(8)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str, tmp_path: Path) -> None:
    compare(NETWORKS[name](), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", PHYSICS)
def test_networks_of_all_physics(name: str, tmp_path: Path) -> None:
    operator = PHYSICS[name]()
    held = Scaled.of(operator, 1 / float(operator.norm()))
    compare(Unrolled(AMP(BernoulliGaussian(sparsity=0.9)), held, 2, Fixed.for_map), tmp_path, 2e-5)


def by_hand(path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """A fully connected network, written without the library."""
    (m, n), width = (4, 8), 5
    sizes = {"maps/first/values": (1, width, m), "maps/hidden/values": (1, width, width)}
    sizes |= {"maps/last/values": (1, n, width), "scalars/bias_first": (1, width), "scalars/bias_hidden": (1, width)}
    arrays = {name: normal(*shape, seed=k) for k, (name, shape) in enumerate(sizes.items())}
    A = {"kind": "Hadamard", "m": m, "n": n, "seed": 0}
    probe = np.random.RandomState(20250212).choice(np.array([-1.0, 1.0], np.float32), size=n)
    image = runtime.physics_of(A).apply(probe[None])[0] * np.cos(np.arange(m))
    activations = {"kind": "Activations", "bits": 8, "normalisation": "none"}
    network = {"kind": "FullyConnected", "depth": 3, "width": width, "skip": True, "activations": activations}
    shapes = {name.split("/")[1]: shape[1:] for name, shape in sizes.items() if name.startswith("maps")}
    maps = {
        name: {"kind": "FullPrecision", "copies": 1, "structure": {"kind": "Full", "m": rows, "n": columns}}
        for name, (rows, columns) in shapes.items()
    }
    description = {"network": network, "maps": maps, "physics": A, "problem": None, "training": None}
    description["fingerprint"] = {"physics": image.tolist(), "problem": None}
    header: dict = {"__metadata__": {"format": "unrollbit", "version": "1", "description": json.dumps(description)}}
    data = b""
    for name, array in arrays.items():
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": offsets}
        data += array.tobytes()
    return write(path, resealed(header, data), data), arrays


def test_a_network_by_hand(tmp_path: Path) -> None:
    path, arrays = by_hand(tmp_path / "net.safetensors")
    first, hidden, last = (arrays[f"maps/{name}/values"][0] for name in ("first", "hidden", "last"))

    def product(W: np.ndarray, x: np.ndarray) -> np.ndarray:
        s = 127 / np.abs(x).max(-1, keepdims=True)
        return np.round(x * s) / s @ W.T

    y = normal(3, 4)
    h = product(first, y) + arrays["scalars/bias_first"]
    h = h + product(hidden, np.maximum(h + arrays["scalars/bias_hidden"], 0))
    assert_close(runtime.load(path)(y), product(last, h), 1e-4)


@pytest.mark.parametrize("batch", [(), (2, 3), (0,)])
def test_leading_axes(batch: tuple[int, ...], network: Path) -> None:
    y = normal(*batch, 8)
    found = runtime.load(network)(y)
    assert found.shape == (*batch, 16)
    rows = [runtime.load(network)(row) for row in y.reshape(-1, 8)]
    np.testing.assert_allclose(found.reshape(-1, 16), np.reshape(rows, (-1, 16)), rtol=1e-4, atol=1e-6)


def fresh(path: Path) -> np.ndarray:
    """Measurements of sparse signals by the physics of a file."""
    A = runtime.load(path).operator
    description, arrays = runtime.read(path)
    inner = description["physics"].get("operator") if description["physics"]["kind"] == "Preconditioned" else None
    A = A if inner is None else runtime.physics_of(runtime.with_arrays(inner, arrays, set()))
    n = A.shape[1]
    return A.apply(normal(4, n) * (np.random.RandomState(3).uniform(size=(4, n)) < 0.1).astype(np.float32))


QUICK_SHELF = ("certified-ista", "single-pixel")


def shelf() -> list:
    """The larger files take a second each to compile."""
    return [pytest.param(p, id=p.stem, marks=[] if p.stem in QUICK_SHELF else pytest.mark.slow) for p in SHELF]


@pytest.mark.parametrize("path", shelf())
def test_the_shelf(path: Path) -> None:
    y = fresh(path)
    assert_close(runtime.load(path)(y), load(path)(y))


# ---- the flip code --------------------------------------------------------------------------------------------------

WIDE = np.random.RandomState(7).uniform(size=(40, 83)) < 0.6
CODED = {  # networks, most signs of which are those of the physics
    "tied": lambda: Unrolled(ISTA(), gaussian(40, 83), 3, OneBit, distinct=1),
    "untied": lambda: Unrolled(ISTA(), gaussian(40, 83), 3, normalised(OneBit.for_map)),
    "two planes": lambda: Unrolled(
        AMP(), gaussian(40, 83), 3, partial(OneBit.for_map, planes=2, scale="row"), distinct=2
    ),
    "mask": lambda: Unrolled(ISTA(), Dense.of(normal(40, 83), WIDE), 3, OneBit, distinct=2),
    "mask, two planes": lambda: Unrolled(
        ISTA(), Dense.of(normal(40, 83), WIDE), 3, partial(OneBit.for_map, planes=2), distinct=2
    ),
    "blocks": lambda: Unrolled(AMP(), BlockDiagonal.of(normal(3, 20, 43)), 3, OneBitSVID, distinct=2),
    "gaussian blocks": lambda: Unrolled(ISTA(), gaussian_blocks(3, 20, 43, 2), 3, normalised(OneBit.for_map)),
    "rademacher blocks": lambda: Unrolled(ISTA(), rademacher_blocks(3, 20, 43, 2), 3, BitNet, distinct=2),
    "hadamard blocks": lambda: Unrolled(ISTA(), hadamard_blocks(3, 20, 64, 2), 3, OneBit, distinct=2),
    "rademacher": lambda: Unrolled(AMP(), Rademacher(40, 83, 5), 3, BitNet, distinct=2),
    "hadamard": lambda: Unrolled(GradientDescent(), Hadamard(70, 128, 5), 3, OneBitSVID, distinct=1),
    "signal domain": lambda: Unrolled(
        AMP(), Composition.of(Hadamard(70, 128), Wavelet.of(128, "db2", 2)), 3, in_signal_domain(OneBit.for_map)
    ),
    "signal domain, normalised": lambda: Unrolled(
        AMP(), Composition.of(gaussian(40, 64), Wavelet.of(64, "db1")), 3, normalised(in_signal_domain(OneBit.for_map))
    ),
    "multiple": lambda: Unrolled(ISTA(), Scaled.of(Scaled.of(gaussian(40, 83), 0.5), 1.5), 3, OneBit, distinct=2),
}
FAST_CODED = ("mask",)  # single-pixel on the shelf holds a flip code in the domain of the signal


def coded_file(name: str, path: Path) -> Path:
    """A network with 3 % of its signs turned at random, which the file holds in the flip code."""
    packed = pack(CODED[name]())
    spec, arrays = packed._maps["W"]
    while "inner" in spec:
        spec = spec["inner"]
    count = runtime.row_of(runtime.structure_of(json_like(stored(spec["structure"]))))
    bits = np.unpackbits(arrays["signs"], axis=-1, count=count, bitorder="little")
    bits ^= np.random.RandomState(0).uniform(size=bits.shape) < 0.03
    arrays["signs"] = np.packbits(bits, axis=-1, bitorder="little")
    packed.save(path)
    assert "maps/W/flips" in runtime.read(path)[1]
    return path


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in FAST_CODED else pytest.mark.slow) for n in CODED])
def test_flip_code(name: str, tmp_path: Path) -> None:
    path = coded_file(name, tmp_path / "net.safetensors")
    y = fresh(path)
    assert_close(runtime.load(path)(y), load(path)(y))


@pytest.mark.parametrize("name", PHYSICS_CASES)
def test_reference_of_all_physics(name: str) -> None:
    """Both readers take the signs of the same physics, or of none."""
    from unrollbit.packed.flips import reference_signs

    operator = built(name)
    for A, factor in ((operator, 1.0), (operator, 2.5), (operator, -1.0)):
        A = A if factor == 1 else Scaled(A, factor)
        found = physics(A)
        for structure in (operator.mask(), Full(*operator.shape)):
            expected = reference_signs(A, structure)
            own = runtime.structure_of(json_like(stored(structure.to_spec())))
            given = None if found.reference is None else found.reference(own)
            assert (given is None) == (expected is None)
            if expected is not None:
                np.testing.assert_array_equal(given, expected)


def first_planes(stream, copies: int, entries: int, checksum: str = "") -> np.ndarray:
    """The signs of a stream against +1 everywhere."""
    A = physics(Dense.of(np.ones((1, entries))))
    structure = runtime.structure_of({"kind": "Full", "m": 1, "n": entries})
    return runtime.first_planes(runtime.Stored("U8", np.asarray(stream, np.uint8)), checksum, structure, copies, A)


GOOD = [2, 3, 0, 0, 0, 0b11100011, 0b1100]
STREAMS = {
    "empty": ([], 1, 32, "are not in 0 bytes"),
    "half a header": (GOOD[:3], 1, 32, "are not in 3 bytes"),
    "no bits": (GOOD[:5], 1, 32, "cut off"),
    "cut": (GOOD[:6], 1, 32, "cut off"),
    "one byte too many": ([*GOOD, 0], 1, 32, "1 bytes follow the last matrix"),
    "filling": ([*GOOD[:6], 0b10001100], 1, 32, "filling of the last byte is not zero"),
    "past the end": (GOOD, 1, 20, "a flip at 20, past the last of 20 entries"),
    "quotient past the end": (GOOD, 1, 12, "past the last of 12 entries|cut off"),
    "parameter": ([32, *GOOD[1:]], 1, 32, "a parameter up to 31, got 3 and 32"),
    "count beyond the entries": (GOOD, 1, 2, "at most 2 flips"),
    "count beyond the bits": ([2, 255, 0, 0, 0, 1, 2], 1, 1000, "255 flips take more than the 2 bytes"),
    "zeros only": ([0, 1, 0, 0, 0, 0, 0], 1, 16, "past the last of 16 entries, or cut off"),
    "more flips than counted": ([2, 2, *GOOD[2:]], 1, 32, "follow|filling"),
    "another matrix": (GOOD, 2, 32, "are not in 7 bytes"),
    "the second cut": ([*GOOD, 0, 0, 0], 2, 32, "cut off"),
    "too many": (GOOD, 2**26, 2**10, "are not in 7 bytes"),
    "other signs": (GOOD, 1, 32, "the decoded signs are not those that were saved"),
}


@pytest.mark.parametrize("name", STREAMS)
def test_streams_that_do_not_decode(name: str) -> None:
    stream, copies, entries, message = STREAMS[name]
    with pytest.raises(ValueError, match=message):
        first_planes(stream, copies, entries)


def positions(stream: np.ndarray, copies: int, entries: int) -> list[list[int]]:
    found = []
    for _ in range(copies):
        places, used = runtime.positions_of(stream, entries)
        found, stream = [*found, places.tolist()], stream[used:]
    if len(stream):
        raise ValueError("bytes are left")
    return found


@settings(max_examples=300, deadline=None)
@given(stream=st.binary(max_size=40), copies=st.integers(0, 3), entries=st.integers(1, 200))
def test_both_readers_decode_or_refuse_the_same_streams(stream: bytes, copies: int, entries: int) -> None:
    array = np.frombuffer(stream, np.uint8)
    try:
        expected = [places.tolist() for places in decode_flips(array, copies, entries)]
    except ValueError:
        with pytest.raises(ValueError, match=r"flip code|left"):
            positions(array, copies, entries)
        return
    assert positions(array, copies, entries) == expected


@settings(max_examples=100, deadline=None)
@given(entries=st.integers(1, 2000), rate=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
def test_every_set_of_flips_comes_back(entries: int, rate: float, seed: int) -> None:
    draw = np.random.RandomState(seed).uniform
    flips = [np.flatnonzero(draw(size=entries) < rate) for _ in range(2)]
    assert positions(encode_flips(flips, entries), 2, entries) == [one.tolist() for one in flips]


def test_the_examples_of_the_flip_code() -> None:
    """Those that ``FORMAT.md`` prints."""
    text = Path(runtime.__file__).with_name("FORMAT.md").read_text()
    examples = re.findall(r"P = (\d+), flips ([\d, ]+): bytes `([\d ]+)`", text)
    assert len(examples) == 2
    for entries, flips, stream in examples:
        places = [int(place) for place in flips.split(",")]
        array = np.array([int(byte) for byte in stream.split()], np.uint8)
        assert positions(array, 1, int(entries)) == [places]
        assert encode_flips([np.array(places)], int(entries)).tolist() == array.tolist()
        signs = np.zeros(int(entries), bool)
        signs[places] = True
        packed = np.packbits(signs, bitorder="little")
        checksum = hashlib.sha256(packed.tobytes()).hexdigest()
        np.testing.assert_array_equal(first_planes(array, 1, int(entries), checksum)[0, 0], packed)


@pytest.fixture(scope="module")
def coded(tmp_path_factory) -> Path:
    net = Unrolled(ISTA(), gaussian(40, 83), 8, OneBit, distinct=4)
    return pack(net).save(tmp_path_factory.mktemp("coded") / "net.safetensors")


def anchored_around(d: dict) -> None:
    d["maps"]["W"] = {"kind": "Anchored", "inner": d["maps"]["W"]}


DAMAGE = {
    "another checksum": (lambda d: d["maps"]["W"].update(flips="0" * 64), {}, "decoded signs are not those"),
    "no text": (lambda d: d["maps"]["W"].update(flips=None), {}, "decoded signs are not those"),
    "another matrix": (lambda d: d["maps"]["W"].update(copies=5), {}, "are not in"),
    "fewer matrices": (lambda d: d["maps"]["W"].update(copies=3), {}, "5 bytes follow"),
    "planes": (lambda d: d["maps"]["W"].update(planes=2), {}, "'signs' is missing"),
    "missing": (lambda d: None, {"maps/W/flips": None}, "'flips' is missing"),
    "cut": (lambda d: None, {"maps/W/flips": np.zeros(3, np.uint8)}, "are not in"),
    "floats": (lambda d: None, {"maps/W/flips": np.zeros(30, np.float32)}, "expected bytes of shape"),
    "signs, too": (lambda d: None, {"maps/W/signs": np.zeros((4, 1, 40, 11), np.uint8)}, "of no use"),
    "no checksum": (lambda d: d["maps"]["W"].pop("flips"), {}, "'signs' is missing"),
    "anchored": (anchored_around, {}, "no reference for a flip code"),
    "another format": (lambda d: d["maps"]["W"].update(kind="FullPrecision"), {}, "does not know"),
    "negative": (
        lambda d: d.update(
            physics={"kind": "Scaled", "factor": -1.0, "operator": d["physics"]},
            fingerprint={"physics": [-v for v in d["fingerprint"]["physics"]], "problem": None},
        ),
        {},
        "no exact reference",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_flip_codes(name: str, coded: Path, rewrite, tmp_path: Path) -> None:
    path = Path(shutil.copy(coded, tmp_path / "net.safetensors"))
    description, arrays, message = DAMAGE[name]
    rewrite(path, description=description, arrays=arrays)
    with pytest.raises(ValueError, match=message):
        runtime.load(path)
    with pytest.raises(ValueError, match=r"net\.safetensors"):
        load(path)


def test_planes_after_the_first(coded: Path, rewrite, tmp_path: Path) -> None:
    path = Path(shutil.copy(coded, tmp_path / "net.safetensors"))
    signs = np.random.RandomState(0).choice([-1, 1], (4, 2, 40, 83))
    logs = normal(4, 3)
    arrays = {"maps/W/signs": pack_signs(signs), "maps/W/log_scales": logs}
    rewrite(path, arrays=arrays, description=lambda d: d["maps"]["W"].update(planes=3))
    description, held = runtime.read(path)
    A, own = runtime.load(path).operator, {k.removeprefix("maps/W/"): v for k, v in held.items()}
    found = runtime.weights_of(description["maps"]["W"], own, runtime.Map(A.shape, lambda: A), A)
    first = np.where(A.dense() < 0, -1, 1)
    for matrix, planes, scales in zip(found, signs, np.exp(logs), strict=True):
        expected = scales[0] * first + scales[1] * planes[0] + scales[2] * planes[1]
        np.testing.assert_allclose(matrix.dense(), expected, rtol=1e-5, atol=1e-6)
    rewrite(path, arrays={"maps/W/signs": pack_signs(signs[:, :1])})
    with pytest.raises(ValueError, match="array 'signs': expected U8"):
        runtime.load(path)


def test_physics_that_give_other_signs_are_noticed(coded: Path, monkeypatch) -> None:
    exact = runtime.signs_of
    monkeypatch.setattr(runtime, "signs_of", lambda core: exact(np.where(core == core.min(), -core, core)))
    with pytest.raises(ValueError, match="computes other signs of A"):
        runtime.load(coded)


# ---- alone ---------------------------------------------------------------------------------------------------------

ALONE = """
import sys
for name in ("jax", "jaxlib", "flax", "safetensors", "ml_dtypes", "scipy", "unrollbit"):
    sys.modules[name] = None
sys.path.insert(0, sys.argv[1])
import numpy as np
import runtime
np.save(sys.argv[3], runtime.load(sys.argv[2])(np.load(sys.argv[4])))
loaded = {name.split(".")[0] for name in sys.modules if sys.modules[name] is not None}
print(*(loaded - set(sys.stdlib_module_names) - {"numpy", "cython_runtime", "runtime", "__main__"}))
"""


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Path:
    net = Unrolled(AMP(), gaussian(8, 16), 2, normalised(partial(OneBit.for_map, scale="row")))
    return pack(net).save(tmp_path_factory.mktemp("network") / "net.safetensors")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copy(runtime.__file__, tmp_path / "runtime.py"))


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", *map(str, command)], capture_output=True, text=True, timeout=120, env={**os.environ}
    )


def test_one_copied_file_is_enough(network: Path, copied: Path) -> None:
    y, x = copied.with_name("y.npy"), copied.with_name("x.npy")
    np.save(y, normal(5, 8))
    done = run("-c", ALONE, copied.parent, network, x, y)
    assert done.returncode == 0, done.stderr
    assert [name for name in done.stdout.split() if not name.startswith("_")] == []
    np.testing.assert_array_equal(np.load(x), runtime.load(network)(normal(5, 8)))
    x.unlink()
    done = run(copied, network, y, x)  # as a command
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    np.testing.assert_array_equal(np.load(x), runtime.load(network)(normal(5, 8)))


def test_a_users_mistake_is_one_line(network: Path, tmp_path: Path, capsys) -> None:
    y, short, text, whole, unknown = (tmp_path / f"{name}.npy" for name in ("y", "short", "text", "whole", "nan"))
    np.save(y, normal(8))
    np.save(short, normal(3, 7))
    np.save(whole, np.ones(8, int))
    np.save(unknown, np.full(8, np.nan, np.float32))
    text.write_text("1 2 3")
    out = tmp_path / "x.npy"
    cases = {
        (tmp_path / "none.safetensors", y, out): "No such file",
        (y, y, out): "no safetensors file",
        (network, tmp_path / "none.npy", out): "No such file",
        (network, text, out): "not a readable .npy",
        (network, short, out): r"expected real floats of shape (..., 8), got float32 of (3, 7)",
        (network, whole, out): "expected real floats",
        (network, unknown, out): "not finite",
        (network, y, tmp_path / "none" / "x.npy"): "No such file",
    }
    for arguments, message in cases.items():
        assert runtime.main([str(argument) for argument in arguments]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("error: ")
        assert captured.err.count("\n") == 1
        assert message in captured.err
    assert not out.exists()


def test_packed_matrices_stay_packed(tmp_path: Path) -> None:
    m, n = 2048, 512
    net = Unrolled(GradientDescent(), Rademacher(m, n), 2, OneBit, distinct=1)
    path = pack(net).save(tmp_path / "net.safetensors")
    found, y = runtime.load(path), normal(1, m)
    tracemalloc.start()
    found(y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < m * n  # bytes: a quarter of one matrix in float32


# ---- the specification ---------------------------------------------------------------------------------------------


def test_the_worked_example_of_the_specification(tmp_path: Path) -> None:
    """Both readers take the bytes that ``FORMAT.md`` prints, and they are what the library writes."""
    text = Path(runtime.__file__).with_name("FORMAT.md").read_text()
    section = text[text.index("## 14") :]
    _, description, _, table, rest = section.split("```")
    checksum = rest.split("`")[1]
    header: dict = {"__metadata__": {"format": "unrollbit", "version": "1", "checksum": checksum}}
    header["__metadata__"]["description"] = description.removeprefix("json").strip()
    data = b""
    for line in table.removeprefix("text").strip().splitlines():
        name, dtype, shape, begin, end, content = re.fullmatch(
            r"(\S+) +(\S+) +(\[.*?\]) +(\d+) +(\d+) +(.*)", line
        ).groups()  # pyright: ignore[reportOptionalMemberAccess]
        header[name] = {"dtype": dtype, "shape": json.loads(shape), "data_offsets": [int(begin), int(end)]}
        data += bytes.fromhex(content)
    path = write(tmp_path / "example.safetensors", header, data)
    y = np.array([1.0, 2.0], np.float32)
    expected = [float(number) for number in section[section.rindex("= (") + 3 :].split(")")[0].split(",")]
    np.testing.assert_allclose(runtime.load(path)(y), expected, rtol=1e-5)
    np.testing.assert_allclose(load(path)(y), expected, rtol=1e-5)
    W = 0.625 * np.array([[1, -1, 1], [1, 1, -1]])
    np.testing.assert_allclose(load(path).network.maps["W"].dense()[0], W, rtol=1e-6)
    A = Dense.of([[0.5, -1.0, 0.0], [2.0, -0.0, -0.25]])
    net = Unrolled(ISTA(regularisation=0.5), A, 1, OneBit)
    written = pack(net, training={"seed": 0}).save(tmp_path / "written.safetensors")
    (description, arrays), (expected_description, expected_arrays) = runtime.read(written), runtime.read(path)
    assert description["fingerprint"].pop("physics") == pytest.approx(
        expected_description["fingerprint"].pop("physics")
    )
    assert description == expected_description
    assert set(arrays) == set(expected_arrays)
    for name, array in arrays.items():
        np.testing.assert_allclose(array.entries, expected_arrays[name].entries, rtol=1e-6, err_msg=name)


def test_the_specification_names_every_kind() -> None:
    text = Path(runtime.__file__).with_name("FORMAT.md").read_text()
    tables = (runtime.STRUCTURES, runtime.OPERATORS, runtime.FORMATS, runtime.WRAPPERS, runtime.SHRINKAGES)
    for table in (*tables, runtime.ALGORITHMS, runtime.RECIPES, {"Grouped": None, "Activations": None}):
        for name in table:
            assert f"`{name}" in text or f'"{name}"' in text, name


# ---- what is wrong with a file -------------------------------------------------------------------------------------


def parts(path: Path) -> tuple[dict, bytes]:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def write(path: Path, header: dict | str, data: bytes, *, size: int | None = None) -> Path:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    path.write_bytes((len(text) if size is None else size).to_bytes(8, "little") + text + data)
    return path


def resealed(header: dict, data: bytes) -> dict:
    """The header with a checksum that fits, computed from the specification."""
    digest = hashlib.sha256(header["__metadata__"]["description"].encode())
    codes = {"U8": "|u1", "F32": "<f4"}
    for name in sorted(set(header) - {"__metadata__"}):
        entry = header[name]
        digest.update(f"{name}|{codes[entry['dtype']]}|{tuple(entry['shape'])}|".encode())
        digest.update(data[slice(*entry["data_offsets"])])
    metadata = {**header["__metadata__"], "checksum": digest.hexdigest()}
    return {**header, "__metadata__": metadata}


def described(header: dict, change) -> dict:
    description = json.loads(header["__metadata__"]["description"])
    change(description)
    return {**header, "__metadata__": {**header["__metadata__"], "description": json.dumps(description)}}


def set_entry(header: dict, name: str, **values) -> dict:
    return {**header, name: {**header[name], **values}}


def set_metadata(header: dict, **values) -> dict:
    return {**header, "__metadata__": {**header["__metadata__"], **values}}


STEP = "scalars/step"
HEADERS = {
    "another version": (lambda h: set_metadata(h, version="2"), "version '2'"),
    "another format": (lambda h: set_metadata(h, format="other"), "no packed network"),
    "no metadata": (lambda h: {k: v for k, v in h.items() if k != "__metadata__"}, "no packed network"),
    "another checksum": (lambda h: set_metadata(h, checksum="0"), "checksum does not match"),
    "no checksum": (lambda h: set_metadata(h, checksum=None), "expected the strings"),
    "more metadata": (lambda h: set_metadata(h, more=""), "expected the strings"),
    "a number of more than 64 bits": (lambda h: set_entry(h, STEP, shape=[2**63]), "at most 64 bits"),
    "another description": (lambda h: set_metadata(h, description="{}"), "checksum does not match"),
    "overlapping": (lambda h: set_entry(h, STEP, data_offsets=[0, 8]), "expected the bytes"),
    "a gap": (lambda h: {k: v for k, v in h.items() if k != STEP}, "expected the bytes|bytes of arrays"),
    "huge shape": (lambda h: set_entry(h, STEP, shape=[2**62, 2**62]), "expected the bytes"),
    "negative shape": (lambda h: set_entry(h, STEP, shape=[-1, -2]), "integers >= 0"),
    "shape of floats": (lambda h: set_entry(h, STEP, shape=[2.0]), "integers >= 0"),
    "huge offsets": (lambda h: set_entry(h, STEP, data_offsets=[0, 2**62]), "expected the bytes"),
    "no offsets": (lambda h: {**h, STEP: {"dtype": "F32", "shape": [2]}}, "data_offsets"),
    "three offsets": (lambda h: set_entry(h, STEP, data_offsets=[0, 1, 2]), "data_offsets"),
    "other dtype": (lambda h: set_entry(h, STEP, dtype="F16", shape=[4]), "dtype F16"),
    "an entry that is a list": (lambda h: {**h, STEP: []}, "data_offsets"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_wrong_headers(name: str, network: Path, tmp_path: Path) -> None:
    change, message = HEADERS[name]
    header, data = parts(network)
    with pytest.raises(ValueError, match=message):
        runtime.load(write(tmp_path / "n.safetensors", change(header), data))


DESCRIPTIONS = {
    "unknown network": (lambda d: d["network"].update(kind="Other"), "unknown network 'Other'"),
    "unknown algorithm": (lambda d: d["network"]["algorithm"].update(kind="Other"), "unknown algorithm 'Other'"),
    "unknown field": (lambda d: d["network"].update(more=1), "does not know"),
    "unknown option": (lambda d: d["network"]["algorithm"].update(more=1), "does not know"),
    "other onsager": (lambda d: d["network"]["algorithm"].update(onsager="x"), "onsager: expected one of"),
    "unknown shrinkage": (lambda d: d["network"]["algorithm"].update(shrinkage=None), "unknown shrinkage None"),
    "unknown physics": (lambda d: d["physics"].update(kind="Other"), "unknown operator 'Other'"),
    "unknown recipe": (lambda d: d["physics"].update(recipe=["other", 8, 16, 0]), "unknown matrix recipe"),
    "huge recipe": (lambda d: d["physics"].update(recipe=["gaussian", 2**20, 2**20, 0]), "at most 1073741824 entries"),
    "other seed": (lambda d: d["physics"].update(recipe=["gaussian", 8, 16, 1]), "fingerprints disagree"),
    "negative seed": (lambda d: d["physics"].update(recipe=["gaussian", 8, 16, -1]), "seed: expected"),
    "wrong arguments": (lambda d: d["physics"].update(recipe=["gaussian", 8]), "damaged"),
    "no fingerprint": (lambda d: d["fingerprint"].update(physics=[]), "expected a list of numbers"),
    "huge depth": (lambda d: d["network"].update(depth=2**26), "expected F32 of shape"),
    "huge planes": (lambda d: d["maps"]["W"]["inner"].update(planes=2**26), "expected U8 of shape"),
    "no copies": (lambda d: d["maps"]["W"]["inner"].pop("copies"), r"needs \['copies'\]"),
    "unknown scale": (lambda d: d["maps"]["W"]["inner"].update(scale="x"), "scale: expected one of"),
    "unknown weights": (lambda d: d["maps"]["W"]["inner"].update(kind="Frozen"), "unknown weight format 'Frozen'"),
    "unknown structure": (lambda d: d["maps"]["W"]["inner"].update(structure=1), "unknown structure"),
    "other structure": (lambda d: d["maps"]["W"]["inner"]["structure"].update(m=9), "the file has"),
    "lost array": (lambda d: d["physics"].update(matrix={"array": "lost"}), "'lost' is missing"),
    "other map": (lambda d: d.update(maps={"V": d["maps"]["W"]}), "arrays of no use"),
    "more maps": (lambda d: d["maps"].update(V={"kind": "Fixed", "coherent": False}), r"expected the maps \['W'\]"),
    "array of no use": (lambda d: d["maps"]["W"].update(inner={"kind": "Fixed", "coherent": False}), "of no use"),
    "no coherent": (lambda d: d["maps"]["W"].update(inner={"kind": "Fixed"}), "needs"),
    "huge sides": (lambda d: d["physics"].update(recipe=["gaussian", 2**26 + 1, 1, 0]), "from 1 to 67108864"),
    "recipe and matrix": (lambda d: d["physics"].update(mask={"kind": "Full", "m": 8, "n": 16}), "and nothing else"),
    "more matrices than layers": (lambda d: d["maps"]["W"]["inner"].update(copies=3), "expected U8 of shape"),
    "many parts": (lambda d: d.update(physics=nested(16)), "17 parts; expected at most 16"),
    "other problem": (lambda d: d.update(problem=3), "expected objects, or null"),
    "fingerprints": (lambda d: d["fingerprint"].update(more=None), "fingerprints of physics and problem"),
    "infinite": (lambda d: d["fingerprint"].update(problem=[float("inf")]), "Infinity is no number"),
    "no maps": (lambda d: d.update(maps=3), "damaged"),
    "no training": (lambda d: d.pop("training"), "expected the fields"),
    "deep": (lambda d: d.update(physics=nested(40)), "more than 32 levels"),
    "too deep to parse": (lambda d: d.update(physics=nested(500)), "n.safetensors"),
    "not finite": (lambda d: d["fingerprint"].update(physics=[float("nan")] * 8), "NaN is no number"),
}


def nested(depth: int) -> dict:
    spec: dict = {"kind": "Hadamard", "m": 1, "n": 1, "seed": 0}
    for _ in range(depth):
        spec = {"kind": "Adjoint", "operator": spec}
    return spec


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_wrong_descriptions(name: str, network: Path, tmp_path: Path) -> None:
    """With a checksum that fits."""
    change, message = DESCRIPTIONS[name]
    header, data = parts(network)
    with pytest.raises(ValueError, match=message):
        runtime.load(write(tmp_path / "n.safetensors", resealed(described(header, change), data), data))


@pytest.mark.parametrize("name", ["scalars/step", "maps/W/log_scales"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite(name: str, value: float, network: Path, tmp_path: Path) -> None:
    header, data = parts(network)
    begin, end = header[name]["data_offsets"]
    changed = data[:begin] + np.full((end - begin) // 4, value, "<f4").tobytes() + data[end:]
    with pytest.raises(ValueError, match="finite"):
        runtime.load(write(tmp_path / "n.safetensors", resealed(header, changed), changed))


def test_numbers_that_are_too_large_for_an_exponential(network: Path, rewrite, tmp_path: Path) -> None:
    path = Path(shutil.copy(network, tmp_path / "n.safetensors"))
    rewrite(path, arrays={"scalars/step": np.full(2, 89, np.float32)})
    with pytest.raises(ValueError, match="too large for a float32"):
        runtime.load(path)


def test_padding_that_is_not_zero(coded: Path, rewrite, tmp_path: Path) -> None:
    path = Path(shutil.copy(coded, tmp_path / "n.safetensors"))
    signs = np.full((4, 1, 40, 11), 7, np.uint8)
    arrays = {"maps/W/flips": None, "maps/W/signs": signs}
    rewrite(path, arrays=arrays, description=lambda d: d["maps"]["W"].pop("flips"))
    runtime.load(path)
    signs[3, 0, 39, 10] = 8
    rewrite(path, arrays=arrays)
    with pytest.raises(ValueError, match="padding after a row is not zero"):
        runtime.load(path)


def test_more_matrices_than_layers(coded: Path, rewrite, tmp_path: Path) -> None:
    path = Path(shutil.copy(coded, tmp_path / "n.safetensors"))
    scalars = {f"scalars/{name}": np.zeros(3, np.float32) for name in ("step", "threshold")}
    rewrite(path, arrays=scalars, description=lambda d: d["network"].update(depth=3))
    with pytest.raises(ValueError, match="expected 3 matrices, one a layer, got 4"):
        runtime.load(path)


def test_names_that_occur_twice(network: Path, tmp_path: Path) -> None:
    header, data = parts(network)
    path = tmp_path / "n.safetensors"
    twice = json.dumps(header).replace('"scalars/step"', '"scalars/gain"', 1)
    with pytest.raises(ValueError, match="duplicate names"):
        runtime.load(write(path, twice, data))
    text = header["__metadata__"]["description"]
    header["__metadata__"]["description"] = text.replace('"depth":2', '"depth":2,"depth":2')
    with pytest.raises(ValueError, match="duplicate names"):
        runtime.load(write(path, resealed(header, data), data))


@pytest.mark.parametrize("size", [0, 7, 2**63, 10**8 + 1])
def test_wrong_sizes_of_the_header(size: int, network: Path, tmp_path: Path) -> None:
    header, data = parts(network)
    with pytest.raises(ValueError, match=r"n\.safetensors"):
        runtime.load(write(tmp_path / "n.safetensors", header, data, size=size))


@settings(max_examples=150, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255), cut=st.booleans())
def test_changed_and_cut_files_never_load_quietly(place: float, mask: int, cut: bool, network: Path) -> None:
    content = bytearray(network.read_bytes())
    position = int(place * len(content))
    if cut:
        content = content[:position]
    else:
        content[position] ^= mask
    changed = network.with_name("changed.safetensors")
    changed.write_bytes(bytes(content))
    try:
        found = runtime.load(changed)
    except ValueError:
        return
    y = normal(2, 8)  # insignificant white space of the header, say
    np.testing.assert_array_equal(found(y), runtime.load(network)(y))


def leaves(value, path=()):
    """Paths to everything in a JSON value but its root."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from leaves(child, (*path, key))


JUNK = [
    None,
    True,
    0,
    -1,
    3,
    2**40,
    10**400,
    0.5,
    1e308,
    "",
    "inf",
    "OneBit",
    [],
    [1],
    {},
    {"kind": "Fixed"},
    {"array": 1},
]


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_descriptions_with_anything_in_them(data: st.DataObject, network: Path, files: list[Path]) -> None:
    """Any value anywhere, under a checksum that fits: a clear error, or a network that runs."""
    path = data.draw(st.sampled_from([network, *files]))
    header, content = parts(path)
    description = json.loads(header["__metadata__"]["description"])
    *way, last = data.draw(st.sampled_from(list(leaves(description))))
    place = description
    for key in way:
        place = place[key]
    place[last] = data.draw(st.sampled_from(JUNK))
    header["__metadata__"]["description"] = json.dumps(description)
    changed = write(network.with_name("anything.safetensors"), resealed(header, content), content)
    try:
        found = runtime.load(changed)
        found(normal(2, found.shape[0]))
    except ValueError:
        return


@pytest.fixture(scope="module")
def files(tmp_path_factory, coded: Path) -> list[Path]:
    """Files with other kinds in them."""
    shelf = [path for path in SHELF if path.stem in QUICK_SHELF]
    return [*shelf, coded, by_hand(tmp_path_factory.mktemp("files") / "net.safetensors")[0]]


def test_wrong_scales_of_formats(tmp_path: Path) -> None:
    weights = BitNet.from_matrix(jnp.asarray(normal(4, 6)))
    packed = weights.pack()
    linear = runtime.Map((4, 6), lambda: runtime.zero_matrix((4, 6)))
    zero = stored(packed.arrays) | {"scale": runtime.Stored("BF16", np.zeros(1, np.uint16))}
    with pytest.raises(ValueError, match="expected scales > 0"):
        runtime.weights_of(packed.spec, zero, linear, linear.initial())
    packed = Ternary.from_matrix(jnp.asarray(normal(4, 6))).pack()
    for byte in (243, 3):  # no code; padding that is not zero
        wrong = stored(packed.arrays) | {"trits": runtime.Stored("U8", np.full((1, 4, 2), byte, np.uint8))}
        with pytest.raises(ValueError, match="ternary"):
            runtime.weights_of(packed.spec, wrong, linear, linear.initial())
