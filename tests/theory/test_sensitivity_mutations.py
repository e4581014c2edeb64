"""Broken bounds of N1, N2, N2u, N3: each change of a factor is reported as violated by a tight instance."""

from dataclasses import replace

import numpy as np
import pytest

from unrollbit.theory import normal_form as normal_form_module
from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.random_forms import random_form
from unrollbit.theory.sensitivity import (
    N1,
    N2,
    N3,
    N1free,
    N1path,
    N2u,
    flip_deviations,
    flipped,
    greedy_flips,
    random_bit_errors,
    sign_flips,
)


def scalar(form, gains, theta=None, a=1.0):
    """A 1x1 network: G_k = gains_k, H_k = 1 - gains_k a."""
    H = np.ones((len(gains), 1, 1)) * 0.5 if form == "lista" else None
    return NormalForm.from_arrays(form, [[a]], np.ones((1, 1, 1)), gains, theta, H=H)


def one_layer(kind, W, gain=0.5, A=None, theta=None):
    W = np.asarray(W, float)
    return NormalForm.from_arrays(kind, W if A is None else A, W[None], [gain], theta)


def carried_by_admm():
    """v_1 stays below its threshold and goes on to v_2 with 1 - h = 1, although h = 0."""
    return NormalForm.from_arrays("admm", np.ones((100, 1)), np.ones((2, 100, 1)), [0.1, 0.01], [0.0, 9.0, 0.0])


def tight():
    """Instances on which some part of the bound is attained."""
    gd = scalar("gd", [0.5, 0.25]), scalar("gd", [0.6, 0.3])
    ista = scalar("ista", [1.0], [0.2]), scalar("ista", [1.0], [0.3])
    # v_1 = 0.1 stays below theta_1, so that v_2 = (1 - h) v_1 + g y, and the output has no threshold
    admm = scalar("admm", [0.9, 0.9], [1.0, 1.0, 0.0]), scalar("admm", [0.9, 0.9], [1.0, 1.0, 0.0])
    last = scalar("admm", [1.0], [0.0, 0.2]), scalar("admm", [1.0], [0.0, 0.3])
    inner = scalar("admm", [1.0, 1.0], [0.0, 0.2, 0.0]), scalar("admm", [1.0, 1.0], [0.0, 0.3, 0.0])
    return [(*gd, 1.0, 1.0), (*ista, 1.0, 0.9), (*admm, 0.1, 0.2), (*last, 1.0, 1.0), (*inner, 1.0, 1.0)]


@pytest.mark.parametrize(
    ("theorem", "old", "new"),
    [
        (N1, "other.factors[k] * D", "0.9 * other.factors[k] * D"),
        (N1, "other.factors[k] * D", "other.H_norms[k] * D"),  # not the layer factor of ADMM
        (N1, "(other.reflected_norms[k] if admm else 1) * thresholds[k]", "0"),
        (N1, "(thresholds[k + 1] if admm else 0)", "0"),
        (N1, " + other.G_norms[k] * norms(y - y_other)", ""),
        (N1, "(form.G[k] - other.G[k]) @ y", "0"),
        (N1path, "restricted_norm(other.H[k], now, then) * D", "0.9 * restricted_norm(other.H[k], now, then) * D"),
        (N1path, "math.sqrt(now.sum()) * changes[k]", "0"),
        (N1path, " - other.G[k] @ (y_other - y)", ""),
        (N1path, "(first.x != 0) | (second.x != 0)", "(first.x == 0) & (second.x == 0)"),
        (N1free, "_gain(other) * (H_apart[k] * X + G_apart[k] * Y)", "_gain(other) * H_apart[k] * X"),
        (N1free, "(thresholds[k + 1] if admm else 0)", "0"),
        (N1free, "(other.reflected_norms[k] if admm else 1) * thresholds[k]", "0"),
    ],
)
def test_a_broken_bound_is_reported(mutate, theorem, old, new):
    def reports(function):
        for form, other, y, y_other in tight():
            free = function.__name__ == "N1free"
            yield function(form, other, [y]) if free else function(form, other, [y], [y_other])

    assert all(report.status != "violated" for report in reports(theorem))
    assert any(report.status == "violated" for report in reports(mutate(theorem, old, new)))


