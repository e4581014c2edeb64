"""Which algorithm suits a problem, and with what numbers it starts: measured on its physics and signals."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.algorithms import ADMM, AMP, FISTA, Algorithm
from unrollbit.algorithms.random_like import is_random_like
from unrollbit.baselines import Classic, tune
from unrollbit.operators import LinearOperator
from unrollbit.operators.physics import physics_of
from unrollbit.shrinkage import BernoulliGaussian

_SIGNALS = 64
_SPARSITY = 0.1  # of signals drawn where there is only physics
_LARGEST_INVERSE = 2048  # measurements (of a block) whose regularised inverse is computed for ADMM
_AHEAD = 1.0  # dB that ADMM, which holds a second matrix, must bring
_PASSED = 0.5  # share of signals that a solver must let pass: where thresholds stop them, no gradient passes either


def chosen_algorithm(problem: Any, held: Any, depth: int) -> Algorithm:
    """``AMP`` with the shrinkage that fits the signals where the physics is random-like; else the best classic solver
    of ``depth`` iterations, FISTA or ADMM, tuned on validation signals: a network that starts there, with W at its
    start value, is no worse than what one would use without training.

    ADMM is taken where it is ahead by 1 dB and its matrix is not too large. Solvers whose best thresholds stop most
    signals, as under artefacts stronger than the signal, are no start: nothing could be learned from them. Where all
    are like that, it is AMP again, and its start may be worse than zero. ``held``: what the network has as its physics.
    With physics alone sparse signals stand for the problem's, and FISTA starts at its defaults.
    """
    A = physics_of(held)
    prior = problem.prior() if hasattr(problem, "prior") else BernoulliGaussian()
    if not hasattr(problem, "sample"):
        x = _sparse(A.shape[1])
        return AMP(prior) if is_random_like(A.bare, prior, x, A.bare(x)) else FISTA()
    if A.derived(("random-like", problem), lambda: is_random_like(A, prior, *_drawn(problem, "train"))):
        return AMP(prior)
    classic = A.derived(("classic", problem, depth), lambda: _best_classic(problem, A, depth))
    return AMP(prior) if classic is None else classic


def _best_classic(problem: Any, A: LinearOperator, depth: int) -> Algorithm | None:
    """The best classic solver, tuned; None where each stops most of the signals."""
    x, y = _drawn(problem, "validation")
    found = [tune(Classic(FISTA(), depth), A, x, y)]
    m = A.shape[0] // A.mask().blocks
    if A.frame_constant is None and m <= _LARGEST_INVERSE:  # for tight frames the inverse is a multiple of A
        found.append(tune(Classic(ADMM(), depth), A, x, y, count=4))
    usable = [tuned for tuned in found if np.any(np.asarray(tuned.baseline(A, y)) != 0, -1).mean() >= _PASSED]
    if not usable:
        return None
    first, last = usable[0], usable[-1]
    return (last if last.nmse_db < first.nmse_db - _AHEAD else first).baseline.algorithm


def _drawn(problem: Any, subset: str) -> tuple[Array, Array]:
    return problem.split(subset).sample(jax.random.key(0), _SIGNALS)


def _sparse(n: int) -> Float[Array, "batch n"]:
    random = np.random.RandomState(0)
    values = random.standard_normal((_SIGNALS, n)) * (random.uniform(size=(_SIGNALS, n)) < _SPARSITY)
    return jnp.asarray(values, jnp.float32)
