"""The contract of an inverse problem: physics, signal model, noise and data."""

from __future__ import annotations

import abc
import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args

import jax
from jaxtyping import Array, Float

from unrollbit.arguments import called, choice, integer, number, shown
from unrollbit.metrics import failures, nmse_db
from unrollbit.operators import LinearOperator
from unrollbit.problems.data import beside, described_data, is_description, located_data, places_of
from unrollbit.problems.noise import Noise
from unrollbit.shrinkage import BernoulliGaussian, Shrinkage
from unrollbit.specs import Specified
from unrollbit.values import Value

Subset = Literal["train", "validation", "test"]
SUBSETS: tuple[Subset, ...] = get_args(Subset)


class Problem(Value, Specified, abc.ABC):
    """``y = A x + noise`` with a distribution (or a data set) of signals ``x``.

    Subclasses are frozen dataclasses registered as pytrees, so that ``sample`` runs inside compiled training loops with
    the problem as an argument. ``subset`` says which part of the data ``sample`` draws from; the three subsets
    share no sample. Problems are values: ``==`` compares their content, they copy and pickle.

    Two methods are optional, for training alone: ``training_problem()`` gives the problem whose signals are trained on
    (crops, with physics of their size), ``drawn(key)`` the same problem with other physics of the same shape, which
    ``fit`` asks for in every step, inside the compiled loop; a filter prior then serves all of them.
    """

    data_arguments: ClassVar[tuple[str, ...]] = ("folder",)  # of the constructor, which may name a user's data
    physics_argument: ClassVar[str | None] = None  # of the constructor, which takes the physics that a file holds
    operator: LinearOperator
    subset: Subset

    @abc.abstractmethod
    def sample(self, key: Array, batch: int) -> tuple[Float[Array, "batch n"], Float[Array, "batch m"]]:
        """Draw ``batch`` pairs ``(x, y)`` of this subset, float32; a function of ``key`` alone."""

    @abc.abstractmethod
    def split(self, name: Subset) -> Self:
        """The same problem drawing from another subset. Raises ``ValueError`` for an unknown name."""

    def to_spec(self) -> dict[str, Any]:
        """``{"kind": class name, **constructor arguments}``, JSON-able: mirrors the TOML of ``unrollbit train``.

        The fields but for ``subset``; problems whose constructors take other arguments override it.
        """
        names = [field.name for field in dataclasses.fields(self) if field.name != "subset"]  # pyright: ignore[reportArgumentType]
        spec = {"kind": type(self).__name__, **{name: getattr(self, name) for name in names}}
        plain = {name: value.to_spec() if isinstance(value, Noise) else value for name, value in spec.items()}
        return {name: value for name, value in plain.items() if value is not None}

    def __repr__(self) -> str:
        """One line: the constructor's arguments, and the subset unless it is that of training."""
        arguments = ", ".join(f"{name}={shown(value)}" for name, value in self.to_spec().items() if name != "kind")
        part = "" if self.subset == "train" else f".split({self.subset!r})"
        return f"{type(self).__name__}({arguments}){part}"

    def _set(self, *values: Any) -> None:
        """Fill the fields in their order; constructors end with it, since they take recipes rather than fields."""
        for field, value in zip(dataclasses.fields(self), values, strict=False):  # pyright: ignore[reportArgumentType]
            object.__setattr__(self, field.name, value)

    def _with(self, **changes: Any) -> Self:
        """A copy with other fields."""
        other = object.__new__(type(self))
        for name, value in {**self.__dict__, **changes}.items():
            object.__setattr__(other, name, value)
        return other

    def recipe(self) -> dict[str, Any]:
        """``to_spec()`` as a file carries it: a user's data by name and content (``unrollbit.problems.data``), so that
        it says nothing of folders on this machine and is found again elsewhere.
        """
        spec = self.to_spec()
        return {name: described_data(value) if name in self.data_arguments else value for name, value in spec.items()}

    def places(self) -> list[str]:
        """Absolute folders in which the data lies that ``recipe`` describes; none where there is no such data."""
        spec = self.to_spec()
        given = (spec[name] for name in self.data_arguments if name in spec)
        return list(dict.fromkeys(place for value in given for place in places_of(value)))

    @staticmethod
    def from_spec(
        spec: Mapping[str, Any], *, data: Iterable[str | os.PathLike[str]] = (), operator: LinearOperator | None = None
    ) -> Problem:
        """Rebuild from ``to_spec()``, ``recipe()`` or a TOML table.

        Args:
            spec: ``{"kind": class name, **constructor arguments}``.
            data: folders in which the data that a recipe describes is looked for.
            operator: the physics that measures, if it is known; the data need not have its matrix then.

        Raises ``ValueError`` naming what is unknown or missing.
        """
        arguments = dict(spec)
        kind = arguments.pop("kind", None)
        kinds = Problem.kinds
        if not isinstance(kind, str) or kind not in kinds:
            known = ", ".join(sorted(kinds))
            raise ValueError(
                f"unknown problem kind {shown(kind)}; expected one of {known}, or one of your own, imported before "
                "(on the command line: --import MODULE)"
            )
        measures = kinds[kind].physics_argument
        named = measures in arguments and not is_description(arguments[measures])
        if operator is not None and measures is not None and not named:
            arguments[measures] = kinds[kind].measurement_of(operator, arguments)
        for name, value in arguments.items():
            arguments[name] = located_data(name, value, data)
        if isinstance(arguments.get("noise"), Mapping):
            arguments["noise"] = Noise.from_spec(arguments["noise"])
        return called(f"problem {kind}", kinds[kind], arguments)

    @staticmethod
    def beside(spec: Mapping[str, Any], folder: str | os.PathLike[str]) -> dict[str, Any]:
        """A spec as a file in ``folder`` has it: data is looked for there, and otherwise in the working directory."""
        kind = Problem.kinds.get(spec.get("kind", ""))
        names = () if kind is None else kind.data_arguments
        return {name: beside(value, Path(folder)) if name in names else value for name, value in spec.items()}

    @classmethod
    def measurement_of(cls, operator: LinearOperator, arguments: Mapping[str, Any]) -> LinearOperator:
        """What the constructor takes as physics, of the operator that a file holds and the other arguments."""
        del arguments
        return operator

    @staticmethod
    def from_arrays(operator: Any, x: Any, y: Any = None, **options: Any) -> Problem:
        """A user's own physics and signals; see ``unrollbit.problems.ArrayProblem``."""
        return Problem.registered["ArrayProblem"](operator, x, y, **options)  # a kind, whose file imports this one

    def all(self) -> tuple[Array, Array] | None:
        """Every pair of this subset, or None where signals are drawn from a distribution."""
        return None

    @property
    def count(self) -> int | None:
        """How many signals this subset has; None where they are drawn from a distribution. Nothing is measured where
        the problem knows.
        """
        pairs = self.all()
        return None if pairs is None else len(pairs[0])

    @property
    def energy(self) -> float | None:
        """``E ||x||^2`` of the distribution of signals, or a bound of it, known before any data; None where only data
        would tell.
        """
        return None

    @property
    def signal_shape(self) -> tuple[int, ...] | None:
        """The grid of the unknowns ``x`` where they are samples on one: ``(n,)`` instants, ``(height, width)`` pixels
        row by row. None otherwise: sparse vectors, coefficients of a transform.
        """
        return None

    @property
    def bernoulli_gaussian(self) -> tuple[float, float] | None:
        """``(p, v)`` where every unknown is N(0, v) with probability p, else 0, independently; None for all others."""
        return None

    def prior(self) -> Shrinkage:
        """A shrinkage that fits the signals, with its scalars at sensible starts: the default of the recipes."""
        return BernoulliGaussian()

    def pictures(self) -> tuple[str, ...]:
        """Names of what ``image`` measures whole and ``assemble`` puts together; none where signals are no images."""
        return ()

    def signal(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch p"]:
        """The physical signal of unknowns ``x`` (their synthesis where unknowns are transform coefficients)."""
        return x

    def recover(
        self, network: Callable[[Float[Array, "*batch m"]], Float[Array, "*batch n"]], y: Float[Array, "*batch m"]
    ) -> Float[Array, "*batch p"]:
        """Physical signals from measurements of such: ``signal(network(y))``. Image problems take and return pixels.

        Example:
            >>> import numpy as np
            >>> from unrollbit import FISTA, Unrolled, pack
            >>> from unrollbit.operators import Convolution
            >>> from unrollbit.problems import ImageRecovery
            >>> blur = Convolution(np.ones((1, 3)) / 3, (16, 16))
            >>> problem = ImageRecovery(blur, size=16)
            >>> packed = pack(Unrolled(FISTA(regularisation=1e-3), problem, 4), problem=problem)
            >>> pixels = np.full((1, 256), 0.75, np.float32)
            >>> bool(np.allclose(problem.recover(packed, blur(pixels)), pixels, atol=0.02))
            True
        """
        return self.signal(network(y))

    def metrics(self, x_hat: Float[Array, "batch n"], x: Float[Array, "batch n"]) -> dict[str, float]:
        """Figures of merit of a batch of estimates: NMSE both ways and the share of failures; dB and fractions."""
        return {
            "nmse_db": float(nmse_db(x_hat, x)),
            "nmse_db_mean_of_db": float(nmse_db(x_hat, x, reduction="mean_of_db")),
            "failures": float(failures(x_hat, x)),
        }


def checked_subset(name: str) -> Subset:
    """Raise ``ValueError`` unless ``name`` is a subset."""
    return choice("split", name, SUBSETS)


def subset_key(key: Array, subset: Subset) -> Array:
    """A key of the subset's own stream, so that equal seeds draw different signals for training and test."""
    return jax.random.fold_in(key, SUBSETS.index(subset))


def positive_int(name: str, value: Any) -> int:
    """Raise ``ValueError`` unless ``value`` is a positive integer."""
    return integer(name, value, 1)


def fraction(name: str, value: Any) -> float:
    """Raise ``ValueError`` unless ``0 < value <= 1``."""
    return number(name, value, lambda share: 0 < share <= 1, "a fraction in (0, 1]")


def checked_seed(seed: Any) -> int:
    """Raise ``ValueError`` unless ``seed`` is an integer in ``[0, 2**31)``."""
    return integer("seed", seed, 0, 2**31 - 1)
