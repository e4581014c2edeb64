"""Generalization certificates of a network: risks on its training set and on fresh signals, and the bits it stores."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from numbers import Integral

import jax
import numpy as np
from jaxtyping import Array, Float

from unrollbit.algorithms import OutsideNormalForm
from unrollbit.networks import Network, Unrolled
from unrollbit.problems import Problem
from unrollbit.theory import generalization as G
from unrollbit.theory.audit.layers import outside
from unrollbit.theory.audit.settings import Settings
from unrollbit.theory.normal_form import NormalForm, check_network, measurements, normal_form
from unrollbit.theory.numerics import spectral_norm
from unrollbit.theory.report import Report, not_applicable
from unrollbit.theory.sensitivity import flipped, random_bit_errors
from unrollbit.theory.trajectory import recover
from unrollbit.training import training_set
from unrollbit.weights.wrappers import Wrapper

NAMES = ("G0", "G1", "G2", "G3a", "G3b", "G3c", "G4", "G5", "G6")
_OWN_TRIVIAL = ("G0", "G4", "G5")  # their bounds are no risks, or risks of another loss
_BATCH, _MINIBATCH = 2500, 100
_GENEROUS = 30.0  # the class of G2 is this much wider than the physics' own steps and thresholds


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
    c = problem.energy
    if c is None:
        yield from (not_applicable(name, {"E||x||^2 is known before any data": False}) for name in NAMES)
        return
    x, _ = problem.split("test").sample(jax.random.key(settings.seed), settings.test)
    zero = float(G.clipped_losses(np.zeros(x.shape), np.asarray(x), c).mean())
    for report in _reports(net, problem, c, samples, seed, settings):
        if report.bound is not None and report.theorem not in _OWN_TRIVIAL:
            report = replace(report, vacuous=report.bound >= zero, trivial=zero)
        yield report


def _reports(
    net: Network, problem: Problem, c: float, samples: int | None, seed: int | None, settings: Settings
) -> Iterator[Report]:
    key = jax.random.key(settings.seed)
    if samples is not None and seed is not None:
        drawn = training_set(problem, seed, samples)
        x, y = drawn.x, drawn.y
    else:
        x, y = problem.sample(jax.random.fold_in(key, 1), settings.sample)
    x_test, y_test = problem.split("test").sample(jax.random.fold_in(key, 2), settings.test)
    losses = G.clipped_losses(_estimates(net, y), np.asarray(x), c)
    test = G.clipped_losses(_estimates(net, y_test), np.asarray(x_test), c)
    code = G.network_code(net)
    common = {"delta": settings.delta, "test_losses": test}
    yield G.G0(test, level=settings.delta)
    for theorem in (G.G1, G.G3a, G.G3b):
        yield theorem(losses, code.bits, **common)
    yield G.G4(losses, code.bits, losses, code.float32_bits, delta=settings.delta)
    yield not_applicable("G6", {"the network is a sign read-out of labels that are fair coins": False})
    try:
        form = normal_form(net)
        assert isinstance(net, Unrolled)
        seen, seen_test = (measurements(net, np.asarray(part)) for part in (y, y_test))
    except OutsideNormalForm as error:
        yield from outside(str(error), ("G2", "G3c", "G5"))
        return
    pairs = (np.asarray(x, np.float64), seen, np.asarray(x_test, np.float64), seen_test)
    yield _covering(form, pairs, c, settings)
    yield _receptive(net, form, pairs, c, code, settings)
    yield _random_flips(net, form, pairs, c, code, settings)


_Pairs = tuple[Float[np.ndarray, "N n"], Float[np.ndarray, "N m"], Float[np.ndarray, "Nt n"], Float[np.ndarray, "Nt m"]]


def _covering(form: NormalForm, pairs: _Pairs, c: float, settings: Settings) -> Report:
    """G2 for the network on measurements projected onto a ball; ball and class are functions of the physics."""
    x, y, x_test, y_test = pairs
    n = form.A.shape[1]
    Y = 4 * math.sqrt(c / n) * float(np.linalg.norm(form.A))  # 4 times the root mean square of ||A x||
    near, near_test = G.project(y, Y), G.project(y_test, Y)
    return G.G2(
        form,
        G.clipped_losses(recover(form, near), x, c),
        near,
        c=c,
        Y=Y,
        gamma_max=_GENEROUS * float(np.abs(form.A[form.mask]).mean() / spectral_norm(form.A) ** 2),
        theta_max=_GENEROUS * math.sqrt(c / n),
        projected=True,
        delta=settings.delta,
        test_losses=G.clipped_losses(recover(form, near_test), x_test, c),
    )


def _receptive(
    net: Unrolled, form: NormalForm, pairs: _Pairs, c: float, code: G.NetworkCode, settings: Settings
) -> Report:
    blocks = net.operator.mask().blocks
    if blocks == 1 or form.form not in ("ista", "gd") or form.magnitudes is None:
        return not_applicable(
            "G5",
            {
                "the physics is block-diagonal": blocks > 1,
                "the network is ista or gd": form.form in ("ista", "gd"),
                "its matrices are one-bit with a single magnitude per layer": form.magnitudes is not None,
            },
        )
    parts = G.equal_parts(form.A.shape[1], blocks)
    x, y, x_test, y_test = pairs
    losses, test = (G.part_losses(recover(form, b), a, parts, c / blocks) for a, b in ((x, y), (x_test, y_test)))
    report = G.G5(form, losses, parts, scalars=code.scalars, delta=settings.delta, test_losses=test)
    zero = float(G.part_losses(np.zeros(x_test.shape), x_test, parts, c / blocks).mean())  # clipped part by part
    return report if report.bound is None else replace(report, vacuous=report.bound >= zero, trivial=zero)


def _random_flips(
    net: Unrolled, form: NormalForm, pairs: _Pairs, c: float, code: G.NetworkCode, settings: Settings
) -> Report:
    """G3c: minibatch losses of networks with random flips, on the sample and on fresh signals."""
    assumptions = {
        "its signs have the reference sign(A)": bool(code.entries),
        "a flipped sign changes no other entry of its matrices": not any(
            isinstance(w, Wrapper) for w in net.maps.values()
        ),
        "its matrices are one-bit with a single magnitude per layer": form.magnitudes is not None,
    }
    if not all(assumptions.values()):
        return not_applicable("G3c", assumptions)
    x, y, x_test, y_test = pairs
    draws = list(_minibatch_losses(form, x, y, c, settings, 0))
    fresh = list(_minibatch_losses(form, x_test, y_test, c, settings, 1))
    return G.G3c(
        np.array(draws),
        code.entries,
        code.flips,
        code.scalars,
        N=len(x),
        q=settings.rate,
        delta=settings.delta,
        test_losses=np.array(fresh),
    )


def _minibatch_losses(
    form: NormalForm, x: np.ndarray, y: np.ndarray, c: float, settings: Settings, offset: int
) -> Iterator[float]:
    random = np.random.RandomState(settings.seeded(offset))
    for draw in range(settings.draws):
        (flips,) = random_bit_errors(form, settings.rate, 1, settings.seeded(offset + 7919 * (draw + 1)))
        rows = random.randint(0, len(x), _MINIBATCH)
        yield float(G.clipped_losses(recover(flipped(form, flips), y[rows]), x[rows], c).mean())


def _estimates(net: Network, y: Array) -> Float[np.ndarray, "N n"]:
    parts = [np.asarray(_forward(net, y[first : first + _BATCH])) for first in range(0, len(y), _BATCH)]
    return np.concatenate(parts)


@jax.jit
def _forward(net: Network, y: Array) -> Array:
    return net(y)
