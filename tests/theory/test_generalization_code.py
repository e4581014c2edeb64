"""Code lengths: prefix codes, and the counts of every kind of network."""

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit import (
    ADMM,
    AMP,
    FISTA,
    ISTA,
    FullPrecision,
    FullyConnected,
    GradientDescent,
    OneBit,
    Unrolled,
    count_bits,
    load,
    pack,
)
from unrollbit.formats import Anchored, Fixed, Normalised, SignalDomain
from unrollbit.operators import BlockDiagonal, Dense, gaussian
from unrollbit.problems import EEGCompressiveRecovery, SparseRecovery
from unrollbit.theory.generalization import (
    b_flip,
    b_raw,
    code_length,
    flip_length,
    flips_from,
    mask_length,
    network_code,
)


def test_the_flip_code_is_a_prefix_code():
    P = 12
    assert sum(math.comb(P, f) * 2 ** -flip_length(P, f) for f in range(P + 1)) == pytest.approx(1.0)
    assert code_length(P, 0, flips=2) == pytest.approx(min(12, flip_length(P, 2)) + 1)
    assert code_length(8192, 20, flips=270) < code_length(8192, 20)
    assert code_length(8192, 20, flips=4096) == 8832 + 1  # half flipped: raw signs are cheaper


def test_kraft_over_all_networks_of_two_matrices():
    """Every network of two 2 x 2 sign matrices in the code that certificates count: sum of 2^-b at most 1."""
    flips = list(itertools.product(*[[(f, math.comb(4, f)) for f in range(5)]] * 2))
    total = sum(c1 * c2 * 2 ** -code_length([4, 4], 0, flips=[f1, f2]) for (f1, c1), (f2, c2) in flips)
    assert 0.5 <= total <= 1.0


def test_flips_are_coded_per_matrix():
    assert b_flip([100, 100], [0, 20], 0) == pytest.approx(2 * math.log2(101) + math.log2(math.comb(100, 20)))
    assert b_flip([100, 100], [0, 20], 0) < b_flip([100, 100], [10, 10], 0)
    assert b_flip([100, 50], [3, None], 1) == pytest.approx(flip_length(100, 3) + 50 + 32)
    assert b_raw([100, 50], 3, width=16) == 198
    assert code_length([4, 4], 1, flips=[0, 0], mask_bits=5.5, width=8) == pytest.approx(2 * math.log2(5) + 8 + 5.5 + 1)
    assert mask_length(3, 4, 5) == pytest.approx(math.log2(13) + math.log2(math.comb(12, 5)))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 4), st.integers(0, 10**6))
def test_flips_by_brute_force(m, n, copies, seed):
    random = np.random.RandomState(seed)
    signs, reference = random.randint(-1, 2, (copies, m, n)), random.randint(-1, 2, (m, n))
    mask = random.rand(m, n) < 0.7
    wanted = [
        sum((s[i, j] >= 0) != (reference[i, j] >= 0) for i in range(m) for j in range(n) if mask[i, j]) for s in signs
    ]
    assert list(flips_from(signs, reference, mask)) == wanted


def flipped(net, name, positions):
    """The network with the latents of a map negated at (copy, i, j)."""
    latents = net.maps[name].variables["signs"]
    values = np.array(latents[...])
    for copy, i, j in positions:
        values[copy, 0, i, j] *= -1
    latents[...] = jnp.asarray(values)
    return net


@pytest.mark.grid(4)
@pytest.mark.parametrize("distinct", [1, 3])
@pytest.mark.parametrize(
    ("algorithm", "scale"),
    [(ISTA(), "none"), (FISTA(), "global"), (AMP(), "layer"), (GradientDescent(), "row"), (ADMM(), "column")],
)
def test_one_bit_networks_of_every_algorithm(algorithm, scale, distinct):
    A = gaussian(6, 9)
    net = Unrolled(algorithm, A, 3, OneBit(scale=scale), distinct=distinct)
    start = network_code(net).flips[0]
    assert (start > 0) == isinstance(algorithm, ADMM)  # it starts at (A A^T + rho I)^-1 A, not at A
    latents = net.maps["W"].variables["signs"]
    latents[...] = jnp.broadcast_to(A.dense(), latents.shape)
    code = network_code(flipped(net, "W", [(0, 1, 2), (0, 3, 4), (distinct - 1, 0, 0)]))
    counts = [0] * distinct
    counts[0] += 2
    counts[-1] += 1
    assert (code.entries, code.flips) == ((54,) * distinct, tuple(counts))
    scales = {"none": 0, "global": 1, "layer": distinct, "row": 6 * distinct, "column": 9 * distinct}[scale]
    scalars = sum(raw[...].size for raw in net.scalars.values()) + scales
    assert (code.weights, code.scalars, code.stored) == (54 * distinct, scalars, 54 * distinct)
    assert code.raw == count_bits(net).weight_bits + count_bits(net).scale_bits
    assert code.flip == pytest.approx(b_flip(code.entries, code.flips, scalars))
    assert code.bits == pytest.approx(code_length(code.entries, scalars, flips=code.flips))
    assert code.float32_bits == 32 * (54 * distinct + scalars)
    assert code.flip_share == pytest.approx(3 / (54 * distinct))


