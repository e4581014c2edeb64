"""Error bars of single signals, calibrated on signals whose errors are known (conformal prediction)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Self

import jax.numpy as jnp
from jaxtyping import Array, Float

Of = Literal["signal", "sample"]
_ENTRIES: dict[Of, str] = {"signal": "error_bar", "sample": "sample_error_bar"}  # of certificates


class Recovered(NamedTuple):
    """Estimates and their error bars, one a signal or one a sample."""

    x: Float[Array, "*batch n"]
    error_bar: Float[Array, "*batch"] | Float[Array, "*batch n"]


@dataclass(frozen=True)
class ErrorBar:
    """``quantile * prod_i max(size_i, floor)^exponent_i``, of norms that are known without the signal
    (``unrollbit.networks.sizes``), or of maps for every sample (``unrollbit.networks.local_sizes``).

    Of signals exchangeable with the ``signals`` of the calibration, a share of at least ``level`` has an error
    ``||x^ - x*||`` within its bar, on average over calibrations; or such a share of their samples ``|x^_i - x*_i|``.
    Nothing is said of other signals: more noise, other physics or another distribution can break it. Sources: Vovk,
    Gammerman, Shafer, "Algorithmic Learning in a Random World" (2005); Lei et al., J. Am. Stat. Assoc. 113 (2018), for
    the size; Angelopoulos et al., "Conformal risk control" (2024), for samples.

    Example:
        >>> bar = ErrorBar(0.9, 100, 1.5, {"residual": 1.0}, 1e-7)
        >>> bar({"residual": jnp.array([2.0, 4.0])})
        Array([3., 6.], dtype=float32)
    """

    level: float
    signals: int
    quantile: float
    exponents: dict[str, float]
    floor: float

    def __call__(self, sizes: Mapping[str, Float[Array, "*batch"]]) -> Float[Array, "*batch"]:
        """The bars of signals with these sizes; raises ``ValueError`` where one is missing."""
        return self.quantile * self.size(sizes)

    def size(self, sizes: Mapping[str, Float[Array, "*batch"]]) -> Float[Array, "*batch"]:
        """The bars before calibration."""
        if missing := sorted(set(self.exponents) - set(sizes)):
            raise ValueError(f"error bar: expected the sizes {', '.join(self.exponents)}; {', '.join(missing)} missing")
        parts = [power * jnp.log(jnp.maximum(sizes[name], self.floor)) for name, power in self.exponents.items()]
        return jnp.exp(sum(parts, jnp.zeros(jnp.broadcast_shapes(*map(jnp.shape, sizes.values())))))

    def to_json(self) -> dict[str, Any]:
        """As a file has it."""
        return asdict(self)

    @classmethod
    def from_json(cls, certificates: Mapping[str, Any] | None, of: Of = "signal") -> Self | None:
        """That of the certificates of a file; None where they have none."""
        found = None if certificates is None else certificates.get(_ENTRIES[of])
        return None if found is None else cls(**{name: found[name] for name in cls.__dataclass_fields__})
