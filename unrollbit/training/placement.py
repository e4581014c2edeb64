"""Where arrays lie while a network trains: on all devices of all processes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

DATA, MODEL = "data", "model"
_WHOLE = 2**16  # entries for each device: smaller arrays cost more to send than to hold


class Placement:
    """All devices as a mesh: batches are split over the axis "data", large matrices over the axis "model".

    An array is split along the longest of its axes that the number of devices divides: a matrix so sends the shorter
    of its two vectors in each product. Small arrays, and those without such an axis, are whole on every device.

    Args:
        model_parallel: devices over which each large matrix is split. The others split the batch.

    Raises:
        ValueError: a number that does not divide that of the devices.
    """

    def __init__(self, model_parallel: int = 1) -> None:
        self.mesh = _mesh(model_parallel)
        self._fixed: dict[int, tuple[Any, Array]] = {}  # what was placed once, and where it is

    @property
    def batches(self) -> int:
        """Parts of a batch."""
        return self.mesh.shape[DATA]

    def state(self, tree: Any) -> Any:
        """What is trained: large arrays are split over "model"."""
        return jax.tree.map(lambda leaf: _put(leaf, _split(self.mesh, np.shape(leaf), MODEL)), tree)

    def abstract(self, tree: Any) -> Any:
        """The same without the numbers: shapes, dtypes and shardings, to compile programs of any size."""
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=_split(self.mesh, leaf.shape, MODEL)),
            tree,
        )

    def split(self, tree: Any) -> Any:
        """The same of large arrays alone; the others stay where they are."""
        return jax.tree.map(
            lambda leaf: (
                leaf if (where := _split(self.mesh, np.shape(leaf), MODEL)).is_fully_replicated else _put(leaf, where)
            ),
            tree,
        )

    def fixed(self, tree: Any) -> Any:
        """The same of what does not change during the run; an array that comes again is not placed again."""
        return jax.tree.map(self._once, tree)

    def data(self, source: Any) -> Any:
        """A problem to draw signals from: its operator as ``fixed``, its data split over "data"."""

        def placed(path: Any, leaf: Any) -> Any:
            physics = path and getattr(path[0], "name", "") == "operator"
            return self._once(leaf) if physics else _put(leaf, _split(self.mesh, np.shape(leaf), DATA))

        return jax.tree_util.tree_map_with_path(placed, source)

    def rows(self, array: Any, axis: int = 0) -> Array:
        """Signals, split over "data" along an axis that ``batches`` divides; whole if it does not."""
        spec = [None] * axis + [DATA] if array.shape[axis] % self.batches == 0 else []
        return _put(array, NamedSharding(self.mesh, PartitionSpec(*spec)))

    def _once(self, leaf: Any) -> Any:
        if id(leaf) not in self._fixed:
            self._fixed[id(leaf)] = leaf, _put(leaf, _split(self.mesh, np.shape(leaf), MODEL))
        return self._fixed[id(leaf)][1]


def shared_rows(mesh: Mesh, batch: Any) -> Any:
    """Inside a compiled program: each device draws its rows of a batch, and computes with them."""
    free = PartitionSpec.UNCONSTRAINED if mesh.shape[MODEL] > 1 else None

    def shared(array: Array) -> Array:
        spec = PartitionSpec(DATA, *[free] * (array.ndim - 1))
        return jax.lax.with_sharding_constraint(array, NamedSharding(mesh, spec))

    return jax.tree.map(shared, batch)


def by_rows(mesh: Mesh, network: Callable[[Any, Array], Array], net: Any, y: Array) -> Array:
    """Inside a compiled program: ``network(net, y)``, (K, batch, n), of each device's rows by themselves.

    What the devices have of the gradient is so summed once, not in each layer.
    """
    if mesh.shape[DATA] == 1:
        return network(net, y)
    places = {"in_specs": (PartitionSpec(), PartitionSpec(DATA)), "out_specs": PartitionSpec(None, DATA)}
    return jax.shard_map(network, mesh=mesh, axis_names={DATA}, check_vma=False, **places)(net, y)


def kept_state(mesh: Mesh, state: Any) -> Any:
    """Inside a compiled program: arrays lie as ``Placement.state`` puts them."""
    return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, _split(mesh, leaf.shape, MODEL)), state)


def everywhere(mesh: Mesh, figures: Any) -> Any:
    """Inside a compiled program: every device, and so every process, has all of them."""
    return jax.lax.with_sharding_constraint(figures, NamedSharding(mesh, PartitionSpec()))


def local(tree: Any) -> Any:
    """Arrays that each process can use alone: those that are split stay so if one process has all their parts, and
    come into the memory of its host otherwise.
    """
    return jax.tree.map(_local, tree)


def on_host(tree: Any) -> Any:
    """NumPy arrays of the values, whole, in every process; keys as their data."""
    return jax.tree.map(_on_host, tree)


def like(values: np.ndarray, leaf: Any) -> Any:
    """Values of the host, placed as ``leaf`` is; a key if that is one."""
    if isinstance(leaf, jax.Array) and leaf.committed:
        return _put(_keyed(values, leaf), leaf.sharding)
    return _keyed(values, leaf)


def is_key(leaf: Any) -> bool:
    """Whether an array is one of random keys."""
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


@functools.cache
def _mesh(model_parallel: int) -> Mesh:
    count = jax.device_count()
    if model_parallel < 1 or count % model_parallel:
        raise ValueError(f"model_parallel: expected a divisor of the number of devices, {count}, got {model_parallel}")
    shape = (count // model_parallel, model_parallel)  # neighbours, which talk fastest, share a matrix
    return jax.make_mesh(shape, (DATA, MODEL), axis_types=(AxisType.Auto, AxisType.Auto))


def _split(mesh: Mesh, shape: tuple[int, ...], axis: str) -> NamedSharding:
    """Sharding of an array of this shape that is split over an axis of the mesh, if it is worth it."""
    count = mesh.shape[axis]
    spec: list[str | None] = [None] * len(shape)
    fitting = [i for i, length in enumerate(shape) if length % count == 0]
    if count > 1 and fitting and math.prod(shape) >= _WHOLE * count:
        spec[max(fitting, key=lambda i: shape[i])] = axis
    return NamedSharding(mesh, PartitionSpec(*spec))


def _put(leaf: Any, sharding: Any) -> Any:
    if isinstance(leaf, jax.Array) and leaf.sharding == sharding:
        return leaf
    if sharding.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    if is_key(leaf):
        return jax.random.wrap_key_data(_put(jax.random.key_data(leaf), sharding), impl=jax.random.key_impl(leaf))
    host = np.asarray(leaf)  # every process has it, and takes its parts
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])


def _keyed(values: np.ndarray, leaf: Any) -> Any:
    array = jnp.asarray(values)
    return jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf)) if is_key(leaf) else array


def _local(leaf: Any) -> Any:
    if not leaf.is_fully_replicated and leaf.is_fully_addressable:
        return leaf
    whole = _keyed(_on_host(leaf), leaf)
    return whole if leaf.is_fully_replicated else jax.device_put(whole, jax.local_devices(backend="cpu")[0])


def _on_host(leaf: Any) -> np.ndarray:
    plain = jax.random.key_data(leaf) if is_key(leaf) else leaf
    if isinstance(plain, jax.Array) and not (plain.is_fully_addressable or plain.is_fully_replicated):
        return multihost_utils.process_allgather(plain, tiled=True)
    return np.asarray(plain)
