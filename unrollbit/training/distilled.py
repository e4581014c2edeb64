"""The recipe of a student that starts at its teacher's matrices and follows it."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.arguments import integer
from unrollbit.formats import Format, OneBit, Weights
from unrollbit.networks import Unrolled
from unrollbit.operators.physics import physics_of
from unrollbit.training.losses import Distillation
from unrollbit.training.recipe import Recipe, Setting, recipe


@recipe("algorithm")
def distilled(
    problem: Any,
    teacher: Unrolled,
    depth: int | None = None,
    *,
    weights: Format = OneBit(),
    steps: int = 1000,
    sign_rate: float = 1e-2,
    **setting: Any,
) -> Recipe:
    """A student of any weight format: the teacher's cell and scalars, its matrices in that format, then ``steps`` steps
    that follow it.

    Train it with the teacher at hand: ``fit(recipe, problem, teacher=teacher)``. The student's
    layer k starts as the teacher's layer k. A student of fewer layers takes the first ones, and learns to end where
    the teacher ends; one of fewer distinct matrices starts each at the mean of those that it stands for.

    The start is worth more than the following: for 64 x 128 sparse recovery and eight layers of signs, 400 steps gave
    -16.0 dB with the loss of the signals alone, -16.6 dB with the teacher's terms, and ``two_stage`` -12.7 dB in 1,000
    (teacher: -29.8 dB; one seed each).

    Args:
        problem: the teacher's problem.
        teacher: a trained network, ``load(path).trainable()`` for one in a file.
        depth: layers of the student, at most the teacher's (default: as many).
        weights: the student's format; columns are normalised where the algorithm asks for it.
        steps: of the one stage of training.
        sign_rate: learning rate of quantised matrices.
        setting: as in all recipes, but for these defaults: ``physics``, what the teacher holds; ``distinct``, as many
            matrices as the teacher's and at most ``depth``; ``loss``, a ``Distillation`` with all terms.

    Raises:
        ValueError: a teacher that is no unrolled network or is for physics of another shape, or a depth that it lacks.

    Sources: Xu et al. (OneBit), arXiv 2402.11295, sections 3.3 and 3.4; Lee et al. (LittleBit), arXiv 2506.13771. Both
    start the student at a decomposition of the teacher's matrices and train all layers at once. Theirs has as many
    layers and matrices as its teacher.

    Example:
        >>> from unrollbit import AMP, FullPrecision, OneBit, Unrolled, fit
        >>> from unrollbit.problems import SparseRecovery
        >>> problem = SparseRecovery(8, 16)
        >>> teacher = Unrolled(AMP(), problem, 4, FullPrecision())
        >>> recipe = distilled(problem, teacher, 2, weights=OneBit(), steps=2, batch=4)
        >>> report = fit(recipe, problem, teacher=teacher, progress=False)
        >>> recipe.network.depth, report.steps
        (2, 2)
    """
    A = physics_of(problem)
    if not hasattr(teacher, "algorithm"):
        packed = "take its .network or .trainable()" if hasattr(teacher, "trainable") else "its layers are the start"
        raise ValueError(f"distilled: expected an Unrolled network as teacher, got {type(teacher).__name__}: {packed}")
    if teacher.operator.shape != A.shape:
        raise ValueError(f"distilled: the teacher is for physics of shape {teacher.operator.shape}, A has {A.shape}")
    depth = teacher.depth if depth is None else integer("depth, at most the teacher's", depth, 1, teacher.depth)
    copies = max(held.copies for held in teacher.maps.values())
    default = {"physics": teacher.operator, "distinct": min(depth, copies), "loss": Distillation()}
    given = {name: value for name, value in setting.items() if value is not None}
    start = Setting(problem, depth, teacher.algorithm, **{**default, **given})
    net = start.network(weights, scalars={name: raw[...][:depth] for name, raw in teacher.scalars.items()})
    net = net.with_maps({name: starting_at(weights, teacher.maps[name], depth) for name, weights in net.maps.items()})
    rates = {"scalars": 1e-2, "scales": 1e-3, "signs": sign_rate, "matrices": 1e-3}
    return Recipe(net, (start.stage(steps, rates=rates, name="distillation"),))


def matrices(weights: Weights, depth: int) -> Float[Array, "depth m n"]:
    """The matrix of each of the first ``depth`` layers."""
    return jnp.asarray(weights.dense())[np.arange(depth) % weights.copies]


def starting_at(weights: Weights, held: Weights, depth: int) -> Weights:
    """The same format at other matrices: number c at the mean of layers c, c + copies, ..."""
    layers = matrices(held, depth)
    return weights.rebuild(jnp.stack([jnp.mean(layers[c :: weights.copies], axis=0) for c in range(weights.copies)]))
