"""Every refusal says what was expected and what came."""

from __future__ import annotations

import numpy as np
import pytest

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
    ill_conditioned,
)
from unrollbit.packed_operators import sign_planes
from unrollbit.structures import Structure

from_spec = LinearOperator.from_spec


def preconditioned_spec(delta: object) -> dict[str, object]:
    return {"kind": "Preconditioned", "operator": gaussian(2, 4).to_spec(), "delta": delta}


CASES = {
    "dense: axes": (lambda: Dense.of([1.0, 2.0]), r"matrix: expected a non-empty 2-D array, got shape \(2,\)"),
    "dense: empty": (lambda: Dense.of(np.ones((0, 3))), r"got shape \(0, 3\)"),
    "dense: ragged": (lambda: Dense.of([[1.0], [1.0, 2.0]]), "rows of different lengths"),
    "dense: complex": (lambda: Dense.of([[1j]]), "expected real entries; stack real and imaginary parts"),
    "dense: text": (lambda: Dense.of([["a"]]), "expected numbers, got dtype <U1"),
    "dense: nan": (lambda: Dense.of([[np.nan]]), "NaN, infinite or too large"),
    "dense: overflow": (lambda: Dense.of([[1e300]]), "too large for float32"),
    "dense: mask": (lambda: Dense.of(np.ones((2, 2)), np.ones((2, 3), bool)), r"expected shape \(2, 2\), got \(2, 3\)"),
    "blocks: axes": (lambda: BlockDiagonal.of(np.ones((2, 2))), "blocks: expected a non-empty 3-D array"),
    "blocks: sizes": (lambda: BlockDiagonal.of([np.ones((2, 2)), np.ones((2, 3))]), "rows of different lengths"),
    "banded: taps": (lambda: Banded.of([], (2, 2)), r"taps: expected a non-empty 1-D array"),
    "banded: shape": (lambda: Banded.of([1.0], 3), r"shape: expected \(m, n\), got 3"),
    "banded: size": (lambda: Banded.of([1.0], (3, -1)), "n: expected a positive integer, got -1"),
    "banded: lower": (lambda: Banded.of([1.0], (3, 3), lower=0.5), "lower: expected an integer"),
    "banded: stride": (lambda: Banded.of([1.0], (3, 3), stride=0), "stride: expected a positive integer, got 0"),
    "banded: circular": (lambda: Banded.of([1.0], (3, 3), circular="yes"), "circular: expected True or False"),
    "toeplitz": (lambda: Banded.toeplitz([1.0, 2.0], [3.0]), r"column\[0\] == row\[0\], got 1.0 and 3.0"),
    "convolution: axes": (lambda: Convolution.of([1.0], (3, 3)), "kernel: expected a non-empty 2-D array"),
    "convolution: signal": (lambda: Convolution.of([1.0], (3, 3, 3)), r"expected \(n,\) or \(height, width\)"),
    "convolution: side": (lambda: Convolution.of([1.0], (0,)), "signal_shape: expected a positive integer, got 0"),
    "convolution: stride": (lambda: Convolution.of([1.0], 5, stride=2), "stride: 2 does not divide the sides"),
    "convolution: no stride": (lambda: Convolution.of([1.0], 4, stride=0), "stride: expected a positive integer"),
    "radon: size": (lambda: Radon.of(0, 3), "size: expected a positive integer, got 0"),
    "radon: none": (lambda: Radon.of(4, []), "angles: expected a number of angles or a list of finite degrees"),
    "radon: nan": (lambda: Radon.of(4, [float("nan")]), "angles: expected a number of angles"),
    "radon: text": (lambda: Radon.of(4, "many"), "angles: expected a number of angles"),
    "subsampling: twice": (lambda: Subsampling.of(4, [1, 1]), "expected 2 distinct integers"),
    "subsampling: too many": (lambda: Subsampling.random(4, 5), "count: expected at most 4"),
    "convolution: boundary": (
        lambda: Convolution.of([1.0], 3, "mirror"),
        "expected 'circular' or 'zero', got 'mirror'",
    ),
    "fourier: repeated": (lambda: SubsampledFourier.of(8, [1, 1]), r"distinct integers in \[0, 8\)"),
    "fourier: range": (lambda: SubsampledFourier.of(8, [8]), r"in \[0, 8\), got 8..8"),
    "fourier: floats": (lambda: SubsampledFourier.of(8, [0.5]), "non-empty list of integers"),
    "fourier: none": (lambda: SubsampledFourier.of(8, []), "non-empty list of integers"),
    "fourier: count": (lambda: SubsampledFourier.random(8, 4), r"at most 3 coefficients of a \(8,\) signal, got 4"),
    "dct: count": (lambda: SubsampledDCT.random(8, 9), "at most 8 coefficients"),
    "dct: seed": (lambda: SubsampledDCT.random(8, 2, seed=-1), r"seed: expected an integer in \[0, 2\*\*32\), got -1"),
    "wavelet: name": (lambda: Wavelet.of(8, "haar"), "expected one of db1, db2, .*, got 'haar'"),
    "wavelet: levels": (
        lambda: Wavelet.of(12, "db1", 3),
        r"divisible by 8, got \(12,\): at most 2 levels; crop or pad",
    ),
    "wavelet: odd": (lambda: Wavelet.of((7, 8), "db1"), "at most 0 levels"),
    "wavelet: zero": (lambda: Wavelet.of(8, "db1", 0), "levels: expected a positive integer, got 0"),
    "hadamard: n": (lambda: Hadamard(3, 12), "expected a power of two, got 12; pad the signal to 16"),
    "hadamard: m": (lambda: Hadamard(9, 8), "m: expected at most n = 8 distinct rows, got 9"),
    "hadamard: seed": (lambda: Hadamard(2, 8, 2**32), "seed: expected an integer"),
    "hadamard: size": (lambda: Hadamard(0, 8), "m: expected a positive integer, got 0"),
    "rademacher: size": (lambda: Rademacher(2, 0), "n: expected a positive integer, got 0"),
    "rademacher: seed": (lambda: Rademacher(2, 3, 0.5), "seed: expected an integer in .*, got 0.5"),
    "gaussian: size": (lambda: gaussian(0, 3), "m: expected a positive integer, got 0"),
    "gaussian: seed": (lambda: gaussian(2, 3, True), "seed: expected an integer"),
    "gaussian blocks: count": (lambda: gaussian_blocks(0, 2, 3), "count: expected a positive integer, got 0"),
    "ill conditioned": (lambda: ill_conditioned(2, 3, 0, 0.5), "ratio of singular values >= 1, got 0.5"),
    "composition": (lambda: Composition.of(Hadamard(2, 4), Hadamard(2, 4)), r"shapes \(2, 4\) and \(2, 4\)"),
    "scaled": (lambda: Scaled.of(Hadamard(2, 4), np.inf), "factor: expected a finite number, got inf"),
    "sum": (lambda: Sum.of(Hadamard(2, 4), Hadamard(4, 4)), r"cannot add operators of shapes \(2, 4\) and \(4, 4\)"),
    "preconditioned: negative": (
        lambda: Preconditioned.of(gaussian(2, 4), -0.1),
        "delta: expected a number >= 0, got -0.1",
    ),
    "preconditioned: nan": (
        lambda: Preconditioned.of(gaussian(2, 4), np.nan),
        "delta: expected a number >= 0, got nan",
    ),
    "preconditioned: infinite": (lambda: Preconditioned.of(gaussian(2, 4), np.inf), "number >= 0, got inf"),
    "preconditioned: bool": (lambda: Preconditioned.of(gaussian(2, 4), True), "number >= 0, got True"),
    "preconditioned: text": (lambda: from_spec(preconditioned_spec("0.1")), "number >= 0, got '0.1'"),
    "preconditioned: zero": (
        lambda: Preconditioned.of(Dense.of(np.zeros((2, 3)))),
        "an operator with non-zero entries",
    ),
    "preconditioned: size": (
        lambda: Preconditioned.of(Convolution.of([1.0, 2.0], 8193)),
        "Preconditioned: expected at most 8192 measurements, got 8193",
    ),
    "sign planes: none": (lambda: sign_planes(gaussian(2, 4), 0), "planes: expected a positive integer, got 0"),
    "sign planes: float": (lambda: sign_planes(gaussian(2, 4), 1.0), "planes: expected a positive integer, got 1.0"),
    "sign planes: band": (
        lambda: sign_planes(Banded.of([1.0, 2.0], (4, 4)), 2),
        "sign_planes: expected dense or block-diagonal physics; structured physics is small already",
    ),
    "sign planes: mask": (
        lambda: sign_planes(Dense.of(np.ones((2, 2)), np.eye(2) > 0), 2),
        "sign_planes: expected dense or block-diagonal physics",
    ),
    "spec: sum": (
        lambda: from_spec({"kind": "Sum", "first": gaussian(2, 4).to_spec()}),
        "a Sum spec needs the field 'second'",
    ),
    "spec: delta": (
        lambda: from_spec({"kind": "Preconditioned", "operator": gaussian(2, 4).to_spec()}),
        "a Preconditioned spec needs the field 'delta'",
    ),
    "spec: kind": (
        lambda: from_spec({"kind": "Laser"}),
        "unknown kind of LinearOperator 'Laser'; expected one of: Adjoint",
    ),
    "spec: no kind": (lambda: from_spec({}), "a LinearOperator spec is a table with the key 'kind'"),
    "spec: odd kind": (lambda: from_spec({"kind": []}), r"unknown kind of LinearOperator \[\]"),
    "spec: private kind": (lambda: from_spec({"kind": "_Subsampled"}), "unknown kind of LinearOperator"),
    "spec: colour": (
        lambda: from_spec({"kind": "Hadamard", "m": 2, "n": 4, "seed": 0, "colour": 1}),
        "Hadamard has no field 'colour'; its fields: m, n, seed",
    ),
    "spec: both": (
        lambda: from_spec({"kind": "Dense", "recipe": ["gaussian", 2, 4, 0], "matrix": np.ones((2, 4))}),
        "Dense has no field 'matrix'; its fields: recipe",
    ),
    "spec: field": (lambda: from_spec({"kind": "Hadamard", "m": 2}), "a Hadamard spec needs the field 'n'"),
    "spec: type": (
        lambda: from_spec(
            {"kind": "Scaled", "operator": {"kind": "Hadamard", "m": 1, "n": 2, "seed": 0}, "factor": None}
        ),
        "Scaled.factor: expected float, got None",
    ),
    "spec: recipe": (lambda: from_spec({"kind": "Dense", "recipe": ["cauchy", 1]}), "unknown matrix recipe 'cauchy'"),
    "spec: arguments": (lambda: from_spec({"kind": "Dense", "recipe": ["gaussian", 1]}), r"take the arguments \[1\]"),
    "spec: class": (
        lambda: from_spec({"kind": "Dense", "recipe": ["gaussian_blocks", 2, 2, 2]}),
        "makes blocks \\(BlockDiagonal\\), not a matrix \\(Dense\\)",
    ),
    "spec: mask": (
        lambda: from_spec({"kind": "Dense", "matrix": np.ones((1, 1)), "mask": {"kind": "Holes"}}),
        "unknown kind of Structure 'Holes'",
    ),
    "structure": (lambda: Structure.from_spec({}), "a Structure spec is a table with the key 'kind'"),
}


@pytest.mark.parametrize("case", list(CASES))
def test_refused_with_a_clear_message(case):
    make, message = CASES[case]
    with pytest.raises(ValueError, match=message):
        make()
