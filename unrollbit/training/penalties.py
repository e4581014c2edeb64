"""Penalties: terms of a training objective that make a network certifiable, as frozen dataclasses."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from numbers import Real

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.algorithms import Form, OutsideNormalForm
from unrollbit.formats import Weights
from unrollbit.networks import Network
from unrollbit.specs import Specified

_SMALLEST_SQUARE = 1e-30  # sqrt is not differentiable at 0
_LARGEST = 1e15  # of a weight or limit: far above any use, far below where squares overflow float32


class Penalty(Specified, abc.ABC):
    """``penalty(net, estimates, x)``: a scalar that is added to the loss of a ``Stage``.

    ``estimates`` (K, batch, n) are those of all layers trained, or (1, batch, n) of the last one where neither the
    loss nor a penalty is ``per_layer``.
    """

    per_layer: bool = False

    @abc.abstractmethod
    def __call__(
        self, net: Network, estimates: Float[Array, "K batch n"], x: Float[Array, "batch n"]
    ) -> Float[Array, ""]: ...

    @abc.abstractmethod
    def check(self, net: Network) -> None:
        """Raise ``ValueError`` with the reason if the penalty is not defined for a network."""


def largest_singular_value(matrix: Float[Array, "*batch p q"]) -> Float[Array, "*batch"]:
    """``||M|| = max ||M v||`` with the gradient ``u v^T`` of the leading pair of singular vectors.

    v is the leading eigenvector of ``M^T M`` by a full decomposition, held constant: by the envelope theorem the
    gradient is that of the norm, and it stays finite where singular values coincide (one of them is followed).
    """
    fixed = jax.lax.stop_gradient(matrix)
    gram = jnp.matmul(jnp.swapaxes(fixed, -1, -2), fixed, precision="highest")
    v = jnp.linalg.eigh(gram)[1][..., -1:]
    image = jnp.matmul(matrix, v, precision="highest")
    return jnp.sqrt(jnp.maximum(jnp.sum(image * image, axis=(-2, -1)), _SMALLEST_SQUARE))


@dataclass(frozen=True)
class Contraction(Penalty):
    """``weight sum_k max(0, q_k - limit)^2`` with ``q_k = ||H_k||``, and ``||I - 2 G_k A||`` for ADMM.

    H_k, G_k: normal form of layer k (``Algorithm.form``), exact spectral norms of all layers. With every q_k below 1
    each layer is a contraction and errors, perturbations and flips die out. That needs at least as many measurements
    as unknowns: a wide A leaves a direction unseen, where q_k >= 1; penalise supports there (``SupportContraction``).

    Raises:
        ValueError: weight or limit not above 0; from ``check``: a network without a normal form, or a limit below 1
            for a wide A.

    Example:
        >>> from unrollbit import ISTA, Unrolled
        >>> from unrollbit.operators import gaussian
        >>> net = Unrolled(ISTA(), gaussian(16, 8), depth=2)
        >>> x = jnp.zeros((1, 8))
        >>> float(Contraction(limit=10.0)(net, x[None], x))
        0.0
    """

    weight: float = 10.0
    limit: float = 0.8

    def __post_init__(self) -> None:
        check_positive(self, weight=self.weight, limit=self.limit)

    def __call__(self, net: Network, estimates: Array, x: Array) -> Array:
        H, _ = net.linear_parts()
        if net.form == "admm":
            H = 2.0 * H - jnp.eye(H.shape[-1])
        return self.weight * jnp.sum(jnp.maximum(largest_singular_value(H) - self.limit, 0.0) ** 2)

    def check(self, net: Network) -> None:
        form = _form(self, net)
        m, n = net.operator.shape
        if form != "lista" and m < n and self.limit < 1:
            raise ValueError(
                f"Contraction: no layer can be below the limit {self.limit} with fewer measurements ({m}) than "
                f"unknowns ({n}): use SupportContraction, or a limit of at least 1"
            )


@dataclass(frozen=True)
class SupportContraction(Penalty):
    """``weight mean_x sum_k max(0, ||H_k[a_{k+1}, a_k]|| - limit)^2 + outside mean_x sum_k ||x_k off supp(x)||_1``.

    ``a_k = supp(x) u supp(x_k)``, ``a_0 = supp(x)``: the entries through which the error of a signal x passes, the
    restricted norms of the support-path certificate (C2). They can be below 1 although ``||H_k||`` is not, as for
    every wide A. Norms are those of the first ``signals`` signals of a batch; the supports are held constant. The
    second term, over all signals, keeps false entries few and small.

    Raises:
        ValueError: a number not above 0 (``outside`` may be 0), fewer than one signal; from ``check``: a network
            whose normal form is not ``ista`` or ``lista``.
    """

    weight: float = 10.0
    limit: float = 0.8
    outside: float = 0.02
    signals: int = 2
    per_layer = True

    def __post_init__(self) -> None:
        check_positive(self, weight=self.weight, limit=self.limit)
        _check_number(self, "outside", self.outside)
        if not 0 <= self.outside <= _LARGEST:
            raise ValueError(f"SupportContraction: expected outside >= 0, got {self.outside}")
        if isinstance(self.signals, bool) or not isinstance(self.signals, int) or self.signals < 1:
            raise ValueError(f"SupportContraction: expected an integer signals >= 1, got {self.signals!r}")

    def __call__(self, net: Network, estimates: Array, x: Array) -> Array:
        H = net.linear_parts()[0][: len(estimates)]
        support = x != 0
        active = (support | (estimates != 0))[:, : self.signals]
        rows = active.astype(H.dtype)  # a_1 .. a_K
        columns = jnp.concatenate([support[None, : self.signals], active[:-1]]).astype(H.dtype)  # a_0 .. a_{K-1}
        restricted = rows[..., :, None] * H[:, None] * columns[..., None, :]
        excess = jnp.maximum(largest_singular_value(restricted) - self.limit, 0.0)
        false = jnp.sum(jnp.abs(estimates) * ~support, axis=-1)
        return self.weight * jnp.mean(jnp.sum(excess**2, axis=0)) + self.outside * jnp.mean(jnp.sum(false, axis=0))

    def check(self, net: Network) -> None:
        form = _form(self, net)
        if form not in ("ista", "lista"):
            instead = "; use Contraction" if form == "gd" else ""
            raise ValueError(f"SupportContraction: the estimates of {net.algorithm!r} have no supports{instead}")  # pyright: ignore[reportAttributeAccessIssue]


@dataclass(frozen=True)
class FlipPenalty(Penalty):
    """``weight mean max(0, -S V)`` over all stored entries, S = sign(A), V the latents of one-bit maps of A's shape.

    An entry that differs from the sign of A (``sign(0) = +1``) costs what its latent is away from 0, so that only
    flips that lower the loss stay. Few flips cost few bits, and certificates of generalization (G3a) count bits.

    Raises:
        ValueError: a weight not above 0; from ``check``: a network without one-plane latents for a map of A's shape
            (``Normalised`` ones included; corrections of A and signs in the signal's domain stand for other matrices).
    """

    weight: float = 100.0

    def __post_init__(self) -> None:
        check_positive(self, weight=self.weight)

    def __call__(self, net: Network, estimates: Array, x: Array) -> Array:
        total, entries = jnp.zeros(()), 0
        dense = jnp.asarray(net.operator.dense())
        for weights in _sign_maps(net):
            signs = jnp.where(weights.structure.gather(dense) >= 0, 1.0, -1.0)
            against = jnp.maximum(-signs * weights.variables["signs"][...].reshape(-1, *signs.shape), 0.0)
            total = total + jnp.sum(against * weights.structure.existing)
            entries += weights.stored_weights()
        return self.weight * total / entries

    def check(self, net: Network) -> None:
        if not isinstance(net, Network):
            raise ValueError(f"FlipPenalty: expected a network, got {type(net).__name__}")
        if not _sign_maps(net):
            held = ", ".join(f"{name}: {weights.format!r}" for name, weights in net.maps.items())
            raise ValueError(
                "FlipPenalty: expected a map of the shape of A held as one plane of trained signs (OneBit, or "
                f"Normalised around it), got {held}; a stage with quantised = False trains no signs"
            )


def _sign_maps(net: Network) -> list[Weights]:
    """One trained plane of signs of the maps that are applied as W^T and measured against the physics themselves."""
    maps = [weights for name, weights in net.maps.items() if name in net.transposed]
    A = net.operator
    return [weights.leaf for weights in maps if weights.format.reference(A) is A and _one_plane(weights)]


def _one_plane(weights: Weights) -> bool:
    leaf, signs = weights.leaf, weights.stored().get("signs")
    return signs is not None and "signs" in leaf.variables and signs.weights == leaf.copies * leaf.structure.size


def _form(penalty: Penalty, net: Network) -> Form:
    try:
        return net.form
    except OutsideNormalForm as error:
        raise ValueError(f"{type(penalty).__name__}: the layers have no normal form ({error})") from error


def check_positive(penalty: Penalty, **numbers: float) -> None:
    for name, value in numbers.items():
        _check_number(penalty, name, value)
        if not 0 < value <= _LARGEST:
            raise ValueError(f"{type(penalty).__name__}: expected {name} > 0 (and at most {_LARGEST:g}), got {value}")


def _check_number(penalty: Penalty, name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{type(penalty).__name__}: expected a number {name}, got {value!r}")
