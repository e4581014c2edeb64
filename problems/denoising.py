"""EEG with ocular or muscle artefacts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.arguments import number, path
from unrollbit.operators import LinearOperator, Subsampling
from unrollbit.problems.artefacts import Artefact, load_epochs
from unrollbit.problems.base import SUBSETS, Problem, Subset, checked_seed, checked_subset, subset_key
from unrollbit.problems.registration import register_problem
from unrollbit.problems.samples import draw_rows
from unrollbit.problems.transforms import Described, Transform, checked_transform, coefficients, synthesis, transformed


@register_problem("operator", "samples", "artefacts")
@dataclass(frozen=True, init=False)
class EEGDenoising(Described, Problem):
    """``y = Psi x + a``: a clean epoch ``Psi x`` under an artefact ``a`` of a stated signal-to-artefact ratio.

    ``Psi`` is an orthonormal synthesis (the identity with ``transform=None``). Clean epochs and artefacts are drawn
    independently, as in EEGdenoiseNet (Zhang et al., J. Neural Eng. 2021),
    ``snr_db = 20 log10(rms(Psi x) / rms(a))``. That paper writes 10 log10 of the same ratio of root mean squares: its
    -7 to 2 dB are -14 to 4 dB here.

    Example:
        >>> import jax
        >>> problem = EEGDenoising("ocular").split("test")
        >>> x, y = problem.sample(jax.random.key(0), 5)
        >>> x.shape, y.shape
        ((5, 128), (5, 128))
    """

    operator: LinearOperator
    samples: tuple[Array, Array, Array]
    artefacts: tuple[Array, Array, Array]
    artefact: str
    transform: Transform
    wavelet: str
    snr_db: float
    seed: int
    folder: str | None
    subset: Subset = "train"

    def __init__(
        self,
        artefact: Artefact = "ocular",
        snr_db: float = -5.0,
        transform: Transform | None = "wavelet",
        wavelet: str = "db4",
        seed: int = 0,
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        """Load the epochs.

        Args:
            artefact: "ocular" or "muscle".
            snr_db: ratio of root mean squares of the clean epoch and the artefact, in dB.
            transform, wavelet: orthonormal transform in which epochs are described.
            seed: of the split and, without a folder, of the modelled artefacts.
            folder: EEGdenoiseNet; None: matplotlib's recording and modelled artefacts.

        Raises:
            ValueError: an argument out of range or an unknown name, or a folder without the data.
        """
        wanted = "a number of dB; without artefacts there is nothing to remove"
        seed, level = checked_seed(seed), number("snr_db", snr_db, lambda _: True, wanted)
        epochs, n = load_epochs(artefact, folder, seed)
        transform = checked_transform(transform)
        psi = synthesis(transform, (n,), wavelet)
        samples = coefficients(psi, [epochs[subset].clean for subset in SUBSETS])
        others = tuple(jnp.asarray(epochs[subset].artefact) for subset in SUBSETS)
        where = None if folder is None else path("folder", folder)
        physics = Subsampling.full((n,)) if psi is None else psi
        self._set(physics, samples, others, artefact, transform, wavelet, level, seed, where)

    def sample(self, key: Array, batch: int) -> tuple[Float[Array, "batch n"], Float[Array, "batch n"]]:
        signal_key, artefact_key = jax.random.split(subset_key(key, self.subset))
        index = SUBSETS.index(self.subset)
        x = draw_rows(signal_key, batch, self.samples[index])[0]
        return x, self._mixed(x, draw_rows(artefact_key, batch, self.artefacts[index])[0])

    def all(self) -> tuple[Float[Array, "count n"], Float[Array, "count n"]]:
        """Every clean epoch of this subset, each with an artefact that ``seed`` chooses."""
        index = SUBSETS.index(self.subset)
        x, artefacts = self.samples[index], self.artefacts[index]
        rows = np.random.RandomState([self.seed, index]).randint(len(artefacts), size=len(x))
        return x, self._mixed(x, artefacts[rows])

    @property
    def count(self) -> int:
        """How many epochs this subset has."""
        return len(self.samples[SUBSETS.index(self.subset)])

    def _mixed(self, x: Array, artefact: Array) -> Array:
        clean = transformed(self.operator, x)
        level = jnp.sqrt(jnp.mean(clean**2, -1, keepdims=True) / jnp.mean(artefact**2, -1, keepdims=True))
        return clean + level * 10.0 ** (-self.snr_db / 20.0) * artefact

    def split(self, name: Subset) -> Self:
        return self._with(subset=checked_subset(name))

    @property
    def grid(self) -> tuple[int]:
        return (self.operator.shape[0],)

    @property
    def synthesis(self) -> LinearOperator | None:
        return None if self.transform == "none" else self.operator

    def to_spec(self) -> dict[str, Any]:
        fields = ("artefact", "snr_db", "transform", "wavelet", "seed", "folder")
        spec = {"kind": "EEGDenoising", **{name: getattr(self, name) for name in fields}}
        return {name: value for name, value in spec.items() if value is not None}
