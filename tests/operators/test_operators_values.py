"""Operators and structures are values: compared by content, copied, pickled, shown in one line, checked when built."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import ISTA, Unrolled, load, pack
from unrollbit.operators import (
    Banded,
    BlockDiagonal,
    Composition,
    Convolution,
    Dense,
    Hadamard,
    LinearOperator,
    Norm,
    Preconditioned,
    Rademacher,
    Radon,
    Scaled,
    SubsampledDCT,
    Subsampling,
    Sum,
    Wavelet,
    gaussian,
    gaussian_blocks,
)
from unrollbit.specs import Specified
from unrollbit.structures import Indexed, Structure
from unrollbit.values import pytree


def test_equality_hash_copies_and_pickles(build):
    A, again = build(), build()
    assert (again == A) is True
    assert (A == 2.0 * A) is False
    assert hash(A) == hash(again)
    for twin in (copy.copy(A), copy.deepcopy(A), pickle.loads(pickle.dumps(A)), jax.tree.map(lambda leaf: leaf, A)):
        assert twin == A
        assert twin.to_spec().keys() == A.to_spec().keys()
    assert A.mask() == again.mask() == pickle.loads(pickle.dumps(A.mask()))


def test_content_is_compared():
    A = Dense(np.arange(6.0).reshape(2, 3))
    assert Dense(np.arange(6.0).reshape(2, 3) + 1) != A
    assert Dense(np.arange(6.0).reshape(3, 2)) != A
    assert dataclasses.replace(A, structure=A.matrix > 0) != A
    assert gaussian(4, 8) != gaussian(4, 8, seed=1)
    assert Convolution([1.0], 8) != Convolution([1.0], 8, "zero")
    assert {gaussian(4, 8): 1}[gaussian(4, 8)] == 1


def test_compiled_programs_serve_all_seeds_and_factors():
    traces = []

    @jax.jit
    def apply(A, x):
        traces.append(A)
        return A(x)

    x = jnp.ones(8)
    for kinds in (
        [gaussian(4, 8, seed) for seed in range(3)],
        [gaussian_blocks(2, 2, 4, seed) for seed in range(3)],
        [factor * Hadamard(4, 8) for factor in (0.5, -3.0, 1e-20)],
    ):
        traces.clear()
        for A in kinds:
            np.testing.assert_allclose(apply(A, x), np.asarray(A.dense()) @ x, rtol=1e-5)
        assert len(traces) == 1
    twin = jax.tree.map(lambda leaf: leaf, gaussian(4, 8, 2))
    assert twin.to_spec() == {"kind": "Dense", "recipe": ["gaussian", 4, 8, 2]}
    other = jax.tree.unflatten(jax.tree.structure(gaussian(4, 8, 1)), jax.tree.leaves(twin))
    assert "matrix" in other.to_spec()  # a recipe of another matrix is not believed


def test_factors_may_be_traced():
    A = gaussian(4, 8)
    slope = jax.grad(lambda factor: jnp.sum((factor * A)(jnp.ones(8)) ** 2))(2.0)
    assert slope == pytest.approx(4.0 * float(jnp.sum(A(jnp.ones(8)) ** 2)), rel=1e-5)


def test_a_mask_says_what_is_kept():
    mask = np.array([[True, False, True], [False, False, True]])
    assert Subsampling.of(mask) == Subsampling.of((2, 3), [0, 2, 5])
    assert Subsampling.of([True, False]).shape == (1, 2)
    for wrong in ((2, 3), 5, [[1, 0]]):
        with pytest.raises(ValueError, match="expected a shape and indices, or a boolean mask, got"):
            Subsampling.of(wrong)


def test_one_line_of_text(operator):
    for text in (repr(operator), repr(operator.mask())):
        assert "\n" not in text
        assert len(text) < 300
    assert repr(Dense(np.ones((2, 3)))) == "Dense(matrix=float32[2, 3], recipe=None, structure=None)"
    mask = Indexed.from_mask(np.ones((30, 30), bool))
    assert repr(mask) == "Indexed(m=30, n=30, indices=(0, 1, 2, 3, ... 900 in all))"


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda norm: pickle.loads(pickle.dumps(norm))])
def test_norms_copy(twin):
    norm = Norm(2.5, exact=True)
    assert twin(norm) == norm
    assert twin(norm).exact
    assert not twin(Norm(2.5, exact=False)).exact


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Composition(gaussian(8, 16), gaussian(8, 16)), r"cannot compose operators of shapes \(8, 16\) and"),
        (lambda: gaussian(8, 16) @ gaussian(8, 16), r"cannot compose operators of shapes \(8, 16\) and"),
        (lambda: Sum(gaussian(8, 16), gaussian(8, 15)), "cannot add operators of shapes"),
        (lambda: gaussian(8, 16) + gaussian(4, 16), "cannot add operators of shapes"),
        (lambda: Scaled(gaussian(8, 16), np.inf), "factor: expected a finite number, got inf"),
        (lambda: np.nan * gaussian(8, 16), "factor: expected a finite number, got nan"),
        (lambda: Dense([1.0, 2.0]), "matrix: expected a non-empty 2-D array"),
        (lambda: dataclasses.replace(gaussian(2, 3), matrix=jnp.full((2, 3), jnp.nan)), "NaN"),
        (lambda: BlockDiagonal(np.ones((2, 2))), "blocks: expected a non-empty 3-D array"),
        (lambda: Convolution([1.0], (3, 3)), "kernel: expected a non-empty 2-D array"),
        (lambda: Convolution([1.0], 5, stride=2), "stride: 2 does not divide"),
        (lambda: Banded([1.0], 3, 3, lower=0.5), "lower: expected an integer"),
        (lambda: Wavelet((12,), "db1", 3), "at most 2 levels"),
        (lambda: Radon(4, [np.nan]), "angles: expected"),
        (lambda: SubsampledDCT((8,), 9, seed=0), "at most 8 coefficients"),
        (lambda: SubsampledDCT((8,), 3, None, (1, 1, 2)), "3 distinct integers"),
        (lambda: Rademacher(4, 8, 0, jnp.zeros((4, 2), jnp.uint8)), r"packed: expected bytes of shape \(4, 1\)"),
    ],
)
def test_constructors_check(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_arithmetic():
    A, B, Psi = gaussian(4, 8), gaussian(4, 8, seed=1), Wavelet((8,), "db1", 1)
    a, b, psi = (np.asarray(operator.dense()) for operator in (A, B, Psi))
    for found, wanted in (
        (A @ Psi, a @ psi),
        (A + B, a + b),
        (A - B, a - b),
        (-A, -a),
        (2 * A, 2 * a),
        (A * np.float64(0.5), a / 2),
        (np.float32(0.5) * A, a / 2),
        (A / 4, a / 4),
        (jnp.asarray(3.0) * A, 3 * a),
        ((A @ A.T).T, a @ a.T),
    ):
        assert isinstance(found, LinearOperator)
        np.testing.assert_allclose(found.dense(), wanted, rtol=1e-5, atol=1e-6)
    with pytest.raises(TypeError):
        A @ np.ones(8)
    with pytest.raises(TypeError):
        A + 1.0


def test_traced_and_placeholder_leaves_pass():
    A = Convolution([0.25, 0.5, 0.25], 8)
    leaves, treedef = jax.tree.flatten(A)
    assert jax.tree.unflatten(treedef, [None] * len(leaves)).kernel is None
    assert jax.tree.map(jnp.shape, A).kernel == (3,)
    found = jax.jit(lambda kernel, x: Convolution(kernel, 8)(x))(jnp.asarray([0.25, 0.5, 0.25]), jnp.ones(8))
    np.testing.assert_allclose(found, np.ones(8), rtol=1e-6)
    slopes = jax.grad(lambda kernel: jnp.sum(Convolution(kernel, 8)(jnp.ones(8))))(jnp.ones(3))
    np.testing.assert_allclose(slopes, np.full(3, 8.0))


DISAGREE = {
    "dense": lambda: dataclasses.replace(gaussian(8, 16), matrix=0.5 * gaussian(8, 16).matrix),
    "dense, mapped": lambda: jax.tree.map(lambda leaf: 0.5 * leaf, gaussian(8, 16)),
    "blocks": lambda: jax.tree.map(lambda leaf: 0.5 * leaf, gaussian_blocks(2, 4, 8)),
    "signs": lambda: dataclasses.replace(Rademacher(8, 16), packed=~Rademacher(8, 16).packed),
}


@pytest.mark.long
@pytest.mark.parametrize("name", DISAGREE)
def test_a_recipe_that_no_longer_holds_is_not_saved(name, tmp_path):
    A = DISAGREE[name]()
    net = Unrolled(ISTA(), A, 2, distinct=1)
    path = pack(net).save(tmp_path / "net.safetensors")
    y = np.random.RandomState(0).standard_normal(A.shape[0]).astype(np.float32)
    np.testing.assert_allclose(load(path)(y), net(y), rtol=1e-5, atol=1e-6)
    assert A.physics_bits() > 0
    np.testing.assert_array_equal(LinearOperator.from_spec(A.to_spec()).dense(), A.dense())


def test_arrays_that_no_file_can_describe_are_refused_when_saved():
    PA = Preconditioned.of(gaussian(4, 8))
    assert LinearOperator.from_spec(PA.to_spec()) == PA
    with pytest.raises(ValueError, match="not those that the operator and delta give"):
        jax.tree.map(lambda leaf: 2 * leaf, PA).to_spec()


def test_a_recipe_that_holds_is_still_saved():
    A = gaussian(8, 16)
    for same in (A, jax.tree.map(jnp.copy, A), dataclasses.replace(A, matrix=np.asarray(A.matrix))):
        assert same.to_spec() == {"kind": "Dense", "recipe": ["gaussian", 8, 16, 0]}


@pytest.mark.parametrize(("family", "name"), [(LinearOperator, "Dense"), (Structure, "Full")])
def test_a_second_class_of_a_name_is_refused(family, name):
    with pytest.raises(TypeError, match=f"already has a kind '{name}'"):
        type(name, (family,), {})
    assert family.kinds[name].__module__.startswith("unrollbit.")


def test_abstract_kinds_are_not_listed():
    for family, abstract in ((LinearOperator, "Kept"), (Structure, "DenseCore")):
        assert issubclass(family, Specified)
        assert abstract not in family.kinds
        with pytest.raises(ValueError, match=f"unknown kind of {family.__name__} '{abstract}'"):
            family.from_spec({"kind": abstract})


def test_both_ways_of_registering_a_pytree_pass_through_jit():
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass(frozen=True)
    class Doubling(Hadamard):
        pass

    @pytree
    @dataclasses.dataclass(frozen=True)
    class Tripling(Hadamard):
        pass

    for A in (Doubling(2, 4), Tripling(2, 4)):
        assert jax.jit(lambda B, x: B(x))(A, jnp.ones(4)).shape == (2,)
