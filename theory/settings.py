"""How a network is examined."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real

_LARGEST_RADIUS = 1e100  # squares of larger numbers overflow float64
_SEEDS = 2**32


@dataclass(frozen=True)
class Settings:
    """Sizes of perturbations and samples.

    Args:
        attacked: signals whose measurements or network are attacked (the cheap theorems take all signals).
        radius: norm of perturbations of the measurements, relative to the root mean square of their norms.
        flips: sign flips per stored matrix, for N1, N2 and N2u.
        rate: bit-error rate, for N3 and the posterior of G3c.
        scale_error: relative error of the scale, for N1.
        draws: draws of bit errors, for N3 (at least 200) and G3c.
        delta: probability with which a generalization certificate may fail.
        sample: signals of a generalization sample where the training had no fixed set.
        test: fresh signals that risks are measured on.
        held_out: fresh signals that held-out certificates are made of, and as many that check them.
        seed: seed of all that is drawn.

    Raises:
        ValueError: a value out of range.
        TypeError: a value that is no number, or no integer where one is expected.
    """

    attacked: int = 10
    radius: float = 1e-3
    flips: int = 1
    rate: float = 1e-3
    scale_error: float = 0.01
    draws: int = 200
    delta: float = 0.05
    sample: int = 50_000
    test: int = 20_000
    held_out: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        limits = {
            "attacked": (1, None),
            "radius": (0, _LARGEST_RADIUS),
            "flips": (1, None),
            "rate": (0, 1),
            "scale_error": (0, _LARGEST_RADIUS),
            "draws": (200, None),
            "delta": (0, 1),
            "sample": (2, None),
            "test": (2, None),
            "held_out": (2, None),
            "seed": (0, _SEEDS),
        }
        for name, (low, high) in limits.items():
            value, whole = getattr(self, name), isinstance(getattr(Settings, name), int)
            if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
                kind = "an integer" if whole else "a number"
                raise TypeError(f"{name}: expected {kind}, got {value!r}")
            above = value >= low if whole else value > low
            if not above or (high is not None and not value < high):
                below = "" if high is None else f" and < {high:.10g}"
                raise ValueError(f"{name}: expected {'>=' if whole else '>'} {low}{below}, got {value}")

    def seeded(self, offset: int) -> int:
        """Seed number ``offset`` of those drawn from ``seed``; wraps round at the largest that NumPy takes."""
        return (self.seed + offset) % _SEEDS
