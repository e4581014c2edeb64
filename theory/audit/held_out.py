"""Predictions and held-out certificates of a network, on signals that it has not seen."""

from __future__ import annotations

from collections.abc import Iterator

from unrollbit.networks import Network
from unrollbit.problems import Problem
from unrollbit.theory.normal_form import check_network
from unrollbit.theory.prediction.held_out import HeldOut
from unrollbit.theory.registry import examined
from unrollbit.theory.report import Report
from unrollbit.theory.settings import Settings


def held_out(net: Network, problem: Problem, settings: Settings) -> Iterator[Report]:
    """Reports of every theorem about held-out signals as they are found: for any network and any problem.

    Raises:
        TypeError: no network, or no problem.
        ValueError: a problem whose measurements do not fit the network, or with too few test signals.
    """
    check_network("held_out", net)
    if not isinstance(problem, Problem):
        raise TypeError(f"held_out: expected a Problem, got {type(problem).__name__}")
    if problem.operator.shape != net.operator.shape:
        raise ValueError(f"expected a problem of shape {net.operator.shape}, got {problem.operator.shape}")
    return examined(HeldOut.of(net, problem, settings))
