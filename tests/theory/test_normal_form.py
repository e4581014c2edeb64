"""The normal form is the network: same outputs in float64, closed-form Jacobians against finite differences."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import ADMM, AMP, FISTA, ISTA, FullPrecision, FullyConnected, GradientDescent, OneBit, Unrolled
from unrollbit.algorithms import OutsideNormalForm
from unrollbit.operators import BlockDiagonal, Preconditioned, gaussian
from unrollbit.shrinkage import Box, Firm, Grouped, GroupSoft, NonNegative, Soft, SupportSelection
from unrollbit.theory.generalization import equal_parts, part_bits
from unrollbit.theory.normal_form import NormalForm, measurements, normal_form
from unrollbit.theory.random_forms import random_form
from unrollbit.theory.sensitivity import (
    N3,
    N2u,
    flip_deviations,
    flipped,
    flips_between,
    greedy_flips,
    random_bit_errors,
)
from unrollbit.theory.trajectory import jacobians, recover, run

CASES = {
    "ista": ISTA(regularisation=0.2),
    "lista": ISTA(regularisation=0.2, parametrisation="classic"),
    "alista": ISTA(regularisation=0.2, parametrisation="step"),
    "gd": GradientDescent(),
    "admm": ADMM(regularisation=0.2),
    "projected": GradientDescent(Box(-0.5, 0.5)),
    "admm-nonnegative": ADMM(NonNegative(), 0.2),
    "firm": ISTA(Firm(), 0.2),
    "group": ISTA(GroupSoft(2), 0.2),
    "grouped": ISTA(Grouped(Soft(), (0, 1) * 8, (("threshold", (0.01, 0.2)),))),
}
FORMS = {"alista": "ista", "projected": "ista", "admm-nonnegative": "admm", "firm": "ista", "group": "ista"}


WEIGHTS = [OneBit(), FullPrecision(), OneBit(scale="row", planes=2)]
# every pair of algorithm and weights once, in turn tied, cycled and untied; the rest are slow
COMBINED = [
    pytest.param(case, weights, distinct, marks=[] if (i + j) % 3 == k else pytest.mark.slow)
    for i, case in enumerate(CASES)
    for j, weights in enumerate(WEIGHTS)
    for k, distinct in enumerate([1, 2, 5])
]


@pytest.mark.long
@pytest.mark.grid(8)
@pytest.mark.parametrize(("case", "weights", "distinct"), COMBINED)
def test_the_normal_form_computes_what_the_network_computes(case, weights, distinct):
    A = gaussian(12, 16, seed=3)
    net = Unrolled(CASES[case], A, 5, weights, distinct=distinct)
    random = np.random.RandomState(0)
    for scalars in net.scalars.values():
        scalars[...] = scalars[...] + jnp.asarray(0.1 * random.randn(*scalars[...].shape), jnp.float32)
    form = normal_form(net)
    assert form.form == FORMS.get(case, "ista" if case == "grouped" else case)
    assert form.tied == (distinct == 1 or case == "alista")
    y = random.randn(7, 12)
    with jax.enable_x64(True):
        wanted = np.asarray(net(jnp.asarray(y), iterates=True))
    assert wanted.dtype == np.float64
    size = np.abs(wanted).max() * (1e-6 if case == "firm" else 1e-12)  # the slope of Firm is rounded to float32
    np.testing.assert_allclose(run(form, y).x[1:], wanted, rtol=0, atol=size + 1e-13)
    np.testing.assert_allclose(recover(form, y[0]), wanted[-1][0], atol=size + 1e-12)


def test_float64_is_local():
    assert jnp.zeros(1).dtype == jnp.float32
    normal_form(Unrolled(ISTA(), gaussian(4, 6), 2))
    assert jnp.zeros(1).dtype == jnp.float32


def test_what_is_outside_says_why():
    A = gaussian(8, 12)
    for net, reason in [
        (Unrolled(AMP(), A, 2), "noise level"),
        (Unrolled(FISTA(), A, 2), "more than the last estimate"),
        (Unrolled(ISTA(adaptive=True), A, 2), "adaptive"),
        (Unrolled(ISTA(SupportSelection()), A, 2), "no known Lipschitz constant"),
        (Unrolled(ADMM(Firm()), A, 2), "no proximal map"),
        (FullyConnected(A, 2), "not an unrolled"),
        (Unrolled(ISTA(), BlockDiagonal(jnp.ones((300, 4, 4))), 2), "exact norms"),
    ]:
        with pytest.raises(OutsideNormalForm, match=reason):
            normal_form(net)


def test_the_mask_is_that_of_the_physics_and_one_bit_has_one_magnitude():
    A = BlockDiagonal(jnp.asarray(np.random.RandomState(0).randn(3, 4, 5)))
    form = normal_form(Unrolled(ISTA(), A, 3))
    assert form.mask.sum() == 60
    assert (form.G[:, ~form.mask.T] == 0).all()
    assert form.magnitudes is not None
    np.testing.assert_allclose(form.magnitudes, np.abs(form.G).max(axis=(1, 2)))
    assert normal_form(Unrolled(ISTA(), A, 3, FullPrecision())).magnitudes is None
    assert normal_form(Unrolled(ISTA(), A, 3, OneBit(planes=2))).magnitudes is None


def test_a_preconditioned_network_sees_whitened_measurements():
    A = gaussian(8, 12)
    net = Unrolled(ISTA(), Preconditioned.of(A, 0.1), 3)
    y = np.random.RandomState(0).randn(5, 8)
    np.testing.assert_allclose(
        recover(normal_form(net), measurements(net, y)), net(jnp.asarray(y, jnp.float32)), 1e-4, 1e-5
    )


@pytest.mark.long
@pytest.mark.parametrize("kind", ["ista", "gd", "lista", "admm"])
@pytest.mark.parametrize("seed", range(3))
def test_jacobians_against_finite_differences(kind, seed):
    form = random_form(kind, seed, m=7, n=9, depth=4, threshold=0.3)
    y = np.random.RandomState(seed).randn(7)
    found, h = jacobians(form, y), 1e-6
    steps = h * np.eye(7)
    forward, backward = run(form, y + steps), run(form, y - steps)
    np.testing.assert_allclose(found[-1], ((forward.output - backward.output) / (2 * h)).T, atol=1e-7)
    np.testing.assert_allclose(found[:-1], ((forward.u - backward.u) / (2 * h)).swapaxes(1, 2), atol=1e-7)


def test_zero_is_estimated_from_zero():
    for kind in ("ista", "gd", "lista", "admm"):
        assert not recover(random_form(kind, 0), np.zeros(16)).any()


def test_malformed_arrays_are_refused():
    A, W = np.ones((3, 4)), np.ones((2, 3, 4))
    with pytest.raises(ValueError, match=r"W: expected shape"):
        NormalForm.from_arrays("ista", A, W, np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="theta: expected shape"):
        NormalForm.from_arrays("ista", A, W, np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match="thresholds >= 0"):
        NormalForm.from_arrays("ista", A, W, np.ones(2), -np.ones(2))
    with pytest.raises(ValueError, match="outside the mask"):
        NormalForm.from_arrays("ista", A, W, np.ones(2), np.ones(2), mask=np.eye(3, 4))
    with pytest.raises(ValueError, match="lista"):
        NormalForm.from_arrays("ista", A, W, np.ones(2), np.ones(2), H=np.ones((2, 4, 4)))
    with pytest.raises(ValueError, match="finite float64"):
        NormalForm.from_arrays("gd", A, W, np.full(2, np.nan))
    with pytest.raises(ValueError, match="expected measurements"):
        run(NormalForm.from_arrays("gd", A, W, np.ones(2)), np.ones(4))


def test_cycled_matrices_flip_in_every_layer_that_uses_them():
    net = Unrolled(ISTA(), gaussian(6, 8), 5, distinct=2)
    form, y = normal_form(net), np.random.RandomState(0).randn(6)
    assert (form.copies, form.tied, normal_form(Unrolled(ISTA(), gaussian(6, 8), 5)).copies) == (2, False, 5)
    flips = random_bit_errors(form, 0.2, 200, 0)
    assert flips.shape == (200, 2, 6, 8)
    other = flipped(form, flips[3])
    np.testing.assert_array_equal(flips_between(form, other), flips[3][[0, 1, 0, 1, 0]])
    deviations = flip_deviations(form, y, flips)
    np.testing.assert_allclose(deviations[3], np.linalg.norm(recover(other, y) - recover(form, y)))
    report = N3(form, y, 0.2, deviations)
    assert report.status == "not applicable"
    assert not report.assumptions["every layer has signs of its own (untied)"]
    assert N2u(form, y, 2, [flipped(form, each) for each in greedy_flips(form, y, 2)]).status == "holds"
    with pytest.raises(ValueError, match="distinct: expected 1 to 5 matrices, 1 if tied, got 6"):
        replace(form, distinct=6)
    with pytest.raises(ValueError, match="distinct"):
        replace(form, tied=True)


def test_the_mask_is_that_of_the_weights():
    A = BlockDiagonal(jnp.asarray(np.random.RandomState(0).randn(3, 4, 5)))
    W = OneBit().from_matrix(np.random.RandomState(1).randn(12, 15), copies=2)
    form = normal_form(Unrolled(ISTA(), A, 2, {"W": W}))
    assert form.mask.all()  # although the physics has blocks
    assert part_bits(form, equal_parts(15, 3), 0) == (5 * 12 + 15 * 12,) * 3
