"""One list of operators: an entry added here gets every test of the contract."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest

from unrollbit.operators import (
    Adjoint,
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
from unrollbit.packed_operators import sign_planes


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape)


OPERATORS: dict[str, Callable[[], LinearOperator]] = {
    "dense": lambda: Dense.of(numbers(5, 7)),
    "dense masked": lambda: Dense.of(numbers(4, 6), mask=numbers(4, 6, seed=1) > 0),
    "gaussian": lambda: gaussian(6, 9, seed=3),
    "ill conditioned": lambda: ill_conditioned(6, 9, seed=3),
    "block diagonal": lambda: BlockDiagonal.of(numbers(3, 2, 4)),
    "gaussian blocks": lambda: gaussian_blocks(3, 2, 4, seed=5),
    "rademacher blocks": lambda: rademacher_blocks(3, 2, 4, seed=5),
    "hadamard blocks": lambda: hadamard_blocks(3, 2, 4, seed=5),
    "banded": lambda: Banded.of(numbers(3), (8, 8), lower=-1),
    "banded wide, far below": lambda: Banded.of(numbers(3), (6, 9), lower=-4),
    "banded, outside": lambda: Banded.of(numbers(2), (4, 5), lower=7),
    "banded strided": lambda: Banded.of(numbers(4), (5, 10), lower=-1, stride=2),
    "banded circular": lambda: Banded.of(numbers(3), (8, 8), lower=-1, circular=True),
    "banded circular strided": lambda: Banded.of(numbers(4), (4, 8), lower=2, stride=2, circular=True),
    "banded circular, tall": lambda: Banded.of(numbers(2), (9, 6), lower=-3, circular=True),
    "banded circular, long": lambda: Banded.of(numbers(9), (4, 4), lower=-2, circular=True),
    "toeplitz": lambda: Banded.toeplitz([1.0, 2.0, 3.0], [1.0, -1.0, 0.5, 4.0]),
    "convolution circular": lambda: Convolution.of(numbers(5), 12),
    "convolution zero": lambda: Convolution.of(numbers(4), (12,), "zero"),
    "convolution long": lambda: Convolution.of(numbers(9), 5),
    "convolution 2-D circular": lambda: Convolution.of(numbers(3, 4), (6, 5)),
    "convolution 2-D zero": lambda: Convolution.of(numbers(4, 3), (5, 6), "zero"),
    "convolution strided": lambda: Convolution.of(numbers(5), 12, stride=3),
    "convolution 2-D strided": lambda: Convolution.of(numbers(3, 2), (6, 4), "zero", stride=2),
    "convolution 2-D circular strided": lambda: Convolution.of(numbers(2, 2), (4, 6), stride=2),
    "radon": lambda: Radon.of(5, [0.0, 30.0, 100.0]),
    "subsampling": lambda: Subsampling.random((4, 5), 7, seed=1),
    "fourier": lambda: SubsampledFourier.random(16, 5, seed=2),
    "fourier chosen": lambda: SubsampledFourier.of(9, [0, 4, 2, 5]),
    "fourier 2-D": lambda: SubsampledFourier.random((6, 5), 7, seed=2),
    "fourier 2-D chosen": lambda: SubsampledFourier.of((4, 6), [1, 7, 5, 20]),
    "fourier full": lambda: SubsampledFourier.full((4, 3)),
    "dct": lambda: SubsampledDCT.random(15, 6, seed=2),
    "dct 2-D": lambda: SubsampledDCT.of((4, 6), [0, 3, 9, 1]),
    "dct full": lambda: SubsampledDCT.full((4, 6)),
    "wavelet": lambda: Wavelet.of(32, "db2"),
    "wavelet, short signal": lambda: Wavelet.of(8, "db8", levels=3),
    "wavelet 2-D": lambda: Wavelet.of((8, 16), "db3", levels=2),
    "hadamard": lambda: Hadamard(20, 64, seed=1),
    "hadamard square": lambda: Hadamard(4, 4, seed=1),
    "hadamard one": lambda: Hadamard(1, 1, seed=1),
    "rademacher": lambda: Rademacher(6, 13, seed=1),
    "adjoint": lambda: Adjoint(gaussian(5, 8, seed=4)),
    "adjoint of a strided band": lambda: Banded.of(numbers(3), (4, 8), stride=2).T,
    "scaled": lambda: Scaled.of(Hadamard(4, 8, seed=4), -0.5),
    "complex measurements": lambda: ComplexMeasurements(gaussian(6, 4, seed=4)),
    "hadamard of wavelet": lambda: Composition.of(Hadamard(8, 16, seed=4), Wavelet.of(16, "db2")),
    "wavelet of adjoint": lambda: Composition.of(Wavelet.of(16, "db1").T, Hadamard(8, 16, seed=4).T),
    "scaled adjoint composition": lambda: Scaled.of(
        Adjoint(Composition.of(Rademacher(5, 12, seed=4), Convolution.of(numbers(3), 12))), 2.0
    ),
    "coils": lambda: MultiCoil.of(
        SubsampledFourier.of((4, 3), [0, 3, 7]), numbers(2, 4, 3) + 1j * numbers(2, 4, 3, seed=1)
    ),
    "coils, complex image": lambda: MultiCoil.of(
        SubsampledFourier.of(6, [0, 3]), numbers(2, 6) + 1j * numbers(2, 6, seed=1), "complex"
    ),
    "sparse": lambda: Sparse.of(numbers(9, 13) * (numbers(9, 13, seed=1) > 1)),
    "adjoint of a sparse one": lambda: Sparse.of(np.concatenate([numbers(1, 12), np.eye(12)])).T,
    "sum": lambda: Sum.of(Rademacher(6, 9, seed=1), Dense.of(numbers(6, 9))),
    "sum of blocks": lambda: Sum.of(gaussian_blocks(3, 2, 4, seed=5), rademacher_blocks(3, 2, 4, seed=6)),
    "adjoint of a sum": lambda: Sum.of(Hadamard(4, 8, seed=1), Scaled.of(gaussian(4, 8), 0.5)).T,
    "preconditioned": lambda: Preconditioned.of(ill_conditioned(6, 9, seed=3)),
    "preconditioned with delta": lambda: Preconditioned.of(Dense.of(numbers(5, 7)), 0.05),
    "preconditioned blocks": lambda: Preconditioned.of(BlockDiagonal.of(numbers(3, 2, 4)), 0.1),
    "preconditioned tall": lambda: Preconditioned.of(Dense.of(numbers(7, 4))),
    "preconditioned sum, adjoint": lambda: Preconditioned.of(Sum.of(gaussian(5, 8), gaussian(5, 8, seed=1))).T,
    "block patterns": lambda: BlockPatterns.of(np.sign(numbers(5, 9)), (3, 6), 3, 1 + numbers(9, seed=1) ** 2),
    "sign plane": lambda: sign_planes(gaussian(9, 13, seed=2), 1),
    "sign plane of blocks": lambda: sign_planes(BlockDiagonal.of(numbers(3, 2, 4)), 1),
}


@pytest.fixture(params=list(OPERATORS))
def build(request: pytest.FixtureRequest) -> Callable[[], LinearOperator]:
    return OPERATORS[request.param]


@functools.cache
def built(name: str) -> LinearOperator:
    return OPERATORS[name]()


@pytest.fixture(params=list(OPERATORS))
def operator(request: pytest.FixtureRequest) -> LinearOperator:
    """One of them, the same object in all tests: what it has computed is kept."""
    return built(request.param)
