"""Physics of every kind: the reader's operators against those of the library."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import AMP, Unrolled
from unrollbit.algorithms.analytic import coherence_matrix, regularised_inverse
from unrollbit.formats import Fixed
from unrollbit.operators import (
    Banded,
    BlockDiagonal,
    BlockPatterns,
    ComplexMeasurements,
    Composition,
    Convolution,
    Dense,
    Hadamard,
    LinearOperator,
    MultiCoil,
    Preconditioned,
    Rademacher,
    Radon,
    Scaled,
    Sparse,
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
from unrollbit.packed_operators import sign_planes
from unrollbit.packed_operators.low_rank import LowRank
from unrollbit.packed_operators.packed_signs import PackedSigns, packed_mask
from unrollbit.shrinkage import BernoulliGaussian
from unrollbit.signbits import pack_signs
from unrollbit.structures import Full, Indexed


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def complex_normal(*shape: int) -> np.ndarray:
    return normal(*shape) + 1j * normal(*shape, seed=1)


MASK = np.random.RandomState(5).uniform(size=(6, 9)) < 0.6
SPARSE_MASK = np.random.RandomState(5).uniform(size=(30, 40)) < 0.02
INDEXED = Indexed.from_mask(MASK)
PHYSICS: dict[str, dict[str, Callable[[], LinearOperator]]] = {  # by kind; the first of each in the fast tests
    "Adjoint": {
        "adjoint": lambda: gaussian(5, 8).T,
    },
    "Banded": {
        "banded": lambda: Banded.of([1.0, -2.0, 3.0], (5, 9), -1, 2),
        "banded, wraps more than once": lambda: Banded.of(normal(5), (7, 4), -2, 3, True),
    },
    "BlockDiagonal": {
        "hadamard blocks": lambda: hadamard_blocks(3, 4, 8, 2),
        "blocks": lambda: BlockDiagonal.of(normal(3, 2, 4)),
        "gaussian blocks": lambda: gaussian_blocks(3, 4, 7, 2),
        "rademacher blocks": lambda: rademacher_blocks(3, 4, 7, 2),
    },
    "BlockPatterns": {
        "block patterns": lambda: BlockPatterns.of(np.sign(normal(5, 9)), (3, 6), 3, 1 + normal(9) ** 2),
    },
    "ComplexMeasurements": {
        "complex measurements": lambda: ComplexMeasurements(Dense.of(normal(6, 9))),
    },
    "Composition": {
        "composition": lambda: Composition.of(Hadamard(12, 64), Wavelet.of((8, 8), "db2", 1)),
        "composition with the whole transform": lambda: Composition.of(
            Subsampling.of(8, [1, 5]), SubsampledDCT.full(8).T
        ),
    },
    "Convolution": {
        "convolution of images": lambda: Convolution.of(normal(3, 4), (6, 8), "circular", 2),
        "convolution": lambda: Convolution.of([1.0, 2.0, -1.0, 0.5], 12),
        "convolution, zero, stride": lambda: Convolution.of([1.0, 2.0, -1.0], 12, "zero", 3),
        "convolution of images, zero": lambda: Convolution.of(normal(2, 3), (5, 6), "zero"),
    },
    "Dense": {
        "dense, masked by a bitmap": lambda: Dense.of(normal(6, 9), MASK),
        "dense": lambda: Dense.of(normal(6, 9)),
        "dense, masked by indices": lambda: Dense.of(normal(30, 40), SPARSE_MASK),
        "dense, band": lambda: Dense.of(normal(5, 10), Banded.of([1.0, 2.0, 3.0], (5, 10), -1, 2, True).mask()),
        "dense, blocks": lambda: Dense.of(normal(4, 6), gaussian_blocks(2, 2, 3).mask()),
        "gaussian": lambda: gaussian(9, 20, 3),
        "ill-conditioned": lambda: ill_conditioned(8, 16, 1, 100.0),
    },
    "Diagonal": {
        "diagonal": lambda: Diagonal(jnp.asarray(normal(5))),
    },
    "Hadamard": {
        "hadamard": lambda: Hadamard(12, 64, 4),
    },
    "LowRank": {
        "low rank": lambda: LowRank(
            jnp.asarray(normal(5)), Dense.of(normal(5, 2)), jnp.asarray(normal(2)), Dense.of(normal(2, 7)), jnp.ones(7)
        ),
    },
    "MultiCoil": {
        "coils": lambda: MultiCoil.of(SubsampledFourier.of((4, 6), [0, 3, 7, 21]), complex_normal(3, 4, 6)),
        "coils, complex image": lambda: MultiCoil.of(
            SubsampledFourier.of(8, [0, 3, 5]), complex_normal(2, 8), "complex"
        ),
    },
    "PackedSigns": {
        "sign planes": lambda: sign_planes(gaussian(70, 21), 3),
        "sign planes of blocks": lambda: sign_planes(gaussian_blocks(2, 5, 9), 2),
        "signs by row, masked": lambda: PackedSigns(
            jnp.asarray(pack_signs(normal(2, 6, 9))), jnp.asarray(normal(2, 6)), packed_mask(INDEXED), INDEXED, "row"
        ),
    },
    "Preconditioned": {
        "preconditioned": lambda: Preconditioned.of(ill_conditioned(8, 16), 0.01),
        "preconditioned blocks": lambda: Preconditioned.of(gaussian_blocks(3, 4, 7)),
    },
    "Rademacher": {
        "rademacher": lambda: Rademacher(70, 21, 4),
    },
    "Radon": {
        "radon": lambda: Radon.of(7, [0.0, 33.0, 90.0, 121.5]),
    },
    "Scaled": {
        "scaled": lambda: Scaled.of(gaussian(5, 8), -2.5),
        "scaled frequencies": lambda: Scaled.of(SubsampledFourier.of(8, [0, 3, 4]), -2.5),
    },
    "Sparse": {
        "sparse, empty rows and columns": lambda: Sparse.of(
            np.where(np.random.RandomState(2).uniform(size=(30, 300)) < 0.02, normal(30, 300), 0)
        ),
        "sparse, one long row": lambda: Sparse.of(np.concatenate([normal(1, 40), np.eye(40, dtype=np.float32)])),
    },
    "Structured": {
        "structured": lambda: Structured(jnp.asarray(normal(2, 3, 4)), gaussian_blocks(2, 3, 4).mask()),
    },
    "SubsampledDCT": {
        "cosines of images": lambda: SubsampledDCT.of((4, 6), [3, 0, 17, 23]),
        "cosines": lambda: SubsampledDCT.random(11, 5, 2),
    },
    "SubsampledFourier": {
        "fourier": lambda: SubsampledFourier.random((4, 6), 7, 1),
        "fourier, real frequencies": lambda: SubsampledFourier.of(8, [0, 3, 4]),
        "fourier, all": lambda: SubsampledFourier.full(9),
        "fourier, by a bitmap": lambda: SubsampledFourier.of((4, 6), range(11)),
    },
    "Subsampling": {
        "subsampling": lambda: Subsampling.random((4, 5), 7, 3),
    },
    "Sum": {
        "sum": lambda: Sum.of(gaussian(8, 16), Hadamard(8, 16)),
        "sum of blocks": lambda: Sum.of(gaussian_blocks(2, 3, 4), gaussian_blocks(2, 3, 4, 1)),
    },
    "Wavelet": {
        "wavelet of images": lambda: Wavelet.of((8, 16), "db3", 3),
        **{f"db{p}": partial(Wavelet.of, 32, f"db{p}", 2) for p in range(1, 9)},
    },
}
NAMES = {name: make for cases in PHYSICS.values() for name, make in cases.items()}
KINDS = {"test_operators": (LinearOperator, PHYSICS, "MaskedLowRank")}  # what weights run as


@cache
def built(name: str) -> LinearOperator:
    return NAMES[name]()


@pytest.mark.long
def test_operators(kind: str, case: Callable[[], LinearOperator], same) -> None:
    operator = case()
    assert operator.to_spec()["kind"] == kind
    found, dense = same.physics(operator), np.asarray(operator.dense(), np.float32)
    same.matrix(found, dense, 5e-6)
    assert found.blocks == operator.mask().blocks
    assert found.frame == pytest.approx(operator.frame_constant)
    assert found.column_rms() == pytest.approx(np.linalg.norm(dense) / dense.shape[1] ** 0.5, rel=1e-5)
    assert found.norm() == pytest.approx(np.linalg.norm(dense, 2), rel=1e-4)
    np.testing.assert_allclose(runtime.fingerprint(found), operator.fingerprint(), rtol=1e-4, atol=1e-5)
    measured = normal(2, operator.shape[0])
    same.close(found.linear_estimate(measured), operator.linear_estimate(jnp.asarray(measured)))
    assert (found.accept is not None) == operator.preconditioned
    if found.accept is not None:
        y = normal(2, operator.shape[0])
        same.close(found.accept.apply(y), operator.accept(jnp.asarray(y)))


@pytest.mark.parametrize("name", ["gaussian blocks", "hadamard", "ill-conditioned"])
def test_matrices_computed_from_the_physics(name: str, same) -> None:
    operator = built(name)
    found = same.physics(operator)
    same.matrix(runtime.coherence_matrix(found), coherence_matrix(operator).dense(), 1e-4)
    same.matrix(runtime.regularised_inverse(found, 0.3), regularised_inverse(operator, 0.3).dense())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_networks_of_all_physics(name: str, same, tmp_path: Path) -> None:
    operator = built(name)
    held = Scaled.of(operator, 1 / float(operator.norm()))
    same.network(Unrolled(AMP(BernoulliGaussian(sparsity=0.9)), held, 2, Fixed()), tmp_path, 2e-5)


REFERENCES = (
    "dense, masked by a bitmap",
    "gaussian blocks",
    "rademacher",
    "hadamard",
    "ill-conditioned",
    "scaled",
    "sum",
)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in REFERENCES else pytest.mark.slow) for n in NAMES])
def test_signs_of_all_physics(name: str, same) -> None:
    """Library and reader take the signs of the same physics as the reference of a flip code, or of none."""
    operator = built(name)
    for A, factor in ((operator, 1.0), (operator, 2.5), (operator, -1.0)):
        A = A if factor == 1 else Scaled(A, factor)
        found = same.physics(A)
        for structure in (operator.mask(), Full(*operator.shape)):
            expected = A.sign_reference(structure)
            own = runtime.structure_of(same.stored(structure.to_spec()))
            given = None if found.reference is None else found.reference(own)
            assert (given is None) == (expected is None)
            if expected is not None:
                np.testing.assert_array_equal(given, expected)
