"""Generalization certificates of a network: risks on its training set and on fresh signals, and the bits it stores."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral

from unrollbit.algorithms import OutsideNormalForm
from unrollbit.networks import Network
from unrollbit.problems import Problem
from unrollbit.theory.audit.layers import outside
from unrollbit.theory.generalization.sample import Sample
from unrollbit.theory.normal_form import check_network
from unrollbit.theory.registry import theorems
from unrollbit.theory.report import Report, not_applicable
from unrollbit.theory.settings import Settings


def generalization(
    net: Network, problem: Problem, samples: int | None, seed: int | None, settings: Settings
) -> Iterator[Report]:
    """Reports of the generalization family as they are found, one per theorem.

    The sample is the fixed training set ``training_set(problem, seed, samples)`` of the run; where there was none
    (``samples`` None: trained on a stream of signals), ``settings.sample`` signals of the same distribution that are
    drawn now. A certificate speaks of all networks at once, so it holds on either. The loss is ``min(||x_hat - x||^2 /
    c, 1)`` with ``c = problem.energy``; problems that only have data are not applicable. A bound of the risk is vacuous
    from the risk of the zero estimate on the fresh signals.

    Raises:
        TypeError: no network, no problem, or samples and a seed that are no integers.
        ValueError: a problem whose measurements do not fit the network, no samples, a negative seed.
    """
    check_network("generalization", net)
    if not isinstance(problem, Problem):
        raise TypeError(f"generalization: expected a Problem, got {type(problem).__name__}")
    if problem.operator.shape != net.operator.shape:
        raise ValueError(f"expected a problem of shape {net.operator.shape}, got {problem.operator.shape}")
    for name, value, least in (("samples", samples, 1), ("seed", seed, 0)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, Integral)):
            raise TypeError(f"{name} of the training: expected an integer or None, got {value!r}")
        if value is not None and value < least:
            raise ValueError(f"{name} of the training: expected at least {least}, got {value}")
    return _generalization(net, problem, samples, seed, settings)


def _generalization(
    net: Network, problem: Problem, samples: int | None, seed: int | None, settings: Settings
) -> Iterator[Report]:
    chosen = [each for each in theorems().values() if each.on is Sample]
    c = problem.energy
    if c is None:
        reason = {"E||x||^2 is known before any data (of arrays: energy_bound)": False}
        yield from (not_applicable(each.name, reason) for each in chosen)
        return
    sample = Sample.of(net, problem, c, samples, seed, settings)
    for each in chosen:
        try:
            yield from each.reports(sample)
        except OutsideNormalForm as error:
            yield from outside(str(error), (each.name,))
