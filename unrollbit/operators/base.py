"""The contract of a linear operator: the physics ``A`` of ``y = A x + noise``."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from unrollbit.arrays import as_signal, norm, widened
from unrollbit.operators.derived import derived_of
from unrollbit.operators.inverse import RegularisedInverse, inverse_of
from unrollbit.operators.norms import Norm, column_norms, power_iteration
from unrollbit.sizes import check_entries
from unrollbit.specs import Specified
from unrollbit.structures.base import Structure
from unrollbit.structures.full import Full
from unrollbit.values import Value, is_known

T = TypeVar("T")


class LinearOperator(Value, Specified, abc.ABC):
    """A real linear map ``A: R^n -> R^m`` that acts on the last axis; all leading axes are batch axes.

    Complex physics is real here: its measurement is (Re, Im) stacked on the last axis, so ``m`` counts
    real numbers and the adjoint is the transpose of that real map. Images are flattened row by row.

    A subclass is a frozen dataclass under the decorator ``unrollbit.values.pytree`` (arrays and operators are children,
    everything else is static), so operators pass through ``jit`` as arguments. It provides ``shape``, ``_apply`` and
    ``_apply_adjoint``, checks its fields in ``__post_init__``, and overrides what it knows better than the defaults
    below. Its spec follows from its fields (``unrollbit.specs``).

    Operators are values: ``A == B`` compares their content, they copy and pickle. ``A @ B``, ``A + B``, ``A - B``,
    ``a * A`` and ``-A`` are operators (``Composition``, ``Sum``, ``Scaled``), ``A(x)`` is the product with a signal.

    Raises ``ValueError`` for a wrong last axis and ``TypeError`` for what is no array of real numbers.
    """

    checks_types = False
    __array_ufunc__ = None  # NumPy's numbers leave ``a * A`` to the operator

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """``(m, n)``: number of measurements, number of unknowns."""

    @abc.abstractmethod
    def _apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]: ...

    @abc.abstractmethod
    def _apply_adjoint(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]: ...

    @classmethod
    def of(cls, *arguments: Any, **options: Any) -> LinearOperator:
        """The operator of what people have; some classes take other arguments here than in their constructor."""
        return cls(*arguments, **options)

    def __call__(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        """``A x``, computed in float32 at least, in the dtype of ``x`` (float32 for integers)."""
        x = as_signal(x, self.shape[1], f"{type(self).__name__}(x)", "n")
        return self._apply(widened(x)).astype(x.dtype)

    # Operators made of operators build on this class: they are found by their kinds, not imported.
    @property
    def T(self) -> LinearOperator:
        """The adjoint ``A^T``, with ``<A x, y> = <x, A^T y>``."""
        return self.registered["Adjoint"](self)

    def __matmul__(self, other: Any) -> Any:
        return self.registered["Composition"](self, other) if isinstance(other, LinearOperator) else NotImplemented

    def __add__(self, other: Any) -> Any:
        return self.registered["Sum"](self, other) if isinstance(other, LinearOperator) else NotImplemented

    def __sub__(self, other: Any) -> Any:
        return self + -other if isinstance(other, LinearOperator) else NotImplemented

    def __mul__(self, factor: Any) -> Any:
        return self.registered["Scaled"](self, factor) if np.ndim(factor) == 0 else NotImplemented

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> Any:
        return self * (1.0 / divisor)

    def __neg__(self) -> LinearOperator:
        return -1.0 * self

    def derived(self, key: Any, compute: Callable[[], T]) -> T:
        """``compute()``, once for this operator and all that equal it: what depends on the physics alone.

        ``key`` names it, parameters included. Traced operators, and keys, have no content yet: for them it is computed
        each time.
        """
        if not all(map(is_known, jax.tree.leaves((self, key)))):
            return compute()
        held, key = derived_of(self), (key, jnp.result_type(float).name)
        if key not in held:
            with jax.ensure_compile_time_eval():
                held[key] = compute()
        return held[key]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_derived"}

    def norm(self) -> Norm:
        """Spectral norm ``||A||``; exact by SVD unless the operator is too large, then a flagged estimate."""
        return self.derived("norm", self._computed_norm)

    def _computed_norm(self) -> Norm:
        m, n = self.shape
        if min(m, n) <= 4096 and m * n <= 2**25:
            return Norm(float(np.linalg.norm(np.asarray(self.dense(), np.float64), 2)), exact=True)
        return power_iteration(self)

    def dense(self) -> Float[Array, "m n"]:
        """The matrix ``A`` (for small operators, oracles and initial values; matrix-free code never calls it)."""
        return _run(self, jnp.eye(self.shape[1])).T

    def core(self, structure: Structure) -> Array:
        """The core of the matrix under ``structure`` (its entries there), formed only where the operator's own parts
        do not give it.

        Raises ``ValueError`` for a structure of another shape, and for a matrix too large to be formed.
        """
        if structure.shape != self.shape:
            raise ValueError(f"core: expected a structure of shape {self.shape}, got {structure}")
        check_entries("the matrix of the physics", *self.shape)
        return structure.gather(self.dense())

    @property
    def diagonal_entries(self) -> Float[Array, " n"] | None:
        """d, if this is ``diag(d)``; else None."""
        return None

    def inverse(self) -> RegularisedInverse:
        """``(r, rho) -> (A^T A + rho ||A||^2 I)^{-1} A^T r``: the data step of proximal algorithms. Found once.

        Physics that its ``linear_estimate`` inverts takes that, shrunk by rho; small matrices are decomposed; others
        take ten steps of conjugate gradients.
        """
        return self.derived("inverse", lambda: inverse_of(self))

    def column_norms(self) -> Float[Array, " n"]:
        """``||a_j||`` of every column, without the matrix."""
        return self.derived("column norms", lambda: column_norms(self))

    def column_rms(self) -> Float[Array, ""]:
        """Root mean square of the column norms, ``||A||_F / sqrt(n)``."""
        m, n = self.shape
        if (constant := self.frame_constant) is not None:
            return jnp.asarray(math.sqrt(m * constant / n))
        return norm(self.column_norms()) / math.sqrt(n)

    def column_products(self, reference: Array) -> Float[Array, " n"]:
        """``<w_j, a_j>`` of every column of this matrix W and another A, given as its core under W's mask
        (``A.core(W.mask())``): ``diag(W^T A)``.
        """
        structure = self.mask()
        return structure.column_sum(self.core(structure) * reference)

    def mask(self) -> Structure:
        """The structural non-zeros of ``A``, as an object that stores only the structure."""
        return Full(*self.shape)

    @property
    def split(self) -> tuple[LinearOperator, LinearOperator] | None:
        """``(Phi, Psi)``, measurement and orthonormal synthesis, if ``A = Phi Psi`` is made of them; else None."""
        return None

    def shared_taps(self, wider: int = 0) -> Structure:
        """The structure that shares one weight among all entries with one tap of a convolution, with ``wider`` more
        taps on each side of each axis. Raises ``ValueError`` for physics that is no convolution.
        """
        raise ValueError(
            f"shared taps: expected physics that is a Convolution, got {type(self).__name__}; without shared weights "
            "every entry of its structure is a weight of its own"
        )

    def sign_reference(self, structure: Structure | None = None) -> UInt8[np.ndarray, "*rows bytes"] | None:
        """Packed ``sign(A)`` as one matrix of a file holds it (``unrollbit.signbits``; entries that ``structure``, by
        default ``mask()``, lacks are left out), or None where rounding could turn a sign on another machine: what is
        computed by decompositions, transforms or sums.
        """
        del structure
        return None

    def linear_estimate(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        """``W y``, a linear estimate of x from measurements: where algorithms start, and what takes a residual
        ``y - A x`` back to the signal in their data step. ``A^T y / c`` where ``A A^T = c I``, else ``A^T y``, unless
        the operator knows its inverse or its signals better.
        """
        return self.T(y) / (self.frame_constant or 1.0)

    @property
    def inverts(self) -> bool:
        """Whether ``A W A = A`` for the W of ``linear_estimate``: a data step ``x + W (y - A x)`` of size 1 then fits
        measurements without noise exactly.
        """
        return self.frame_constant is not None

    def resized(self, signal_shape: tuple[int, ...]) -> LinearOperator:
        """The same physics for signals of another shape. Raises ``ValueError`` where it is bound to its own."""
        raise ValueError(f"{type(self).__name__}: this physics is that of one shape of signals, not of {signal_shape}")

    def fitting(self, signal_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The least shape of signals, not smaller than this one, that ``resized`` takes: what to pad to."""
        return signal_shape

    @property
    def measured_shape(self) -> tuple[int, ...] | None:
        """The grid that measurements are samples on, pixels of a picture say; None where they are no such samples."""
        return None

    @property
    def margin(self) -> tuple[int, ...] | None:
        """How far from the border of a picture the physics is wrong about the world, since it continues it
        periodically, a few times its reach along each axis; None where nothing is.
        """
        return None

    def accept(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch m"]:
        """What an algorithm works on when it is given measurements ``y``: y itself, unless this is preconditioned."""
        return y

    @property
    def complex_physics(self) -> bool:
        """Whether a measurement is (Re, Im) of complex numbers, which may then be given as such."""
        return False

    @property
    def preconditioned(self) -> bool:
        """Whether ``accept`` changes measurements: they are of another operator than this one."""
        return False

    @property
    def bare(self) -> LinearOperator:
        """The same matrix for measurements as they are: a preconditioned operator without what it does to them."""
        return self

    def prepare(self) -> LinearOperator:
        """The form to run many times: packed or symbolic operators may expand once, outside the loop."""
        return self

    def resident_bits(self) -> int:
        """Bits held in memory to apply ``A`` (default: its array leaves at their width)."""
        return sum(leaf.size * leaf.dtype.itemsize * 8 for leaf in jax.tree.leaves(self))

    def description(self) -> str:
        """How a network holds its physics, for people."""
        m, n = self.shape
        bits = self.resident_bits() / (m * n)
        return f"as measured ({type(self).__name__}), held in {bits:.3g} bit{'s' * (bits != 1)} per entry"

    def physics_bits(self) -> int:
        """Bits that a file must carry to rebuild ``A``: the arrays of ``to_spec`` (0 for a seed or a formula)."""
        return sum(8 * leaf.nbytes for leaf in jax.tree.leaves(self.to_spec()) if isinstance(leaf, np.ndarray))

    @property
    def frame_constant(self) -> float | None:
        """``c`` if ``A A^T = c I`` exactly (a tight frame), else None."""
        return None

    @property
    def block_gram(self) -> Float[np.ndarray, "k k"] | None:
        """``G`` if ``A A^T = diag(G, ..., G)``, in float64, else None: what is inverted once for all blocks."""
        return None

    @property
    def is_orthogonal(self) -> bool:
        """Whether ``A`` is square with ``A A^T = I`` exactly."""
        m, n = self.shape
        return m == n and self.frame_constant == 1.0

    def fingerprint(self) -> list[float]:
        """``A p`` summed in 8 groups for a fixed +-1 vector ``p``: distinguishes operators, survives rounding."""
        m, n = self.shape
        probe = np.random.RandomState(20250212).choice(np.array([-1.0, 1.0], np.float32), size=n)
        image = np.asarray(_run(self, jnp.asarray(probe)), np.float64)
        weights = np.cos(np.arange(m))  # so that a permutation of rows is seen
        return [float(v) for v in np.add.reduceat(image * weights, np.unique(np.linspace(0, m, 9).astype(int)[:-1]))]


@jax.jit
def _run(operator: LinearOperator, x: Array) -> Array:
    return operator._apply(x)


def transpose_of(apply: Callable[[Array], Array], n: int, y: Array, dtype: Any = None) -> Array:
    """``A^T y`` of a linear ``apply: (*batch, n) -> (*batch, m)`` by transposing its program (real maps only)."""
    dtype = jnp.result_type(y.dtype, *(() if dtype is None else (dtype,)))
    primal = jax.ShapeDtypeStruct((*y.shape[:-1], n), dtype)
    return jax.linear_transpose(apply, primal)(y.astype(dtype))[0]
