"""The penalty of learned filter priors whose layers are to be certified as steps on a convex energy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.networks import Network
from unrollbit.training.penalties import Penalty, check_positive

_POINTS = 6  # frequencies a tap on each axis: between them a bank of filters gains 4 % more at most


@dataclass(frozen=True)
class ConvexEnergy(Penalty):
    """``weight sum_k max(0, q_k - limit)^2 + max(0, r_k - concave)^2`` keeps every layer a step on a convex energy::

        q_k = max_f sum_c h_kc |w_kc(f)|^2,     r_k = max_f sum_c l_kc |w_kc(f)|^2 (1 - a_k) / a_k

    w_kc(f) is the discrete Fourier transform of filter c in layer k, h_kc the largest slope of its influence function
    and -l_kc the smallest (or 0): q_k is the Lipschitz constant of the prior's gradient ``K^T phi(K x)`` far from
    borders, r_k its concavity in units of the convexity of the data term, ``a_k = step / (1 + rho)`` for orthonormal
    physics, of which denoising is one.

    With ``q_k < 2`` and influence functions that rise (``MonotoneClips``: r_k = 0), ``x - K^T phi(K x)`` is averaged
    (Baillon, Haddad 1977): without momentum such layers make no difference of two measurements larger (``S6``), and a
    layer repeated converges to the minimum of a convex energy (``C8``). With ``q_k < 2``, ``r_k < 1`` and any influence
    functions, data term and prior together are still convex, and a layer contracts. The limits leave room for borders,
    where mirrored filters may gain more, and for the rounding of tables.

    Raises:
        ValueError: weight or limit not above 0, ``concave`` outside [0, 1); from ``check``: layers that are no steps
            with a learned prior of known slopes, momentum, influence functions that could fall where ``concave`` is 0
            or the physics not orthonormal.

    Sources: Goujon et al., "A neural-network-based convex regularizer for inverse problems", IEEE Trans. Comput.
    Imaging 9 (2023); Goujon, Neumayer, Unser, "Learning weakly convex regularizers for convex image-reconstruction
    algorithms", SIAM J. Imaging Sci. 17 (2024).
    """

    weight: float = 10.0
    limit: float = 1.9
    concave: float = 0.0

    def __post_init__(self) -> None:
        check_positive(self, weight=self.weight, limit=self.limit)
        if not 0 <= self.concave < 1:
            raise ValueError(f"ConvexEnergy: expected concave in [0, 1), got {self.concave}")

    def __call__(self, net: Network, estimates: Array, x: Array) -> Array:
        found = curvatures(net)
        steep, falling = found.steepest - self.limit, found.concave - self.concave
        return self.weight * jnp.sum(jnp.maximum(steep, 0.0) ** 2 + jnp.maximum(falling, 0.0) ** 2)

    def check(self, net: Network) -> None:
        steps = net.prior_steps
        if steps is None:
            raise ValueError(
                "ConvexEnergy: expected steps with a learned prior of known slopes and fixed thresholds, such as those "
                f"of recipes.learned_prior(problem, convex='prior'), got {net!r}"
            )
        if steps.momentum.any():
            raise ValueError("ConvexEnergy: expected no momentum: its raw scalars at 0, and Stage(held=('momentum',))")
        if not steps.rises and not (self.concave > 0 and net.operator.is_orthogonal):
            raise ValueError(
                "ConvexEnergy: expected influence functions that rise, such as MonotoneClips(), or concave > 0 and "
                "orthonormal physics"
            )


class Curvatures(NamedTuple):
    """``q_k`` and ``r_k`` of every layer."""

    steepest: Float[Array, " K"]
    concave: Float[Array, " K"]


def curvatures(net: Any) -> Curvatures:
    """Those of a network for which ``ConvexEnergy.check`` passes, differentiable.

    Example:
        >>> from unrollbit import FullPrecision, Unrolled
        >>> from unrollbit.algorithms import ForwardBackward
        >>> from unrollbit.operators import Convolution
        >>> from unrollbit.shrinkage import Clips
        >>> tv = ForwardBackward(signal_shape=(8,), start="differences", influence=Clips((1.0,), (2.0,)))
        >>> net = Unrolled(tv, Convolution([1.0], 8), 1, FullPrecision())
        >>> curvatures(net).steepest.round(3)  # the solver's step: its gradient has the constant 1
        Array([1.], dtype=float32)
    """
    steps, bank = net.algorithm.prior_steps(net.values()), net.maps["K"]
    cores = jax.vmap(lambda own: bank.matrix(own).core(bank.structure))(bank.prepare())
    axes = tuple(range(1, cores.ndim - 1))
    transfer = jnp.fft.fftn(cores, [_POINTS * cores.shape[axis] for axis in axes], axes)
    squares = (transfer.real**2 + transfer.imag**2)[jnp.arange(net.depth) % bank.copies]
    q, falling = (jnp.max(jnp.einsum("k...c,kc->k...", squares, h), axes) for h in (steps.highest, -steps.lowest))
    a = steps.step / (1 + steps.rho)
    return Curvatures(q, falling * (1 - a) / a)
