"""A network in normal form, run in float64: what happens at every layer, and its Jacobian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import norms


@dataclass(frozen=True)
class Trajectory:
    """Everything that a run of K layers on measurements ``y`` passes through (``*batch``: axes of y but the last).

    ``u`` is what the shrinkage number k acts on: the pre-activations of layers 0 .. K-1, and in ``admm`` the states
    v_0 .. v_K. ``x`` holds the estimates x_0 .. x_K (z_0 .. z_K). ``o`` is what the physics sees: x_k, or q_k = 2 z_k -
    v_k; ``r = y - A o``.
    """

    u: Float[np.ndarray, "K_or_K_plus_1 *batch n"]
    x: Float[np.ndarray, "K_plus_1 *batch n"]
    o: Float[np.ndarray, "K *batch n"]
    r: Float[np.ndarray, "K *batch m"]

    @property
    def output(self) -> Float[np.ndarray, "*batch n"]:
        """The estimate of the last layer."""
        return self.x[-1]

    def sizes(self, order: float = 2) -> Float[np.ndarray, "*layers_and_batch"]:
        """The largest norm of ``u`` and ``x`` up to every estimate x_0 .. x_K: rounding is relative to it."""
        u, x = norms(self.u, order), norms(self.x, order)
        if len(u) < len(x):  # the pre-activation of x_k is number k - 1
            u = np.concatenate([np.zeros_like(x[:1]), u])
        return np.maximum.accumulate(np.maximum(u, x), axis=0)


def run(form: NormalForm, y: Float[np.ndarray, "*batch m"]) -> Trajectory:
    """Run a network in normal form; raises ``ValueError`` for a wrong number of measurements, and for estimates that
    leave float64.
    """
    y = np.asarray(y, np.float64)
    m, n = form.A.shape
    if y.shape[-1:] != (m,):
        raise ValueError(f"run: expected measurements (..., {m}), got shape {y.shape}")
    u, o = [], []
    x = [np.zeros((*y.shape[:-1], n))]
    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        if form.form == "admm":
            v = x[0]
            for k in range(form.depth):
                u.append(v)
                q = 2 * x[k] - v
                o.append(q)
                v = v - x[k] + q @ form.H[k].T + y @ form.G[k].T
                x.append(form.threshold(v, k + 1))
            u.append(v)
        else:
            for k in range(form.depth):
                o.append(x[k])
                u.append(x[k] @ form.H[k].T + y @ form.G[k].T)
                x.append(form.threshold(u[k], k))
        seen = np.stack(o)
        path = Trajectory(np.stack(u), np.stack(x), seen, y - seen @ form.A.T)
    if not all(np.isfinite(part).all() for part in (path.u, path.x, path.r)):
        raise ValueError("run: estimates leave float64 at these measurements; expected smaller ones, or finite ones")
    return path


def recover(form: NormalForm, y: Float[np.ndarray, "*batch m"]) -> Float[np.ndarray, "*batch n"]:
    """The output ``f(y)`` of the network."""
    return run(form, y).output


def jacobians(form: NormalForm, y: Float[np.ndarray, " m"]) -> Float[np.ndarray, "K_plus_1_or_2 n m"]:
    """Jacobians with respect to y at a point: of every ``u`` in ``Trajectory``, and of the output (the last entry).

    In closed form: the soft threshold has the derivative ``1[|u_i| > theta]``. Raises ``ValueError`` for another
    shrinkage.
    """
    if not form.soft:
        raise ValueError("jacobians: expected the soft threshold, whose derivative is known")
    u = run(form, y).u
    passed = np.ones(u.shape, bool) if form.form == "gd" else np.abs(u) > form.theta[:, None]
    m, n = form.A.shape
    found = []
    if form.form == "admm":
        J = np.zeros((n, m))
        for k in range(form.depth):
            found.append(J)
            P = passed[k][:, None] * J
            J = J - P + form.H[k] @ (2 * P - J) + form.G[k]
        found += [J, passed[-1][:, None] * J]
    else:
        X = np.zeros((n, m))
        for k in range(form.depth):
            U = form.H[k] @ X + form.G[k]
            found.append(U)
            X = passed[k][:, None] * U
        found.append(X)
    return np.stack(found)


def asymptotic_jacobian(form: NormalForm) -> Float[np.ndarray, "n m"]:
    """The Jacobian of the network with all thresholds 0."""
    J = np.zeros(form.A.shape[::-1])
    for H, G in zip(form.H, form.G, strict=True):
        J = H @ J + G
    return J
