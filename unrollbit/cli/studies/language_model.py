"""A small decoder-only Transformer over bytes, and how it is trained and measured; it knows nothing of formats."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, Integer

from unrollbit.cli.studies.model_training import train_model

Objective = Callable[[Any, Any, Array], Array]  # (model, teacher or None, windows): a loss
_BATCH = 16  # windows that are measured at a time


class Block(nnx.Module):
    """Pre-norm attention and a GELU layer of four times the width."""

    def __init__(self, width: int, heads: int, rngs: nnx.Rngs) -> None:
        self.before_attention = nnx.RMSNorm(width, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(heads, width, use_bias=False, decode=False, rngs=rngs)
        self.before_mlp = nnx.RMSNorm(width, rngs=rngs)
        self.up = nnx.Linear(width, 4 * width, use_bias=False, rngs=rngs)
        self.down = nnx.Linear(4 * width, width, use_bias=False, rngs=rngs)

    def __call__(self, x: Float[Array, "batch time width"]) -> Float[Array, "batch time width"]:
        x = x + self.attention(self.before_attention(x), mask=nnx.make_causal_mask(x[..., 0]))
        return x + self.down(nnx.gelu(self.up(self.before_mlp(x))))


class LanguageModel(nnx.Module):
    """Logits of the next byte after each one; the embedding is the head, too."""

    def __init__(self, width: int, blocks: int, context: int, rngs: nnx.Rngs) -> None:
        scaled = nnx.initializers.normal(width**-0.5)
        self.tokens = nnx.Embed(256, width, embedding_init=scaled, rngs=rngs)
        self.places = nnx.Embed(context, width, embedding_init=nnx.initializers.normal(0.02), rngs=rngs)
        self.blocks = nnx.List([Block(width, max(1, width // 64), rngs) for _ in range(blocks)])
        self.norm = nnx.RMSNorm(width, rngs=rngs)

    def __call__(self, tokens: Int[Array, "batch time"]) -> Float[Array, "batch time 256"]:
        x = self.tokens(tokens) + self.places(jnp.arange(tokens.shape[-1]))
        for block in self.blocks:
            x = block(x)
        return self.tokens.attend(self.norm(x))


is_block = nnx.OfType(Block)  # a filter of Flax


def cross_entropy(model: LanguageModel, teacher: Any, tokens: Int[Array, "batch time"]) -> Float[Array, ""]:
    """``mean -log p(next byte)``, in nats."""
    del teacher
    logits = model(tokens[:, :-1])
    return optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]).mean()


def train(
    model: LanguageModel,
    text: np.ndarray,
    objective: Objective,
    *,
    teacher: LanguageModel | None = None,
    steps: int,
    batch: int,
    context: int,
    seed: int,
) -> Float[np.ndarray, " steps"]:
    """Train a model in place on random windows of a text; the loss of every step."""

    def loss(model: LanguageModel, data: tuple[Any, Array], key: Array) -> Array:
        teacher, text = data
        starts = jax.random.randint(key, (batch,), 0, len(text) - context)
        return objective(model, teacher, text[starts[:, None] + jnp.arange(context + 1)].astype(jnp.int32))

    return train_model(model, loss, (teacher, jnp.asarray(text)), steps=steps, seed=seed)


def measured(model: Any, tokens: np.ndarray) -> dict[str, float]:
    """Bits per byte, perplexity of a byte and accuracy of the next one over windows (count, context + 1)."""
    nats = right = 0.0
    for start in range(0, len(tokens), _BATCH):
        loss, hits = _scored(model, jnp.asarray(tokens[start : start + _BATCH], jnp.int32))
        nats, right = nats + float(loss), right + float(hits)
    count = tokens.shape[0] * (tokens.shape[1] - 1)
    mean = nats / count
    return {"bits_per_byte": mean / np.log(2), "perplexity": float(np.exp(mean)), "accuracy": right / count}


@jax.jit
def _scored(model: Any, tokens: Array) -> tuple[Array, Array]:
    logits, following = model(tokens[:, :-1]), tokens[:, 1:]
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, following).sum()
    return loss, jnp.sum(jnp.argmax(logits, -1) == following)


def bytes_per_second(models: Mapping[str, Any], tokens: np.ndarray, rounds: int = 15) -> dict[str, float]:
    """Bytes that models read in a second, by name: the median of some calls on the same windows. They run in turn, so
    that what else the machine does meets all of them alike; compare ratios.
    """
    run, batch = jax.jit(lambda model, tokens: model(tokens)), jnp.asarray(tokens, jnp.int32)
    times: dict[str, list[float]] = {name: [] for name in models}
    for count in range(rounds + 1):
        for name, model in models.items():
            begun = time.perf_counter()
            jax.block_until_ready(run(model, batch))
            if count:  # the first call compiles
                times[name].append(time.perf_counter() - begun)
    return {name: batch.size / float(np.median(spent)) for name, spent in times.items()}


def generated(
    model: Any, prompt: Integer[np.ndarray, " time"], count: int
) -> tuple[np.ndarray, Float[np.ndarray, "count 256"]]:
    """The likeliest next bytes, one after another, and the logits that they were taken by."""
    tokens, logits = np.asarray(prompt), []
    window = len(tokens)
    for _ in range(count):
        logits.append(np.asarray(_next(model, jnp.asarray(tokens[None, -window:], jnp.int32))))
        tokens = np.append(tokens, logits[-1].argmax())
    return tokens[window:], np.stack(logits)


@jax.jit
def _next(model: Any, tokens: Array) -> Array:
    return model(tokens)[0, -1]
