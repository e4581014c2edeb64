"""A small decoder-only Transformer over bytes, and how it is trained and measured; it knows nothing of formats."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int

from unrollbit.variables import BinaryParam

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


def is_block(path: Any, module: Any) -> bool:
    """A filter of Flax: the blocks."""
    del path
    return isinstance(module, Block)


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
    rate: float = 1e-3,
    sign_rate: float = 1e-2,
) -> Float[np.ndarray, " steps"]:
    """Train a model in place on random windows of a text; the loss of every step.

    All steps are one program. Adam, its rates rise for a tenth of the steps and fall to 0 along a cosine; gradients
    are cut at norm 1.
    """
    graph, trained, rest = nnx.split(model, nnx.Param, ...)

    def adam(peak: float) -> optax.GradientTransformation:
        schedule = optax.warmup_cosine_decay_schedule(0.0, peak, max(1, steps // 10), max(2, steps))
        return optax.adam(schedule, 0.9, 0.98)

    labels = nnx.map_state(lambda _, variable: "signs" if isinstance(variable, BinaryParam) else "others", trained)
    rates = optax.multi_transform({"signs": adam(sign_rate), "others": adam(rate)}, labels)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), rates)
    trained, losses = _trained(
        (graph, optimiser, objective, steps, batch, context),
        trained,
        rest,
        teacher,
        jnp.asarray(text),
        jax.random.key(seed),
    )
    nnx.update(model, trained)
    return np.asarray(losses)


@functools.partial(jax.jit, static_argnums=0)
def _trained(setting: Any, trained: Any, rest: Any, teacher: Any, text: Array, key: Array) -> tuple[Any, Array]:
    graph, optimiser, objective, steps, batch, context = setting

    def loss(trained: Any, tokens: Array) -> Array:
        return objective(nnx.merge(graph, trained, rest), teacher, tokens)

    def step(carry: tuple[Any, Any], index: Array) -> tuple[tuple[Any, Any], Array]:
        trained, state = carry
        starts = jax.random.randint(jax.random.fold_in(key, index), (batch,), 0, len(text) - context)
        tokens = text[starts[:, None] + jnp.arange(context + 1)].astype(jnp.int32)
        value, gradients = jax.value_and_grad(loss)(trained, tokens)
        updates, state = optimiser.update(gradients, state, trained)
        return (optax.apply_updates(trained, updates), state), value

    (trained, _), losses = jax.lax.scan(step, (trained, optimiser.init(trained)), jnp.arange(steps))
    return trained, losses


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
    model: Any, prompt: Int[np.ndarray, " time"], count: int
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
