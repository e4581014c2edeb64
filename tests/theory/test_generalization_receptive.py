"""G5: receptive columns against which signs the output really depends on."""

import math

import numpy as np
import pytest

from unrollbit.theory.generalization import G5, Protocol, equal_parts, part_bits, receptive_columns
from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.random_forms import random_form
from unrollbit.theory.trajectory import recover


def banded(seed, m=10, n=10, K=4, tied=False, form="gd"):
    """Physics and mask that couple neighbours only, so that a receptive field grows by a step per layer."""
    random = np.random.RandomState(seed)
    near = np.abs(np.arange(m)[:, None] - np.arange(n)) <= 1
    A = random.randn(m, n) * near * (random.rand(m, n) < 0.8)
    mask = near & (random.rand(m, n) < 0.8)
    W = np.where(random.rand(1 if tied else K, m, n) < 0.5, 1.0, -1.0) * mask
    return NormalForm.from_arrays(form, A, W, 0.3 + 0.1 * random.rand(K), np.full(K, 0.01), mask=mask)


def influences(form, part, y):
    """(K, n): whether any entry of column j of W_k moves the estimates of the part; by moving all of them."""
    base = recover(form, y)[:, part]
    found = np.zeros((form.depth, form.A.shape[1]), bool)
    for k in range(form.depth):
        for j in range(form.A.shape[1]):
            G = form.G.copy()
            G[k, j] *= np.where(np.random.RandomState(j).rand(G.shape[2]) < 0.5, -1.0, 2.0)
            moved = NormalForm(form.form, form.A, np.eye(len(form.A.T)) - G @ form.A, G, form.theta, form.mask)
            found[k, j] = (np.abs(recover(moved, y)[:, part] - base) > 1e-12).any()
    return found


@pytest.mark.parametrize("seed", range(6))
def test_every_influence_lies_in_the_receptive_columns(seed, mutate):
    form, part = banded(seed), [4, 5]
    y = np.random.RandomState(seed).randn(20, 10)
    columns, found = receptive_columns(form, part), influences(form, part, y)
    assert not (found & ~columns).any()
    assert found.sum() > 0.7 * (columns & form.mask.any(axis=0)).sum()  # and hardly more than needed
    assert columns.sum() < columns.size
    for old, new in (("seen[rows].any(axis=0)", "False"), ("range(form.depth - 1, -1, -1)", "range(form.depth)")):
        assert (found & ~mutate(receptive_columns, old, new)(form, part)).any()


def test_receptive_columns_by_hand():
    """A chain: measurement i sees unknowns i and i + 1, mask the same; one unknown more on either side per layer."""
    near = np.eye(6) + np.eye(6, k=1)
    form = NormalForm.from_arrays("gd", near, near[None] * np.ones((3, 1, 1)), np.ones(3), mask=near > 0)
    wanted = [[0, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0], [0, 0, 0, 1, 0, 0]]
    np.testing.assert_array_equal(receptive_columns(form, [3]), np.array(wanted, bool))
    assert part_bits(form, [[3]], 2) == (5 * 2 + 3 * 2 + 2 + 64,)
    tied = NormalForm.from_arrays("gd", near, near[None], np.ones(3), mask=near > 0)
    assert tied.tied
    assert part_bits(tied, [[3], [0]], 0) == (10, 5)


def test_blocks_divide_the_bits():
    A = np.kron(np.eye(4), np.ones((2, 3)))
    for copies in (1, 5):
        form = NormalForm.from_arrays(
            "ista", A, np.broadcast_to(A, (copies, 8, 12)), np.ones(5), np.ones(5), mask=A > 0
        )
        assert part_bits(form, equal_parts(12, 4), 10) == (copies * 6 + 320,) * 4
        assert part_bits(form, [range(12)], 10) == (copies * 24 + 320,)


@pytest.mark.parametrize("kind", ["ista", "gd"])
@pytest.mark.parametrize("seed", range(20))
def test_certificates_by_hand_on_random_networks(kind, seed):
    form = random_form(kind, seed, m=8, n=12, depth=3, density=0.15, tied=seed % 2 == 0)
    losses = 0.2 * np.random.RandomState(seed).rand(5000, 3)
    parts = equal_parts(12, 3)
    bits = part_bits(form, parts, 6)
    assert all(b <= form.mask.sum() * (1 if form.tied else 3) + 192 for b in bits)
    widths = [math.sqrt((b * math.log(2) + math.log(3 / 0.05)) / 10_000) for b in bits]
    occam = G5(form, losses, parts, variant="occam", test_losses=losses[::2])
    assert occam.bound == pytest.approx(losses.mean() + np.mean(widths))
    assert occam.measured == pytest.approx(losses[::2].mean())
    fast = G5(form, losses, parts, test_losses=losses[::2])
    assert losses.mean() < fast.bound <= occam.bound
    assert (fast.status, occam.status) == ("holds", "holds")
    assert G5(form, losses, parts, test_risk=1.0).status == "violated"


def test_what_makes_g5_not_applicable_and_errors():
    losses, parts = np.full((100, 2), 0.1), equal_parts(24, 2)
    form = random_form("ista", 0)
    assert G5(random_form("admm", 0), losses, parts).assumptions["the network is ista or gd"] is False
    real = random_form("ista", 0, one_bit=False)
    unmet = [words for words, met in G5(real, losses, parts).assumptions.items() if not met]
    assert len(unmet) == 1
    assert unmet[0].startswith("the matrices are one-bit")
    for axis in (0, 1):  # scales per row or column are scalars, to be counted as such
        scales = np.expand_dims(1 + np.arange(form.A.shape[1 - axis]), axis)
        scaled = NormalForm.from_arrays("ista", form.A, form.G.swapaxes(1, 2) * scales, np.ones(6), mask=form.mask)
        assert G5(scaled, losses, parts, test_losses=losses).status == "holds"
    assert G5(form, losses + 1, parts).status == "not applicable"
    assert G5(form, losses, parts, protocol=Protocol(iid=False)).status == "not applicable"
    with pytest.raises(ValueError, match="losses of 2 parts"):
        G5(form, losses[:, :1], parts)
    with pytest.raises(ValueError, match=r"expected losses \(N, parts\)"):
        G5(form, losses[:, 0], parts)
    with pytest.raises(ValueError, match="test losses of 2 parts"):
        G5(form, losses, parts, test_losses=losses[:, :1])
    with pytest.raises(ValueError, match=r"a part of the unknowns 0 \.\. 23"):
        receptive_columns(form, [24])
    with pytest.raises(ValueError, match="parts that divides 24"):
        equal_parts(24, 5)
