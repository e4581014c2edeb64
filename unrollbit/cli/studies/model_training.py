"""How the studies train models that are not unrolled: any Flax model, all steps one program."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float

from unrollbit.formats import Format
from unrollbit.variables import BinaryParam

Loss = Callable[[Any, Any, Array], Array]  # (model, data, key of the step): a loss


def holdable(formats: Mapping[str, Format], shape: tuple[int, int]) -> tuple[dict[str, Format], list[str]]:
    """The formats that can hold a matrix of this shape, and in words those that cannot."""
    found, missing = {}, []
    for name, format in formats.items():
        try:
            format.from_matrix(np.eye(*shape, dtype=np.float32))
        except ValueError as error:
            missing.append(f"{name}: {error}")
        else:
            found[name] = format
    return found, missing


def train_model(
    model: nnx.Module,
    loss: Loss,
    data: Any,
    *,
    steps: int,
    seed: int,
    rate: float = 1e-3,
    sign_rate: float = 1e-2,
) -> Float[np.ndarray, " steps"]:
    """Train a model in place; the loss of every step. ``data``: a pytree that the loss draws its batch from.

    Adam, its rates rise for a tenth of the steps and fall to 0 along a cosine; gradients are cut at norm 1.
    """
    graph, trained, rest = nnx.split(model, nnx.Param, ...)

    def adam(peak: float) -> optax.GradientTransformation:
        schedule = optax.warmup_cosine_decay_schedule(0.0, peak, max(1, steps // 10), max(2, steps))
        return optax.adam(schedule, 0.9, 0.98)

    are_signs = nnx.OfType(BinaryParam)
    labels = nnx.map_state(lambda path, variable: "signs" if are_signs(path, variable) else "others", trained)
    rates = optax.multi_transform({"signs": adam(sign_rate), "others": adam(rate)}, labels)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), rates)
    trained, losses = _trained((graph, optimiser, loss, steps), trained, rest, data, jax.random.key(seed))
    nnx.update(model, trained)
    return np.asarray(losses)


@functools.partial(jax.jit, static_argnums=0)
def _trained(setting: Any, trained: Any, rest: Any, data: Any, key: Array) -> tuple[Any, Array]:
    graph, optimiser, loss, steps = setting

    def step(carry: tuple[Any, Any], index: Array) -> tuple[tuple[Any, Any], Array]:
        trained, state = carry
        value, gradients = jax.value_and_grad(
            lambda trained: loss(nnx.merge(graph, trained, rest), data, jax.random.fold_in(key, index))
        )(trained)
        updates, state = optimiser.update(gradients, state, trained)
        return (optax.apply_updates(trained, updates), state), value

    (trained, _), losses = jax.lax.scan(step, (trained, optimiser.init(trained)), jnp.arange(steps))
    return trained, losses
