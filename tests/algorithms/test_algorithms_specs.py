"""Algorithms as values: specs, scalars, and what is refused."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit.algorithms import ADMM, AMP, FISTA, ISTA, Algorithm, GradientDescent
from unrollbit.scalars import ScalarSpec, constrained
from unrollbit.shrinkage import GroupSoft, Soft

ALGORITHMS: dict[str, Algorithm] = {
    "ista": ISTA(regularisation=0.05),
    "ista classic": ISTA(regularisation=0.05, parametrisation="classic"),
    "ista step": ISTA(regularisation=0.05, parametrisation="step"),
    "fista": FISTA(regularisation=0.05),
    "gradient descent": GradientDescent(),
    "admm": ADMM(regularisation=0.05),
    "amp": AMP(),
    "amp computed": AMP(shrinkage=Soft(), onsager="computed"),
    "amp plain": AMP(onsager="none", momentum=False),
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_specs_rebuild_algorithms(algorithm: str) -> None:
    import json

    spec = json.loads(json.dumps(ALGORITHMS[algorithm].to_spec()))
    rebuilt = Algorithm.from_spec(spec)
    assert rebuilt == ALGORITHMS[algorithm]
    assert hash(rebuilt) == hash(ALGORITHMS[algorithm])


BAD_ARGUMENTS = {
    "negative lambda": (
        lambda: ISTA(regularisation=-0.1),
        "regularisation: expected a finite weight lambda >= 0, got -0.1",
    ),
    "nan lambda": (lambda: FISTA(regularisation=float("nan")), "regularisation.*nan"),
    "lambda of admm": (lambda: ADMM(regularisation=-1.0), "regularisation"),
    "rho": (lambda: ADMM(rho=0.0), "rho: expected a finite penalty parameter > 0, got 0.0"),
    "nan rho": (lambda: ADMM(rho=float("nan")), "rho"),
    "parametrisation": (
        lambda: ISTA(parametrisation="coupledd"),
        "parametrisation: expected one of .* got 'coupledd'",
    ),
    "onsager": (lambda: AMP(onsager="guessed"), "onsager: expected one of .*, got 'guessed'"),
    "momentum": (lambda: AMP(momentum=1), "momentum: expected a bool, got 1"),
    "momentum in a spec": (
        lambda: Algorithm.from_spec({"kind": "AMP", "momentum": "no"}),
        "AMP.momentum: expected bool, got 'no'",
    ),
    "not separable": (
        lambda: AMP(shrinkage=GroupSoft(2), onsager="computed"),
        "GroupSoft is not separable; use onsager='learned'",
    ),
    "unknown spec": (lambda: Algorithm.from_spec({"kind": "LISTA"}), "unknown kind of Algorithm 'LISTA'.*ISTA"),
    "unknown field": (lambda: Algorithm.from_spec({"kind": "ISTA", "lambda": 1.0}), "ISTA has no field 'lambda'"),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_bad_algorithms_are_refused(case: str) -> None:
    make, message = BAD_ARGUMENTS[case]
    with pytest.raises(ValueError, match=message):
        make()


def test_scalar_specs() -> None:
    positive, free = ScalarSpec(2.0, "positive"), ScalarSpec(lambda depth: np.arange(depth), "free", (3,))
    np.testing.assert_allclose(constrained(positive.raw(positive.initial_values(4)), "positive"), 2.0, rtol=1e-6)
    assert float(constrained(jnp.asarray(-3.0), "free")) == -3.0
    np.testing.assert_array_equal(free.initial_values(2), [[0, 0, 0], [1, 1, 1]])
    nonnegative = ScalarSpec(0.0, "nonnegative")
    assert 0 <= float(constrained(nonnegative.raw(nonnegative.initial_values(1)), "nonnegative")[0]) <= 2e-12
    with pytest.raises(ValueError, match=r"initial value 0\.0 breaks the constraint 'positive'"):
        ScalarSpec(0.0, "positive").raw(np.zeros(2))
    with pytest.raises(ValueError, match=r"initial value -1\.0 breaks the constraint 'nonnegative'"):
        nonnegative.raw(np.array([1.0, -1.0]))
