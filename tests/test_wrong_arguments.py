"""Typical mistakes in the arguments of public classes and functions: the message names the argument, in one short line.

Every argument of a call that works is replaced by what people give by mistake: a word, a class in place of an object,
nothing, NaN, an array of another shape, a negative number, a list.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from unrollbit import (
    ADMM,
    AMP,
    FISTA,
    ISTA,
    Activations,
    FullyConnected,
    OneBit,
    Unrolled,
    as_operator,
    count_bits,
    pack,
    refine,
    solve,
)
from unrollbit.metrics import failures, nmse_db, psnr_db, ssim, support_recovery_rate
from unrollbit.problems import (
    ArrayProblem,
    BlockCamera,
    BlockSparseRecovery,
    Deblurring,
    EEGCompressiveRecovery,
    EEGDenoising,
    Gaussian,
    ImageRecovery,
    Inpainting,
    MagneticResonance,
    OneBitCompressiveSensing,
    Poisson,
    Problem,
    SinglePixelCamera,
    SparseDeconvolution,
    SparseRecovery,
    SuperResolution,
    Tomography,
)
from unrollbit.shrinkage import BernoulliGaussian, Soft

A = np.random.RandomState(0).standard_normal((8, 16))
X = np.random.RandomState(1).standard_normal((30, 16))
PROBLEM = SparseRecovery(8, 16)
NET = Unrolled(ISTA(), PROBLEM, 2)
IMAGES = {"size": 16, "transform": "wavelet", "seed": 0}
NOISE = {"snr_db": 20.0, "seed": 0}

CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "SparseRecovery": (SparseRecovery, {"m": 8, "n": 16, "sparsity": 0.1, "matrix": "gaussian", **NOISE}),
    "BlockSparseRecovery": (BlockSparseRecovery, {"blocks": 2, "m": 4, "n": 8, "sparsity": 0.1, "matrix": "gaussian"}),
    "SparseDeconvolution": (SparseDeconvolution, {"n": 64, "pulse": "ricker", "width": 2.0, "sparsity": 0.1, **NOISE}),
    "OneBitCompressiveSensing": (OneBitCompressiveSensing, {"m": 32, "n": 16, "sparsity": 0.1, "matrix": "gaussian"}),
    "ArrayProblem": (
        ArrayProblem,
        {"matrix": A, "signals": X, "measurements": None, "fractions": (0.8, 0.1, 0.1), "folder": None, **NOISE},
    ),
    "as_operator": (
        as_operator,
        {"A": A, "shape": None, "adjoint": None, "unknowns": "real", "matrix": None, "check": True},
    ),
    "Problem.from_arrays": (Problem.from_arrays, {"operator": A, "x": X, "y": X @ A.T}),
    "Deblurring": (
        Deblurring,
        {"kernel": "box", "width": 3, "wavelet": "db2", "images": None, "noise": None, **IMAGES, **NOISE},
    ),
    "ImageRecovery": (ImageRecovery, {"physics": np.eye(64), "size": (8, 8), "crops": "grid", "transform": None}),
    "Gaussian": (Gaussian, {"snr_db": 20.0}),
    "Poisson": (Poisson, {"photons": 20.0}),
    "SuperResolution": (SuperResolution, {"factor": 2, "photons": 100.0, "size": 16, "transform": "dct"}),
    "Inpainting": (Inpainting, {"ratio": 0.5}),
    "Tomography": (Tomography, {"angles": 4}),
    "MagneticResonance": (MagneticResonance, {"acceleration": 3.0, "sampling": "cartesian"}),
    "BlockCamera": (BlockCamera, {"size": 16, "block": 8, "patterns": "hadamard"}),
    "SinglePixelCamera": (SinglePixelCamera, {"ratio": 0.25, "matrix": "hadamard"}),
    "EEGCompressiveRecovery": (EEGCompressiveRecovery, {"ratio": 0.5, "matrix": "rademacher", "transform": "dct"}),
    "EEGDenoising": (EEGDenoising, {"artefact": "ocular", "snr_db": -5.0, "seed": 0, "folder": None}),
    "split": (PROBLEM.split, {"name": "test"}),
    "Unrolled": (
        Unrolled,
        {"algorithm": ISTA(), "problem": PROBLEM, "depth": 2, "distinct": 1, "activations": Activations(8)},
    ),
    "FullyConnected": (
        FullyConnected,
        {"problem": PROBLEM, "depth": 2, "width": 8, "skip": False, "seed": 0, "activations": Activations(8)},
    ),
    "ISTA": (ISTA, {"shrinkage": Soft(), "regularisation": 0.1, "parametrisation": "coupled", "adaptive": False}),
    "FISTA": (FISTA, {"shrinkage": Soft(), "regularisation": 0.1}),
    "ADMM": (ADMM, {"shrinkage": Soft(), "regularisation": 0.1, "rho": 1.0}),
    "AMP": (AMP, {"shrinkage": Soft(), "onsager": "learned", "momentum": True}),
    "BernoulliGaussian": (BernoulliGaussian, {"sparsity": 0.1, "noise": 0.1, "variance": 1.0, "learn_variance": True}),
    "Activations": (Activations, {"bits": 8, "normalisation": "none"}),
    "solve": (solve, {"algorithm": ISTA(), "problem": PROBLEM, "y": X @ A.T, "iterations": 2, "tolerance": 1e-6}),
    "refine": (refine, {"net": NET, "y": X[:2] @ A.T, "tolerance": 1e-3, "layers": 4, "cycle": 2}),
    "pack": (pack, {"net": NET, "problem": PROBLEM, "training": None}),
    "count_bits": (count_bits, {"net": NET}),
    "nmse_db": (nmse_db, {"x_hat": X, "x": X, "reduction": "ratio", "floor": 1e-14, "added": 0.0}),
    "failures": (failures, {"x_hat": X, "x": X, "threshold_db": -20.0}),
    "psnr_db": (psnr_db, {"x_hat": X, "x": X, "peak": 1.0}),
    "ssim": (ssim, {"x_hat": np.ones((2, 144)), "x": np.ones((2, 144)), "shape": (12, 12), "peak": 1.0}),
    "support_recovery_rate": (support_recovery_rate, {"x_hat": X, "x": X, "tolerance": 1e-3}),
}
WRONG: dict[str, Any] = {
    "a word": "nothing",
    "a class": dict,
    "None": None,
    "NaN": float("nan"),
    "an array": np.zeros((2, 3, 4)),
    "negative": -1,
    "a list": [1, "a"],
}
WELCOME = {  # not wrong here
    "snr_db": {"None", "negative"},
    "photons": {"None"},
    "transform": {"None"},
    "measurements": {"None"},
    "y": {"None"},
    "folder": {"None"},
    "images": {"None"},
    "noise": {"None"},
    "crops": {"None"},
    "ImageRecovery(size)": {"None"},
    "width": {"None"},
    "distinct": {"None"},
    "activations": {"None"},
    "threshold_db": {"negative"},
    "bits": {"None"},
    "cycle": {"None"},
    "training": {"None"},
    "pack(problem)": {"None"},
    "shape": {"None"},
    "adjoint": {"None", "a class"},
    "as_operator(matrix)": {"None"},
}
REQUIRED = {("EEGDenoising", "snr_db"), ("Deblurring", "width"), ("SparseDeconvolution", "width")}  # not None there
ALSO_NAMED = {  # from_arrays: the names of ArrayProblem
    "operator": "matrix",
    "x": "signals",
    "y": "measurements",
    "name": "split",
}


def refusal(function: Callable[..., Any], arguments: dict[str, Any]) -> str | None:
    try:
        function(**arguments)
    except (ValueError, TypeError) as error:
        return str(error)
    return None


@pytest.mark.long
@pytest.mark.parametrize("name", CALLS)
def test_wrong_arguments_are_named_in_one_short_line(name: str) -> None:
    function, arguments = CALLS[name]
    assert refusal(function, arguments) is None
    for argument in arguments:
        welcome = WELCOME.get(argument, WELCOME.get(f"{name}({argument})", set())) - (
            {"None"} if (name, argument) in REQUIRED else set()
        )
        for what, wrong in WRONG.items():
            if what in welcome:
                continue
            message = refusal(function, {**arguments, argument: wrong})
            assert message is not None, f"{name}: {argument} = {what} was accepted"
            where = f"{name}: {argument} = {what}: {message}"
            assert argument in message or ALSO_NAMED.get(argument, argument) in message, where
            assert "\n" not in message, where
            assert len(message) < 250, where


MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "an algorithm's name": (
        lambda: Unrolled("ISTA", PROBLEM, 2),  # pyright: ignore[reportArgumentType]
        r"^algorithm: expected an Algorithm, such as ISTA\(\), got 'ISTA'; write ISTA\(\)$",
    ),
    "an algorithm's class": (
        lambda: Unrolled(FISTA, PROBLEM, 2),  # pyright: ignore[reportArgumentType]
        r"^algorithm: .* got the class FISTA; write FISTA\(\)$",
    ),
    "a number as the problem": (
        lambda: FullyConnected(3, 4),
        r"^problem: expected a LinearOperator, a problem that has one, or what becomes one \(.*\), got 3$",
    ),
    "a vector as the problem": (
        lambda: Unrolled(ISTA(), A[0], 2),
        r"^problem: expected a matrix \(m, n\), got an array of shape \(16,\); for a diagonal matrix scipy.sparse",
    ),
    "a kernel of one's own": (
        lambda: Deblurring(np.ones((3, 3))),  # pyright: ignore[reportArgumentType]
        r"^kernel: expected one of 'gaussian', 'motion', 'box', got an array of shape \(3, 3\); for a kernel of your",
    ),
    "a field that is nearly right": (
        lambda: Problem.from_spec({"kind": "SparseRecovery", "sparsty": 0.3}),
        r"unknown 'sparsty' \(did you mean 'sparsity'\?\)",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_messages_say_what_to_write_instead(case: str) -> None:
    call, message = MISTAKES[case]
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_a_kernel_of_ones_own_works_as_the_message_says() -> None:
    from unrollbit.operators import Convolution

    kernel, images = np.ones((3, 3)) / 9, np.random.RandomState(0).rand(20, 64)
    problem = Problem.from_arrays(Convolution.of(kernel, (8, 8)), images)
    assert problem.operator.shape == (64, 64)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name, (call, _) in CALLS.items() if isinstance(call, type)])
def test_problems_and_networks_print_briefly(name: str) -> None:
    made, arguments = CALLS[name]
    if issubclass(made, Problem):  # pyright: ignore[reportArgumentType]
        text = repr(made(**arguments))
        assert len(text) < 250
        assert "\n" not in text
        assert text.startswith(f"{name}(")


def test_weights_may_be_a_format() -> None:
    assert Unrolled(ISTA(), PROBLEM, 2, OneBit()).maps["W"].copies == 2
