"""A user's own physics and signals."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
from jaxtyping import Array, Float

from unrollbit.arguments import number, path, shown
from unrollbit.operators import LinearOperator
from unrollbit.problems.array_files import subsets_of
from unrollbit.problems.base import SUBSETS, Problem, Subset, checked_seed, subset_key
from unrollbit.problems.data import described_data, places_of
from unrollbit.problems.noise import Noise, noise_arguments, noise_of
from unrollbit.problems.parts import checked_fractions
from unrollbit.problems.physics_files import physics_and_source, written
from unrollbit.problems.registration import register_problem
from unrollbit.problems.samples import DrawsFromSamples, Samples, draw_rows
from unrollbit.problems.transforms import (
    Described,
    Transform,
    checked_grid,
    checked_transform,
    coefficients,
    measured_through,
    synthesis,
)


@register_problem("operator", "samples", "measurements")
@dataclass(frozen=True, init=False)
class ArrayProblem(Described, DrawsFromSamples, Problem):
    """``y = A s`` with given rows of signals ``s``, and given ``y`` or measurements made by ``A`` plus noise.

    Rows are shuffled by a seed and split into three disjoint subsets, or the three are given: of windows that overlap,
    for example, which would otherwise share samples. The unknowns ``x`` are the signals, or with a ``transform`` their
    coefficients. Also called ``Problem.from_arrays``.

    Example:
        >>> import numpy as np, jax
        >>> rng = np.random.RandomState(0)
        >>> problem = ArrayProblem(rng.randn(8, 16), rng.randn(100, 16), snr_db=30)
        >>> x, y = problem.split("test").all()
        >>> x.shape, y.shape
        ((10, 16), (10, 8))
        >>> described = ArrayProblem(rng.randn(8, 16), rng.randn(100, 16), transform="dct")
        >>> described.signal(described.samples[0]).shape, described.prior().size
        ((80, 16), 10)
    """

    data_arguments: ClassVar[tuple[str, ...]] = ("matrix", "signals", "measurements")
    physics_argument: ClassVar[str | None] = "matrix"
    operator: LinearOperator
    samples: Samples
    measurements: Samples | None
    noise: Noise | None
    seed: int
    fractions: tuple[float, float, float]
    sources: tuple[tuple[str, Any], ...] | None
    shape: tuple[int, ...] | None
    transform: Transform
    wavelet: str
    energy_bound: float | None
    subset: Subset = "train"

    def __init__(
        self,
        matrix: Any = None,
        signals: Any = None,
        measurements: Any = None,
        snr_db: float | None = None,
        seed: int = 0,
        fractions: Sequence[float] = (0.8, 0.1, 0.1),
        folder: str | os.PathLike[str] | None = None,
        inline: bool = False,
        noise: Noise | None = None,
        shape: int | Sequence[int] | None = None,
        transform: Transform | None = None,
        wavelet: str = "db4",
        energy_bound: float | None = None,
    ) -> None:
        """Check the arrays and split their rows.

        Args:
            matrix: the physics: whatever ``as_operator`` takes, the path of a ``.npy`` matrix or a ``.npz`` of
                scipy.sparse, ``module:name`` of one's own code, or the table of an operator.
            signals: ``(N, n)`` array, one signal a row, or the path of a ``.npy`` or ``.csv`` file; or three of them:
                training, validation and test.
            measurements: ``(N, m)`` array or path, or three; None: computed by the operator, plus noise. Complex ones
                of complex physics are welcome.
            snr_db: signal-to-noise ratio of each computed measurement in dB; None for no noise.
            seed: seed of the shuffle (and of the noise of ``all``).
            fractions: shares of the rows for training, validation and test; they sum to 1.
            folder: what relative paths are relative to; the working directory if None.
            noise: ``Gaussian`` or ``Poisson`` noise of computed measurements; ``snr_db`` is short for the first.
            shape: ``n`` or ``(height, width)`` where signals are samples on a grid, for which other methods are best
                than for sparse vectors; None: not known to be.
            transform, wavelet: "dct" or "wavelet" ("db1" to "db8"), orthonormal, of the unknowns; None: the unknowns
                are the signals.
            energy_bound: a bound of ``||x||^2`` that is known without these data (pixels in [0, 1]: their number),
                which certificates of generalization need; None: not known.
            inline: mark of a stored description of arrays that were given in memory; always refused.

        Equal rows are not looked for: a signal that is stored twice may fall into two subsets.

        Raises:
            ValueError: a file that is missing or no plain ``.npy``, an array of wrong shape, length or dtype or
                with NaN or infinite entries, too few signals to split, or an argument out of range.
        """
        if inline:
            raise ValueError(
                "the signals of this problem were given in memory and are not stored with it, so no data can be drawn; "
                "save them with numpy.save and pass the files: matrix = 'A.npy', signals = 'x.npy' (and measurements)"
            )
        if folder is not None and not os.path.isdir(path("folder", folder)):
            raise ValueError(f"folder: no such folder: {shown(folder)}")
        grid = None if shape is None else checked_grid(shape)
        phi, source = physics_and_source("matrix", matrix, folder, grid)
        if phi.preconditioned:
            raise ValueError("matrix: expected the physics that measures; give the preconditioned form to the network")
        m, n = phi.shape
        if grid is not None and math.prod(grid) != n:
            raise ValueError(f"shape: {grid} has {math.prod(grid)} samples, but the physics measures n = {n}")
        seed, shares = checked_seed(seed), checked_fractions("fractions", fractions)
        x = subsets_of("signals", signals, n, shares, seed, folder)
        y = None
        if measurements is not None:
            y = subsets_of("measurements", measurements, m, shares, seed, folder, complex_physics=phi.complex_physics)
            if list(map(len, y)) != list(map(len, x)):
                raise ValueError(
                    f"measurements: expected shape (N, m) = {(sum(map(len, x)), m)}, a row for every signal, got "
                    f"{sum(map(len, y))} rows"
                )
            if (snr_db, noise) != (None, None):
                raise ValueError("snr_db: given measurements have their noise already; leave one of the two out")
        if energy_bound is not None:
            wanted = "a finite number > 0: a bound of ||x||^2 known without the data, or None"
            energy_bound = number("energy_bound", energy_bound, lambda value: value > 0, wanted)
        transform = checked_transform(transform)
        psi = synthesis(transform, grid or (n,), wavelet)
        given = {"signals": signals, "measurements": measurements, "folder": folder}
        sources = _sources(given if source is None else {"matrix": source, **given})
        y = None if y is None else coefficients(None, y)
        noise = noise_of(noise, snr_db)
        values = measured_through(phi, psi), coefficients(psi, x), y, noise, seed, shares, sources
        self._set(*values, grid, transform, wavelet, energy_bound)

    def sample(self, key: Array, batch: int) -> tuple[Float[Array, "batch n"], Float[Array, "batch m"]]:
        row_key, noise_key = jax.random.split(subset_key(key, self.subset))
        x, *given = draw_rows(row_key, batch, *self._given())
        return x, given[0] if given else self.measured(x, noise_key)

    def all(self) -> tuple[Float[Array, "count n"], Float[Array, "count m"]]:
        given = self._given()
        return given if len(given) == 2 else super().all()

    @property
    def energy(self) -> float | None:
        """``energy_bound``."""
        return self.energy_bound

    @property
    def grid(self) -> tuple[int, ...]:
        return self.shape or (self.operator.shape[1],)

    @property
    def signal_shape(self) -> tuple[int, ...] | None:
        return None if self.shape is None else super().signal_shape

    def to_spec(self) -> dict[str, Any]:
        """Paths where signals and measurements came from files; else ``inline``, which cannot be rebuilt. Physics is
        a path or, if it is small, a table; else it is left out.
        """
        spec: dict[str, Any] = {"kind": "ArrayProblem"}
        if self.sources is None:
            spec["inline"] = True
        else:
            spec |= {name: list(value) if isinstance(value, tuple) else value for name, value in self.sources}
            physics = spec.get("matrix") or written(self.measurement)
            spec |= {} if physics is None else {"matrix": physics}
        spec |= {**noise_arguments(self.noise), "seed": self.seed, "fractions": list(self.fractions)}
        spec |= {} if self.shape is None else {"shape": list(self.shape)}
        spec |= {} if self.energy_bound is None else {"energy_bound": self.energy_bound}
        return spec if self.transform == "none" else {**spec, "transform": self.transform, "wavelet": self.wavelet}

    def recipe(self) -> dict[str, Any]:
        spec = self.to_spec()
        folder = spec.pop("folder", None)
        files = {name: described_data(spec[name], folder) for name in self.data_arguments if name in spec}
        return {**spec, **files}

    def places(self) -> list[str]:
        spec = self.to_spec()
        given = (spec[name] for name in self.data_arguments if name in spec)
        return list(dict.fromkeys(place for value in given for place in places_of(value, spec.get("folder", ""))))

    def _given(self) -> tuple[Array] | tuple[Array, Array]:
        index = SUBSETS.index(self.subset)
        return (self.samples[index],) if self.measurements is None else (self.samples[index], self.measurements[index])


def _sources(given: Mapping[str, Any]) -> tuple[tuple[str, Any], ...] | None:
    """The paths of arguments that came from files, or None where one did not."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        paths = [value] if isinstance(value, str | os.PathLike) else value
        if value is None:
            continue
        if not isinstance(paths, list | tuple) or not all(isinstance(path, str | os.PathLike) for path in paths):
            return None
        found[name] = os.fspath(paths[0]) if paths[0] is value else tuple(os.fspath(path) for path in paths)
    return tuple(found.items())
