"""Networks with filter priors: their files, other physics and sizes, training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import FullPrecision, FullyConnected, Unrolled, count_bits, fit, load, nmse_db, pack, recipes
from unrollbit.algorithms import FISTA, ForwardBackward, Levels, ReactionDiffusion
from unrollbit.formats import Format, OneBit, Ternary, Uniform, UnitFilters
from unrollbit.operators import BlockPatterns, Convolution, LinearOperator, Subsampling, gaussian
from unrollbit.packed import runtime
from unrollbit.scalars import Held
from unrollbit.shrinkage import Clips, MonotoneClips

SHAPE = (8, 10)
BLUR = Convolution.of([[0.25, 0.5, 0.25]], SHAPE)
CASES: dict[str, tuple] = {
    "forward-backward": (ForwardBackward, {}, BLUR, Uniform(2)),
    "levels": (ForwardBackward, {"levels": Levels(0.5, of="noise"), "influence": Clips(bits=8)}, BLUR, Uniform(1)),
    "dense": (
        ForwardBackward,
        {"levels": Levels(), "influence": MonotoneClips(shared="all")},
        gaussian(40, 80),
        Ternary(),
    ),
    "patterns": (
        ForwardBackward,
        {"edge": "reflect", "influence": Clips(shared="knots")},
        BlockPatterns.of([[1, 1, 1, 1], [1, -1, 1, -1]], SHAPE, 2, [4.0, 1.0, 1.0, 0.5]),
        OneBit(scale="none"),
    ),
    "reaction-diffusion": (ReactionDiffusion, {"levels": Levels(0.5), "edge": "zero"}, BLUR, FullPrecision()),
    "differences": (ReactionDiffusion, {"start": "differences", "edge": "circular"}, BLUR, FullPrecision()),
}


def network(name: str, depth: int = 3) -> Unrolled:
    kind, options, A, inner = CASES[name]
    return Unrolled(kind(signal_shape=SHAPE, **options), A, depth, UnitFilters(inner))


def measured(A: LinearOperator, batch: int = 3) -> np.ndarray:
    return np.asarray(A(jax.random.normal(jax.random.key(0), (batch, A.shape[1]))))


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_files_run_in_both_readers(name: str, tmp_path: Path) -> None:
    net = network(name)
    y, path = measured(net.operator), pack(net).save(tmp_path / "net.safetensors")
    x = np.asarray(net(y))
    scale = np.abs(x).max()
    np.testing.assert_allclose(load(path)(y), x, atol=1e-5 * scale)
    np.testing.assert_allclose(runtime.load(path)(y), x, atol=2e-5 * scale)
    np.testing.assert_allclose(load(path).trainable()(y), x, atol=1e-5 * scale)


def test_tables_are_counted_at_their_width() -> None:
    def bits(**options) -> int:
        algorithm = ForwardBackward(signal_shape=SHAPE, influence=Clips(**options))
        return count_bits(Unrolled(algorithm, BLUR, 2, UnitFilters(Uniform(1)))).scale_bits - 2 * 3 * 32

    assert bits(bits=32) == 2 * 32 * 2 * 4 * 24
    assert bits() == 2 * 16 * 2 * 4 * 24
    assert bits(bits=8) == 2 * 8 * 2 * 4 * (24 + 2)  # a step of two bytes for each row
    assert bits(shared="knots") == 2 * 16 * (4 * 24 + 4)
    report = count_bits(Unrolled(ForwardBackward(signal_shape=SHAPE), BLUR, 2, UnitFilters(Uniform(1))))
    assert report.physics_resident_bits == BLUR.resident_bits() + 2 * 32 * 8 * 6  # spectrum of real images
    assert (report.weight_bits, report.active_links) == (2 * 600, 2 * 600 * 80)


@pytest.mark.parametrize("bits", [32, 16, 8])
def test_rounding_of_tables(bits) -> None:
    held = Held((2, 3, 24), bits)
    raw = np.random.RandomState(0).standard_normal(held.shape).astype(np.float32) * np.array([[[1e-3], [1.0], [50.0]]])
    found = held.rounded(raw)
    error = np.abs(found - raw).max(-1) / np.abs(raw).max(-1)
    assert error.max() <= {32: 1e-7, 16: 2.0**-11, 8: 0.5 / 127 + 1e-3}[bits]
    np.testing.assert_array_equal(held.rounded(found), found)
    assert held.encode(raw).nbytes * 8 == held.stored_bits
    np.testing.assert_array_equal(held.rounded(np.zeros(held.shape, np.float32)), 0)


@pytest.mark.long
def test_a_prior_belongs_to_no_size_and_no_operator(tmp_path: Path) -> None:
    net = network("forward-backward")
    larger = Convolution.of([[0.1, 0.8], [0.05, 0.05]], (12, 9))
    y = measured(larger)
    moved = net.with_physics(larger)
    packed = pack(net).with_physics(larger)
    np.testing.assert_allclose(packed(y), moved(y), atol=1e-5)
    np.testing.assert_allclose(moved.with_physics(BLUR)(measured(BLUR)), net(measured(BLUR)), atol=1e-6)
    path = packed.save(tmp_path / "moved.safetensors")
    np.testing.assert_allclose(runtime.load(path)(y), moved(y), atol=1e-5)
    dense = gaussian(20, 30)
    assert net.with_physics(dense, (5, 6))(jnp.ones(20)).shape == (30,)
    with pytest.raises(ValueError, match="signal_shape: expected the 2 sides"):
        net.with_physics(dense)
    with pytest.raises(ValueError, match="only shared taps"):
        Unrolled(FISTA(), gaussian(20, 30), 2).with_physics(gaussian(10, 30))
    with pytest.raises(ValueError, match="bound to the sizes"):
        FullyConnected(gaussian(20, 30), 2).with_physics(dense)


@jax.tree_util.register_pytree_node_class
@dataclass
class Steps:
    """Piecewise constant images of random boxes, blurred, with noise."""

    operator: LinearOperator
    signal_shape: tuple[int, int] = (16, 16)
    other: bool = False

    def tree_flatten(self):
        return (self.operator,), (self.signal_shape, self.other)

    @classmethod
    def tree_unflatten(cls, static, children):
        return cls(*children, *static)

    def split(self, name):
        return self

    def sample(self, key, batch):
        corner, level, noise = jax.random.split(key, 3)
        places = jnp.stack(jnp.meshgrid(*(jnp.arange(side) for side in self.signal_shape), indexing="ij"), -1)
        low = jax.random.randint(corner, (batch, 1, 1, 2), 0, 8)
        x = jnp.where(jnp.all((places >= low) & (places < low + 6), -1), jax.random.normal(level, (batch, 1, 1)), 0)
        y = self.operator(x.reshape(batch, -1))
        return x.reshape(batch, -1), y + 0.01 * jax.random.normal(noise, y.shape)


class Smaller(Steps):
    def training_problem(self):
        return Steps(Convolution.of([[0.25, 0.5, 0.25]], (12, 12)), (12, 12))


@pytest.mark.long
@pytest.mark.parametrize("planes", [1, 2])
def test_the_recipe_trains_and_its_file_is_the_network(planes: int, tmp_path: Path) -> None:
    problem = Steps(Convolution.of([[0.25, 0.5, 0.25]], (16, 16)))
    recipe = recipes.learned_prior(problem, depth=3, planes=planes, filters=8, size=3, steps=60, batch=4)
    report = fit(recipe, problem, progress=False)
    assert report.nmse_db < report.untrained_nmse_db - 0.5
    net, (_, y) = recipe.network, problem.sample(jax.random.key(5), 4)
    path = pack(net).save(tmp_path / "net.safetensors")
    np.testing.assert_allclose(load(path)(y), net(y), atol=1e-5)
    np.testing.assert_allclose(runtime.load(path)(y), net(y), atol=1e-5)
    assert max(float(jnp.abs(v[...]).max()) for v in net.maps["K"].leaf.variables.values()) <= 1.0


@pytest.mark.long
def test_training_on_smaller_signals_than_those_recovered() -> None:
    problem = Smaller(Convolution.of([[0.25, 0.5, 0.25]], (16, 16)))
    recipe = recipes.learned_prior(problem, depth=2, filters=8, size=3, steps=30, batch=4)
    report = fit(recipe, problem, progress=False)
    assert recipe.network.operator.shape == (256, 256)
    assert report.nmse_db < report.untrained_nmse_db


class Blurred(Steps):
    """Every training step has a blur of its own."""

    def drawn(self, key):
        side = jax.random.uniform(key, minval=0.1, maxval=0.4)
        return Blurred(Convolution(jnp.stack([side, 1 - 2 * side, side])[None], self.signal_shape), self.signal_shape)


jax.tree_util.register_pytree_node(
    Blurred,
    lambda problem: ((problem.operator,), (problem.signal_shape,)),
    lambda static, parts: Blurred(*parts, *static),
)


@pytest.mark.long
def test_physics_drawn_in_every_step_train_one_network_for_all() -> None:
    weak, strong = (Convolution.of([[side, 1 - 2 * side, side]], (12, 12)) for side in (0.1, 0.4))

    def errors(net: Unrolled) -> list[float]:
        pairs = [(A, *Steps(A, (12, 12)).sample(jax.random.key(3), 64)) for A in (weak, strong)]
        return [float(nmse_db(net.with_physics(A)(y), x)) for A, x, y in pairs]

    recipe = recipes.learned_prior(Blurred(weak, (12, 12)), depth=2, filters=8, size=3, steps=120, batch=8)
    before = errors(recipe.network)
    fit(recipe, Blurred(weak, (12, 12)), progress=False)
    assert recipe.network.operator == weak  # the network keeps the physics that it was made for
    assert all(after < start - 1 for after, start in zip(errors(recipe.network), before, strict=True))


def test_what_the_recipe_takes() -> None:
    image = Steps(Subsampling.full((16, 16)))
    net = recipes.learned_prior(image, depth=2, weights=OneBit(scale="none"), levels="noise").network
    assert isinstance(net.maps["K"].format, UnitFilters)
    assert net.algorithm.levels.of == "noise"
    assert recipes.learned_prior(image, depth=2).network.algorithm.levels is None
    assert isinstance(net.maps["K"].format, Format)
    with pytest.raises(ValueError, match="samples on a grid"):
        recipes.learned_prior(gaussian(20, 30))
    with pytest.raises(ValueError, match="levels: expected"):
        recipes.learned_prior(image, levels="loud")  # pyright: ignore[reportArgumentType]
