"""A stage of training, as data."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from unrollbit.training.losses import LayerwiseLogNMSE, Loss
from unrollbit.training.penalties import Penalty
from unrollbit.variables import BinaryParam, MatrixParam, ScalarParam, ScaleParam

TRAINABLE = {param.kind: param for param in (ScalarParam, ScaleParam, BinaryParam, MatrixParam)}
_HELD = "held"  # the label of scalars that keep their values
DEFAULT_RATES = {"scalars": 1e-2, "scales": 1e-2, "signs": 1e-3, "matrices": 1e-3}


@dataclass(frozen=True)
class Stage:
    """``steps`` steps of Adam on what ``rates`` names, with linear warm-up and a cosine to zero, or of any optimisers.

    Args:
        steps: number of steps.
        depth: train the first ``depth`` layers only (layerwise growth); None: all.
        rates: peak learning rate by kind of variable: "scalars", "scales", "signs" (latents), "matrices". Kinds that
            are named neither here nor in ``optimisers`` stay as they are. Default: 1e-2 for scalars and scales, 1e-3
            for signs and matrices.
        quantised: False trains full-precision matrices; the next quantised stage takes their best signs and scales.
        batch: signals per step.
        loss: a ``Loss``.
        clip: largest global norm of the gradient, by kind.
        warmup: share of the steps with a linearly rising rate.
        betas: moments' decay of Adam.
        name: shown by the progress bar and in ``metrics.jsonl``.
        penalties: ``Penalty`` objects, added to the loss.
        optimisers: optax transformations by kind of variable, in place of Adam, clip, warm-up and cosine.
        bounds: largest magnitude by kind, to which variables are clipped after each step: latents that go on growing
            never turn again.
        held: names of scalars that keep their values, such as "momentum".

    Raises:
        ValueError: a number out of range, an unknown kind of variable, one with a rate and an optimiser, a bound for a
            kind that does not train, or an optimiser that is no optax transformation.

    Example:
        >>> import optax
        >>> stage = Stage(100, rates={"scalars": 1e-2}, optimisers={"signs": optax.sgd(1e-2, momentum=0.9)})
        >>> stage.kinds
        ('scalars', 'signs')
    """

    steps: int
    depth: int | None = None
    rates: Mapping[str, float] = None  # pyright: ignore[reportAssignmentType]  (filled in)
    quantised: bool = True
    batch: int = 64
    loss: Loss = LayerwiseLogNMSE()
    clip: float = 5.0
    warmup: float = 0.02
    betas: tuple[float, float] = (0.9, 0.99)
    name: str = ""
    penalties: tuple[Penalty, ...] = ()
    optimisers: Mapping[str, optax.GradientTransformation] = field(default_factory=dict)
    bounds: Mapping[str, float] = field(default_factory=dict)
    held: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.rates is None:
            rates = {kind: rate for kind, rate in DEFAULT_RATES.items() if kind not in self.optimisers}
            object.__setattr__(self, "rates", rates)
        for name, value in (("steps", self.steps), ("batch", self.batch), ("depth", self.depth)):
            if (name, value) != ("depth", None) and (
                isinstance(value, bool) or not isinstance(value, int) or value < 1
            ):
                raise ValueError(f"Stage: expected an integer {name} >= 1, got {value!r}")
        unknown = sorted(set(self.kinds) - set(TRAINABLE))
        if unknown or not self.kinds:
            raise ValueError(f"Stage rates: expected kinds among {sorted(TRAINABLE)}, got {sorted(self.kinds)}")
        for kind, optimiser in self.optimisers.items():
            if kind in self.rates:
                raise ValueError(f"Stage: {kind} have a rate and an optimiser; leave them out of rates or optimisers")
            if not all(callable(getattr(optimiser, name, None)) for name in ("init", "update")):
                raise ValueError(
                    f"Stage optimisers: expected an optax transformation for {kind}, such as optax.sgd(1e-2), got "
                    f"{optimiser!r}"
                )
        if any(not (rate > 0 and math.isfinite(rate)) for rate in self.rates.values()):
            raise ValueError(f"Stage rates: expected learning rates > 0, got {dict(self.rates)}")
        for kind, bound in self.bounds.items():
            if kind not in self.kinds or not bound > 0:
                raise ValueError(f"Stage bounds: expected numbers > 0 for kinds that train, got {dict(self.bounds)}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"Stage: expected two betas in [0, 1), got {self.betas}")
        if not isinstance(self.quantised, bool):
            raise ValueError(f"Stage: expected quantised = true or false, got {self.quantised!r}")
        if not 0 <= self.warmup < 1 or not self.clip > 0:
            raise ValueError(f"Stage: expected 0 <= warmup < 1 and clip > 0, got {self.warmup} and {self.clip}")
        if not isinstance(self.held, tuple) or not all(isinstance(name, str) for name in self.held):
            raise ValueError(f"Stage held: expected a tuple of names of scalars, got {self.held!r}")
        if not isinstance(self.penalties, tuple) or not all(isinstance(entry, Penalty) for entry in self.penalties):
            raise ValueError(f"Stage: expected penalties as a tuple of Penalty objects, got {self.penalties!r}")

    def __hash__(self) -> int:
        """Of what is hashable in every stage; ``==`` compares all of it."""
        return hash((self.steps, self.depth, self.batch, self.quantised, *sorted(self.rates.items()), type(self.loss)))

    @property
    def per_layer(self) -> bool:
        """Whether the objective needs the estimates of all layers."""
        return self.loss.per_layer or any(penalty.per_layer for penalty in self.penalties)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of variables that this stage trains."""
        return (*self.rates, *self.optimisers)

    def types(self) -> Any:
        """NNX filter of what this stage trains."""
        return nnx.Any(*(TRAINABLE[kind] for kind in self.kinds))

    def optimiser(self, trained: nnx.State) -> optax.GradientTransformation:
        """Adam with this stage's rates, or its optimisers, for the state that it trains."""
        warmup = max(1, round(self.warmup * self.steps))

        def adam(rate: float) -> optax.GradientTransformation:
            schedule = optax.warmup_cosine_decay_schedule(0.0, rate, warmup, max(self.steps, warmup + 1))
            return optax.chain(optax.clip_by_global_norm(self.clip), optax.adam(schedule, *self.betas))

        def label(path: tuple[Any, ...], variable: Any) -> str:
            name = getattr(path[-1], "key", None)
            return _HELD if variable.kind == ScalarParam.kind and name in self.held else variable.kind

        labels = jax.tree.map_with_path(label, trained, is_leaf=lambda leaf: hasattr(leaf, "kind"))
        transforms: dict[Hashable, optax.GradientTransformation] = {**self.optimisers, _HELD: optax.set_to_zero()}
        transforms = {name: adam(rate) for name, rate in self.rates.items()} | transforms
        for kind, bound in self.bounds.items():
            transforms[kind] = optax.chain(transforms[kind], _kept_within(bound))
        return optax.multi_transform(transforms, labels)

    def to_spec(self) -> dict[str, Any]:
        """JSON-able form; the TOML of ``unrollbit train`` mirrors it. Raises ``ValueError`` for ``optimisers``."""
        if self.optimisers:
            raise ValueError("Stage: optax transformations are Python objects, which no spec or config can hold")
        return self.described()

    def described(self) -> dict[str, Any]:
        """All fields but the optimisers as JSON values."""
        plain = ("steps", "depth", "quantised", "batch", "clip", "warmup", "name")
        spec = {name: getattr(self, name) for name in plain}
        spec |= {"rates": dict(self.rates), "betas": list(self.betas), "loss": self.loss.to_spec()}
        if self.penalties:  # left out otherwise: runs of stages without any keep their fingerprint
            spec["penalties"] = [penalty.to_spec() for penalty in self.penalties]
        if self.bounds:
            spec["bounds"] = dict(self.bounds)
        if self.held:
            spec["held"] = list(self.held)
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
        fields |= {name: tuple(fields[name]) for name in ("betas", "held") if name in fields}
        try:
            return Stage(**fields)
        except TypeError as error:
            raise ValueError(f"Stage: {error}") from error


def _kept_within(bound: float) -> optax.GradientTransformation:
    """The last of a chain: what is added leaves no magnitude above ``bound``."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        kept = jax.tree.map(lambda u, p: jnp.clip(p + u, -bound, bound) - p, updates, params)
        return kept, state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


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
