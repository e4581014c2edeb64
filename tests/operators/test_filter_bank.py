"""Banks of filters: against SciPy's correlations, and their derivatives; regularised inverses against dense solves."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from unrollbit.operators import (
    BlockPatterns,
    Convolution,
    Dense,
    Hadamard,
    LinearOperator,
    Radon,
    Subsampling,
    gaussian,
)
from unrollbit.operators.inverse import ConjugateGradients
from unrollbit.operators.structured import Structured
from unrollbit.structures import FilterBank, Structure

SCIPY = {"symmetric": "reflect", "reflect": "mirror", "circular": "wrap", "zero": "constant"}
BANKS = [
    FilterBank((6, 7), 3, (3, 5), "symmetric"),
    FilterBank((5, 5), 2, (5, 5), "reflect"),
    FilterBank((6, 5), 2, (3, 3), "circular"),
    FilterBank((9,), 4, (5,), "zero"),
    FilterBank((8,), 2, (2,), "symmetric"),
]


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("bank", BANKS, ids=str)
def test_responses_are_those_of_scipy(bank: FilterBank) -> None:
    core, x = drawn(*bank.core_shape), drawn(2, *bank.signal_shape, seed=1)
    origin = [taps // 2 - (taps - 1) // 2 for taps in bank.kernel_shape]  # SciPy's centre of an even filter is later
    origin = [-shift for shift in origin]
    expected = [
        [
            scipy.ndimage.correlate(image, core[..., c], mode=SCIPY[bank.edge], origin=origin)
            for c in range(bank.channels)
        ]
        for image in x
    ]
    found = bank.matvec(jnp.asarray(core), jnp.asarray(x.reshape(2, -1)))
    np.testing.assert_allclose(found, np.reshape(expected, (2, -1)), atol=1e-5)


@pytest.mark.parametrize("bank", BANKS, ids=str)
def test_the_transpose_is_exact_and_taps_have_their_gradient(bank: FilterBank) -> None:
    core, x, r = (
        jnp.asarray(drawn(*bank.core_shape)),
        jnp.asarray(drawn(3, bank.shape[1])),
        drawn(3, bank.shape[0], seed=2),
    )
    dense = np.asarray(bank.scatter(core))
    np.testing.assert_allclose(bank.matvec(core, x), x @ dense.T, atol=1e-5)
    np.testing.assert_allclose(bank.rmatvec(core, jnp.asarray(r)), r @ dense, atol=1e-5)
    np.testing.assert_allclose(bank.column_norms(core), np.linalg.norm(dense, axis=0), rtol=1e-5)
    taps = np.eye(bank.size, dtype=np.float32).reshape(bank.size, *bank.core_shape)
    slopes = np.einsum("kij,bj,bi->k", np.asarray(bank.scatter(jnp.asarray(taps))), x, r).reshape(bank.core_shape)
    both = (
        jax.grad(lambda core: jnp.sum(bank.matvec(core, x) * r))(core),
        jax.grad(lambda core: jnp.sum(bank.rmatvec(core, r) * x))(core),
    )
    for gradient in both:
        np.testing.assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-4)


def test_banks_work_under_vmap_and_forward_derivatives() -> None:
    bank = BANKS[0]
    cores, x = jnp.asarray(drawn(4, *bank.core_shape)), jnp.asarray(drawn(4, 3, bank.shape[1]))
    several = jax.vmap(bank.matvec)(cores, x)
    np.testing.assert_allclose(
        several, jnp.stack([bank.matvec(c, own) for c, own in zip(cores, x, strict=True)]), atol=1e-5
    )
    value, slope = jax.jvp(lambda x: bank.matvec(cores[0], x), (x[0],), (x[1],))
    np.testing.assert_allclose(slope, bank.matvec(cores[0], x[1]), atol=1e-5)
    assert value.shape == slope.shape


def test_filters_of_constants() -> None:
    """The border that is mirrored adds no edge: filters without a mean answer 0 to a constant everywhere."""
    for edge in ("symmetric", "reflect", "circular"):
        bank = FilterBank((6, 6), 1, (3, 3), edge)
        core = jnp.asarray(drawn(3, 3, 1))
        np.testing.assert_allclose(bank.matvec(core - core.mean(), jnp.ones(36)), 0, atol=1e-5)


def test_structure_of_a_bank() -> None:
    bank = FilterBank((6, 7), 3, (3, 5))
    assert (bank.shape, bank.size, bank.links) == ((126, 42), 45, 45 * 42)
    assert Structure.from_spec(bank.to_spec()) == bank
    core = jnp.round(8 * jnp.asarray(drawn(*bank.core_shape))) / 8  # sums of 42 of them are exact on every processor
    inner = bank.gather(bank.scatter(core))  # taps meet at the border, so only circular ones come back exactly
    circular = FilterBank((6, 7), 3, (3, 5), "circular")
    np.testing.assert_allclose(circular.gather(circular.scatter(core)), core, atol=1e-6)
    assert inner.shape == core.shape


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FilterBank((6,), 2, (3, 3)), "expected filters of 1 axes"),
        (lambda: FilterBank((2, 6), 2, (3, 3)), "do not fit"),
        (lambda: FilterBank((6,), 2, (3,), "mirror"), "edge: expected"),
        (lambda: FilterBank((6,), 0, (3,)), "channels: expected a positive integer"),
        (lambda: FilterBank((6,), 2, (3,)).rows(jnp.ones(12)), "take a global or layer scale"),
    ],
)
def test_wrong_banks(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


PHYSICS: dict[str, LinearOperator] = {
    "periodic": 3.0 * Convolution.of(np.array([[0.1, 0.3, 0.1], [0.2, 0.2, 0.1]]), (6, 5)) @ Subsampling.full((6, 5)),
    "periodic alone": Convolution.of(np.array([[0.1, 0.3, 0.1], [0.2, 0.2, 0.1]]), (6, 5)),
    "periodic signals": Convolution.of([0.5, 0.3, 0.2, 0.1], 9),
    "small": gaussian(8, 12),
    "tall": Dense.of(drawn(9, 4)),
    "rays": Radon.of(5, 3),
    "frame": Hadamard(8, 16, seed=3),
    "kept": Subsampling.of(6, [0, 2, 5]),
}


@pytest.mark.parametrize("name", PHYSICS)
def test_regularised_inverses_solve_the_normal_equations(name: str) -> None:
    A = PHYSICS[name]
    dense = np.asarray(A.dense(), np.float64)
    r, rho = drawn(2, A.shape[0]), np.array([[0.3], [0.01]], np.float32)
    square = np.linalg.norm(dense, 2) ** 2
    expected = [
        np.linalg.solve(dense.T @ dense + own * square * np.eye(A.shape[1]), dense.T @ row)
        for own, row in zip(rho[:, 0], r, strict=True)
    ]
    np.testing.assert_allclose(A.inverse()(jnp.asarray(r), jnp.asarray(rho)), expected, rtol=2e-4, atol=2e-5)


def test_conjugate_gradients_come_close_and_differentiate() -> None:
    A = gaussian(8, 12)
    r, rho = jnp.asarray(drawn(2, 8)), jnp.asarray([[0.3], [0.1]])
    steps = ConjugateGradients(A, jnp.asarray(float(A.norm()) ** 2), 12)
    np.testing.assert_allclose(steps(r, rho), A.inverse()(r, rho), rtol=1e-3, atol=1e-4)
    slopes = (jax.grad(lambda rho, f=f: jnp.sum(f(r, rho)))(rho) for f in (steps, A.inverse()))
    np.testing.assert_allclose(*slopes, rtol=2e-2)
    assert not np.isnan(steps(jnp.zeros((2, 8)), rho)).any()


def test_the_better_estimate_of_patterns_is_their_inverse() -> None:
    A = BlockPatterns.of([[1, 1, 1, 1], [1, -1, 1, -1]], (4, 6), 2, [4.0, 1.0, 1.0, 0.5])
    y = jnp.asarray(drawn(3, 12))
    np.testing.assert_allclose(A.inverse()(y, 0.0), A.linear_estimate(y), rtol=1e-6)
    core = Structured(jnp.asarray(drawn(3, 3, 2)), FilterBank((4, 6), 2, (3, 3)))
    assert LinearOperator.from_spec(core.to_spec()) == core
