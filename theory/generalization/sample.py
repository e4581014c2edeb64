"""Training and test signals of a network: what generalization is checked on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from unrollbit.networks import Network
from unrollbit.problems import Problem
from unrollbit.theory.generalization.losses import clipped_losses
from unrollbit.theory.generalization.network_code import NetworkCode, network_code
from unrollbit.theory.normal_form import NormalForm, measurements, normal_form
from unrollbit.theory.report import Report
from unrollbit.theory.settings import Settings
from unrollbit.training import training_set

_BATCH = 2500


class Pairs(NamedTuple):
    """Signals and what the layers of a network in normal form see of them."""

    x: Float[np.ndarray, "N n"]
    y: Float[np.ndarray, "N m"]


@dataclass(frozen=True)
class Sample:
    """A network, the pairs ``x``, ``y`` that it was trained on and fresh ones; ``c`` is the constant of the loss."""

    net: Network
    x: Float[Array, "N n"]
    y: Float[Array, "N m"]
    x_test: Float[Array, "Nt n"]
    y_test: Float[Array, "Nt m"]
    c: float
    settings: Settings

    @classmethod
    def of(
        cls, net: Network, problem: Problem, c: float, samples: int | None, seed: int | None, settings: Settings
    ) -> Sample:
        """The training set of a run, or ``settings.sample`` signals where it had no fixed one, and test signals.

        Of data, all training rows and all test rows: a row that is drawn twice says nothing new.
        """
        key = jax.random.key(settings.seed)
        if samples is not None and seed is not None:
            drawn = training_set(problem, seed, samples)
            x, y = drawn.x, drawn.y
        else:
            x, y = _pairs(problem.split("train"), jax.random.fold_in(key, 1), settings.sample)
        x_test, y_test = _pairs(problem.split("test"), jax.random.fold_in(key, 2), settings.test)
        return cls(net, x, y, x_test, y_test, c, settings)

    @cached_property
    def losses(self) -> Float[np.ndarray, " N"]:
        """Training losses."""
        return clipped_losses(_estimates(self.net, self.y), np.asarray(self.x), self.c)

    @cached_property
    def test(self) -> Float[np.ndarray, " Nt"]:
        """Losses on the fresh signals."""
        return clipped_losses(_estimates(self.net, self.y_test), np.asarray(self.x_test), self.c)

    @cached_property
    def zero(self) -> float:
        """Risk of the zero estimate on the fresh signals: what a bound of the risk is worth something below."""
        return float(clipped_losses(np.zeros(self.x_test.shape), np.asarray(self.x_test), self.c).mean())

    @cached_property
    def code(self) -> NetworkCode:
        """The bits of the network."""
        return network_code(self.net)

    @cached_property
    def form(self) -> NormalForm:
        """Its normal form; raises ``OutsideNormalForm`` where there is none."""
        return normal_form(self.net)

    @cached_property
    def pairs(self) -> tuple[Pairs, Pairs]:
        """Training and fresh pairs in float64, as the layers see them."""
        drawn = (self.x, self.y), (self.x_test, self.y_test)
        first, second = (Pairs(np.asarray(x, np.float64), measurements(self.net, np.asarray(y))) for x, y in drawn)
        return first, second

    def judged(self, report: Report, zero: float | None = None) -> Report:
        """The report with the risk of the zero estimate, from which a bound of the risk is vacuous."""
        trivial = self.zero if zero is None else zero
        return report if report.bound is None else replace(report, vacuous=report.bound >= trivial, trivial=trivial)


def _pairs(problem: Problem, key: Array, count: int) -> tuple[Array, Array]:
    held = problem.all()
    return problem.sample(key, count) if held is None else (held[0][:count], held[1][:count])


def _estimates(net: Network, y: Array) -> Float[np.ndarray, "N n"]:
    parts = [np.asarray(_forward(net, y[first : first + _BATCH])) for first in range(0, len(y), _BATCH)]
    return np.concatenate(parts)


@jax.jit
def _forward(net: Network, y: Array) -> Array:
    return net(y)
