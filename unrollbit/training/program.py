"""The compiled training program of one stage: many steps per dispatch, data drawn on the device."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float

from unrollbit.networks import Network
from unrollbit.training.losses import batch_nmse
from unrollbit.training.placement import Placement, by_rows, everywhere, kept_state, local, shared_rows
from unrollbit.training.stage import Stage
from unrollbit.variables import TRAINED

LONGEST_CHUNK = 1000

TrainingState = dict[str, Any]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FixedSamples:
    """A fixed training set: ``sample`` draws rows with replacement."""

    x: Float[Array, "N n"]
    y: Float[Array, "N m"]

    @classmethod
    def draw(cls, problem: Any, key: Array, count: int) -> Self:
        """Draw the set once from a problem."""
        return cls(*problem.sample(key, count))

    def sample(self, key: Array, batch: int) -> tuple[Array, Array]:
        """``batch`` pairs of the set."""
        rows = jax.random.randint(key, (batch,), 0, self.x.shape[0], jnp.int32)
        return self.x[rows], self.y[rows]


class Program:
    """Runs the steps of one stage. Its state is a pytree: trained and other parameters, and the optimiser's state."""

    def __init__(
        self,
        net: Network,
        stage: Stage,
        key: Array,
        teacher: Network | None,
        *,
        unit: float = 1.0,
        elsewhere: Any = None,
        placement: Placement | None = None,
    ) -> None:
        """``unit``: size of the signals' entries, best a power of two. Loss and penalties are computed in it.
        ``elsewhere``: a problem of other physics on which the parameters are trained. ``placement``: on which devices.
        """
        net = net if elsewhere is None else net.with_physics(elsewhere)
        graph, trained, other, frozen = nnx.split(net, stage.types(), TRAINED, ...)
        self._initial = {"trained": trained, "other": other}
        self._placement = Placement() if placement is None else placement
        self._frozen, self._teacher = self._placement.fixed((frozen, teacher))
        self._key, self._optimiser = key, stage.optimiser(trained)
        self._chunk = compiled_chunk(graph, stage, unit, self._placement.mesh)

    def start(self) -> TrainingState:
        """State before the first step."""
        state = self._placement.state(self._initial)
        moments = self._optimiser.init(state["trained"])  # lie where what they are of lies
        return {**state, "optimiser": self._placement.state(moments)}

    def compile(self, state: TrainingState, source: Any) -> None:
        """Compile, if that is still to be done, by running no step."""
        jax.block_until_ready(self._dispatch(state, source, 0, 0))

    def run(
        self, state: TrainingState, source: Any, step: int, count: int
    ) -> tuple[TrainingState, Array, Array, Array]:
        """``count`` steps from number ``step``: new state, loss and batch NMSE of each step, new loss finite?"""
        assert count <= LONGEST_CHUNK
        return self._dispatch(state, source, step, count)

    def lowered(self, state: TrainingState, source: Any) -> jax.stages.Lowered:
        """The program before it is compiled, for those who look at what it holds and sends."""
        return self._chunk.lower(*self._arguments(state, source, 0, 0))

    def _dispatch(self, state: TrainingState, source: Any, step: int, count: int) -> Any:
        return self._chunk(*self._arguments(state, source, step, count))

    def _arguments(self, state: TrainingState, source: Any, step: int, count: int) -> tuple[Any, ...]:
        begin, steps = jnp.asarray(step, jnp.int32), jnp.asarray(count, jnp.int32)
        return state, self._frozen, source, self._teacher, self._key, begin, steps

    def write_back(self, net: Network, state: TrainingState) -> None:
        """Put the trained parameters into the network."""
        nnx.update(net, *local((state["trained"], state["other"])))


@functools.lru_cache(maxsize=16)
def compiled_chunk(graph: Any, stage: Stage, unit: float, mesh: Mesh) -> Any:
    """The jitted training program of networks of one graph; equal networks and stages share it, seeds do not matter."""

    def objective(
        trained: Any, other: Any, frozen: Any, source: Any, teacher: Network | None, key: Array
    ) -> tuple[Array, Array]:
        net = nnx.merge(graph, trained, other, frozen)
        if hasattr(source, "drawn"):  # physics that differ from step to step
            key, physics_key = jax.random.split(key)
            source = source.drawn(physics_key)
            net.measured_by(source.operator)
        x, y = shared_rows(mesh, source.sample(key, stage.batch))
        estimates = by_rows(mesh, lambda net, y: _estimates(net, y, stage.depth, stage.per_layer), net, y)
        followed = None
        if stage.loss.needs_teacher and teacher is not None:
            depth = net.depth if stage.depth is None else stage.depth
            per_layer = stage.loss.teacher_per_layer
            followed = by_rows(mesh, lambda teacher, y: _followed(teacher, y, depth, per_layer), teacher, y)
            followed = jax.lax.stop_gradient(followed) / unit
        estimates, x = estimates / unit, x / unit
        error = batch_nmse(estimates[-1], x)
        loss = stage.loss(estimates if stage.loss.per_layer else estimates[-1:], x, followed)
        return loss + sum(penalty(net, estimates, x) for penalty in stage.penalties), error

    gradient = jax.value_and_grad(objective, has_aux=True)

    def chunk(
        state: TrainingState, frozen: Any, source: Any, teacher: Network | None, key: Array, begin: Array, steps: Array
    ) -> tuple[TrainingState, Array, Array, Array]:
        optimiser = stage.optimiser(state["trained"])

        def body(i: Array, carry: tuple[Any, ...]) -> tuple[Any, ...]:
            trained, moments, losses, errors = carry
            step_key = jax.random.fold_in(key, begin + i)  # nothing depends on where chunks begin
            (loss, error), g = gradient(trained, state["other"], frozen, source, teacher, step_key)
            updates, moments = optimiser.update(g, moments, trained)
            return optax.apply_updates(trained, updates), moments, losses.at[i].set(loss), errors.at[i].set(error)

        blank = jnp.zeros(LONGEST_CHUNK)
        carry = (state["trained"], state["optimiser"], blank, blank)
        trained, moments, losses, errors = jax.lax.fori_loop(0, steps, body, carry)
        following = jax.random.fold_in(key, begin + steps)  # no loss has judged the last update yet
        healthy = jnp.isfinite(objective(trained, state["other"], frozen, source, teacher, following)[0])
        state = {**state, "trained": trained, "optimiser": moments}
        return kept_state(mesh, state), *everywhere(mesh, (losses, errors, healthy))

    return jax.jit(chunk)


def _estimates(net: Network, y: Array, depth: int | None, per_layer: bool) -> Array:
    """Estimates of the first ``depth`` layers, or of the last of them alone with a leading axis of 1."""
    if per_layer:
        return net(y, iterates=True, depth=depth)
    return net(y, depth=depth)[None]


def _followed(teacher: Network, y: Array, depth: int, per_layer: bool) -> Array:
    """The output of a teacher, (1, batch, n), or (depth, batch, n): its first ``depth - 1`` layers and its output."""
    if not per_layer:
        return teacher(y)[None]
    estimates = teacher(y, iterates=True)
    return jnp.concatenate([estimates[: depth - 1], estimates[-1:]])
