"""A shrinkage whose scalars differ between groups of unknowns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.scalars import ScalarSpec
from unrollbit.shrinkage.base import Scalars, Shrinkage
from unrollbit.specs import Spec

_LARGEST = 2**22  # unknowns that a spec may announce in a few runs: they become a tuple


@dataclass(frozen=True)
class Grouped(Shrinkage):
    """``shrinkage`` with its own scalars for every group of unknowns, the subbands of a wavelet transform, say.

    ``groups[j]`` in ``0..G-1`` is the group of unknown ``j``; entry ``j`` is shrunken with the scalars of its group.
    Runs of equal groups may be given as pairs ``(group, count)``; a spec writes them so where that is shorter.

    Scalars: those of ``shrinkage`` with shape ``(G,)``. All groups start alike, except for the names listed in
    ``initial``: pairs of a name and its G values, such as ``(("threshold", (0.0, 0.1)),)`` (the same for all layers).

    Source: level-dependent thresholds: Donoho and Johnstone, "Adapting to unknown smoothness via wavelet shrinkage",
    J. Am. Stat. Assoc. 90 (1995).

    Example:
        >>> import jax.numpy as jnp
        >>> from unrollbit.shrinkage import Soft
        >>> shrink = Grouped(Soft(), groups=(0, 0, 1))
        >>> shrink(jnp.array([3.0, 3.0, 3.0]), {"threshold": jnp.array([1.0, 2.0])}, 1.0)
        Array([2., 2., 1.], dtype=float32)
    """

    shrinkage: Shrinkage
    groups: tuple[int, ...] | tuple[tuple[int, int], ...]
    initial: tuple[tuple[str, tuple[float, ...]], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", _expanded(self.groups))
        ids = {int(group) for group in np.unique(self.groups)}
        if not ids or ids != set(range(len(ids))):
            raise ValueError(f"Grouped: group ids must be 0..G-1, each used at least once; got {_few(sorted(ids))}")
        specs = self.shrinkage.scalars(1.0)
        if not specs:
            raise ValueError(f"Grouped: {type(self.shrinkage).__name__} has no scalars to give to groups")
        if any(spec.shape for spec in specs.values()):
            raise ValueError(f"Grouped: {type(self.shrinkage).__name__} has scalars that are vectors already")
        for name, values in self.initial:
            if name not in specs:
                raise ValueError(
                    f"Grouped: {type(self.shrinkage).__name__} has no scalar {name!r}; it has {', '.join(specs)}"
                )
            if len(values) != len(ids):
                raise ValueError(f"Grouped: {name!r} needs {len(ids)} initial values, one per group; got {len(values)}")
        # a shrinkage that needs one number for the whole signal says so now, not in the first training step
        entrywise = {name: jax.ShapeDtypeStruct((len(self.groups),), jnp.float32) for name in specs}
        signal = jax.ShapeDtypeStruct((len(self.groups),), jnp.float32)
        jax.eval_shape(lambda u, scalars: self.shrinkage(u, scalars, 1.0), signal, entrywise)

    def to_spec(self) -> Spec:
        entries = np.asarray(self.groups)
        starts = np.concatenate([[0], np.flatnonzero(np.diff(entries)) + 1])
        counts = np.diff(np.append(starts, len(entries)))
        if 2 * len(starts) >= len(entries):
            return super().to_spec()
        runs = [[int(entries[start]), int(count)] for start, count in zip(starts, counts, strict=True)]
        return super().to_spec() | {"groups": runs}

    @property
    def separable(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.shrinkage.separable

    @property
    def convex(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.shrinkage.convex

    def lipschitz(self, scalars: Mapping[str, np.ndarray]) -> float | None:
        return self.shrinkage.lipschitz(scalars)

    @property
    def size(self) -> int:
        """``G``, the number of groups."""
        return int(np.max(self.groups)) + 1

    def scalars(self, weight: float | Float[Array, ""]) -> dict[str, ScalarSpec]:
        given = dict(self.initial)
        return {
            name: ScalarSpec(partial(_per_group, spec, self.size, given.get(name)), spec.constraint, (self.size,))
            for name, spec in self.shrinkage.scalars(weight).items()
        }

    def __call__(self, u: Float[Array, "*batch n"], scalars: Scalars, tau: Array | float) -> Float[Array, "*batch n"]:
        if u.shape[-1] != len(self.groups):
            raise ValueError(f"Grouped: expected {len(self.groups)} unknowns on the last axis, got shape {u.shape}")
        return self.shrinkage(u, self._entrywise(scalars), tau)

    @property
    def has_variance(self) -> bool:
        return self.shrinkage.has_variance

    def posterior_variance(
        self, u: Float[Array, "*batch n"], scalars: Scalars, tau: Array | float
    ) -> Float[Array, "*batch n"]:
        return self.shrinkage.posterior_variance(u, self._entrywise(scalars), tau)

    def _entrywise(self, scalars: Scalars) -> Scalars:
        """The scalars of every unknown; the algorithm's own are single numbers."""
        groups = np.asarray(self.groups, np.int32)
        grouped = {name for name, values in scalars.items() if jnp.shape(values)[-1:] == (self.size,)}
        return {name: values[groups] if name in grouped else values for name, values in scalars.items()}

    def penalty(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch"] | None:
        """That of ``shrinkage`` where all groups start with the same weight, else None."""
        return None if self.initial else self.shrinkage.penalty(x)


def _expanded(groups: Any) -> tuple[int, ...]:
    """The group of every unknown, from a sequence or array of them or of pairs (group, count)."""
    entries = list(groups)
    if not all(isinstance(entry, tuple | list) for entry in entries):
        return tuple(int(group) for group in entries)
    if not all(len(run) == 2 and all(isinstance(v, int) and v >= 0 for v in run) for run in entries):
        raise ValueError("Grouped: expected runs of equal groups as pairs (group, count) of integers >= 0")
    total = sum(count for _, count in entries)
    if total > _LARGEST:
        raise ValueError(f"Grouped: expected runs of at most {_LARGEST:,} unknowns together, got {total:,}")
    return tuple(group for group, count in entries for _ in range(count))


def _per_group(spec: ScalarSpec, size: int, values: tuple[float, ...] | None, depth: int) -> np.ndarray:
    if values is not None:
        return np.tile(np.asarray(values, np.float64), (depth, 1))
    return np.repeat(spec.initial_values(depth)[:, None], size, axis=1)


def _few(values: list[int]) -> str:
    return str(values) if len(values) <= 8 else f"[{', '.join(map(str, values[:8]))}, ...]"
