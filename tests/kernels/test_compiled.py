"""Functions of arrays that are found once: values, what is compiled, and how often anything is flattened."""

from __future__ import annotations

import copy

import jax
import jax.numpy as jnp
import numpy as np

from unrollbit.algorithms import FISTA
from unrollbit.formats import OneBit
from unrollbit.kernels import kernels
from unrollbit.kernels.backends import BACKENDS
from unrollbit.kernels.compiled import MOST_SIGNALS, Compiled
from unrollbit.networks import Unrolled
from unrollbit.operators import Rademacher
from unrollbit.packed import pack


def run(net, y):
    return net(y)


class Held:
    """A pytree that counts how often it is flattened."""

    flattened = 0

    def __init__(self, factor):
        self.factor = factor


def flatten(held):
    Held.flattened += 1
    return (held.factor,), None


jax.tree_util.register_pytree_node(Held, flatten, lambda _, leaves: Held(*leaves))


def test_what_is_held_is_flattened_once_and_compiled_once_for_objects_of_one_structure():
    traced = []

    def scaled(held, y):
        traced.append(y.shape)
        return held.factor * y

    Held.flattened = 0
    first, second = (Compiled(scaled, Held(jnp.asarray(factor))) for factor in (2.0, 3.0))
    for _ in range(3):
        assert first.by_xla(jnp.ones(4)).tolist() == [2.0] * 4
        assert second.by_xla(jnp.ones(4)).tolist() == [3.0] * 4
    assert Held.flattened == 2
    assert traced == [(4,)]


def test_what_is_written_later_is_not_seen():
    held = {"factor": jnp.asarray(2.0)}
    compiled = Compiled(lambda held, y: held["factor"] * y, held)
    held["factor"] = jnp.asarray(5.0)
    assert compiled(jnp.ones(2)).tolist() == [2.0, 2.0]


def test_few_signals_take_a_tape_and_agree_with_xla():
    net = pack(Unrolled(FISTA(), Rademacher(24, 40), 3, OneBit())).network
    compiled = Compiled(run, net)
    random = np.random.RandomState(0)
    for count in (1, MOST_SIGNALS, MOST_SIGNALS + 1):
        y = jnp.asarray(random.standard_normal((count, 24)).astype(np.float32))
        tapes = BACKENDS[kernels().path].player is not None
        assert (compiled.player(y) is not None) == (tapes and count <= MOST_SIGNALS)
        np.testing.assert_allclose(compiled(y), net(y), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(jax.jit(compiled)(y), net(y), rtol=1e-4, atol=1e-6)
    assert compiled(jnp.zeros((0, 24))).shape == (0, 40)


def test_a_copy_runs():
    compiled = Compiled(run, pack(Unrolled(FISTA(), Rademacher(24, 40), 3, OneBit())).network)
    y = jnp.ones((2, 24))
    assert np.array_equal(copy.deepcopy(compiled)(y), compiled(y))
