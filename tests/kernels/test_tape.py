"""Whole networks in one call: every operation against XLA, and networks against themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import nn

from unrollbit.algorithms import ADMM, AMP, FISTA, ISTA, GradientDescent
from unrollbit.arrays import norm
from unrollbit.formats import Fixed, LittleBit, OneBit, Ternary
from unrollbit.kernels import Compiled, hadamard_transform, kernels, native, use_kernels
from unrollbit.kernels.programs import NoTape, scanned
from unrollbit.kernels.recorder import record
from unrollbit.kernels.tape import Tape
from unrollbit.networks import Unrolled
from unrollbit.operators import Hadamard, LinearOperator, Rademacher, gaussian, rademacher_blocks
from unrollbit.packed import pack
from unrollbit.packed_operators import sign_planes
from unrollbit.shrinkage import BernoulliGaussian, Firm, Hard, Soft

LEVELS = [path for path in native.LEVELS if path in kernels().available]
pytestmark = pytest.mark.skipif(not LEVELS, reason="no C extension")


def tape_of(program: Callable[[Any], Any], y: Any) -> Tape:
    return record(jax.make_jaxpr(program)(y))


def forward(net, y):
    return net(y)


PROGRAMS: dict[str, Callable[[Any], Any]] = {
    "arithmetic": lambda y: (y * 2 - 1) / (1 + y * y) + (-y),
    "numbers of each column": lambda y: y * np.arange(32, dtype=np.float32) + np.linspace(-1, 1, 32, dtype=np.float32),
    "numbers of each row": lambda y: y - jnp.sum(y, axis=-1, keepdims=True) / 32,
    "sums": lambda y: y / jnp.sqrt(jnp.mean(y * y, axis=-1, keepdims=True) + 1e-3),
    "largest": lambda y: y / jnp.max(jnp.abs(y), axis=-1, keepdims=True) + jnp.where(y != y[:, ::-1], 1.0, 2.0),
    "powers of two": lambda y: jax.lax.reduce_precision(100 * y, exponent_bits=8, mantissa_bits=0) / 128,
    "norms": lambda y: y / norm(y * np.float32(1e-25), keepdims=True) * np.float32(1e-25),
    "finite": lambda y: jnp.where(jnp.isfinite(y / jnp.maximum(y, 0)), y, 2.0),
    "clipped": lambda y: y - jnp.clip(y, -0.5, 0.25),
    "chosen": lambda y: jnp.where((y > 0.3) | (y <= -1), y, 0) + jnp.where((y >= 0) & ~(y < 0.1), 1.0, -2.0),
    "signs": lambda y: jnp.sign(y) * jnp.abs(y) ** 2 + jnp.maximum(y, 0.1) - jnp.minimum(y, -0.2),
    "exponentials": lambda y: jnp.exp(3 * y) + nn.sigmoid(20 * y) + jnp.log1p(y * y) + jnp.log(1 + jnp.abs(y)),
    "reciprocal root": lambda y: jax.lax.rsqrt(1 + y * y),
    "reversed": lambda y: y[:, ::-1] + jnp.flip(y, 0),
    "picked": lambda y: y[:, np.array([5, 0, 31, 5])][:, :3].sum(-1, keepdims=True) + y,
    "put": lambda y: jnp.zeros((3, 40)).at[:, np.array([7, 39, 0])].set(y[:, :3])[:, :32] + y,
    "turned": lambda y: jnp.tile(y.T.reshape(32, 3, 1), (1, 1, 2)).reshape(32, 6)[:, :3].T,
    "padded": lambda y: jnp.pad(y, ((0, 0), (2, 1)))[:, 1:33],
    "layers": lambda y: jax.lax.fori_loop(0, 4, lambda k, x: 0.5 * x + k * y, y),
    "one row for all": lambda y: y + y[:1],
}


@pytest.mark.long
@pytest.mark.parametrize("path", LEVELS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_operations_against_xla(name, path):
    def program(y):
        return hadamard_transform(PROGRAMS[name](y)) / 8

    y = jnp.asarray(np.random.RandomState(1).standard_normal((3, 32)).astype(np.float32))
    found = native.play(tape_of(program, y), path)(y)
    np.testing.assert_allclose(found, program(y), rtol=2e-6, atol=4e-6)


@pytest.mark.parametrize("path", LEVELS)
@pytest.mark.parametrize("n", [1, 2, 4, 8, 16, 32, 64, 512, 2048])
def test_the_fast_transform_by_hand(n, path):
    x = np.random.RandomState(2).randint(-9, 10, (2, n)).astype(np.float32)
    index = np.arange(n)
    signs = 1 - 2 * (np.bitwise_count(index[:, None] & index) & 1).astype(np.float32)
    assert np.array_equal(native.play(tape_of(hadamard_transform, x), path)(x), x @ signs)


@pytest.mark.parametrize("path", LEVELS)
def test_largest_of_what_is_not_a_number_and_powers_of_two(path):
    def largest(y):
        return jnp.max(y, axis=-1) + 0 * jnp.sum(hadamard_transform(jnp.where(jnp.isfinite(y), y, 0)), axis=-1)

    y = jnp.asarray([[1, -2, np.nan, 3], [-1, -5, -2, -3], [np.inf, 1, 2, 3]], jnp.float32)
    assert np.array_equal(native.play(tape_of(largest, y), path)(y), [np.nan, -1, np.inf], equal_nan=True)

    def power(y):
        return jax.lax.reduce_precision(y, 8, 0) + 0 * hadamard_transform(jnp.where(jnp.isfinite(y), y, 0))

    y = jnp.asarray([1.6, 3.1, 1.499, -5.9, 6.0, 1e-30, np.inf, 1.5], jnp.float32)
    found = native.play(tape_of(power, y), path)(y)
    assert np.array_equal(found, [2, 4, 1, -4, 8, 2.0**-100, np.inf, 2])
    assert np.array_equal(found, power(y))


@pytest.mark.parametrize("path", LEVELS)
def test_the_ends_of_the_range(path):
    values = [0, -0.0, 1, -1, 88, 88.5, 88.72, 89, 1000, -80, -87, -1000, np.inf, -np.inf, np.nan, 1e-30]
    y = jnp.asarray(values, jnp.float32)[None]
    wanted = np.stack([jnp.exp(y[0]), nn.sigmoid(y[0]), np.maximum(y[0], 0.1), np.minimum(y[0], 0.1), np.sign(y[0])])
    programs = (jnp.exp, nn.sigmoid, lambda y: jnp.maximum(y, 0.1), lambda y: jnp.minimum(y, 0.1), jnp.sign)
    for program, exact in zip(programs, wanted, strict=True):

        def whole(y, program=program):  # the transform makes it worth a tape, and does not count
            return program(y) + 0 * hadamard_transform(jnp.zeros_like(y) + jnp.clip(y[:, :1], 0, 1))

        np.testing.assert_allclose(native.play(tape_of(whole, y), path)(y)[0], exact, rtol=1e-6, atol=2e-38)


NETWORKS: list[tuple[Any, LinearOperator, Any]] = [
    (ISTA(), Rademacher(24, 40), OneBit()),
    (ISTA(shrinkage=Hard()), Rademacher(24, 40), Fixed()),
    (ISTA(parametrisation="classic"), Rademacher(24, 40), OneBit()),
    (ISTA(shrinkage=Firm(), adaptive=True), Rademacher(24, 40), OneBit()),
    (FISTA(), Hadamard(16, 64), Fixed()),
    (FISTA(), Hadamard(16, 64), OneBit()),
    (FISTA(), Rademacher(24, 40), LittleBit(bits_per_weight=2.0)),
    (AMP(), Rademacher(24, 40), OneBit(planes=2)),
    (AMP(), Rademacher(24, 40), Ternary()),
    (AMP(shrinkage=BernoulliGaussian()), Rademacher(24, 40), Fixed()),
    (GradientDescent(), Rademacher(40, 24), OneBit()),
    (GradientDescent(shrinkage=Soft()), Hadamard(32, 32), Fixed()),
]


@pytest.mark.long
@pytest.mark.grid(14)
@pytest.mark.parametrize("copies", [1, 2, 4])
@pytest.mark.parametrize(("algorithm", "A", "weights"), NETWORKS, ids=lambda value: type(value).__name__)
def test_networks_against_themselves(algorithm, A, weights, copies):
    net = Unrolled(algorithm, A, 4, weights, distinct=1 if weights == Fixed() else copies)
    compiled = Compiled(forward, pack(net).network)
    random = np.random.RandomState(3)
    for shape in ((), (1,), (2, 3)):
        y = jnp.asarray(random.standard_normal((*shape, A.shape[0])).astype(np.float32))
        assert compiled.player(y) is not None
        found, wanted = compiled(y), compiled.by_xla(y)
        assert found.shape == wanted.shape == (*shape, A.shape[1])
        assert np.linalg.norm(found - wanted) <= 1e-5 * np.linalg.norm(wanted)


def test_layers_share_the_bits_that_the_network_holds():
    net = pack(Unrolled(FISTA(), Rademacher(24, 40), 6, OneBit())).network
    tape = tape_of(net, jnp.ones(24))
    assert sorted(matrix.nbytes for matrix in tape.matrices) == [24 * 5, 6 * 24 * 5]  # the physics, and six layers
    held = {leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(net) if jnp.result_type(leaf) == jnp.uint8}
    assert any(matrix.unsafe_buffer_pointer() in held for matrix in tape.matrices)


def test_more_matrices_than_a_few_dozen():
    matrices = [Rademacher(8, 8, seed=seed) for seed in range(70)]

    def program(y):
        for A in matrices:
            y = A(y)
        return y

    y = jnp.asarray(np.random.RandomState(4).standard_normal((1, 8)).astype(np.float32))
    tape = tape_of(program, y)
    assert len(tape.matrices) == 70
    np.testing.assert_allclose(native.play(tape, "plain")(y), program(y), rtol=1e-4)


def test_blocks_run_on_a_tape():
    A = sign_planes(rademacher_blocks(3, 8, 16), 1)
    compiled = Compiled(forward, pack(Unrolled(GradientDescent(), A, 3, OneBit())).network)
    y = jnp.asarray(np.random.RandomState(4).standard_normal((2, 24)).astype(np.float32))
    assert compiled.player(y) is not None
    np.testing.assert_allclose(compiled(y), compiled.by_xla(y), rtol=1e-5, atol=1e-5)


@pytest.mark.long
def test_what_has_no_tape_says_why_and_runs_by_xla():
    gauss, signs = (Unrolled(FISTA(), A, 3, OneBit()) for A in (gaussian(24, 40), Rademacher(24, 40)))
    admm = Unrolled(ADMM(), gaussian(24, 40), 3)
    for net in (gauss, admm):
        compiled, y = Compiled(forward, pack(net).network), jnp.ones(24)
        with pytest.raises(NoTape, match=r"^dot_general$"):
            compiled.tape(y)
        assert compiled.player(y) is None
        assert np.array_equal(compiled(y), compiled.by_xla(y))
    compiled = Compiled(forward, pack(signs).network)
    assert compiled.player(jnp.ones((17, 24))) is None  # XLA is faster
    assert compiled.player(jnp.ones((0, 24))) is None
    with jax.enable_x64(True), pytest.raises(NoTape, match="float64"):
        compiled.tape(jnp.ones(24, jnp.float64))
    with use_kernels("portable"):
        assert compiled.player(jnp.ones(24)) is None


def test_transformations_see_the_network_itself():
    packed = pack(Unrolled(ISTA(), Rademacher(24, 40), 3, OneBit()))
    y = jnp.asarray(np.random.RandomState(5).standard_normal((4, 24)).astype(np.float32))
    for found in (jax.jit(packed)(y), jax.vmap(packed)(y), jnp.stack([packed(row) for row in y])):
        np.testing.assert_allclose(found, packed(y), rtol=1e-4, atol=1e-6)
    slope = jax.grad(lambda y: jnp.sum(packed(y)))(y)
    assert slope.shape == y.shape
    assert np.isfinite(slope).all()
    assert np.any(slope)


def test_a_concrete_signal_while_something_else_is_traced():
    y = jnp.asarray(np.random.RandomState(6).standard_normal(24).astype(np.float32))
    first, second = (pack(Unrolled(FISTA(), Rademacher(24, 40), 3, OneBit())) for _ in range(2))
    found = jax.jit(lambda s: s * first(y))(2.0)
    np.testing.assert_allclose(found, 2 * first(y), rtol=1e-5, atol=1e-6)
    assert jax.eval_shape(lambda: second(y)).shape == (40,)
    assert np.array_equal(first(y), second(y))


def test_a_wrong_length_is_refused_as_always():
    packed = pack(Unrolled(ISTA(), Rademacher(24, 40), 3, OneBit()))
    with pytest.raises(ValueError, match="24"):
        packed(jnp.ones(23))


def test_scans_of_every_jax_are_understood():
    class Tree:  # as JAX 0.11 has it
        def unpack(self) -> tuple[list[int], list[int], list[int]]:
            return [1, 2], [3], [4, 5]

    assert scanned({"num_consts": 2, "num_carry": 1}) == (2, 1)
    assert scanned({"ft_in": Tree()}) == (2, 1)
    with pytest.raises(NoTape, match="not known"):
        scanned({})


def test_nothing_is_put_on_no_tape() -> None:
    """An empty part of the measurements: XLA runs it."""

    def program(y):
        return hadamard_transform(y) + jnp.pad(y[:, :0], ((0, 0), (0, 64)))

    with pytest.raises(NoTape, match="empty"):
        tape_of(program, jnp.ones((1, 64)))
