"""Students that follow their teachers."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import unrollbit
from unrollbit import KnowledgeDistillation, OneBitSVID
from unrollbit.models import hidden_states


@pytest.mark.long
def test_the_losses_are_those_of_the_papers(transformer, block):
    model, tokens = transformer
    student = unrollbit.quantise(model, OneBitSVID())

    def state_of(model):  # after the only block, by hand
        return np.asarray(model.blocks[0](model.tokens(tokens)), np.float64)

    t, s = np.asarray(model(tokens), np.float64), np.asarray(student(tokens), np.float64)
    a, b = state_of(model), state_of(student)
    shifted = t - t.max(-1, keepdims=True)
    p = np.exp(shifted) / np.exp(shifted).sum(-1, keepdims=True)
    log_q = s - s.max(-1, keepdims=True)
    log_q -= np.log(np.exp(log_q).sum(-1, keepdims=True))
    cross_entropy = -(p * log_q).sum(-1).mean()
    unit = [v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b)]

    def where(path, module):
        return isinstance(module, block)

    one_bit = KnowledgeDistillation(where=where)(student, model, tokens)
    little_bit = KnowledgeDistillation(states=10.0, agreement="squared", where=where)(student, model, tokens)
    assert one_bit == pytest.approx(cross_entropy + ((unit[0] - unit[1]) ** 2).sum(-1).mean(), rel=1e-4)
    assert little_bit == pytest.approx(cross_entropy + 10 * ((a - b) ** 2).mean(), rel=1e-4)
    values = KnowledgeDistillation(states=0.0, compare="values")(student, model, tokens)
    assert values == pytest.approx(((s - t) ** 2).sum() / (t**2).sum(), rel=1e-4)
    assert type(model.blocks[0]) is type(student.blocks[0]) is block  # as they were


@pytest.mark.long
def test_a_student_comes_closer_to_its_teacher(transformer):
    model, tokens = transformer
    student = unrollbit.quantise(model, OneBitSVID())

    def distance():
        return float(jnp.mean((student(tokens) - model(tokens)) ** 2))

    before = distance()
    losses = unrollbit.distil(student, model, [tokens] * 25, optimiser=optax.adam(3e-3))
    assert losses.shape == (25,)
    assert losses[-1] < losses[0]
    assert distance() < 0.5 * before


def test_what_cannot_be_compared_is_said(transformer):
    model, tokens = transformer
    student = unrollbit.quantise(model, OneBitSVID())
    rngs = nnx.Rngs(0)
    norms = nnx.Sequential(nnx.Embed(20, 4, rngs=rngs), nnx.LayerNorm(4, rngs=rngs))
    with pytest.raises(ValueError, match="names no module"):
        KnowledgeDistillation(where=nnx.Conv)(student, model, tokens)
    with pytest.raises(ValueError, match="to run as often in both models"):
        KnowledgeDistillation(where=nnx.LayerNorm)(student, norms, tokens)
    with pytest.raises(TypeError, match="quantised layers"):
        unrollbit.distil(model, model, [tokens])
    with pytest.raises(ValueError, match="at least one batch"):
        unrollbit.distil(student, model, [])
    with pytest.raises(ValueError, match="direction or squared"):
        KnowledgeDistillation(agreement="cosine")  # pyright: ignore[reportArgumentType]


def test_states_of_a_shared_layer_are_those_of_each_call():
    layer = nnx.Linear(3, 3, rngs=nnx.Rngs(0))
    x = jnp.eye(3)
    y, states = hidden_states(nnx.Sequential(layer, layer), nnx.Linear, x)
    ((first, second),) = states.values()
    assert jnp.allclose(first, layer(x), atol=1e-6)
    assert jnp.allclose(second, y, atol=1e-6)
