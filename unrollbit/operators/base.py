"""The contract of a linear operator: the physics ``A`` of ``y = A x + noise``."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.arrays import as_signal, widened
from unrollbit.structures.base import Structure
from unrollbit.structures.full import Full

Spec = dict[str, Any]


class Norm(float):
    """A spectral norm that knows whether it is exact.

    ``Norm(2.0, exact=True)`` behaves as the float 2.0. ``exact`` is False for power-iteration
    estimates, which under-estimate: upper bounds must not be built on them.
    """

    exact: bool

    def __new__(cls, value: float, *, exact: bool) -> Self:
        norm = super().__new__(cls, value)
        norm.exact = exact
        return norm


class LinearOperator(abc.ABC):
    """A real linear map ``A: R^n -> R^m`` that acts on the last axis; all leading axes are batch axes.

    Complex physics is real here: its measurement is (Re, Im) stacked on the last axis, so ``m`` counts
    real numbers and the adjoint is the transpose of that real map. Images are flattened row by row.

    A subclass is a frozen dataclass registered with ``jax.tree_util.register_dataclass`` (arrays are leaves,
    everything else is static), so operators pass through ``jit`` as arguments. It provides ``shape``, ``_apply``,
    ``_apply_adjoint``, ``to_spec`` and ``_from_spec``, and overrides what it knows better than the defaults below.

    Raises ``ValueError`` for a wrong last axis and ``TypeError`` for what is no array of real numbers.
    """

    kinds: ClassVar[dict[str, type[LinearOperator]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        LinearOperator.kinds[cls.__name__] = cls

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """``(m, n)``: number of measurements, number of unknowns."""

    @abc.abstractmethod
    def _apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]: ...

    @abc.abstractmethod
    def _apply_adjoint(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]: ...

    @abc.abstractmethod
    def to_spec(self) -> Spec:
        """A recipe ``{"kind": class name, ...}``: JSON values, or NumPy arrays where no formula or seed exists."""

    @classmethod
    @abc.abstractmethod
    def _from_spec(cls, spec: Spec) -> LinearOperator: ...

    def __call__(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        """``A x``, computed in float32 at least, in the dtype of ``x`` (float32 for integers)."""
        x = as_signal(x, self.shape[1], f"{type(self).__name__}(x)", "n")
        return self._apply(widened(x)).astype(x.dtype)

    @property
    def T(self) -> LinearOperator:
        """The adjoint ``A^T``, with ``<A x, y> = <x, A^T y>``."""
        from unrollbit.operators.compose import Adjoint

        return Adjoint(self)

    def norm(self) -> Norm:
        """Spectral norm ``||A||``; exact by SVD unless the operator is too large, then a flagged estimate."""
        m, n = self.shape
        if min(m, n) <= 4096 and m * n <= 2**25:
            return Norm(float(np.linalg.norm(np.asarray(self.dense(), np.float64), 2)), exact=True)
        return power_iteration(self)

    def dense(self) -> Float[Array, "m n"]:
        """The matrix ``A`` (for small operators, oracles and initial values; matrix-free code never calls it)."""
        return _run(self, jnp.eye(self.shape[1])).T

    def column_rms(self) -> Array | float:
        """Root mean square of the column norms, ``||A||_F / sqrt(n)``; runs inside compiled programs."""
        m, n = self.shape
        constant = self.frame_constant
        return math.sqrt(m * constant / n) if constant is not None else jnp.sqrt(jnp.sum(self.dense() ** 2) / n)

    def mask(self) -> Structure:
        """The structural non-zeros of ``A``, as an object that stores only the structure."""
        return Full(*self.shape)

    def accept(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch m"]:
        """What an algorithm for this operator works on when it is given measurements ``y``: y itself, unless the
        operator is preconditioned.
        """
        return y

    @property
    def complex_physics(self) -> bool:
        """Whether a measurement is (Re, Im) of complex numbers, which may then be given as such."""
        return False

    @property
    def preconditioned(self) -> bool:
        """Whether ``accept`` changes measurements: they are of another operator than this one."""
        return False

    def prepare(self) -> LinearOperator:
        """The form to run many times: packed or symbolic operators may expand once, outside the loop."""
        return self

    def resident_bits(self) -> int:
        """Bits held in memory to apply ``A`` (default: its array leaves at their width)."""
        return sum(leaf.size * leaf.dtype.itemsize * 8 for leaf in jax.tree.leaves(self))

    def physics_bits(self) -> int:
        """Bits that a file must carry to rebuild ``A``: the arrays of ``to_spec`` (0 for a seed or a formula)."""
        return _array_bits(self.to_spec())

    @property
    def frame_constant(self) -> float | None:
        """``c`` if ``A A^T = c I`` exactly (a tight frame), else None."""
        return None

    @property
    def is_orthogonal(self) -> bool:
        """Whether ``A`` is square with ``A A^T = I`` exactly."""
        m, n = self.shape
        return m == n and self.frame_constant == 1.0

    @staticmethod
    def from_spec(spec: Spec) -> LinearOperator:
        """Rebuild an operator from ``to_spec()``. Raises ``ValueError`` for an unknown kind, a bad field
        or one of no use.
        """
        kind = spec.get("kind") if isinstance(spec, dict) else spec
        if not isinstance(kind, str) or kind not in LinearOperator.kinds:
            known = ", ".join(sorted(LinearOperator.kinds))
            raise ValueError(f"unknown operator kind {kind!r}; expected one of: {known}")
        fields = _Fields(spec)
        try:
            operator = LinearOperator.kinds[kind]._from_spec(fields)
        except KeyError as error:
            raise ValueError(f"operator spec of kind {kind!r} lacks the field {error}") from error
        except TypeError as error:
            raise ValueError(f"operator spec of kind {kind!r} has a field of the wrong type: {error}") from error
        if unread := sorted(set(fields) - fields.read - {"kind"}):
            raise ValueError(f"operator spec of kind {kind!r} has fields of no use: {', '.join(map(repr, unread))}")
        return operator

    def fingerprint(self) -> list[float]:
        """``A p`` summed in 8 groups for a fixed +-1 vector ``p``: distinguishes operators, survives rounding."""
        m, n = self.shape
        probe = np.random.RandomState(20250212).choice(np.array([-1.0, 1.0], np.float32), size=n)
        image = np.asarray(_run(self, jnp.asarray(probe)), np.float64)
        weights = np.cos(np.arange(m))  # so that a permutation of rows is seen
        return [float(v) for v in np.add.reduceat(image * weights, np.unique(np.linspace(0, m, 9).astype(int)[:-1]))]


class _Fields(dict[str, Any]):
    """A spec that knows which of its fields were read: one that nothing reads is a mistake."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)


