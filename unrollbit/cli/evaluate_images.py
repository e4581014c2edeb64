"""A network on whole photographs, beside classic methods on the same measurements."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.baselines import Tikhonov, TotalVariation, tune
from unrollbit.baselines.comparison import Tell, silent
from unrollbit.cli.whole_images import Camera, Measured, picture_row, summary, timed
from unrollbit.operators import LinearOperator
from unrollbit.packed import PackedNetwork
from unrollbit.problems import Problem

Method = Callable[[Measured], Callable[[Array], Array]]  # what recovers measurements like these
NETWORK = "network"
_TUNING, _SIDE = 8, 192  # validation photographs, and the pixels of each that count, along a side


def methods_of(
    packed: PackedNetwork, problem: Problem, seed: int, *, classic: bool = True, tell: Tell = silent
) -> dict[str, Method]:
    """The network and, unless told otherwise, total variation and Tikhonov with their best weights on validation
    signals of the problem, and the linear estimate that its physics offers.
    """

    @cache
    def network_for(shape: tuple[int, int], A: LinearOperator) -> PackedNetwork:
        return packed.with_physics(A, shape)

    found: dict[str, Method] = {NETWORK: lambda measured: network_for(measured.shape, measured.problem.operator)}
    if not classic:
        return found
    tuning = _validation(problem, seed)

    def best(*methods: Any) -> Any:
        tell(f"{methods[0].name}: tuning on photographs of training")
        tuned = [tune(method, tuning.problem, tuning.x, tuning.y, reduction="mean_of_db") for method in methods]
        return min(tuned, key=lambda found: found.nmse_db).baseline

    smooth = best(TotalVariation(tuning.shape))
    ridge = best(Tikhonov(), Tikhonov(signal_shape=tuning.shape))

    def of_size(method: Any) -> Method:
        """The method on photographs of any size."""
        if method.signal_shape is None:
            return lambda measured: lambda y: method(measured.problem, y)
        return lambda measured: lambda y: dataclasses.replace(method, signal_shape=measured.shape)(measured.problem, y)

    linear = jax.jit(lambda A, y: A.linear_estimate(y))
    return found | {
        "total variation": of_size(smooth),
        "tikhonov": of_size(ridge),
        "linear estimate": lambda measured: lambda y: linear(measured.problem.operator, y),
    }


def _validation(problem: Any, seed: int) -> Measured:
    """The middles of validation photographs, measured: what is best on small crops, of which many are flat, smooths
    photographs too much.
    """
    camera, middles = Camera(problem), []
    validation = problem.split("validation")
    pictures = [validation.images.read(name) for name in validation.pictures()[:_TUNING]]
    height, width = (min(_SIDE, *sides) for sides in zip(*(pixels.shape for pixels in pictures), strict=True))
    for index, pixels in enumerate(pictures):
        top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
        key = jax.random.fold_in(jax.random.key(seed), 2**20 + index)  # another noise than that of test photographs
        middles.append(camera(pixels[top : top + height, left : left + width], key))
    x, y = (jnp.concatenate([getattr(middle, part) for middle in middles]) for part in ("x", "y"))
    return middles[0]._replace(x=x, y=y)


def on_images(
    methods: Mapping[str, Method],
    problem: Problem,
    pictures: Mapping[str, np.ndarray],
    seed: int,
    tell: Tell = silent,
) -> dict[str, Any]:
    """Figures of the network on photographs (pixels in [0, 1]) by name, and of the other methods as ``baselines``.

    ``psnr_db`` is the mean over photographs of each one's PSNR, ``psnr_db_of_mean_error`` that of their mean squared
    error; ``images`` has a row for each, ``milliseconds`` is the mean time of a call that has nothing to compile. A
    baseline's ``gains_db`` are the network's PSNR over its own, in the order of the photographs.
    """
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in methods}
    compiled: set[tuple[str, tuple[int, ...]]] = set()
    for index, (name, pixels) in enumerate(pictures.items()):
        measured = measured_picture(problem, pixels, seed, index)
        tell(f"{name} ({index + 1} of {len(pictures)})")
        for method, recover in methods.items():
            call = recover(measured)
            if (method, measured.y.shape) not in compiled:
                jax.block_until_ready(call(measured.y))
                compiled.add((method, measured.y.shape))
            estimate, milliseconds = timed(call, measured.y)
            row = picture_row(name, measured.assembled(estimate), pixels)
            rows[method].append(row | {"milliseconds": milliseconds})
    figures = {
        name: summary(own) | {"milliseconds": float(np.mean([row["milliseconds"] for row in own])), "images": own}
        for name, own in rows.items()
    }
    own = figures.pop(NETWORK)
    others = []
    for name, other in figures.items():
        pairs = zip(own["images"], other["images"], strict=True)
        gains = [float(a["psnr_db"] - b["psnr_db"]) for a, b in pairs]
        won = sum(gain > 0 for gain in gains)
        others.append({"method": name, **other, "images_won": won, "gains_db": gains})
    return own | {"baselines": others}


def measured_picture(problem: Problem, pixels: np.ndarray, seed: int, index: int) -> Measured:
    """A photograph with its own noise of a seed."""
    return Camera(problem)(pixels, jax.random.fold_in(jax.random.key(seed), index))


def recovered_pictures(
    methods: Mapping[str, Method], problem: Problem, pixels: np.ndarray, seed: int, index: int
) -> dict[str, np.ndarray]:
    """A photograph and what every method makes of it."""
    measured = measured_picture(problem, pixels, seed, index)
    found = {name: measured.assembled(np.asarray(recover(measured)(measured.y))) for name, recover in methods.items()}
    return {"truth": pixels, **found}
