"""The baseline that knows no physics: a fully connected ReLU network of equal depth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Num

from unrollbit.algorithms.base import LinearMap
from unrollbit.arguments import integer, switch
from unrollbit.arrays import as_signal, in_dtype, widened
from unrollbit.formats import Format, FullPrecision, Weights, as_format
from unrollbit.networks.activations import Activations, for_maps
from unrollbit.networks.base import Network
from unrollbit.networks.parts import Parts
from unrollbit.operators import Dense, LinearOperator
from unrollbit.operators.physics import physics_of
from unrollbit.scalars import Held
from unrollbit.sizes import positive_integer
from unrollbit.structures import Full
from unrollbit.variables import Physics, ScalarParam


class FullyConnected(Network):
    """A ReLU network of K = depth matrices, ``V_0`` (width, m), ``V_1 .. V_{K-2}`` (width, width), ``V_{K-1}`` (n,
    width)::

        skip=False:  h_1 = relu(V_0 y + b_0),  h_{k+1} = relu(V_k h_k + b_k),        x = V_{K-1} h_{K-1}
        skip=True:   h_1 = V_0 y + b_0,        h_{k+1} = h_k + V_k relu(h_k + b_k),  x = V_{K-1} h_{K-1}

    With ``skip`` the path past the ReLUs is linear (pre-activation, He et al. 2016), and where the width allows it,
    hidden unit j starts as an estimate of unknown j: of all that was tried, this trains best.

    Args:
        problem: its operator gives the sizes m and n; nothing else of the physics is used.
        depth: number of matrices K >= 2.
        width: hidden units (default n).
        weights: a format that needs no physics, or weights objects by the names of the maps.
        skip: add the input of each hidden layer to its output.
        seed: seed of the initial matrices (He et al. 2015: N(0, 2 / fan-in)).
        biases: ``bias_first`` (1, width) and ``bias_hidden`` (K - 2, width); None: zeros.
        activations: few bits or a normalisation for the input of the matrices; biases come after it.

    Raises:
        ValueError: depth below 2, width below 1, or weights that store nothing (``Fixed``).
        TypeError: activations that are none.
    """

    estimates_per_layer: ClassVar[bool] = False

    def __init__(
        self,
        problem: Any,
        depth: int,
        width: int | None = None,
        weights: Format | Mapping[str, Weights] = FullPrecision(),
        *,
        skip: bool = False,
        seed: int = 0,
        biases: Mapping[str, Array] | None = None,
        activations: Activations | None = None,
    ) -> None:
        A = physics_of(problem)
        m, n = A.shape
        depth, units = integer("depth", depth, 2), n if width is None else integer("width", width, 1)
        skip, seed = switch("skip", skip), integer("seed", seed, 0, 2**32 - 1)
        if biases is None:
            biases = {"bias_first": jnp.zeros((1, units)), "bias_hidden": jnp.zeros((depth - 2, units))}
        self.physics = Physics(A)
        self.depth, self.width, self.skip = depth, units, skip
        maps = weights if isinstance(weights, Mapping) else _random_maps(weights, m, n, units, depth, skip, seed)
        for name, built in maps.items():
            if not built.stored_weights():
                raise ValueError(f"FullyConnected: map {name!r} stores nothing, and no physics gives its matrix")
        self.maps = nnx.Dict(dict(maps))
        self.activations, self.activated = for_maps(activations, self.maps)
        self.scalars = nnx.Dict({name: ScalarParam(jnp.array(bias, jnp.float32)) for name, bias in biases.items()})
        self.round()

    @property
    def method(self) -> str:
        return "Fully connected ReLU network"

    def with_maps(self, maps: Mapping[str, Weights]) -> FullyConnected:
        biases = {name: variable[...] for name, variable in self.scalars.items()}
        options = {"skip": self.skip, "biases": biases, "activations": self.activations}
        return FullyConnected(self.operator, self.depth, self.width, maps, **options)

    def uses(self, name: str) -> int:
        return self.depth - 2 if name == "hidden" else 1

    @property
    def needs_physics(self) -> bool:
        return False

    def to_spec(self) -> dict[str, Any]:
        spec = {"kind": "FullyConnected", "depth": self.depth, "width": self.width, "skip": self.skip}
        return spec if self.activations is None else {**spec, "activations": self.activations.to_spec()}

    @classmethod
    def _from_parts(cls, parts: Parts, frozen: bool) -> FullyConnected:
        depth, width, skip = parts.fields("depth", "width", "skip")
        depth, width = positive_integer("depth", depth), positive_integer("width", width)
        if depth < 2 or not isinstance(skip, bool):
            raise ValueError(f"FullyConnected: expected depth >= 2 and skip true or false, got {depth} and {skip!r}")
        shapes = {"bias_first": (1, width), "bias_hidden": (depth - 2, width)}
        raw = parts.raw({name: ("free", Held(shape)) for name, shape in shapes.items()})
        maps = parts.weights(linear_maps(*parts.physics.shape, width, depth), frozen=frozen)
        biases = {name: jnp.asarray(values) for name, values in raw.items()}
        net = cls(parts.physics, depth, width, maps, skip=skip, biases=biases, activations=parts.activations)
        for name, weights in maps.items():
            if weights.copies != net.uses(name):
                raise ValueError(f"map {name!r}: expected {net.uses(name)} matrices, got {weights.copies}")
        return net

    def __call__(
        self, y: Num[Array, "*batch m"], *, iterates: bool = False, depth: int | None = None
    ) -> Float[Array, "*batch n"]:
        """Recover ``x``. A fully connected network has no estimate per layer: ``iterates`` raises ``ValueError``."""
        A = self.operator
        y = as_signal(y, A.shape[0], "network(y)", "m", complex_physics=A.complex_physics)
        if iterates or depth not in (None, self.depth):
            raise ValueError("FullyConnected: hidden layers are no estimates; only the last layer's output exists")
        return _run(self, y)

    def _recovered(self, y: Array) -> Array:
        first, last = (self._product(name, in_dtype(self.maps[name].layer(), y.dtype)) for name in ("first", "last"))
        biases = {name: bias[...].astype(y.dtype) for name, bias in self.scalars.items()}
        hidden = self.maps.get("hidden")
        h = first(y) + biases["bias_first"][0]
        h = h if self.skip else jax.nn.relu(h)
        if hidden is None:
            return last(h)

        def body(h: Array, layer: tuple[Any, Array]) -> tuple[Array, None]:
            matrix, bias = self._product("hidden", in_dtype(hidden.matrix(layer[0]), h.dtype)), layer[1]
            return (h + matrix(jax.nn.relu(h + bias)) if self.skip else jax.nn.relu(matrix(h) + bias)), None

        h, _ = jax.lax.scan(body, h, (hidden.prepare(), biases["bias_hidden"]))
        return last(h)

    def _product(self, name: str, matrix: LinearOperator) -> Any:
        """The map ``name`` as the network applies it."""
        return self.activations.around(matrix) if self.activations and name in self.activated else matrix


@jax.jit
def _run(net: FullyConnected, y: Array) -> Array:
    """Compiled once for all calls on signals of one shape."""
    return net._recovered(widened(y)).astype(y.dtype)


def _sizes(m: int, n: int, width: int, depth: int) -> dict[str, tuple[int, int, int]]:
    sizes = {"first": (1, width, m), "hidden": (depth - 2, width, width), "last": (1, n, width)}
    return {name: size for name, size in sizes.items() if size[0]}


def linear_maps(m: int, n: int, width: int, depth: int) -> dict[str, LinearMap]:
    """The maps of a fully connected network by name."""
    return {
        name: LinearMap(Dense(_zeros(rows, columns)), Full(rows, columns))
        for name, (_, rows, columns) in _sizes(m, n, width, depth).items()
    }


def _zeros(rows: int, columns: int) -> Array:
    """A matrix of zeros that takes no memory: a file's sizes are checked against its arrays later."""
    return np.broadcast_to(np.zeros((), np.float32), (rows, columns))  # pyright: ignore[reportReturnType]


def _random_maps(weights: Format, m: int, n: int, width: int, depth: int, skip: bool, seed: int) -> dict[str, Weights]:
    draw = np.random.RandomState(seed).standard_normal
    matrices = {
        "first": draw((1, width, m)) * np.sqrt((0.5 if skip else 2.0) / m),
        "hidden": draw((depth - 2, width, width)) * np.sqrt(2.0 / width) * (0.1 if skip else 1.0),
        "last": draw((1, n, width)) * np.sqrt(0.02 / width),  # small: the first estimate should be
    }
    if skip and width >= n:
        matrices["last"] = np.eye(n, width)[None]
    return {
        name: as_format(weights).from_matrix(stack, copies=len(stack)) for name, stack in matrices.items() if len(stack)
    }
