"""A user's own physics and signals."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.arguments import path, shown
from unrollbit.operators import LinearOperator
from unrollbit.operators.physics import physics_of
from unrollbit.problems.base import SUBSETS, Problem, Subset, checked_seed, subset_key
from unrollbit.problems.data import described
from unrollbit.problems.noise import checked_snr
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
    snr_db: float | None
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
    ) -> None:
        """Check the arrays and split their rows.

        Args:
            matrix: the physics: whatever ``as_operator`` takes, or the path of a ``.npy`` file of a matrix.
            signals: ``(N, n)`` array of unknowns, one signal a row, or the path of a ``.npy`` file.
            measurements: ``(N, m)`` array or path; None: computed by the operator, with noise of ``snr_db``.
            snr_db: signal-to-noise ratio of each computed measurement in dB; None for no noise.
            seed: seed of the shuffle (and of the noise of ``all``).
            fractions: shares of the rows for training, validation and test; they sum to 1.
            folder: what relative paths are relative to; the working directory if None.
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
        operator = _physics(matrix, folder)
        if operator.preconditioned:
            raise ValueError("matrix: expected the physics that measures; give the preconditioned form to the network")
        m, n = operator.shape
        x = _matrix("signals", signals, folder)
        if x.shape[1] != n:
            raise ValueError(
                f"signals: expected rows of n = {n} entries, as the matrix (m, n) = {(m, n)}; got {x.shape}"
            )
        y = None if measurements is None else _matrix("measurements", measurements, folder)
        if y is not None and y.shape != (len(x), m):
            raise ValueError(f"measurements: expected shape (N, m) = {(len(x), m)}, got {y.shape}")
        if y is not None and snr_db is not None:
            raise ValueError("snr_db: given measurements have their noise already; leave one of the two out")
        seed, shares = checked_seed(seed), _checked_fractions(fractions)
        parts = _shuffled_parts(len(x), shares, seed)
        self._set(
            operator,
            _subsets(x, parts),
            None if y is None else _subsets(y, parts),
            checked_snr(snr_db),
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
        if self.snr_db is not None:
            spec["snr_db"] = self.snr_db
        return {**spec, "seed": self.seed, "fractions": list(self.fractions)}

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


def _physics(matrix: Any, folder: str | os.PathLike[str] | None) -> LinearOperator:
    if matrix is None:
        raise ValueError("matrix: missing; expected the physics: a matrix, an operator, or the path of a .npy file")
    return physics_of(_load("matrix", matrix, folder) if isinstance(matrix, str | os.PathLike) else matrix, "matrix")


def _matrix(name: str, value: Any, folder: str | os.PathLike[str] | None) -> np.ndarray:
    """``value`` or the file it names, as a finite, non-empty 2-D float32 array."""
    if value is None:
        raise ValueError(f"{name}: missing; expected an array or the path of a .npy file")
    array = _load(name, value, folder) if isinstance(value, str | os.PathLike) else _as_array(name, value)
    if np.iscomplexobj(array):
        raise ValueError(f"{name}: expected real numbers, got {array.dtype}; stack real and imaginary parts")
    if not np.issubdtype(array.dtype, np.number) and array.dtype != bool:
        raise ValueError(f"{name}: expected numbers, got dtype {array.dtype}")
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name}: expected a non-empty 2-D array, got shape {array.shape}")
    with np.errstate(over="ignore"):
        array = np.array(array, np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: contains NaN or infinite entries (or entries too large for float32)")
    return array


def _as_array(name: str, value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name}: expected an array with rows of equal length ({error})") from error


def _load(name: str, path: str | os.PathLike[str], folder: str | os.PathLike[str] | None) -> np.ndarray:
    file = Path(folder or ".") / path
    if not file.is_file():
        raise ValueError(f"{name}: no such file: {file}")
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)  # mapped: a lying header allocates nothing
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{name}: {file} is not a .npy file of plain numbers: {error}") from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name}: {file} is an archive of several arrays; expected one array, saved by numpy.save")
    return array


def _checked_fractions(fractions: Any) -> tuple[float, float, float]:
    try:
        train, validation, test = (float(share) for share in fractions)
    except (TypeError, ValueError):
        train = validation = test = math.nan
    if not (min(train, validation, test) > 0 and math.isclose(train + validation + test, 1.0, abs_tol=1e-6)):
        raise ValueError(
            f"fractions: expected three positive shares of sum 1 (train, validation, test), got {shown(fractions)}"
        )
    return train, validation, test


def _shuffled_parts(count: int, shares: tuple[float, float, float], seed: int) -> tuple[np.ndarray, ...]:
    validation, test = (max(1, round(share * count)) for share in shares[1:])
    train = count - validation - test
    if train < 1:
        raise ValueError(
            f"signals: {count} rows are too few to split into train, validation and test; expected 3 or more"
        )
    order = np.random.RandomState(seed).permutation(count)
    return tuple(np.split(order, [train, train + validation]))


def _subsets(array: np.ndarray, parts: tuple[np.ndarray, ...]) -> Samples:
    train, validation, test = (jnp.asarray(array[rows]) for rows in parts)
    return train, validation, test
