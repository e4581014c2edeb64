"""Which algorithm suits a problem, and with what numbers it starts: measured on its physics and signals."""

from __future__ import annotations

from typing import Any, NamedTuple

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
_ALIVE = 0.1  # dB below the zero estimate: less, and thresholds let nothing pass, no gradient either


class Chosen(NamedTuple):
    """An algorithm, and whether the physics was found random-like (``unrollbit.algorithms.random_like``)."""

    algorithm: Algorithm
    random_like: bool


def chosen_algorithm(problem: Any, held: Any, depth: int) -> Chosen:
    """``AMP`` with the shrinkage that fits the signals where the physics is random-like; else the best classic solver
    of ``depth`` iterations, FISTA or ADMM, tuned on validation signals: a network that starts there, with W at its
    start value, is no worse than what one would use without training.

    ADMM is taken where it is ahead by 1 dB and its matrix is not too large. Where no classic solver is better than
    zero, as under artefacts stronger than the signal, nothing could be learned from its thresholds, and it is AMP
    again. ``held``: what the network has as its physics. With physics alone sparse signals stand for the problem's,
    and FISTA starts at its defaults.
    """
    A = physics_of(held)
    prior = problem.prior() if hasattr(problem, "prior") else BernoulliGaussian()
    if not hasattr(problem, "sample"):
        x = _sparse(A.shape[1])
        like = is_random_like(A.bare, prior, x, A.bare(x))
        return Chosen(AMP(prior), True) if like else Chosen(FISTA(), False)
    if A.derived(("random-like", problem), lambda: is_random_like(A, prior, *_drawn(problem, "train"))):
        return Chosen(AMP(prior), True)
    classic = A.derived(("classic", problem, depth), lambda: _best_classic(problem, A, depth))
    return Chosen(AMP(prior) if classic is None else classic, False)


def _best_classic(problem: Any, A: LinearOperator, depth: int) -> Algorithm | None:
    """The best classic solver, tuned; None where it is no better than the zero estimate."""
    x, y = _drawn(problem, "validation")
    best = tune(Classic(FISTA(), depth), A, x, y)
    m = A.shape[0] // A.mask().blocks
    if A.frame_constant is None and m <= _LARGEST_INVERSE:  # for tight frames the inverse is a multiple of A
        other = tune(Classic(ADMM(), depth), A, x, y, count=4)
        best = other if other.nmse_db < best.nmse_db - _AHEAD else best
    return best.baseline.algorithm if best.nmse_db < -_ALIVE else None


def _drawn(problem: Any, subset: str) -> tuple[Array, Array]:
    return problem.split(subset).sample(jax.random.key(0), _SIGNALS)


def _sparse(n: int) -> Float[Array, "batch n"]:
    random = np.random.RandomState(0)
    values = random.standard_normal((_SIGNALS, n)) * (random.uniform(size=(_SIGNALS, n)) < _SPARSITY)
    return jnp.asarray(values, jnp.float32)