def test_a_norm_by_power_iteration_is_reported(monkeypatch):
    H = np.stack([np.diag([0.9, 0.5, 0.5])] * 2)
    G = np.stack([np.eye(3)] * 2)
    form = NormalForm("lista", np.eye(3), H, G, np.zeros(2), np.ones((3, 3), bool))

    def one_step(matrix):
        return np.linalg.norm(matrix @ np.ones(matrix.shape[-1]), axis=-1) / np.sqrt(matrix.shape[-1])

    y, y_other = np.zeros(3), np.array([1.0, 0.0, 0.0])
    assert N1(form, form, y, y_other).tightness == pytest.approx(1.0)
    monkeypatch.setattr(normal_form_module, "spectral_norm", one_step)
    assert N1(replace(form), form, y, y_other).status == "holds"  # norms known from before
    assert N1(form, replace(form), y, y_other).status == "violated"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("frobenius = 2 * gamma", "frobenius = gamma"),
        ("np.sqrt(count), np.sqrt(rows * columns)", "np.sqrt(count) / 2, np.sqrt(rows * columns)"),
        ("np.sqrt(rows * columns)", "np.sqrt(columns)"),
        ("bounds = 2 * gamma", "bounds = gamma"),
    ],
)
def test_a_broken_size_is_reported(mutate, old, new):
    form = one_layer("gd", np.ones((2, 3)), gain=0.25)
    other = flipped(form, np.array([[[True, True, True], [False, False, False]]]))
    assert N2(form, other).status == "holds"
    assert mutate(N2, old, new)(form, other).status == "violated"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("g = 2 * gamma[k]", "g = gamma[k]"),
        ("+ gain * g * spread", ""),
        ("form.factors[k]", "form.H_norms[k]"),  # not the layer factor of ADMM
        ("+ gain * g * _worst(clean.r[k], flips)", "+ gain * g * norms(clean.r[k]) / np.sqrt(len(y))"),
    ],
)
def test_a_broken_worst_case_is_reported(mutate, old, new):
    deep = NormalForm.from_arrays("gd", [[1.0]], [[[1.0]]], [0.1, 0.1])
    tall = one_layer("gd", [[1.0], [1.0]])
    admm = carried_by_admm()

    def reports(theorem):
        for form, y in ((deep, np.ones(1)), (tall, np.array([3.0, 1.0])), (admm, np.eye(100)[0])):
            flips = greedy_flips(form, y, 1)
            yield theorem(form, y, 1, [flipped(form, each) for each in flips])

    assert all(report.status == "holds" for report in reports(N2u))
    assert any(report.status == "violated" for report in reports(mutate(N2u, old, new)))


def test_a_worst_case_over_too_few_rows_is_reported(mutate, monkeypatch):
    form = one_layer("gd", [[1.0], [1.0]])
    both = [flipped(form, np.ones((1, 2, 1), bool))]
    assert N2u(form, np.ones(2), 2, both).tightness == pytest.approx(1.0)
    monkeypatch.setattr(sign_flips, "_worst", mutate(sign_flips._worst, "math.sqrt(flips) * ", ""))
    assert N2u(form, np.ones(2), 2, both).status == "violated"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("2 * rate * float(norms(form.G[k] @ clean.r[k]))", "0"),
        ("fluctuation = 2 * gamma[k]", "fluctuation = gamma[k]"),
        ("factors[k] * R + ", ""),
        ("math.sqrt(rate * (1 - rate)) * (float(norms(stored * clean.r[k]))", "rate * (float(norms(clean.r[k]))"),
        ("np.sqrt(form.mask.sum(axis=1))", "np.ones(len(y))"),
        ("(1 + spectral_norm(2 * mean_H - np.eye(n))) / 2", "spectral_norm(mean_H)"),
    ],
)
def test_a_broken_mean_square_is_reported(mutate, old, new):
    gd = random_form("gd", 1, m=10, n=6, depth=1)
    deep = NormalForm.from_arrays("gd", np.eye(3), np.ones((2, 3, 3)), [0.3, 1e-3])
    admm = carried_by_admm()

    def reports(theorem):
        for form, rate in ((gd, 0.3), (gd, 0.9), (deep, 0.1), (admm, 0.02)):
            y = np.eye(100)[0] if form is admm else np.ones(len(form.A))
            deviations = flip_deviations(form, y, random_bit_errors(form, rate, 4000, 0))
            yield theorem(form, y, rate, deviations)

    assert all(report.status == "holds" for report in reports(N3))
    assert any(report.status == "violated" for report in reports(mutate(N3, old, new)))
