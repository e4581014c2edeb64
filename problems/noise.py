"""Measurement noise, as values: what a problem is given, what its spec says, and what draws it."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.arguments import instance, number
from unrollbit.specs import Specified


class Noise(Specified, abc.ABC):
    """``noise(key, y, constant)``: the clean measurements ``y`` with noise; a function of ``key`` alone.

    ``constant`` is what was subtracted from the intensities that a detector sees, ``y + constant``: counts depend on
    it. Subclasses are frozen dataclasses; ``to_spec()`` and ``from_spec()`` write and read them.
    """

    checks_types = False  # constructors say what they expect
    counts: ClassVar[bool] = False  # is of intensities, which are not negative

    @abc.abstractmethod
    def __call__(
        self, key: Array, y: Float[Array, "*batch m"], constant: Array | float = 0.0
    ) -> Float[Array, "*batch m"]: ...

    def arguments(self) -> dict[str, Any]:
        """How the spec of a problem says it: ``{"snr_db": 30.0}``, ``{"photons": 100.0}`` or ``{"noise": spec}``."""
        return {"noise": self.to_spec()}


@dataclass(frozen=True, kw_only=True)
class Gaussian(Noise):
    """Independent Gaussian noise of a stated level: ``snr_db`` in dB, or a standard deviation ``sigma``.

    ``snr_db``: the standard deviation is ``||y|| / sqrt(m) * 10^(-snr_db / 20)`` for every single signal, as in
    Open-L2O (Chen et al., JMLR 2022). ``sigma`` has the unit of the measurements and is the same for all signals.
    Exactly one of the two is given; raises ``ValueError`` otherwise.

    Example:
        >>> Gaussian(snr_db=30), Gaussian(sigma=0.01)
        (Gaussian(snr_db=30.0, sigma=None), Gaussian(snr_db=None, sigma=0.01))
    """

    snr_db: float | None = None
    sigma: float | None = None

    def __post_init__(self) -> None:
        if (self.snr_db is None) == (self.sigma is None):
            raise ValueError("Gaussian: expected snr_db (in dB) or sigma (in the unit of measurements), one of the two")
        if self.snr_db is not None:
            object.__setattr__(self, "snr_db", checked_snr(self.snr_db))
        else:
            level = number(
                "sigma", self.sigma, lambda s: s >= 0, "a standard deviation >= 0, in the measurements' unit"
            )
            object.__setattr__(self, "sigma", level)

    def __call__(
        self, key: Array, y: Float[Array, "*batch m"], constant: Array | float = 0.0
    ) -> Float[Array, "*batch m"]:
        del constant
        level = jnp.asarray(self.sigma, y.dtype) if self.snr_db is None else _level(y, self.snr_db)
        return y + level * jax.random.normal(key, y.shape, y.dtype)

    def arguments(self) -> dict[str, Any]:
        return super().arguments() if self.snr_db is None else {"snr_db": self.snr_db}

    def to_spec(self) -> dict[str, Any]:
        return {name: value for name, value in super().to_spec().items() if value is not None}


@dataclass(frozen=True)
class GaussianRange(Noise):
    """Independent Gaussian noise whose standard deviation is drawn for every signal, uniformly from ``low`` to ``high``
    (in the unit of the measurements). Raises ``ValueError`` unless ``0 <= low <= high``.

    Example:
        >>> y = GaussianRange(0.1, 0.2)(jax.random.key(0), jnp.zeros((3, 4)))
        >>> y.shape
        (3, 4)
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        low = number("low", self.low, lambda s: s >= 0, "a standard deviation >= 0, in the measurements' unit")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", number("high", self.high, lambda s: s >= low, f"at least low = {low:g}"))

    def __call__(
        self, key: Array, y: Float[Array, "*batch m"], constant: Array | float = 0.0
    ) -> Float[Array, "*batch m"]:
        del constant
        level_key, noise_key = jax.random.split(key)
        level = jax.random.uniform(level_key, (*y.shape[:-1], 1), y.dtype, self.low, self.high)
        return y + level * jax.random.normal(noise_key, y.shape, y.dtype)


@dataclass(frozen=True)
class Poisson(Noise):
    """Counts: ``N / photons`` with ``N ~ Poisson(photons y)`` for intensities y; mean y, variance y / photons.

    ``photons`` (1 to 1e7) is the number that a measurement of 1 stands for. Negative intensities, which no detector
    sees, count as 0. Raises ``ValueError`` for other numbers.

    Example:
        >>> Poisson(photons=100)
        Poisson(photons=100.0)
    """

    photons: float
    counts: ClassVar[bool] = True

    def __post_init__(self) -> None:
        wanted = "a number from 1 to 1e7, or None for no noise"
        object.__setattr__(self, "photons", number("photons", self.photons, lambda count: 1 <= count <= 1e7, wanted))

    def __call__(
        self, key: Array, y: Float[Array, "*batch m"], constant: Array | float = 0.0
    ) -> Float[Array, "*batch m"]:
        counts = jax.random.poisson(key, self.photons * jnp.maximum(y + constant, 0), dtype=jnp.int32)
        return counts.astype(y.dtype) / self.photons - constant

    def arguments(self) -> dict[str, Any]:
        return {"photons": self.photons}


def noise_of(noise: Noise | None, snr_db: Any = None, photons: Any = None) -> Noise | None:
    """The noise of a problem's arguments, of which ``snr_db`` and ``photons`` are short for two of them; None: none.

    Raises ``TypeError`` for what is no noise, and ``ValueError`` for more than one.
    """
    given = [name for name, value in (("noise", noise), ("snr_db", snr_db), ("photons", photons)) if value is not None]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)}: expected one of the two noises, or none, got both")
    if snr_db is not None:
        return Gaussian(snr_db=snr_db)
    if photons is not None:
        return Poisson(photons)
    return None if noise is None else instance("noise", noise, Noise, "Gaussian(snr_db=30)")


def noise_arguments(noise: Noise | None) -> dict[str, Any]:
    """What a problem's spec says of its noise; nothing where there is none."""
    return {} if noise is None else noise.arguments()


def checked_snr(snr_db: Any) -> float:
    """Raise ``ValueError`` unless ``snr_db`` is a finite number of decibels."""
    return number("snr_db", snr_db, lambda _: True, "a finite number of dB, or None for no noise")


def _level(y: Float[Array, "*batch m"], snr_db: float) -> Float[Array, "*batch 1"]:
    return jnp.sqrt(jnp.mean(y * y, axis=-1, keepdims=True)) * 10.0 ** (-snr_db / 20.0)
