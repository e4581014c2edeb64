"""What theorems are checked on: a network, one signal and its measurements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float

from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import norms
from unrollbit.theory.settings import Settings

Signals = Float[np.ndarray, "S n"]
Measurements = Float[np.ndarray, "S m"]


class Instance(ABC):
    """What a theorem about a network in normal form is checked on."""

    @classmethod
    @abstractmethod
    def of(cls, form: NormalForm, x: Signals, y: Measurements, settings: Settings) -> Iterator[Self]:
        """All instances of a network and given signals."""


@dataclass(frozen=True)
class Physics(Instance):
    """The network alone."""

    form: NormalForm
    settings: Settings

    @classmethod
    def of(cls, form: NormalForm, x: Signals, y: Measurements, settings: Settings) -> Iterator[Self]:
        yield cls(form, settings)


@dataclass(frozen=True)
class Signal(Instance):
    """A signal ``x`` and its measurements ``y``, number ``index``.

    ``size`` is the root mean square of the norms of all measurements, which perturbations of y are relative to (1 where
    all are 0).
    """

    form: NormalForm
    x: Float[np.ndarray, " n"]
    y: Float[np.ndarray, " m"]
    size: float
    settings: Settings
    index: int

    @classmethod
    def of(cls, form: NormalForm, x: Signals, y: Measurements, settings: Settings) -> Iterator[Self]:
        size = float(norms(norms(y))) / len(y) ** 0.5 or 1.0
        for index, (signal, measured) in enumerate(zip(x, y, strict=True)):
            yield cls(form, signal, measured, size, settings, index)


class Attacked(Signal):
    """The first ``settings.attacked`` signals, for what takes long."""

    @classmethod
    def of(cls, form: NormalForm, x: Signals, y: Measurements, settings: Settings) -> Iterator[Self]:
        for instance in super().of(form, x, y, settings):
            if instance.index < settings.attacked:
                yield instance
