"""Whole networks from their files: the reader against the library, and against a network by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unrollbit import AMP, ISTA, FullPrecision, FullyConnected, OneBit, Unrolled, load
from unrollbit.algorithms import ADMM, FISTA, ForwardBackward, GradientDescent, Levels, ReactionDiffusion
from unrollbit.algorithms.base import Algorithm
from unrollbit.formats import (
    Anchored,
    BitNet,
    Coherent,
    Designed,
    Fixed,
    Format,
    LittleBit,
    Normalised,
    OneBitSVID,
    SharedTaps,
    SignalDomain,
    Ternary,
    Uniform,
    UnitFilters,
)
from unrollbit.networks import Activations, Network
from unrollbit.operators import (
    Composition,
    Convolution,
    Dense,
    Hadamard,
    Preconditioned,
    SubsampledFourier,
    Wavelet,
    gaussian,
    gaussian_blocks,
)
from unrollbit.packed import runtime
from unrollbit.packed_operators import sign_planes
from unrollbit.shrinkage import (
    BernoulliGaussian,
    Box,
    Firm,
    Grouped,
    GroupSoft,
    Hard,
    NonNegative,
    Soft,
    SupportSelection,
)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


MASK = np.random.RandomState(5).uniform(size=(6, 9)) < 0.6
SPARSE_MASK = np.random.RandomState(5).uniform(size=(30, 40)) < 0.02
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
    "OneBit row": OneBit(scale="row", planes=2),
    "OneBit global": OneBit(scale="global"),
    "Ternary": Ternary(),
    "BitNet": BitNet(),
    "OneBitSVID": OneBitSVID(),
    "LittleBit": LittleBit(rank=2),
    "FullPrecision": FullPrecision(),
    "uniform": Normalised(Uniform(2)),
    "W = A": Fixed(),
    "coherent": Coherent(Fixed()),
    "designed": Normalised(Designed(steps=5)),
    "normalised": Normalised(OneBit(scale="none")),
    "anchored": Normalised(Anchored(OneBit(scale="layer"))),
}
SHAPED = ("uniform", "coherent", "designed", "normalised", "anchored")  # only for maps of the shape of A


def pairs() -> list:
    """Every algorithm with every format; those of the tests below are in the fast ones."""
    found = []
    for algorithm in ALGORITHMS:
        for factory in FACTORIES:
            if (algorithm == "LISTA" and factory in SHAPED) or (algorithm == "ALISTA" and factory != "W = A"):
                continue
            if algorithm == "ADMM" and factory == "anchored":
                continue
            found.append(pytest.param(algorithm, factory, marks=pytest.mark.slow))
    return found


@pytest.mark.parametrize(("algorithm", "factory"), pairs())
def test_algorithms_and_formats(algorithm: str, factory: str, same, tmp_path: Path) -> None:
    net = Unrolled(ALGORITHMS[algorithm], gaussian(8, 16), 2, FACTORIES[factory], distinct=2)
    same.network(net, tmp_path)


NETWORKS = {
    "blocks": lambda: Unrolled(
        AMP(Soft(), onsager="computed"), gaussian_blocks(3, 4, 7), 3, Normalised(Anchored(OneBit()))
    ),
    "preconditioned": lambda: Unrolled(
        ISTA(adaptive=True), Preconditioned.of(Dense.of(normal(6, 9), MASK), 0.1), 2, Normalised(OneBit())
    ),
    "signal domain": lambda: Unrolled(
        AMP(Grouped(Soft(), (0,) * 4 + (1,) * 12)),
        Composition.of(Hadamard(8, 16), Wavelet.of(16, "db2", 1)),
        2,
        SignalDomain(OneBit()),
    ),
    "signal domain, fixed, classic threshold": lambda: Unrolled(
        ADMM(), Composition.of(gaussian(6, 16), Wavelet.of(16, "db1", 1)), 2, SignalDomain(Fixed())
    ),
    "signal domain, one-bit taps": lambda: Unrolled(
        ISTA(),
        Composition.of(Convolution.of(normal(3), 16), Wavelet.of(16, "db2", 1)),
        2,
        SignalDomain(SharedTaps(OneBit())),
    ),
    "taps": lambda: Unrolled(
        FISTA(), Convolution.of(normal(3, 3), (6, 6), "zero"), 2, Normalised(SharedTaps(OneBit(), wider=1))
    ),
    "sign planes": lambda: Unrolled(AMP(), sign_planes(gaussian(8, 16), 3), 2, Normalised(Fixed())),
    "mask of indices": lambda: Unrolled(ISTA(), Dense.of(normal(30, 40), SPARSE_MASK), 2, Ternary()),
    "mask, classic": lambda: Unrolled(
        ISTA(Hard(), 1e-3, parametrisation="classic"), Dense.of(normal(6, 9), MASK), 2, OneBit
    ),
    "kept frequencies": lambda: Unrolled(GradientDescent(Box(-1.0, 1.0)), SubsampledFourier.of(8, [0, 3]), 2, Fixed()),
    "8 bits": lambda: Unrolled(ISTA(), gaussian(8, 16), 2, OneBit(), activations=Activations(8)),
    "input normalised": lambda: Unrolled(FISTA(), gaussian(8, 16), 2, OneBit(), activations=Activations(4, "input")),
    "output normalised": lambda: Unrolled(
        ISTA(parametrisation="classic"), gaussian(8, 16), 2, BitNet(), activations=Activations(None, "output")
    ),
    "fully connected": lambda: FullyConnected(gaussian(8, 16), 4, 12, FullPrecision()),
    "fully connected, skip": lambda: FullyConnected(gaussian(8, 16), 4, 20, OneBit(), skip=True),
    "fully connected, two matrices": lambda: FullyConnected(
        gaussian(8, 16), 2, 12, OneBit(), activations=Activations(8)
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str, same, tmp_path: Path) -> None:
    same.network(NETWORKS[name](), tmp_path)


def prior(kind: type, inner: Format, **options):
    """A bank of filters on signals of 16 samples."""
    algorithm = kind(signal_shape=(16,), size=5, filters=4, **options)
    return {"prior": lambda: Unrolled(algorithm, gaussian(8, 16), 2, UnitFilters(inner), distinct=2)}


def pair(algorithm: str, factory: str):
    return {"small": lambda: Unrolled(ALGORITHMS[algorithm], gaussian(8, 16), 2, FACTORIES[factory], distinct=2)}


KINDS = {  # pairs so that every format has one algorithm, and every algorithm one format
    "test_every_algorithm": (
        Algorithm,
        {
            "ADMM": pair("ADMM", "FullPrecision"),
            "AMP": pair("AMP, computed", "FullPrecision"),
            "FISTA": pair("FISTA", "OneBit row"),
            "ForwardBackward": prior(ForwardBackward, Uniform(1), levels=Levels()),
            "GradientDescent": pair("gradient descent", "Ternary"),
            "ISTA": pair("ISTA, adaptive", "BitNet"),
            "ReactionDiffusion": prior(ReactionDiffusion, FullPrecision()),
        },
    ),
    "test_every_format": (
        Format,
        {
            "Anchored": pair("AMP", "anchored"),
            "BitNet": pair("ISTA", "BitNet"),
            "Coherent": {
                **pair("AMP", "coherent"),
                "start": lambda: Unrolled(ISTA(), gaussian(8, 16), 2, Coherent(OneBit())),
                "anchor": lambda: Unrolled(ISTA(), gaussian(8, 16), 2, Coherent(Anchored(OneBit()))),
            },
            "Designed": pair("AMP", "designed"),
            "Fixed": pair("FISTA", "W = A"),
            "FullPrecision": pair("LISTA", "FullPrecision"),
            "LittleBit": pair("ISTA", "LittleBit"),
            "Normalised": pair("ISTA", "normalised"),
            "OneBit": pair("ISTA", "OneBit global"),
            "OneBitSVID": pair("ISTA", "OneBitSVID"),
            "Ternary": pair("ISTA", "Ternary"),
            "SharedTaps": {"taps": NETWORKS["taps"]},
            "SignalDomain": {"signal domain": NETWORKS["signal domain"]},
            "Uniform": pair("FISTA", "uniform"),
            "UnitFilters": prior(ForwardBackward, OneBit(scale="none")),
        },
    ),
    "test_every_network": (
        Network,
        {
            "FullyConnected": {
                "skip": NETWORKS["fully connected, skip"],
                "two": NETWORKS["fully connected, two matrices"],
            },
            "Unrolled": {"activations": NETWORKS["8 bits"]},
        },
    ),
}


@pytest.mark.long
def test_every_algorithm(kind: str, case, same, tmp_path: Path) -> None:
    net = case()
    assert net.to_spec()["algorithm"]["kind"] == kind
    same.network(net, tmp_path)


@pytest.mark.long
def test_every_format(kind: str, case, same, tmp_path: Path) -> None:
    path = same.network(case(), tmp_path)
    assert f'"{kind}"' in str(runtime.read(path).description["maps"]).replace("'", '"')


@pytest.mark.long
def test_every_network(kind: str, case, same, tmp_path: Path) -> None:
    net = case()
    assert net.to_spec()["kind"] == kind
    same.network(net, tmp_path)


def test_a_network_by_hand(hand_made, same) -> None:
    path, arrays = hand_made
    first, hidden, last = (arrays[f"maps/{name}/values"][0] for name in ("first", "hidden", "last"))

    def product(W: np.ndarray, x: np.ndarray) -> np.ndarray:
        s = 127 / np.abs(x).max(-1, keepdims=True)
        return np.round(x * s) / s @ W.T

    y = normal(3, 4)
    h = product(first, y) + arrays["scalars/bias_first"]
    h = h + product(hidden, np.maximum(h + arrays["scalars/bias_hidden"], 0))
    same.close(runtime.load(path)(y), product(last, h), 1e-4)


@pytest.mark.parametrize("batch", [(), (2, 3), (0,)])
def test_leading_axes(batch: tuple[int, ...], small: Path) -> None:
    y = normal(*batch, 8)
    found = runtime.load(small)(y)
    assert found.shape == (*batch, 16)
    rows = [runtime.load(small)(row) for row in y.reshape(-1, 8)]
    np.testing.assert_allclose(found.reshape(-1, 16), np.reshape(rows, (-1, 16)), rtol=1e-4, atol=1e-6)


@pytest.mark.long
def test_the_shelf(shelf: Path, same) -> None:
    y = same.measurements(shelf)
    same.close(runtime.load(shelf)(y), load(shelf)(y))