def test_flips_agree_with_the_dense_matrices():
    problem = SparseRecovery(12, 20)
    net = Unrolled(ISTA(), problem, 4, OneBit())
    latents = net.maps["W"].variables["signs"]
    latents[...] = jnp.asarray(np.random.RandomState(0).randn(*latents[...].shape))
    signs = np.asarray(net.maps["W"].dense())
    assert network_code(net).flips == flips_from(signs, np.asarray(problem.operator.dense()))


def test_blocks_and_irregular_masks_count_existing_entries_only(tmp_path):
    blocks = BlockDiagonal(jnp.asarray(np.random.RandomState(0).randn(3, 4, 5)))
    matrix = np.random.RandomState(1).randn(7, 11) * (np.random.RandomState(2).rand(7, 11) < 0.4)
    for A, P in ((blocks, 60), (Dense(jnp.asarray(matrix, jnp.float32)), None)):
        net = Unrolled(ISTA(), A, 4)
        P = net.maps["W"].structure.size if P is None else P
        latents = net.maps["W"].variables["signs"]
        latents[...] = -latents[...]
        code = network_code(net)
        assert code.entries == (P,) * 4
        zeros = int((np.asarray(A.dense()) == 0).sum())
        assert all(flips in (P, P - zeros) for flips in code.flips)  # the sign of 0 is +1, and -0 is 0
        assert network_code(net, learned_masks=True).bits == pytest.approx(code.bits + mask_length(*A.shape, P))
        pack(net).save(tmp_path / "net.safetensors")
        assert network_code(load(tmp_path / "net.safetensors").network) == code


def test_maps_without_a_reference_are_counted_as_they_are():
    A, depth = gaussian(6, 9), 3
    two = network_code(Unrolled(ISTA(), A, depth, OneBit(planes=2)))
    assert (two.entries, two.flip, two.weights, two.stored) == ((), None, 2 * 3 * 54, 3 * 54)
    assert two.bits == two.raw + 1
    corrected = network_code(Unrolled(ISTA(), A, depth, Anchored(OneBit())))
    assert (corrected.entries, corrected.weights) == ((), 3 * 54)
    column = network_code(Unrolled(ISTA(), A, depth, Normalised(OneBit())))
    assert (column.entries, column.flips) == ((54,) * 3, (0,) * 3)
    square = network_code(Unrolled(ISTA(parametrisation="classic"), gaussian(6, 6), depth))
    assert (square.entries, square.weights) == ((), 2 * 3 * 36)
    full = network_code(Unrolled(ISTA(), A, depth, FullPrecision()))
    assert (full.entries, full.weights, full.bits) == ((), 32 * 3 * 54, full.raw + 1)
    assert full.float32_bits == full.raw
    fixed = network_code(Unrolled(ISTA(), A, depth, Fixed()))
    assert (fixed.weights, fixed.stored, fixed.flip_share) == (0, 0, None)
    assert fixed.raw == 32 * fixed.scalars
    dense = network_code(FullyConnected(gaussian(6, 6), depth, 6, OneBit()))
    assert dense.entries == ()
    assert dense.stored == 3 * 36


def test_signs_in_the_domain_of_the_signal_are_counted_as_they_are():
    problem = EEGCompressiveRecovery()
    net = Unrolled(AMP(), problem, 2, SignalDomain(OneBit()))
    code = network_code(net)
    m, n = problem.operator.shape
    assert (code.entries, code.stored) == ((), 2 * m * n)


def test_errors():
    with pytest.raises(ValueError, match=r"flips of each of 2 stored matrices, got 1"):
        code_length([4, 4], 0, flips=[1])
    with pytest.raises(ValueError, match="0 <= flips <= 4"):
        code_length(4, 0, flips=5)
    with pytest.raises(ValueError, match="scalars, mask_bits >= 0"):
        code_length(4, -1)
    with pytest.raises(ValueError, match="stored entries >= 0"):
        code_length([-1], 0)
    with pytest.raises(ValueError, match="flips_from: expected signs"):
        flips_from(np.ones((2, 3)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="a network of the library"):
        network_code(gaussian(2, 3))