@jax.jit
def _run(operator: LinearOperator, x: Array) -> Array:
    return operator._apply(x)


def finite_array(name: str, values: Any, ndim: int) -> Array:
    """Return ``values`` as a floating array; raise ``ValueError`` unless real, finite, not empty, of ``ndim`` axes."""
    try:
        host = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name}: expected a regular array, got rows of different lengths") from error
    if host.ndim != ndim or host.size == 0:
        raise ValueError(f"{name}: expected a non-empty {ndim}-D array, got shape {host.shape}")
    if np.iscomplexobj(host):
        raise ValueError(f"{name}: expected real entries; stack real and imaginary parts of a complex array")
    if not jnp.issubdtype(host.dtype, jnp.number) and host.dtype != bool:
        raise ValueError(f"{name}: expected numbers, got dtype {host.dtype}")
    dtype = jax.dtypes.canonicalize_dtype(np.float64 if host.dtype == np.float64 else np.float32)
    with np.errstate(over="ignore"):
        host = host.astype(dtype)
    if not np.isfinite(host).all():
        raise ValueError(f"{name}: contains entries that are NaN, infinite or too large for {dtype.name}")
    return jnp.asarray(host)


def transpose_of(apply: Callable[[Array], Array], n: int, y: Array, dtype: Any = None) -> Array:
    """``A^T y`` of a linear ``apply: (*batch, n) -> (*batch, m)`` by transposing its program (real maps only)."""
    dtype = jnp.result_type(y.dtype, *(() if dtype is None else (dtype,)))
    primal = jax.ShapeDtypeStruct((*y.shape[:-1], n), dtype)
    return jax.linear_transpose(apply, primal)(y.astype(dtype))[0]


def power_iteration(operator: LinearOperator, iterations: int = 200) -> Norm:
    """Lower estimate of ``||A||`` by power iteration on ``A^T A``; flagged ``exact=False``."""
    start = np.random.RandomState(0).standard_normal(operator.shape[1])
    v = jnp.asarray(start / math.sqrt(float(start @ start)))  # default precision: float64 under jax.enable_x64

    def body(_: int | Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        v, _ = carry
        w = operator._apply_adjoint(operator._apply(v))
        size = jnp.sqrt(jnp.maximum(jnp.sum(w * w), 1e-30))
        return w / size, size

    _, square = jax.lax.fori_loop(0, iterations, body, (v, jnp.zeros((), v.dtype)))
    return Norm(math.sqrt(float(square)), exact=False)


def _array_bits(value: Any) -> int:
    if isinstance(value, dict):
        return sum(_array_bits(v) for v in value.values())
    if isinstance(value, list | tuple):
        return sum(_array_bits(v) for v in value)
    if isinstance(value, np.ndarray | jax.Array):
        return value.size * value.dtype.itemsize * 8
    return 0
