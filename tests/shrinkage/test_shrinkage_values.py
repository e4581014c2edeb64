"""Hand-computed values, the posterior mean, and messages for misuse."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from unrollbit.shrinkage import (
    BernoulliGaussian,
    Box,
    Firm,
    Grouped,
    GroupSoft,
    Hard,
    Identity,
    Soft,
    SupportSelection,
)
from unrollbit.shrinkage.selection import largest

N = 12
GROUPS = (0, 0, 0, 1, 1, 1, 0, 1, 2, 2, 2, 2)


def test_firm_by_hand():
    scalars = {"threshold": jnp.asarray(1.0), "width": jnp.asarray(2.0)}
    out = Firm()(jnp.asarray([-4.0, -2.0, -1.0, 0.5, 1.5, 3.0]), scalars, 1.0)
    np.testing.assert_allclose(out, [-4.0, -1.5, 0.0, 0.0, 0.75, 3.0], rtol=1e-6)


def test_group_soft_takes_the_mean_of_a_tau_that_varies_within_a_group():
    u = jnp.asarray([3.0, 4.0, 3.0, 4.0])
    out = GroupSoft(2)(u, {"threshold": jnp.asarray(1.0)}, jnp.asarray([2.0, 3.0, 5.0, 5.0]))
    np.testing.assert_allclose(out, [1.5, 2.0, 0.0, 0.0], atol=1e-6)


def test_support_selection_share_grows_linearly_to_its_limit():
    shares = SupportSelection(share=1.2, max_share=3.0).scalars(0.1)["share"].initial_values(4)
    np.testing.assert_allclose(shares, [1.2, 2.4, 3.0, 3.0])


def test_support_selection_passes_large_entries_only_above_the_threshold():
    u = jnp.asarray([[5.0, -4.0, 0.5, 0.1], [0.9, 0.8, 0.7, 0.6]])
    out = SupportSelection()(u, {"threshold": jnp.asarray(1.0), "share": jnp.asarray(50.0)}, 1.0)
    np.testing.assert_allclose(out, [[5.0, -4.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])


def test_no_gradient_flows_through_the_selection():
    u = jnp.asarray([5.0, -4.0, 3.0, 0.1])
    scalars = {"threshold": jnp.asarray(1.0), "share": jnp.asarray(50.0)}
    gradients = jax.grad(lambda u, s: jnp.sum(SupportSelection()(u, s, 1.0)), (0, 1))(u, scalars)
    assert gradients[0].tolist() == [1.0, 1.0, 1.0, 0.0]
    assert (float(gradients[1]["share"]), float(gradients[1]["threshold"])) == (0.0, -1.0)


@pytest.mark.parametrize("count", [0, 1, 7, 51, 511, 512])
def test_largest_marks_exactly_the_largest(count):
    u = np.random.RandomState(5).standard_normal((6, 512)) * np.logspace(-20, 20, 512)
    marked = np.asarray(jax.jit(largest)(jnp.asarray(u, jnp.float32), count))
    order = np.argsort(-np.abs(u), axis=-1)
    expected = np.zeros(u.shape, bool)
    np.put_along_axis(expected, order[:, :count], True, axis=-1)
    np.testing.assert_array_equal(marked, expected)


def test_largest_leaves_ties_at_the_border_out():
    assert largest(jnp.asarray([2.0, -1.0, 1.0, 0.5]), 2).tolist() == [True, False, False, False]
    assert not largest(jnp.zeros(4), 2).any()


@pytest.mark.long
@pytest.mark.parametrize("tau", [0.03, 0.3, 1.5])
@pytest.mark.parametrize(("sparsity", "variance"), [(0.1, 1.0), (0.4, 3.0), (0.02, 0.25)])
def test_bernoulli_gaussian_is_the_posterior_mean(tau, sparsity, variance, start_scalars):
    def posterior_mean(u):
        centre, width = u * variance / (variance + tau**2), np.sqrt(variance * tau**2 / (variance + tau**2))

        def moment(power):
            joint = lambda x: x**power * norm.pdf(x, 0, np.sqrt(variance)) * norm.pdf(u, x, tau)  # noqa: E731
            return quad(joint, centre - 12 * width, centre + 12 * width, epsabs=1e-14, epsrel=1e-12)[0]

        return sparsity * moment(1) / ((1 - sparsity) * norm.pdf(u, 0, tau) + sparsity * moment(0))

    u = np.array([-3.0, -0.5, -0.1, 0.0, 0.05, 0.4, 1.0, 2.5])
    shrinkage = BernoulliGaussian(sparsity=sparsity, variance=variance, noise=1.0)
    with jax.enable_x64(True):
        out = shrinkage(jnp.asarray(u), start_scalars(shrinkage, dtype=jnp.float64), tau)
    np.testing.assert_allclose(out, [posterior_mean(v) for v in u], rtol=1e-7, atol=1e-10)


def test_bernoulli_gaussian_start_values():
    specs = BernoulliGaussian().scalars(0.5)
    assert {name: spec.constraint for name, spec in specs.items()} == {
        "gain": "positive",
        "log_odds": "free",
        "noise": "positive",
    }
    assert [float(spec.initial_values(1)[0]) for spec in specs.values()] == pytest.approx([1.0, np.log(9.0), 1.3])


def test_bernoulli_gaussian_keeps_clear_entries_as_tau_vanishes(start_scalars):
    shrinkage = BernoulliGaussian()
    out = shrinkage(jnp.asarray([1.0, -0.01, 0.0]), start_scalars(shrinkage), 0.0)
    np.testing.assert_allclose(out, [1.0, -0.01, 0.0], rtol=1e-6)


def test_grouped_equals_its_groups_one_by_one():
    shrinkage = Grouped(Firm(), GROUPS)
    u = jnp.asarray(np.random.RandomState(6).standard_normal((3, N)), jnp.float32)
    scalars = {"threshold": jnp.asarray([0.1, 0.5, 0.9]), "width": jnp.asarray([0.2, 0.4, 3.0])}
    tau = jnp.asarray([[0.5], [1.0], [2.0]])
    out = shrinkage(u, scalars, tau)
    for group in range(3):
        members = np.flatnonzero(np.asarray(GROUPS) == group)
        alone = Firm()(u[:, members], {name: value[group] for name, value in scalars.items()}, tau)
        np.testing.assert_allclose(out[:, members], alone, rtol=1e-6)


def test_grouped_start_values_and_penalty():
    specs = Grouped(Firm(), GROUPS, (("threshold", (0.0, 0.1, 0.2)),)).scalars(0.5)
    np.testing.assert_allclose(specs["threshold"].initial_values(2), [[0.0, 0.1, 0.2]] * 2)
    np.testing.assert_allclose(specs["width"].initial_values(2), [[0.5] * 3] * 2)
    assert (specs["threshold"].shape, specs["threshold"].constraint) == ((3,), "nonnegative")
    x = jnp.ones(N)
    assert Grouped(Soft(), GROUPS).penalty(x) == N
    assert Grouped(Soft(), GROUPS, (("threshold", (0.0, 0.1, 0.2)),)).penalty(x) is None
    assert Grouped(Soft(), np.asarray(GROUPS)) == Grouped(Soft(), GROUPS)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SupportSelection(share=20.0, max_share=10.0), "0 <= share <= max_share <= 100"),
        (lambda: Firm(relative_width=0.0), "relative_width must be positive"),
        (lambda: GroupSoft(0), "group_size must be at least 1"),
        (lambda: GroupSoft(5)(jnp.ones(12), {"threshold": jnp.ones(())}, 1.0), "12 entries do not divide into groups"),
        (lambda: BernoulliGaussian(sparsity=1.0), "sparsity must lie between 0 and 1"),
        (lambda: BernoulliGaussian(variance=0.0), "variance must be positive"),
        (lambda: BernoulliGaussian(noise=-1.0), "noise must be positive"),
        (lambda: Box(1.0, 0.0), "lower <= upper"),
        (lambda: Box(float("nan"), 0.0), "lower <= upper"),
        (lambda: Grouped(Soft(), ()), "group ids must be 0..G-1"),
        (lambda: Grouped(Soft(), (0, 2, 2)), r"each used at least once; got \[0, 2\]"),
        (lambda: Grouped(Identity(), (0, 1)), "Identity has no scalars"),
        (lambda: Grouped(Grouped(Soft(), (0, 1)), (0, 1)), "Grouped has scalars that are vectors already"),
        (lambda: Grouped(Soft(), (0, 1), (("width", (1.0, 1.0)),)), "Soft has no scalar 'width'; it has threshold"),
        (lambda: Grouped(Soft(), (0, 1), (("threshold", (1.0,)),)), "needs 2 initial values, one per group; got 1"),
        (lambda: Grouped(SupportSelection(), (0, 1)), "share is one number"),
        (lambda: Grouped(Soft(), (0, 1))(jnp.ones(3), {"threshold": jnp.ones(2)}, 1.0), "expected 2 unknowns"),
    ],
)
def test_misuse_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_hard_starts_as_the_proximal_map():
    assert Hard().scalars(0.5)["threshold"].initial_values(1)[0] == pytest.approx(1.0)
