"""Networks that hold a form of the problem's physics: whitened, or in sign planes; as files and in memory."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import AMP, ISTA, Unrolled, load, pack
from unrollbit.formats import Anchored, Designed, Fixed, Normalised, OneBit
from unrollbit.operators import Dense, LinearOperator, Preconditioned, ill_conditioned
from unrollbit.packed_operators import sign_planes
from unrollbit.packed_operators.packed_signs import PackedSigns
from unrollbit.problems import BlockSparseRecovery, SparseRecovery
from unrollbit.training import recipes

FORMS = {
    "preconditioned": lambda A: Preconditioned.of(A, 0.01),
    "sign planes": lambda A: sign_planes(A, 4),
}
PROBLEMS = {
    "gaussian": lambda: SparseRecovery(24, 48),
    "blocks": lambda: BlockSparseRecovery(blocks=3, m=8, n=16),
}
WEIGHTS = {
    "W = A": Normalised(Fixed()),
    "anchored": Normalised(Anchored(Designed(OneBit(scale="global"), steps=5))),
}


@pytest.mark.long
@pytest.mark.grid(2)
@pytest.mark.parametrize(
    ("form", "problem", "weights"),
    [
        ("preconditioned", "gaussian", "anchored"),
        ("sign planes", "gaussian", "W = A"),
        ("sign planes", "blocks", "anchored"),
    ],
)
def test_a_file_gives_back_the_network_and_its_physics(form: str, problem: str, weights: str, tmp_path) -> None:
    measured = PROBLEMS[problem]()
    held = FORMS[form](measured.operator)
    net = Unrolled(ISTA(adaptive=True), held, 4, WEIGHTS[weights], distinct=2)
    _, y = measured.sample(jax.random.key(0), 5)
    expected = net(y)
    packed = load(pack(net, problem=measured).save(tmp_path / "net.safetensors"))
    assert type(packed.network.operator) is type(held)
    np.testing.assert_array_equal(packed.network.operator.dense(), held.dense())
    assert float(jnp.linalg.norm(packed(y) - expected)) <= 1e-5 * float(jnp.linalg.norm(expected))
    np.testing.assert_array_equal(packed.trainable()(y), expected)
    # the file knows the physics that measured, too
    assert packed.problem == measured.to_spec()
    assert packed.run.fingerprint == packed.measured == pytest.approx(measured.operator.fingerprint(), rel=1e-7)
    assert packed.measured != pytest.approx(packed.network.operator.fingerprint(), rel=1e-4)
    report = packed.bits()
    assert report.physics_bits == (0 if form == "preconditioned" else held.resident_bits())
    assert report.physics_resident_bits == held.resident_bits()


def test_a_whitened_network_takes_raw_measurements() -> None:
    A = ill_conditioned(12, 24, condition=100.0)
    held = Preconditioned.of(A, 1e-3)
    y = A(jnp.asarray(np.random.RandomState(0).standard_normal((3, 24)) * (np.arange(24) < 3), jnp.float32))
    net = Unrolled(AMP(), held, 3, Fixed())
    by_hand = Unrolled(AMP(), Dense(held.dense()), 3, Fixed())(held.accept(y))
    np.testing.assert_allclose(net(y), by_hand, rtol=1e-4, atol=1e-5)
    assert float(jnp.linalg.norm(net(y) - net(held.accept(y)))) > 0.1 * float(jnp.linalg.norm(net(y)))
    np.testing.assert_allclose(pack(net)(y), by_hand, rtol=1e-4, atol=1e-5)


def test_saving_what_was_loaded_keeps_the_fingerprint_of_the_problem(tmp_path) -> None:
    problem = SparseRecovery(8, 16)
    net = Unrolled(AMP(), sign_planes(problem.operator, 2), 2, Fixed())
    for given, fingerprint in ((problem, pack(net, problem=problem).run.fingerprint), (None, None)):
        first = load(pack(net, problem=given).save(tmp_path / "first.safetensors"))
        assert first.run.fingerprint == fingerprint
        assert load(first.save(tmp_path / "second.safetensors")).run.fingerprint == fingerprint


def float_sizes(jaxpr) -> set[int]:
    """Sizes of all floating arrays in a program, those inside scan bodies and called functions included."""
    atoms = [*jaxpr.constvars, *jaxpr.invars, *(atom for equation in jaxpr.eqns for atom in equation.outvars)]
    sizes = {atom.aval.size for atom in atoms if jnp.issubdtype(atom.aval.dtype, jnp.floating)}
    for equation in jaxpr.eqns:
        for value in jax.tree.leaves(equation.params, is_leaf=lambda v: hasattr(v, "eqns") or hasattr(v, "jaxpr")):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                sizes |= float_sizes(inner)
    return sizes


@pytest.mark.long
@pytest.mark.parametrize("weights", WEIGHTS)
def test_physics_in_sign_planes_never_become_floats(weights: str, tmp_path) -> None:
    m, n = 64, 128
    problem = SparseRecovery(m, n)
    net = Unrolled(AMP(), sign_planes(problem.operator, 3), 4, WEIGHTS[weights], distinct=2)
    packed = load(pack(net).save(tmp_path / "net.safetensors"))
    assert isinstance(packed.network.operator, PackedSigns)
    program = jax.make_jaxpr(lambda net, y: net(y))
    assert max(float_sizes(program(packed.network, jnp.ones((1, m))).jaxpr)) < m * n // 2
    assert max(float_sizes(program(net, jnp.ones((1, m))).jaxpr)) >= m * n  # the check sees matrices
    held = [jnp.size(leaf) for leaf in jax.tree.leaves(packed.network) if jnp.result_type(leaf) == jnp.float32]
    assert max(held) < m * n // 2


@pytest.mark.slow
def test_more_planes_of_physics_recover_better() -> None:
    """What such a network recovers is limited by the error of its physics."""
    problem = SparseRecovery(64, 128)
    x, y = problem.sample(jax.random.key(0), 200)

    def error(A: LinearOperator) -> float:
        net = Unrolled(AMP(), A, 12, Normalised(Fixed()), distinct=1)
        return float(jnp.sum((net(y) - x) ** 2) / jnp.sum(x**2))

    errors = [error(sign_planes(problem.operator, planes)) for planes in (2, 4, 8)]
    assert errors[0] > 2 * errors[1]
    assert errors[1] > 1.2 * errors[2]
    assert errors[2] == pytest.approx(error(problem.operator), rel=0.05)


@pytest.mark.long
def test_recipes_hold_a_form_of_the_physics_and_refuse_another_shape() -> None:
    problem = SparseRecovery(8, 16)
    held = Preconditioned.of(problem.operator)
    made = {
        "two_stage": recipes.two_stage(problem, 3, physics=held),
        "designed_signs": recipes.designed_signs(problem, 3, physics=held),
        "learned_signs": recipes.learned_signs(problem, 3, physics=held),
        "scalars_only": recipes.scalars_only(problem, 3, weights=Fixed(), physics=held),
        "full_precision": recipes.full_precision(problem, 3, physics=held),
    }
    for name, recipe in made.items():
        np.testing.assert_array_equal(recipe.network.operator.dense(), held.dense(), err_msg=name)
        products = np.einsum("kij,ij->kj", recipe.network.maps["W"].dense(), held.dense())
        np.testing.assert_allclose(products, 1.0, rtol=1e-4, err_msg=name)
    other = sign_planes(SparseRecovery(8, 20).operator, 2)
    with pytest.raises(ValueError, match=r"physics: expected the shape \(8, 16\) of A, got \(8, 20\)"):
        recipes.two_stage(problem, 3, physics=other)
