"""What all networks have in common: maps, scalars, and how often each map is used."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Num

from unrollbit.algorithms.base import Form, OutsideNormalForm
from unrollbit.algorithms.first_order import FirstOrder
from unrollbit.algorithms.prior_steps import PriorSteps
from unrollbit.formats import FullPrecision
from unrollbit.networks.activations import Activations
from unrollbit.networks.last_step import LastStep
from unrollbit.networks.parts import Parts
from unrollbit.operators import LinearOperator
from unrollbit.scalars import Held, Width
from unrollbit.variables import Physics


class Network(nnx.Module):
    """A recovery network: ``maps`` (weights objects by name), ``scalars`` (raw parameters by name), physics, depth.

    A Flax NNX module and a pytree: it passes through ``jax.jit`` as an argument. Every class below is a kind of network
    that a file can name, by its class name.
    """

    kinds: ClassVar[dict[str, type[Network]]] = {}
    maps: nnx.Dict
    scalars: nnx.Dict
    physics: Physics
    depth: int
    activations: Activations | None
    widths: tuple[tuple[str, Width], ...] = ()  # bits of the scalars that are not stored in 32
    transposed: tuple[str, ...] = ()  # the maps of the shape of A that are applied as W^T
    estimates_per_layer: ClassVar[bool] = True  # whether ``net(y, iterates=True)`` has estimates to show

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        other = Network.kinds.get(cls.__name__)
        if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(f"{cls.__module__}.{cls.__qualname__}: {other.__module__} has a network {cls.__name__!r}")
        Network.kinds[cls.__name__] = cls

    @property
    def operator(self) -> LinearOperator:
        """The physics ``A``."""
        return self.physics.get_value()

    def described(self) -> str:
        """Method, depth, physics and formats, in one line."""
        m, n = self.operator.shape
        maps = "".join(f", {name}: {weights.format.name}" for name, weights in self.maps.items())
        return f"{self.method}, {self.depth} layers, {type(self.operator).__name__} {m} x {n}{maps}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.described()})"

    __str__ = __repr__  # Flax's would print every variable

    @property
    @abc.abstractmethod
    def method(self) -> str:
        """What it is in a word: the name of the algorithm."""

    @abc.abstractmethod
    def uses(self, name: str) -> int:
        """In how many layers the map ``name`` is applied."""

    @property
    @abc.abstractmethod
    def needs_physics(self) -> bool:
        """Whether the network applies A itself (its residuals do; a fully connected network does not)."""

    @property
    def form(self) -> Form:
        """Normal form of the layers. Raises ``OutsideNormalForm`` (a ``ValueError``) where they have none."""
        raise OutsideNormalForm(f"{type(self).__name__}: not an unrolled iterative algorithm")

    @property
    def first_order(self) -> FirstOrder | None:
        """The layers as a first-order method, for state evolution; None where they are none."""
        return None

    @property
    def signal_shape(self) -> tuple[int, ...] | None:
        """The grid of which the unknowns are samples; None where they are not known to be."""
        return None

    @property
    def prior_steps(self) -> PriorSteps | None:
        """The layers as steps with a learned prior, for proofs; None where they are none."""
        return None

    def linear_parts(self, dtype: Any = jnp.float32) -> tuple[Float[Array, "K n n"], Float[Array, "K n m"]]:
        """Dense ``(H, G)`` of all layers in their normal form. Raises ``OutsideNormalForm`` like ``form``."""
        raise OutsideNormalForm(f"{type(self).__name__}: not an unrolled iterative algorithm")

    @abc.abstractmethod
    def to_spec(self) -> dict[str, Any]:
        """What a file needs besides weights, scalars and physics to rebuild the network."""

    def physics_resident_bits(self) -> int:
        """Bits of the physics, and of what is computed from it once, while the network runs."""
        return self.operator.resident_bits() if self.needs_physics else 0

    def held_scalars(self) -> dict[str, Held]:
        """How a file holds the scalars, by name."""
        widths = dict(self.widths)
        return {name: Held(raw[...].shape, widths.get(name, 32)) for name, raw in self.scalars.items()}

    def round(self) -> None:
        """Round, in place, what is stored in fewer bits than it trains in, so that the network equals its file."""
        for weights in self.maps.values():
            weights.round_scales()
        for name, held in self.held_scalars().items():
            if held.bits != 32:
                self.scalars[name][...] = jnp.asarray(held.rounded(np.asarray(self.scalars[name][...])))

    def parts(self) -> Parts:
        """What the network consists of, its maps packed; inverse of ``from_parts``."""
        maps = {name: weights.pack() for name, weights in self.maps.items()}
        scalars = {name: held.encode(np.asarray(self.scalars[name][...])) for name, held in self.held_scalars().items()}
        return Parts(self.to_spec(), maps, scalars, self.operator)

    @staticmethod
    def from_parts(parts: Parts, *, frozen: bool = False) -> Network:
        """The network of these parts: trainable, or (``frozen``) running on the packed bits.

        Raises ``ValueError`` for an unknown kind, and for whatever is wrong with a part.
        """
        kind = parts.spec.get("kind") if isinstance(parts.spec, Mapping) else parts.spec
        if not isinstance(kind, str) or kind not in Network.kinds:
            raise ValueError(f"unknown network kind {kind!r}; expected one of {', '.join(sorted(Network.kinds))}")
        return Network.kinds[kind]._from_parts(parts, frozen)

    @classmethod
    @abc.abstractmethod
    def _from_parts(cls, parts: Parts, frozen: bool) -> Network: ...

    @abc.abstractmethod
    def with_maps(self, maps: dict[str, Any]) -> Network:
        """The same network (same scalars, copied) around other weights objects."""

    def with_physics(self, problem: Any, signal_shape: tuple[int, ...] | None = None) -> Network:
        """The same network for other physics. Raises ``ValueError`` where it is bound to its own."""
        del signal_shape
        raise ValueError(f"{type(self).__name__}: this network is bound to the sizes of its physics, not {problem}")

    def unquantised(self) -> Network:
        """The same network around full-precision weights to train before quantising."""
        return self.with_maps({name: weights.unquantised(FullPrecision()) for name, weights in self.maps.items()})

    def last_step(self, y: Num[Array, "*batch m"]) -> LastStep:
        """The estimate with what the last layer tells of its error."""
        return LastStep(self(y))

    @abc.abstractmethod
    def __call__(
        self, y: Num[Array, "*batch m"], *, iterates: bool = False, depth: int | None = None
    ) -> Float[Array, "*batch n"] | Float[Array, "K *batch n"]: ...
