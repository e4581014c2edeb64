"""The certificates that travel with a file."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from unrollbit.networks import Network
from unrollbit.problems import Problem
from unrollbit.theory.prediction.certificates import certificate, largest_share
from unrollbit.theory.prediction.error_bars import LEVEL, calibrated, fitted, rounded_up
from unrollbit.theory.prediction.held_out import HeldOut, sized
from unrollbit.theory.prediction.sample_bars import calibrated_map, fitted_map, local
from unrollbit.theory.settings import Settings

_BOUNDS = ("limit_db", "failure", "risk")
_DRAWN = "signals are independent draws of the problem that the file carries, with its noise and its physics"
_DATA = "signals are like those of the test set that the file's problem names, drawn at random from it"


def calibrate(
    net: Network,
    problem: Problem,
    *,
    signals: int = 2000,
    confidence: float = 0.95,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Any]:
    """Certificates (H1) and error bar (H2) of a network, as ``PackedNetwork.certified`` and files take them.

    Args:
        net: the network, as it runs from its file.
        problem: draws fresh signals.
        signals: test signals to draw; as many as there are of a data set that has fewer.
        confidence: of the certificates.
        level: coverage of the error bar.
        seed: seed of the signals.

    Raises ``ValueError`` where there are too few signals for the confidence and level.
    """
    held = HeldOut.of(net, problem, Settings(held_out=max(2, signals // 2), seed=seed))
    share = largest_share(len(held.x), confidence)
    made = certificate(held.nmse[-1], confidence=confidence, share=share)
    bar = calibrated(fitted(sized(net, *held.chosen)), held.sizes, level)
    if not (math.isfinite(made.limit_db) and math.isfinite(bar.quantile)):
        enough = math.ceil(max(math.log(1 - confidence) / math.log(made.share), 1 / (1 - level)))
        raise ValueError(f"{len(held.x)} test signals are too few: expected at least {enough} for these confidences")
    rounded = {name: rounded_up(value) if name in _BOUNDS else value for name, value in asdict(made).items()}
    tightness = float(np.median(held.sizes.errors / np.asarray(bar(held.sizes.sizes))))  # pyright: ignore
    bars = {"error_bar": {**bar.to_json(), "tightness": float(f"{tightness:.3g}")}}
    if net.signal_shape is not None:
        seen = local(net, held.x, held.y)
        samples = calibrated_map(fitted_map(local(net, *held.chosen), held.chosen[1]), seen, level)
        if math.isfinite(samples.quantile):  # signals this large are few
            tightness = float(np.median(seen.scores(samples)) / samples.quantile)
            bars["sample_error_bar"] = {**samples.to_json(), "tightness": float(f"{tightness:.3g}")}
    drawn = problem.split("test").count is None
    return {
        **rounded,
        "seed": seed,
        **bars,
        "assumes": _DRAWN if drawn else _DATA,
    }
