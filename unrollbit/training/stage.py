"""A stage of training, as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import optax
from flax import nnx

from unrollbit.training.losses import LayerwiseLogNMSE, Loss
from unrollbit.training.penalties import Penalty
from unrollbit.variables import BinaryParam, MatrixParam, ScalarParam, ScaleParam

TRAINABLE: dict[str, type[nnx.Param]] = {
    "scalars": ScalarParam,
    "scales": ScaleParam,
    "signs": BinaryParam,
    "matrices": MatrixParam,
}
DEFAULT_RATES = {"scalars": 1e-2, "scales": 1e-2, "signs": 1e-3, "matrices": 1e-3}


@dataclass(frozen=True)
class Stage:
    """``steps`` steps of Adam on what ``rates`` names, with linear warm-up and a cosine to zero.

    Args:
        steps: number of steps.
        depth: train the first ``depth`` layers only (layerwise growth); None: all.
        rates: peak learning rate by kind of variable: "scalars", "scales", "signs" (latents), "matrices". Kinds that
            are not named stay as they are.
        quantised: False trains full-precision matrices; the next quantised stage takes their best signs and scales.
        batch: signals per step.
        loss: a ``Loss``.
        penalties: ``Penalty`` objects, added to the loss.
        clip: largest global norm of the gradient, by kind.
        warmup: share of the steps with a linearly rising rate.
        betas: moments' decay of Adam.
        name: shown by the progress bar and in ``metrics.jsonl``.

    Raises:
        ValueError: a number out of range or an unknown kind of variable.
    """

    steps: int
    depth: int | None = None
    rates: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_RATES))
    quantised: bool = True
    batch: int = 64
    loss: Loss = LayerwiseLogNMSE()
    clip: float = 5.0
    warmup: float = 0.02
    betas: tuple[float, float] = (0.9, 0.99)
    name: str = ""
    penalties: tuple[Penalty, ...] = ()

    def __post_init__(self) -> None:
        for name, value in (("steps", self.steps), ("batch", self.batch), ("depth", self.depth)):
            if (name, value) != ("depth", None) and (
                isinstance(value, bool) or not isinstance(value, int) or value < 1
            ):
                raise ValueError(f"Stage: expected an integer {name} >= 1, got {value!r}")
        unknown = sorted(set(self.rates) - set(TRAINABLE))
        if unknown or not self.rates:
            raise ValueError(f"Stage rates: expected kinds among {sorted(TRAINABLE)}, got {sorted(self.rates)}")
        if any(not (rate > 0 and math.isfinite(rate)) for rate in self.rates.values()):
            raise ValueError(f"Stage rates: expected learning rates > 0, got {dict(self.rates)}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"Stage: expected two betas in [0, 1), got {self.betas}")
        if not isinstance(self.quantised, bool):
            raise ValueError(f"Stage: expected quantised = true or false, got {self.quantised!r}")
        if not 0 <= self.warmup < 1 or not self.clip > 0:
            raise ValueError(f"Stage: expected 0 <= warmup < 1 and clip > 0, got {self.warmup} and {self.clip}")
        if not isinstance(self.penalties, tuple) or not all(isinstance(entry, Penalty) for entry in self.penalties):
            raise ValueError(f"Stage: expected penalties as a tuple of Penalty objects, got {self.penalties!r}")

    @property
    def per_layer(self) -> bool:
        """Whether the objective needs the estimates of all layers."""
        return self.loss.per_layer or any(penalty.per_layer for penalty in self.penalties)

    def types(self) -> Any:
        """NNX filter of what this stage trains."""
        return nnx.Any(*(TRAINABLE[kind] for kind in self.rates))

    def optimiser(self, trained: nnx.State) -> optax.GradientTransformation:
        """Adam with this stage's rates for the state that it trains."""
        warmup = max(1, round(self.warmup * self.steps))

        def adam(rate: float) -> optax.GradientTransformation:
            schedule = optax.warmup_cosine_decay_schedule(0.0, rate, warmup, max(self.steps, warmup + 1))
            return optax.chain(optax.clip_by_global_norm(self.clip), optax.adam(schedule, *self.betas))

        def kind(variable: nnx.Variable) -> str:
            return next(name for name in self.rates if isinstance(variable, TRAINABLE[name]))

        labels = jax.tree.map(kind, trained, is_leaf=lambda leaf: isinstance(leaf, nnx.Variable))
        return optax.multi_transform({name: adam(rate) for name, rate in self.rates.items()}, labels)

    def to_spec(self) -> dict[str, Any]:
        """JSON-able form; the TOML of ``unrollbit train`` mirrors it."""
        plain = ("steps", "depth", "quantised", "batch", "clip", "warmup", "name")
        spec = {name: getattr(self, name) for name in plain}
        spec |= {"rates": dict(self.rates), "betas": list(self.betas), "loss": self.loss.to_spec()}
        if self.penalties:  # left out otherwise: runs of stages without any keep their fingerprint
            spec["penalties"] = [penalty.to_spec() for penalty in self.penalties]
        return spec

    @staticmethod
    def from_spec(spec: Mapping[str, Any]) -> Stage:
        """Inverse of ``to_spec``; fields with defaults may be left out. Raises ``ValueError`` for unknown fields."""
        fields = dict(spec)
        if "loss" in fields:
            fields["loss"] = Loss.from_spec(fields["loss"])
        if "penalties" in fields:
            if not isinstance(fields["penalties"], list | tuple):
                raise ValueError(f"Stage: expected a list of penalties, got {fields['penalties']!r}")
            fields["penalties"] = tuple(Penalty.from_spec(entry) for entry in fields["penalties"])
        if "betas" in fields:
            fields["betas"] = tuple(fields["betas"])
        try:
            return Stage(**fields)
        except TypeError as error:
            raise ValueError(f"Stage: {error}") from error


def grown(depth: int, steps: int, **options: Any) -> tuple[Stage, ...]:
    """Stages of layerwise growth: depths 2, 4, 8, 12, ... up to ``depth``, with more steps for the deeper ones.

    Shares of the steps for five stages: 12, 14, 20, 24, 30 %.
    """
    if steps < 1:
        raise ValueError(f"steps: expected at least 1, got {steps}")
    depths = sorted({d for d in (2, 4, 8, 12, 16, *range(24, depth, 8)) if d < depth} | {depth})
    shares = [0.12 + 0.045 * i for i in range(len(depths))]
    counts = [max(1, round(steps * share / sum(shares))) for share in shares]
    base = Stage(steps=1, **options)
    return tuple(
        replace(base, steps=count, depth=d, name=f"{d} layers") for d, count in zip(depths, counts, strict=True)
    )
