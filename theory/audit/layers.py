"""Stability, sensitivity and convergence of a network in normal form, on given signals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from unrollbit.arguments import instance
from unrollbit.theory.instances import Instance, Measurements, Signals
from unrollbit.theory.normal_form import NormalForm, real
from unrollbit.theory.registry import examined, theorems
from unrollbit.theory.report import Report, not_applicable
from unrollbit.theory.settings import Settings

IN_NORMAL_FORM = "the network has a normal form"


def deterministic(form: NormalForm, x: Signals, y: Measurements, settings: Settings) -> Iterator[Report]:
    """Reports of every theorem about a network in normal form as they are found: one per theorem and signal (or
    perturbation of the measurements or the network).

    ``y`` are the measurements that the layers see. Raises ``ValueError`` for shapes that do not fit, numbers that are
    not real and finite and (when it comes to it) a radius that rounding loses beside y; ``TypeError`` where ``form`` or
    ``settings`` are something else.
    """
    form = instance("the form of a network", form, NormalForm, "normal_form(net)")
    settings = instance("settings", settings, Settings, "Settings()")
    m, n = form.A.shape
    x, y = real("signals", x), real("measurements", y)
    if x.ndim != 2 or x.shape[1] != n or y.shape != (len(x), m) or not len(x):
        raise ValueError(f"expected signals (S, {n}) and measurements (S, {m}), got {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("expected finite signals and measurements, got NaN or infinity")
    return _deterministic(form, x, y, settings)


def _deterministic(form: NormalForm, x: Signals, y: Measurements, settings: Settings) -> Iterator[Report]:
    for kind in dict.fromkeys(each.on for each in theorems().values() if issubclass(each.on, Instance)):
        for one in kind.of(form, x, y, settings):
            yield from examined(one)


def outside(reason: str, names: Sequence[str] | None = None) -> list[Report]:
    """Reports of theorems (None: all about a network in normal form) for a network that has none."""
    if names is None:
        names = [name for name, each in theorems().items() if issubclass(each.on, Instance)]
    return [not_applicable(name, {f"{IN_NORMAL_FORM} (it has not: {reason})": False}) for name in names]
