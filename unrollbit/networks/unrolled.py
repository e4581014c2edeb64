"""Unrolled: an iterative algorithm of K steps whose maps and scalars are learned."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Num

from unrollbit.algorithms.base import Algorithm, Form, OutsideNormalForm, State
from unrollbit.algorithms.first_order import FirstOrder
from unrollbit.algorithms.prior_steps import PriorSteps
from unrollbit.arguments import instance, integer
from unrollbit.arrays import as_signal, in_dtype, widened
from unrollbit.formats import Format, OneBit, Place, Weights
from unrollbit.networks.activations import Activations, for_maps
from unrollbit.networks.base import Network
from unrollbit.networks.last_step import LastStep, with_variance
from unrollbit.networks.maps import built, layer_maps, linear_parts
from unrollbit.networks.parts import Parts
from unrollbit.operators import LinearOperator
from unrollbit.operators.inverse import RegularisedInverse
from unrollbit.operators.physics import grid_of_unknowns, physics_of
from unrollbit.scalars import Constraint, Held, constrained
from unrollbit.sizes import positive_integer
from unrollbit.variables import Physics, ScalarParam


class Unrolled(Network):
    """``K = depth`` steps of ``algorithm`` for the physics ``A``, with learned linear maps and scalars per layer.

    With full-precision weights at their physics value the network equals ``solve(algorithm, A, y, K)`` to rounding.

    Args:
        algorithm: the step, for example ``AMP()`` or ``ISTA(regularisation=0.05)``.
        problem: the physics: a ``LinearOperator``, or anything with an ``operator`` (a ``Problem``).
        depth: number of layers K.
        weights: a weight format, ``OneBit(scale="row")`` or ``Anchored(OneBit())`` for example, or a mapping from the
            names of the maps to formats or weights objects.
        distinct: number of distinct matrices: K (untied, the default), 1 (tied) or any c (layer k uses matrix k mod c).
        scalars: raw scalars by name, (K, ...); None: the algorithm's initial values.
        packed: run on packed bits only (networks read from a file).
        activations: few bits or a normalisation for the input of learned maps, as in BitNet and OneBit.

    Raises:
        ValueError: depth or distinct out of range, a map without weights, weights of a wrong shape, activations where
            no map is learned.
        TypeError: no operator given, or activations that are none.

    Example:
        >>> import jax.numpy as jnp
        >>> from unrollbit.operators import gaussian
        >>> from unrollbit.algorithms import ISTA
        >>> net = Unrolled(ISTA(), gaussian(8, 16), depth=4)
        >>> net(jnp.ones((3, 8))).shape, net(jnp.ones((3, 8)), iterates=True).shape
        ((3, 16), (4, 3, 16))

    Source: Gregor, LeCun, "Learning fast approximations of sparse coding", ICML 2010; one-bit: arXiv 2502.01908.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        problem: Any,
        depth: int,
        weights: Format | Mapping[str, Format | Weights] = OneBit(),
        *,
        distinct: int | None = None,
        scalars: Mapping[str, Array] | None = None,
        packed: bool = False,
        activations: Activations | None = None,
    ) -> None:
        algorithm = instance("algorithm", algorithm, Algorithm, "ISTA()")
        A, depth = physics_of(problem), integer("depth", depth, 1)
        copies = depth if distinct is None else integer("distinct", distinct, 1, depth)
        linear_maps = algorithm.maps(A)
        specs = algorithm.scalars(A) if scalars is None else algorithm.scalar_forms(A)
        if scalars is None:
            scalars = {name: jnp.asarray(spec.raw(spec.initial_values(depth))) for name, spec in specs.items()}
        self.cell = Physics(algorithm)  # its numbers are arguments of compiled programs
        self.constants = Physics(algorithm.constants(A))
        self.depth = depth
        self.packed = packed  # runs on packed bits (read from a file): nothing is expanded to floats
        self.physics = Physics(A)
        self.maps = nnx.Dict({name: built(name, lm, weights, Place(lm, A, copies)) for name, lm in linear_maps.items()})
        self.scalars = nnx.Dict({name: ScalarParam(jnp.array(scalars[name], jnp.float32)) for name in specs})
        self.constraints: tuple[tuple[str, Constraint], ...] = tuple((k, each.constraint) for k, each in specs.items())
        self.widths = tuple((name, spec.bits) for name, spec in specs.items())
        self.transposed = tuple(name for name, linear_map in linear_maps.items() if linear_map.transposed)
        self.activations, self.activated = for_maps(activations, self.maps)
        self.round()

    @property
    def method(self) -> str:
        return type(self.algorithm).__name__

    def with_maps(self, maps: Mapping[str, Weights]) -> Unrolled:
        """The same network (same scalars, copied) around other weights objects."""
        raw = {name: variable[...] for name, variable in self.scalars.items()}
        return Unrolled(self.algorithm, self.operator, self.depth, maps, scalars=raw, activations=self.activations)

    def with_physics(self, problem: Any, signal_shape: tuple[int, ...] | None = None) -> Unrolled:
        """The same network for other physics: the same algorithm, weights and scalars (copied).

        A filter prior belongs to no operator and no size of signal; matrices of other maps fit physics of their shape.

        ``signal_shape``: the grid of the unknowns; None: that of the problem, or of the operator, if it has one. Raises
        ``ValueError`` for weights that do not fit the physics, or unknowns without a grid.

        Example:
            >>> from unrollbit import Unrolled
            >>> from unrollbit.algorithms import ForwardBackward
            >>> from unrollbit.operators import Convolution
            >>> net = Unrolled(ForwardBackward(signal_shape=(8, 8)), Convolution.of([[0.5, 0.5]], (8, 8)), 2)
            >>> net.with_physics(Convolution.of([[0.2], [0.8]], (16, 32))).operator.shape
            (512, 512)
        """
        A = physics_of(problem)
        own = grid_of_unknowns(problem) or grid_of_unknowns(A)
        if None not in (own, signal_shape) and tuple(signal_shape or ()) != tuple(own or ()):
            raise ValueError(f"signal_shape: {signal_shape}, but the unknowns of this physics lie on a grid {own}")
        algorithm = self.algorithm.on(A, signal_shape or own)
        places = {name: Place(linear, A) for name, linear in algorithm.maps(A).items()}
        maps = {name: weights.format.moved(weights, places[name]) for name, weights in self.maps.items()}
        raw = {name: variable[...] for name, variable in self.scalars.items()}
        options = {"scalars": raw, "packed": self.packed, "activations": self.activations}
        return Unrolled(algorithm, A, self.depth, maps, **options)

    def physics_resident_bits(self) -> int:
        constants = self.constants.get_value().values()
        beside = sum(value.resident_bits() for value in constants if isinstance(value, RegularisedInverse))
        return super().physics_resident_bits() + beside

    def measured_by(self, A: LinearOperator) -> None:
        """Put other physics of the same shape in the place of A, inside a compiled program too."""
        self.physics = Physics(A)
        self.constants = Physics(self.algorithm.constants(A))

    @property
    def algorithm(self) -> Algorithm:
        """The step."""
        return self.cell.get_value()

    def uses(self, name: str) -> int:
        return self.depth

    @property
    def needs_physics(self) -> bool:
        return True

    def values(self) -> dict[str, Array]:
        """Scalars as the algorithm sees them, constraints applied; each (K, ...)."""
        return {name: constrained(self.scalars[name][...], constraint) for name, constraint in self.constraints}

    def to_spec(self) -> dict[str, Any]:
        spec = {"kind": "Unrolled", "algorithm": self.algorithm.to_spec(), "depth": self.depth}
        return spec if self.activations is None else {**spec, "activations": self.activations.to_spec()}

    @classmethod
    def _from_parts(cls, parts: Parts, frozen: bool) -> Unrolled:
        algorithm, depth = parts.fields("algorithm", "depth")
        algorithm, depth, A = Algorithm.from_spec(algorithm), positive_integer("depth", depth), parts.physics
        forms = algorithm.scalar_forms(A)
        raw = parts.raw(
            {name: (form.constraint, Held((depth, *form.shape), form.bits)) for name, form in forms.items()}
        )
        maps = parts.weights(algorithm.maps(A), frozen=frozen)
        for name, weights in maps.items():
            if weights.copies > depth:
                raise ValueError(f"map {name!r}: expected at most {depth} matrices, one a layer; {weights.copies}")
        scalars = {name: jnp.asarray(values) for name, values in raw.items()}
        return cls(algorithm, A, depth, maps, scalars=scalars, packed=frozen, activations=parts.activations)

    def __call__(
        self, y: Num[Array, "*batch m"], *, iterates: bool = False, depth: int | None = None
    ) -> Float[Array, "*batch n"] | Float[Array, "K *batch n"]:
        """Recover ``x``, computed in the dtype of ``y`` (at least float32); with ``iterates`` the estimate after each
        layer, shape (K, ..., n). ``depth`` runs the first layers only. Raises ``ValueError`` for a wrong length of
        ``y`` or depth, ``TypeError`` for what is no array of real numbers.
        """
        K = self.depth if depth is None else depth
        if not 1 <= K <= self.depth:
            raise ValueError(f"depth: expected a number of layers in [1, {self.depth}], got {depth}")
        return _run(self, self.measurement(y), K, iterates)

    def _estimates(self, measured: Array, K: int, iterates: bool) -> Array:
        y, A = self.physical(measured)
        inputs, step = self.layers(K, y, A)

        def body(state: State, layer: Any) -> tuple[State, Array | None]:
            state = step(state, layer)
            return state, (self.algorithm.read(state) if iterates else None)

        # Keeping only matrix products for the backward pass halves time and memory of a training step.
        body = jax.checkpoint(body, policy=jax.checkpoint_policies.dots_saveable)
        state, estimates = jax.lax.scan(body, self.start(y, A), inputs)
        estimates = estimates if iterates else self.algorithm.read(state)
        return estimates.astype(measured.dtype)  # pyright: ignore[reportOptionalMemberAccess]

    def last_step(self, y: Num[Array, "*batch m"]) -> LastStep:
        measured, (y, A) = self.measurement(y), self.physical(y)
        inputs, step = self.layers(self.depth, y, A)
        first, last = jax.tree.map(lambda a: a[:-1], inputs), jax.tree.map(lambda a: a[-1], inputs)
        before, _ = jax.lax.scan(lambda state, layer: (step(state, layer), None), self.start(y, A), first)
        x, previous = (self.algorithm.read(state) for state in (step(before, last), before))
        found = [x, x - previous]
        if (algorithm := with_variance(self.algorithm)) is not None:
            _, spread = self.layers(self.depth, y, A, algorithm)
            found.append(jnp.sqrt(algorithm.read(spread(before, last))))
        return LastStep(*(value.astype(measured.dtype) for value in found))

    def measurement(self, y: Array) -> Array:
        """The measurement after its checks, in its own dtype."""
        A = self.operator
        return as_signal(y, A.shape[0], "network(y)", "m", complex_physics=A.complex_physics)

    def physical(self, y: Array) -> tuple[Array, LinearOperator]:
        """The measurement and the physics as the steps see them, in the dtype that everything is computed in."""
        y = widened(self.measurement(y))
        A = self._held(self.operator, y.dtype)
        return A.accept(y), A

    @property
    def form(self) -> Form:
        """Normal form of the layers (``Algorithm.form``). Raises ``OutsideNormalForm`` (a ``ValueError``) where there
        is none, and for activations, which are not linear.
        """
        self._check_linear()
        return self.algorithm.form

    @property
    def first_order(self) -> FirstOrder | None:
        """The layers as a first-order method (``Algorithm.first_order``); None also for activations."""
        return None if self.activations else self.algorithm.first_order(self.values() | self.constants.get_value())

    @property
    def signal_shape(self) -> tuple[int, ...] | None:
        """The grid of the algorithm or of the physics, if one of them has one."""
        return grid_of_unknowns(self.algorithm) or grid_of_unknowns(self.operator)

    @property
    def prior_steps(self) -> PriorSteps | None:
        """The layers as steps with a learned prior (``Algorithm.prior_steps``), float64; None for activations too."""
        exact = {name: np.asarray(values, np.float64) for name, values in self.values().items()}
        return None if self.activations else self.algorithm.prior_steps(exact)

    def linear_parts(self, dtype: Any = jnp.float32) -> tuple[Float[Array, "K n n"], Float[Array, "K n m"]]:
        """Dense ``(H, G)`` of all layers in their normal form, differentiable: K matrices n x n. Raises as ``form``."""
        self._check_linear()
        return linear_parts(self, jnp.dtype(dtype).name)

    def start(self, y: Array, A: LinearOperator) -> State:
        """The state before the first layer; ``y`` and ``A`` are those of ``physical``."""
        scalars = {name: values[0] for name, values in in_dtype(self.values(), y.dtype).items()}
        return self.algorithm.init(y, A, scalars | in_dtype(self.constants.get_value(), y.dtype))

    def layers(
        self, K: int, y: Array, A: LinearOperator, algorithm: Algorithm | None = None
    ) -> tuple[Any, Callable[[State, Any], State]]:
        """What differs between the first K layers, stacked on a leading axis, and the step that takes a slice of it.

        ``y`` and ``A`` are those of ``physical``; ``algorithm`` None stands for that of the network.
        """
        algorithm = self.algorithm if algorithm is None else algorithm
        constants = in_dtype(self.constants.get_value(), y.dtype)
        scalars = {name: values[:K] for name, values in in_dtype(self.values(), y.dtype).items()}
        stacked, fetch = layer_maps(self.maps, K, y.dtype, self._held)

        def step(state: State, layer: tuple[dict[str, Array], Any, Array]) -> State:
            own, slices, k = layer
            maps = {name: self._product(name, matrix) for name, matrix in fetch(slices, k).items()}
            return algorithm.step(state, y, A, maps, own | constants)

        return (scalars, stacked, jnp.arange(K)), step

    def _held(self, matrix: LinearOperator, dtype: Any) -> LinearOperator:
        """The operator as all layers use it: expanded to floats once, unless the network runs on packed bits."""
        return in_dtype(matrix if self.packed else matrix.prepare(), dtype)

    def _product(self, name: str, matrix: LinearOperator) -> Any:
        """The map ``name`` as the step applies it."""
        return self.activations.around(matrix) if self.activations and name in self.activated else matrix

    def _check_linear(self) -> None:
        if self.activations is not None:
            raise OutsideNormalForm(
                f"{self.activations}: quantised or normalised inputs of the maps are not linear in them, so the layers "
                "have no normal form; leave activations out"
            )


@functools.partial(jax.jit, static_argnums=(2, 3))
def _run(net: Unrolled, measured: Array, K: int, iterates: bool) -> Array:
    """Compiled once for all calls on signals of one shape."""
    return net._estimates(measured, K, iterates)
