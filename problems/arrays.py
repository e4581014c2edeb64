"""A user's own physics and signals."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.arguments import path, shown
from unrollbit.operators import LinearOperator
from unrollbit.problems.array_files import rows_of
from unrollbit.problems.base import SUBSETS, Problem, Subset, checked_seed, subset_key
from unrollbit.problems.data import described
from unrollbit.problems.noise import Noise, noise_arguments, noise_of
from unrollbit.problems.parts import checked_fractions, shuffled_parts
from unrollbit.problems.physics_files import physics_and_source
from unrollbit.problems.registration import register_problem
from unrollbit.problems.samples import DrawsFromSamples, Samples, draw_rows
from unrollbit.shrinkage import BernoulliGaussian


@register_problem("operator", "samples", "measurements")
@dataclass(frozen=True, init=False)
class ArrayProblem(DrawsFromSamples, Problem):
    """``y = A x`` with given rows of ``x``, and given ``y`` or measurements made by ``A`` plus noise.

    Made by ``ArrayProblem`` (or ``Problem.from_arrays``), which shuffles the rows by a seed and splits them into
    three disjoint subsets.

    Example:
        >>> import numpy as np, jax
        >>> rng = np.random.RandomState(0)
        >>> problem = ArrayProblem(rng.randn(8, 16), rng.randn(100, 16), snr_db=30)
        >>> x, y = problem.split("test").all()
        >>> x.shape, y.shape
        ((10, 16), (10, 8))
    """

    data_arguments: ClassVar[tuple[str, ...]] = ("matrix", "signals", "measurements")
    physics_argument: ClassVar[str | None] = "matrix"
    operator: LinearOperator
    samples: Samples
    measurements: Samples | None
    noise: Noise | None
    seed: int
    fractions: tuple[float, float, float]
    sources: tuple[tuple[str, str], ...] | None
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
    ) -> None:
        """Check the arrays and split their rows.

        Args:
            matrix: the physics: whatever ``as_operator`` takes; the path of a matrix, ``.npy``, or ``.npz`` of
                ``scipy.sparse``; or ``module:name`` of one's own code.
            signals: ``(N, n)`` array of unknowns, one signal a row, or the path of a ``.npy`` file.
            measurements: ``(N, m)`` array or path; None: computed by the operator, with noise of ``snr_db``.
            snr_db: signal-to-noise ratio of each computed measurement in dB; None for no noise.
            seed: seed of the shuffle (and of the noise of ``all``).
            fractions: shares of the rows for training, validation and test; they sum to 1.
            folder: what relative paths are relative to; the working directory if None.
            noise: ``Gaussian`` or ``Poisson`` noise of computed measurements; ``snr_db`` is short for the first.
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
        operator, _ = physics_and_source("matrix", matrix, folder)
        if operator.preconditioned:
            raise ValueError("matrix: expected the physics that measures; give the preconditioned form to the network")
        m, n = operator.shape
        x = rows_of("signals", signals, folder)
        if x.shape[1] != n:
            raise ValueError(
                f"signals: expected rows of n = {n} entries, as the matrix (m, n) = {(m, n)}; got {x.shape}"
            )
        stacked = operator.complex_physics
        y = None if measurements is None else rows_of("measurements", measurements, folder, complex_physics=stacked)
        if y is not None and y.shape != (len(x), m):
            raise ValueError(f"measurements: expected shape (N, m) = {(len(x), m)}, got {y.shape}")
        if y is not None and (snr_db, noise) != (None, None):
            raise ValueError("snr_db: given measurements have their noise already; leave one of the two out")
        seed, shares = checked_seed(seed), checked_fractions("fractions", fractions)
        parts = shuffled_parts("signals: rows", len(x), shares, seed)
        self._set(
            operator,
            _subsets(x, parts),
            None if y is None else _subsets(y, parts),
            noise_of(noise, snr_db),
            seed,
            shares,
            _sources(matrix=matrix, signals=signals, measurements=measurements, folder=folder),
        )

    def sample(self, key: Array, batch: int) -> tuple[Float[Array, "batch n"], Float[Array, "batch m"]]:
        row_key, noise_key = jax.random.split(subset_key(key, self.subset))
        x, *given = draw_rows(row_key, batch, *self._given())
        return x, given[0] if given else self.measured(x, noise_key)

    def all(self) -> tuple[Float[Array, "count n"], Float[Array, "count m"]]:
        given = self._given()
        return given if len(given) == 2 else super().all()

    def prior(self) -> BernoulliGaussian:
        """Starts at one non-zero in ten; the variance starts at that of the training signals and is learned."""
        energy = float(np.mean(np.asarray(self.samples[0], np.float64) ** 2))
        return BernoulliGaussian(variance=10.0 * energy or 1.0, learn_variance=True)

    def to_spec(self) -> dict[str, Any]:
        """Paths where all arrays came from files; else ``inline``: only ``operator.to_spec()`` can then be rebuilt."""
        spec: dict[str, Any] = {"kind": "ArrayProblem"}
        spec |= {"inline": True} if self.sources is None else dict(self.sources)
        return {**spec, **noise_arguments(self.noise), "seed": self.seed, "fractions": list(self.fractions)}

    def recipe(self) -> dict[str, Any]:
        spec = self.to_spec()
        folder = spec.pop("folder", None)
        files = {name: described(spec[name], folder) for name in self.data_arguments if name in spec}
        return {**spec, **files}

    def places(self) -> list[str]:
        spec = self.to_spec()
        files = [os.path.join(spec.get("folder", ""), spec[name]) for name in self.data_arguments if name in spec]
        return list(dict.fromkeys(os.path.dirname(os.path.abspath(file)) for file in files))

    def _given(self) -> tuple[Array] | tuple[Array, Array]:
        index = SUBSETS.index(self.subset)
        return (self.samples[index],) if self.measurements is None else (self.samples[index], self.measurements[index])


def _sources(**arguments: Any) -> tuple[tuple[str, str], ...] | None:
    given = {name: value for name, value in arguments.items() if value is not None}
    if not all(isinstance(value, str | os.PathLike) for value in given.values()):
        return None
    return tuple((name, os.fspath(value)) for name, value in given.items())


def _subsets(array: np.ndarray, parts: tuple[np.ndarray, ...]) -> Samples:
    train, validation, test = (jnp.asarray(array[rows]) for rows in parts)
    return train, validation, test
