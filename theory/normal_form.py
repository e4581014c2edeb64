"""The normal form of a network: what the theorems are stated for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from unrollbit.algorithms import Form, OutsideNormalForm
from unrollbit.networks import Network, Unrolled
from unrollbit.shrinkage import Identity, Soft
from unrollbit.theory.numerics import soft, spectral_norm

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
    W_k^T) the physics allows; ``tied`` whether one matrix serves all layers. ``shrink`` replaces the soft threshold:
    theorems about the soft threshold are then not applicable; those that need a Lipschitz constant use ``lipschitz``,
    and those about ADMM that it is a proximal map (``convex``).
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

    def __post_init__(self) -> None:
        m, n = self.A.shape
        K = len(self.G)
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
            if found.dtype != np.float64 or not np.isfinite(found).all():
                raise ValueError(f"NormalForm {name}: expected finite float64 entries, got {found.dtype}")
        if (self.theta < 0).any():
            raise ValueError(f"NormalForm theta: expected thresholds >= 0, got {self.theta.min()}")

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
        A, W, step = (np.asarray(a, np.float64) for a in (A, W, step))
        K, n = len(step), A.shape[1]
        if (form == "lista") != (H is not None):
            raise ValueError(f"from_arrays: H is for the form lista and needed there, got form {form!r}")
        if W.ndim != 3 or W.shape[1:] != A.shape or len(W) not in (1, K):
            raise ValueError(f"W: expected shape (1 or {K}, {A.shape[0]}, {n}), got {W.shape}")
        mask = np.ones(A.shape, bool) if mask is None else np.asarray(mask, bool)
        if mask.shape == A.shape and (W[:, ~mask] != 0).any():
            raise ValueError("W: has non-zero entries outside the mask")
        G = step[:, None, None] * np.broadcast_to(W, (K, *A.shape)).swapaxes(1, 2)
        theta = np.zeros(K + (form == "admm")) if theta is None or form == "gd" else np.asarray(theta, np.float64)
        H = np.eye(n) - G @ A if H is None else np.asarray(H, np.float64)
        return cls(form, A, H, G, theta, mask, tied=len(W) == 1 < K)

    @property
    def depth(self) -> int:
        """K."""
        return len(self.G)

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
        gammas = sizes.max(axis=1)
        same = np.abs(sizes - gammas[:, None]).max() <= 1e-12 * gammas.max()
        return gammas if same and (gammas > 0).all() else None

    def threshold(self, u: Float[np.ndarray, "*batch n"], k: int) -> Float[np.ndarray, "*batch n"]:
        """The shrinkage number k (in ``gd`` none)."""
        if self.shrink is not None:
            return self.shrink(u, k)
        return u if self.form == "gd" else soft(u, float(self.theta[k]))


def normal_form(net: Network) -> NormalForm:
    """The normal form of an unrolled network, from the dense float64 value of whatever represents its matrices.

    Measurements of preconditioned physics are to pass through ``measurements`` first.

    Raises:
        OutsideNormalForm: (a ``ValueError``) another algorithm or kind of network, a shrinkage without a Lipschitz
            constant, or physics too large for exact norms; the message says why.

    Example:
        >>> from unrollbit import ISTA, Unrolled
        >>> from unrollbit.operators import gaussian
        >>> form = normal_form(Unrolled(ISTA(), gaussian(8, 16), depth=4))
        >>> form.form, form.H.shape, form.tied
        ('ista', (4, 16, 16), False)
    """
    if not isinstance(net, Unrolled):
        raise OutsideNormalForm(f"{type(net).__name__}: not an unrolled iterative algorithm")
    form, shrinkage = net.algorithm.form, net.algorithm.shrinkage
    m, n = net.operator.shape
    if max(m, n) > _LARGEST:
        raise OutsideNormalForm(f"A is {m} x {n}: exact norms are taken of matrices up to {_LARGEST} x {_LARGEST}")
    raw = {name: np.asarray(values, np.float64) for name, values in net.values().items()}
    plain = isinstance(shrinkage, Soft | Identity)
    constant = shrinkage.lipschitz(raw)
    if constant is None:
        raise OutsideNormalForm(f"the shrinkage {type(shrinkage).__name__} has no known Lipschitz constant")
    if form == "admm" and not shrinkage.convex:
        raise OutsideNormalForm(f"ADMM with {type(shrinkage).__name__}, which is no proximal map of a convex penalty")
    with jax.enable_x64(True):
        H, G = (np.asarray(part, np.float64) for part in net.linear_parts(jnp.float64))
        A = np.asarray(net.operator.dense(), np.float64)
    theta = raw.get("threshold", np.zeros(net.depth))
    if not plain or theta.ndim != 1:
        theta = np.zeros(net.depth)
    if form == "admm":
        theta = np.concatenate([theta[:1], theta])
    linear_map = net.algorithm.maps(net.operator)["W1" if form == "lista" else "W"]
    mask = np.asarray(linear_map.structure.dense_mask())
    tied = all(weights.copies == 1 for weights in net.maps.values()) and net.depth > 1
    shrink = None if plain else _shrink_of(net, form == "admm")
    mask = mask.T if form == "lista" else mask
    return NormalForm(form, A, H, G, theta, mask, tied, shrink, float(constant), shrinkage.convex)


def measurements(net: Unrolled, y: Float[np.ndarray, "*batch m"]) -> Float[np.ndarray, "*batch m"]:
    """What the layers see of measurements, float64: ``y``, or ``P y`` where the physics is held preconditioned."""
    with jax.enable_x64(True):
        return np.asarray(net.operator.accept(jnp.asarray(np.asarray(y, np.float64))), np.float64)


def _shrink_of(net: Unrolled, admm: bool) -> Shrink:
    """The shrinkage of a network in float64; in ADMM number 0 acts on 0 and k + 1 is that of layer k."""
    raw = {name: np.asarray(values, np.float64) for name, values in net.values().items()}

    def shrink(u: np.ndarray, k: int) -> np.ndarray:
        layer = max(k - 1, 0) if admm else k
        with jax.enable_x64(True):
            scalars = {name: jnp.asarray(values[layer]) for name, values in raw.items()}
            return np.asarray(net.algorithm.shrinkage(jnp.asarray(u), scalars, 1.0), np.float64)

    return shrink
