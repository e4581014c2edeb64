"""The normal form of a network: what the theorems are stated for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import cast, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from numpy.typing import ArrayLike

from unrollbit.algorithms import Algorithm, Form, OutsideNormalForm
from unrollbit.networks import Network, Unrolled
from unrollbit.theory.numerics import at_most, soft, spectral_norm

_LARGEST_ENTRY = 1e100
_LARGEST = 1024  # unknowns and measurements: K singular value decompositions of larger matrices take minutes

Shrink = Callable[[Float[np.ndarray, "*batch n"], int], Float[np.ndarray, "*batch n"]]


@dataclass(frozen=True)
class NormalForm:
    """A network of K layers as arrays, float64; ``x_0 = 0`` and for k = 0 .. K-1::

        ista   x_{k+1} = S_{theta_k}(H_k x_k + G_k y),   H_k = I - G_k A
        gd     the same without a threshold
        lista  the same as ista with any H_k
        admm   v_0 = 0, z_k = S_{theta_k}(v_k), q_k = 2 z_k - v_k, v_{k+1} = v_k - z_k + H_k q_k + G_k y,
               H_k = I - G_k A, output z_K: theta has K + 1 entries, the first immaterial

    Make one with ``normal_form(network)`` or ``from_arrays``. ``mask`` (m, n) says which entries of W (G_k = step_k
    W_k^T) the network may hold; ``tied`` whether one matrix serves all layers, ``distinct`` how many do in turn
    (layer k uses number k mod ``distinct``; None: 1 if tied, else K). ``shrink`` replaces the soft threshold: theorems
    about the soft threshold are then not applicable; those that need a Lipschitz constant use ``lipschitz``, and those
    about ADMM that it is a proximal map (``convex``).
    """

    form: Form
    A: Float[np.ndarray, "m n"]
    H: Float[np.ndarray, "K n n"]
    G: Float[np.ndarray, "K n m"]
    theta: Float[np.ndarray, " K_or_K_plus_1"]
    mask: Bool[np.ndarray, "m n"]
    tied: bool = False
    shrink: Shrink | None = None
    lipschitz: float = 1.0
    convex: bool = True
    distinct: int | None = None

    def __post_init__(self) -> None:
        for name in ("A", "H", "G", "theta", "mask"):
            if not isinstance(getattr(self, name), np.ndarray):
                raise TypeError(f"NormalForm {name}: expected a NumPy array, got {type(getattr(self, name)).__name__}")
        if self.form not in get_args(Form):
            raise ValueError(f"NormalForm form: expected one of {', '.join(get_args(Form))}, got {self.form!r}")
        if self.A.ndim != 2 or not self.A.size:
            raise ValueError(f"NormalForm A: expected shape (m, n) with m, n >= 1, got {self.A.shape}")
        if not 0 <= self.lipschitz < np.inf:
            raise ValueError(f"NormalForm lipschitz: expected a finite constant >= 0, got {self.lipschitz}")
        m, n = self.A.shape
        K = len(self.G) if self.G.ndim else 0
        wanted = {
            "G": (K, n, m),
            "H": (K, n, n),
            "theta": (K + (self.form == "admm"),),
            "mask": (m, n),
        }
        for name, shape in wanted.items():
            found = getattr(self, name)
            if found.shape != shape or K == 0:
                raise ValueError(f"NormalForm {name}: expected shape {shape} with K >= 1, got {found.shape}")
        for name in ("A", "G", "H", "theta"):
            found = getattr(self, name)
            if found.dtype != np.float64:
                raise ValueError(f"NormalForm {name}: expected float64 entries, got {found.dtype}")
            if not np.isfinite(found).all():
                raise ValueError(f"NormalForm {name}: expected finite float64 entries, got NaN or infinity")
            if name != "theta" and np.abs(found).max() > _LARGEST_ENTRY:
                raise ValueError(
                    f"NormalForm {name}: expected entries up to {_LARGEST_ENTRY:g} in magnitude, got "
                    f"{np.abs(found).max():.3g}: products of such numbers leave float64; choose another unit"
                )
        if self.mask.dtype != np.bool_:
            raise ValueError(f"NormalForm mask: expected bool entries, got {self.mask.dtype}")
        if (self.theta < 0).any():
            raise ValueError(f"NormalForm theta: expected thresholds >= 0, got {self.theta.min()}")
        if self.distinct is not None and (not 1 <= self.distinct <= K or self.tied > (self.distinct == 1)):
            raise ValueError(f"NormalForm distinct: expected 1 to {K} matrices, 1 if tied, got {self.distinct}")

    @classmethod
    def from_arrays(
        cls,
        form: Form,
        A: Float[np.ndarray, "m n"],
        W: Float[np.ndarray, "L m n"],
        step: Float[np.ndarray, " K"],
        theta: Float[np.ndarray, " K_or_K_plus_1"] | None = None,
        *,
        H: Float[np.ndarray, "K n n"] | None = None,
        mask: Bool[np.ndarray, "m n"] | None = None,
    ) -> NormalForm:
        """From matrices W (L = K of them, or one for all layers), step sizes and thresholds (none: 0).

        ``G_k = step_k W_k^T`` and, but for ``lista``, ``H_k = I - G_k A``. Raises ``ValueError`` for wrong shapes,
        negative thresholds, entries outside the mask, or an H that the form does not take.
        """
        A, W, step = (real(name, a) for name, a in (("A", A), ("W", W), ("step", step)))
        if A.ndim != 2 or not A.size or step.ndim != 1 or not len(step):
            raise ValueError(
                f"from_arrays: expected A (m, n) and step (K,) with m, n, K >= 1, got {A.shape} and {step.shape}"
            )
        K, n = len(step), A.shape[1]
        if (form == "lista") != (H is not None):
            raise ValueError(f"from_arrays: H is for the form lista and needed there, got form {form!r}")
        if W.ndim != 3 or W.shape[1:] != A.shape or len(W) not in (1, K):
            raise ValueError(f"W: expected shape (1 or {K}, {A.shape[0]}, {n}), got {W.shape}")
        mask = np.ones(A.shape, bool) if mask is None else np.asarray(mask, bool)
        if mask.shape == A.shape and (W[:, ~mask] != 0).any():
            raise ValueError("W: has non-zero entries outside the mask")
        G = step[:, None, None] * np.broadcast_to(W, (K, *A.shape)).swapaxes(1, 2)
        theta = np.zeros(K + (form == "admm")) if theta is None or form == "gd" else real("theta", theta)
        H = np.eye(n) - G @ A if H is None else real("H", H)
        return cls(form, A, H, G, theta, mask, tied=len(W) == 1 < K)

    @property
    def depth(self) -> int:
        """K."""
        return len(self.G)

    @property
    def copies(self) -> int:
        """Stored matrices: layer k uses number ``k mod copies``."""
        return self.distinct or (1 if self.tied else self.depth)

    @property
    def soft(self) -> bool:
        """Whether the shrinkage is the soft threshold (or, in ``gd``, none)."""
        return self.shrink is None

    @cached_property
    def H_norms(self) -> Float[np.ndarray, " K"]:
        """``||H_k||``."""
        return spectral_norm(self.H)

    @cached_property
    def G_norms(self) -> Float[np.ndarray, " K"]:
        """``||G_k||``."""
        return spectral_norm(self.G)

    @cached_property
    def reflected_norms(self) -> Float[np.ndarray, " K"]:
        """``||2 H_k - I||``, for ADMM."""
        return spectral_norm(2 * self.H - np.eye(self.A.shape[1]))

    @cached_property
    def factors(self) -> Float[np.ndarray, " K"]:
        """Lipschitz constants c_k of the layers in their state (Lemma 0), of the soft threshold or ``lipschitz``:
        ``lipschitz ||H_k||``, and ``(1 + ||2 H_k - I||) / 2`` for ADMM.
        """
        return (1 + self.reflected_norms) / 2 if self.form == "admm" else self.lipschitz * self.H_norms

    @cached_property
    def magnitudes(self) -> Float[np.ndarray, " K"] | None:
        """``gamma_k = step_k x scale``, the one magnitude of the entries of G_k, or None unless every layer has one: a
        one-bit matrix with a single scale and a full mask.
        """
        sizes = np.abs(self.G.swapaxes(1, 2)[:, self.mask])
        gammas, least = sizes.max(axis=1, initial=0.0), sizes.min(axis=1, initial=np.inf)
        return gammas if (gammas > 0).all() and at_most(gammas, least).all() else None

    def threshold(self, u: Float[np.ndarray, "*batch n"], k: int) -> Float[np.ndarray, "*batch n"]:
        """The shrinkage number k (in ``gd`` none)."""
        if self.shrink is not None:
            return self.shrink(u, k)
        return u if self.form == "gd" else soft(u, float(self.theta[k]))


def normal_form(net: Network) -> NormalForm:
    """The normal form of an unrolled network, from the dense float64 value of whatever represents its matrices.

    Measurements of preconditioned physics are to pass through ``measurements`` first.

    Raises:
        OutsideNormalForm: (a ``ValueError``) another algorithm or kind of network, activations, a shrinkage without a
            Lipschitz constant, or physics too large for exact norms; the message says why.
        TypeError: no network of the library.
        ValueError: entries that are not finite.

    Example:
        >>> from unrollbit import ISTA, Unrolled
        >>> from unrollbit.operators import gaussian
        >>> form = normal_form(Unrolled(ISTA(), gaussian(8, 16), depth=4))
        >>> form.form, form.H.shape, form.tied
        ('ista', (4, 16, 16), False)
    """
    check_network("normal_form", net)
    form = net.form
    net = cast(Unrolled, net)  # what has a form runs an algorithm
    shrinkage = net.algorithm.shrinkage
    m, n = net.operator.shape
    if max(m, n) > _LARGEST:
        raise OutsideNormalForm(f"A is {m} x {n}: exact norms are taken of matrices up to {_LARGEST} x {_LARGEST}")
    raw = {name: np.asarray(values, np.float64) for name, values in net.values().items()}
    thresholds, constant = shrinkage.thresholds(raw), shrinkage.lipschitz(raw)
    if constant is None:
        raise OutsideNormalForm(f"the shrinkage {type(shrinkage).__name__} has no known Lipschitz constant")
    if form == "admm" and not shrinkage.convex:
        raise OutsideNormalForm(f"ADMM with {type(shrinkage).__name__}, which is no proximal map of a convex penalty")
    with jax.enable_x64(True):
        H, G = (np.asarray(part, np.float64) for part in net.linear_parts(jnp.float64))
        A = np.asarray(net.operator.dense(), np.float64)
    theta = np.broadcast_to(0.0 if thresholds is None else thresholds, (net.depth,))
    if form == "admm":
        theta = np.concatenate([theta[:1], theta])
    weights = net.maps["W1" if form == "lista" else "W"]
    mask = np.asarray(weights.structure.dense_mask())
    mask = (mask.T if form == "lista" else mask) | (G != 0).any(axis=0).T  # weights need not keep to the physics' mask
    tied = all(weights.copies == 1 for weights in net.maps.values()) and net.depth > 1
    copies = min(weights.copies, net.depth)
    shrink = None if thresholds is not None else _shrink_of(net, form == "admm")
    return NormalForm(form, A, H, G, theta, mask, tied, shrink, float(constant), shrinkage.convex, copies)


def measurements(net: Network, y: Float[ArrayLike, "*batch m"]) -> Float[np.ndarray, "*batch m"]:
    """What the layers see of measurements, float64: ``y``, or ``P y`` where the physics is held preconditioned.

    Raises ``ValueError`` for a wrong number of measurements, ``TypeError`` for what is no network of the library.
    """
    check_network("measurements", net)
    y, m = real("y", y), net.operator.shape[0]
    if y.shape[-1:] != (m,):
        raise ValueError(f"measurements: expected y (..., {m}), got shape {y.shape}")
    with jax.enable_x64(True):
        return np.asarray(net.operator.accept(jnp.asarray(y)), np.float64)


def check_network(name: str, net: object) -> None:
    """Raise ``TypeError`` unless ``net`` is a network of the library."""
    if not isinstance(net, Network):
        packed = "; take its .network or .trainable()" if hasattr(net, "trainable") else ""
        raise TypeError(f"{name}: expected a network of the library, got {type(net).__name__}{packed}")


def real(name: str, values: ArrayLike) -> Float[np.ndarray, "*shape"]:
    """An array in float64. Raises ``ValueError`` for complex numbers, which a cast would cut, and for no numbers."""
    found = np.asarray(values)
    if found.dtype.kind not in "biuf" and found.dtype.name != "bfloat16":
        raise ValueError(f"{name}: expected real numbers, got {type(values).__name__} of {found.dtype}")
    return found.astype(np.float64)


def _shrink_of(net: Unrolled, admm: bool) -> Shrink:
    """The shrinkage of a network in float64; in ADMM number 0 acts on 0 and k + 1 is that of layer k."""
    raw = {name: np.asarray(values, np.float64) for name, values in net.values().items()}

    def shrink(u: np.ndarray, k: int) -> np.ndarray:
        layer = max(k - 1, 0) if admm else k
        with jax.enable_x64(True):
            scalars = {name: jnp.asarray(values[layer]) for name, values in raw.items()}
            return np.asarray(_shrunk(net.algorithm, jnp.asarray(u), scalars), np.float64)

    return shrink


@jax.jit
def _shrunk(algorithm: Algorithm, u: Array, scalars: dict[str, Array]) -> Array:
    return algorithm.shrinkage(u, scalars, 1.0)
