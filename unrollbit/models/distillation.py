"""A quantised model that follows the model it comes from."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from flax.nnx import filterlib
from jaxtyping import Array, Float

from unrollbit.arrays import direction, over
from unrollbit.models.parts import quantised_layers
from unrollbit.models.selection import named
from unrollbit.models.states import hidden_states


@dataclass(frozen=True)
class KnowledgeDistillation:
    """The loss of OneBit and LittleBit, ``loss(student, teacher, *inputs)``::

        L = outputs * D(t, s)  +  states * sum_i S(h_i of the teacher, h_i of the student)

    t and s are the outputs of both models for the same inputs, h_i their hidden states, means run over all tokens (all
    axes but the last). The teacher has no gradient.

    ===================  ==================================================================
    ``compare``          ``D(t, s)``
    ===================  ==================================================================
    ``"logits"``         ``mean -sum_c softmax(t / T)_c log softmax(s / T)_c`` (cross-entropy)
    ``"values"``         ``sum (s - t)^2 / sum t^2``, for models that give no logits
    ===================  ==================================================================

    ===================  ==================================================================
    ``agreement``        ``S(a, b)``
    ===================  ==================================================================
    ``"direction"``      ``mean || a / ||a|| - b / ||b|| ||^2`` (OneBit, ``states=1``)
    ``"squared"``        ``mean (a - b)^2`` over all entries (LittleBit, ``states=10``)
    ===================  ==================================================================

    LittleBit has the Kullback-Leibler divergence in place of the cross-entropy: the same but for a constant. Both
    papers compare the outputs of a Transformer's blocks; name them by ``where``.

    Args:
        outputs, states: weights of the terms; 0 leaves a term out.
        compare, agreement: see above.
        temperature: T.
        where: a filter of Flax for the modules whose outputs are compared, of one path in both models
            (``lambda path, module: isinstance(module, Block)``). None: the quantised layers.

    Raises:
        ValueError: an unknown word, a weight below 0, a temperature that is not above 0; when called, no module that
            ``where`` names, or one that runs in one model only.

    Sources: Xu et al. (OneBit), arXiv 2402.11295, section 3.4; Lee et al. (LittleBit), arXiv 2506.13771; Hinton,
    Vinyals, Dean, arXiv 1503.02531.

    Example:
        >>> from unrollbit import OneBit, quantise
        >>> rngs = nnx.Rngs(0)
        >>> teacher = nnx.Sequential(*(nnx.Linear(4, 4, rngs=rngs) for _ in range(3)))
        >>> loss = KnowledgeDistillation(outputs=0.0)
        >>> x = jnp.eye(4)
        >>> bool(loss(quantise(teacher, OneBit()), teacher, x) > 0)
        True
    """

    outputs: float = 1.0
    states: float = 1.0
    compare: Literal["logits", "values"] = "logits"
    agreement: Literal["direction", "squared"] = "direction"
    temperature: float = 1.0
    where: filterlib.Filter = None

    def __post_init__(self) -> None:
        for name, allowed in (("compare", ("logits", "values")), ("agreement", ("direction", "squared"))):
            if getattr(self, name) not in allowed:
                expected = " or ".join(allowed)
                raise ValueError(f"KnowledgeDistillation {name}: expected {expected}, got {getattr(self, name)!r}")
        if not (self.outputs >= 0 and self.states >= 0 and self.outputs + self.states > 0):
            raise ValueError(f"KnowledgeDistillation: expected weights >= 0, got {self.outputs} and {self.states}")
        if not self.temperature > 0:
            raise ValueError(f"KnowledgeDistillation temperature: expected a number > 0, got {self.temperature!r}")

    def __call__(self, student: nnx.Module, teacher: nnx.Module, *inputs: Any) -> Float[Array, ""]:
        where = self.where if self.where is not None else filterlib.PathIn(*quantised_layers(student))
        compared = where if self.states > 0 else None
        t, of_teacher = jax.lax.stop_gradient(hidden_states(teacher, compared, *inputs))
        s, of_student = hidden_states(student, compared, *inputs)
        pairs = _pairs(of_teacher, of_student) if self.states > 0 else []
        total = jnp.zeros(())
        if self.outputs > 0:
            total += self.outputs * (
                _cross_entropy(t, s, self.temperature) if self.compare == "logits" else _nmse(t, s)
            )
        differ = _direction_error if self.agreement == "direction" else _squared_error
        return total + self.states * sum(differ(a, b) for a, b in pairs)


def _pairs(teacher: dict[Any, list[Array]], student: dict[Any, list[Array]]) -> list[tuple[Array, Array]]:
    if not teacher:
        raise ValueError("KnowledgeDistillation: where names no module of the teacher; states=0 compares outputs alone")
    for path in teacher.keys() | student.keys():
        calls = len(teacher.get(path, ())), len(student.get(path, ()))
        if calls[0] != calls[1] or not calls[0]:
            raise ValueError(
                f"KnowledgeDistillation: expected {named(path)} to run as often in both models, at least once; it runs "
                f"{calls[0]} times in the teacher and {calls[1]} in the student"
            )
    return [pair for path, states in teacher.items() for pair in zip(states, student[path], strict=True)]


def _cross_entropy(t: Array, s: Array, T: float) -> Array:
    return jnp.mean(optax.softmax_cross_entropy(s / T, jax.nn.softmax(t / T)))


def _nmse(t: Array, s: Array) -> Array:
    energy = jnp.sum(t**2)
    return over(jnp.sum((s - t) ** 2), energy)


def _direction_error(a: Array, b: Array) -> Array:
    return jnp.mean(jnp.sum((direction(a) - direction(b)) ** 2, axis=-1))


def _squared_error(a: Array, b: Array) -> Array:
    return jnp.mean((a - b) ** 2)


def distil(
    student: nnx.Module,
    teacher: nnx.Module,
    batches: Iterable[Any],
    *,
    loss: KnowledgeDistillation = KnowledgeDistillation(),
    optimiser: optax.GradientTransformation | None = None,
) -> Float[np.ndarray, " steps"]:
    """Train a student, in place, to follow its teacher; returns the loss of every step.

    Args:
        student: of ``quantise(teacher, format)``; all its parameters train.
        teacher: the model that it comes from; it is not changed.
        batches: one step each: an array, or a tuple of the arguments of the models.
        loss: ``KnowledgeDistillation()`` is OneBit's.
        optimiser: of optax; default Adam at 1e-3.

    Raises:
        TypeError: a student without quantised layers.
        ValueError: no batch.

    Example:
        >>> from unrollbit import OneBitSVID, quantise
        >>> rngs = nnx.Rngs(0)
        >>> teacher = nnx.Sequential(*(nnx.Linear(8, 8, rngs=rngs) for _ in range(3)))
        >>> student = quantise(teacher, OneBitSVID())
        >>> losses = distil(student, teacher, [jnp.eye(8)] * 20)
        >>> bool(losses[-1] < losses[0])
        True
    """
    if not quantised_layers(student):
        raise TypeError("student: expected a model with quantised layers, such as quantise(teacher, OneBitSVID())")
    trained = nnx.Optimizer(student, optimiser or optax.adam(1e-3), wrt=nnx.Param)
    steps = []
    for batch in batches:
        inputs = batch if isinstance(batch, tuple) else (batch,)
        steps.append(_step(student, teacher, trained, loss, inputs))
    if not steps:
        raise ValueError("distil: expected at least one batch, got none")
    return np.asarray(jnp.stack(steps))


@functools.partial(nnx.jit, static_argnums=3)
def _step(
    student: nnx.Module, teacher: nnx.Module, trained: nnx.Optimizer, loss: Any, inputs: tuple[Any, ...]
) -> Array:
    value, gradients = nnx.value_and_grad(loss)(student, teacher, *inputs)
    trained.update(student, gradients)
    return value
