"""Networks of every format: in every algorithm, masked, tied and untied; trained, saved, counted and read back."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest

from unrollbit import (
    ADMM,
    AMP,
    FISTA,
    ISTA,
    BitNet,
    FullyConnected,
    GradientDescent,
    LittleBit,
    OneBitSVID,
    Stage,
    Ternary,
    Unrolled,
    count_bits,
    fit,
    load,
    pack,
    recipes,
)
from unrollbit.formats import Format, Normalised
from unrollbit.operators import gaussian
from unrollbit.problems import BlockSparseRecovery, SparseRecovery
from unrollbit.training import LogNMSE, training_set

FORMATS: dict[str, Format] = {
    "BitNet": BitNet(),
    "b1.58": Ternary(),
    "OneBit": OneBitSVID(),
    "LittleBit": LittleBit(rank=6),
}
ALGORITHMS = {
    "ista": ISTA(),
    "classic": ISTA(parametrisation="classic"),
    "fista": FISTA(),
    "amp": AMP(),
    "gradient descent": GradientDescent(),
    "admm": ADMM(),
}


@pytest.mark.long
@pytest.mark.grid(2)
@pytest.mark.parametrize("name", FORMATS)
def test_every_algorithm_runs_on_every_format(name: str) -> None:
    """The network equals steps of the algorithm with the quantised matrices, held densely."""
    A = gaussian(12, 16)
    y = A(jax.random.normal(jax.random.key(0), (2, 16)))
    for algorithm in ALGORITHMS.values():
        net = Unrolled(algorithm, A, 2, FORMATS[name], distinct=1)
        exact = net.unquantised()
        for map_name, weights in exact.maps.items():
            weights.variables["values"][...] = net.maps[map_name].dense()
        np.testing.assert_allclose(net(y), exact(y), rtol=2e-4, atol=2e-5)


@pytest.fixture(scope="module")
def sparse() -> SparseRecovery:
    return SparseRecovery(24, 32, sparsity=0.1)


@pytest.mark.long
@pytest.mark.grid(3)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("distinct", [1, None], ids=["tied", "untied"])
def test_training_lowers_the_loss_and_survives_a_file(
    name: str, distinct: int | None, sparse: SparseRecovery, tmp_path: Path
) -> None:
    """On a fixed training set the loss ends below its start, and the file equals the network in memory."""
    network, _ = recipes.learned_signs(sparse, 3, weights=FORMATS[name], distinct=distinct, algorithm=ISTA())
    fixed = training_set(sparse, seed=1, samples=256)
    x, y = fixed.x, fixed.y
    loss = LogNMSE()

    def objective() -> float:
        return float(loss(jax.jit(lambda net, y: net(y))(network, y)[None], x, None))

    before = objective()
    rates = {"scalars": 1e-2, "scales": 1e-3, "signs": 3e-3}
    fit(network, sparse, (Stage(steps=60, rates=rates, batch=32, loss=loss),), samples=256, seed=1, progress=False)
    assert objective() < before
    path = pack(network, problem=sparse).save(tmp_path / "network.safetensors")
    packed = load(path)
    expected = np.asarray(network(y))
    assert np.abs(np.asarray(packed(y)) - expected).max() <= 1e-5 * np.abs(expected).max()
    trainable = np.asarray(packed.trainable()(y))
    assert np.abs(trainable - expected).max() <= 1e-5 * np.abs(expected).max()
    ours, theirs = count_bits(network), packed.bits()
    for figure in ("weight_bits", "scale_bits", "stored_weights", "links", "resident_bits"):
        assert getattr(ours, figure) == getattr(theirs, figure)


def test_bits_per_link_of_networks(sparse: SparseRecovery) -> None:
    """Scalars of three layers (AMP: step, momentum, memory and three of the shrinkage) beside the matrices' bits."""
    m, n, K = 24, 32, 3
    links = K * m * n
    expected = {
        "BitNet": m * n + 16,
        "b1.58": -(-8 * m * n // 5) + 32,
        "OneBit": m * n + 16 * (m + n),
        "LittleBit": 6 * (m + n + 16) + 16 * (m + n),
    }
    for name, format in FORMATS.items():
        net = Unrolled(AMP(), sparse, K, format, distinct=1)
        report = count_bits(net)
        scalars = sum(variable[...].size for variable in net.scalars.values())
        assert report.bits_per_link == pytest.approx((expected[name] + 32 * scalars) / links)


def test_recipes_normalise_what_keeps_its_columns(sparse: SparseRecovery) -> None:
    for name, format in FORMATS.items():
        weights = recipes.learned_signs(sparse, 2, weights=format, distinct=1).network.maps["W"]
        assert isinstance(weights.format, Normalised) == (name != "LittleBit")


@pytest.mark.slow
def test_two_stages_hand_over_to_every_format(sparse: SparseRecovery) -> None:
    for format in (FORMATS["b1.58"], FORMATS["LittleBit"]):
        network, stages = recipes.two_stage(sparse, 2, weights=format, steps=6, batch=8, algorithm=ISTA())
        report = fit(network, sparse, stages, progress=False)
        assert np.isfinite(report.nmse_db)


@pytest.mark.slow
def test_blocks_and_fully_connected_networks(tmp_path: Path) -> None:
    blocks = BlockSparseRecovery(blocks=3, m=6, n=8)
    y = blocks.sample(jax.random.key(0), 4)[1]
    for name, format in FORMATS.items():
        small = LittleBit(rank=2) if name == "LittleBit" else format
        net = Unrolled(AMP(), blocks, 2, small)
        packed = pack(net)
        np.testing.assert_allclose(packed(y), net(y), rtol=1e-4, atol=1e-5)
        assert count_bits(net).weight_bits <= 2 * 1.6 * 3 * 48 + 1
    dense = FullyConnected(blocks, 3, weights=FORMATS["b1.58"])
    path = pack(dense).save(tmp_path / "dense.safetensors")
    np.testing.assert_allclose(load(path)(y), dense(y), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_ternary_and_one_bit_train_further_on_a_larger_problem() -> None:
    problem = SparseRecovery(128, 256)
    for name, format in FORMATS.items():
        weights = LittleBit(bits_per_weight=1.0, turns=True) if name == "LittleBit" else format
        network, stages = recipes.learned_signs(problem, 8, weights=weights, steps=200, sign_rate=3e-3)
        x, y = problem.split("validation").sample(jax.random.key(0), 500)
        start = problem.metrics(network(y), x)["nmse_db"]
        assert fit(network, problem, stages, progress=False).nmse_db < start - 2
