"""Influence functions: against interpolation, and as derivatives of their potentials."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit.shrinkage import Clips, Influence, MonotoneClips

KNOTS, SLOPES = (0.5, 1.0, 3.0), (1.5, -0.5, 0.25)


def tables(influence: Influence, channels: int, depth: int = 1, weight: float = 1.0) -> dict:
    specs = influence.scalars(weight, channels)
    return {name: jnp.asarray(spec.initial_values(depth)[0], jnp.float32) for name, spec in specs.items()}


@pytest.mark.parametrize("shared", ["none", "knots", "all"])
def test_clips_are_piecewise_linear(shared) -> None:
    clips = Clips(KNOTS, SLOPES, shared)
    z = np.linspace(-5, 5, 41).astype(np.float32)
    places = np.array([0.0, *KNOTS])
    values = [sum(a * min(t, place) for a, t in zip(SLOPES, KNOTS, strict=True)) for place in places]
    expected = np.sign(z) * np.interp(np.abs(z), places, values)
    found = clips(jnp.asarray(np.stack([z, 2 * z])), tables(clips, 2))
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    np.testing.assert_allclose(found[1], np.sign(z) * np.interp(2 * np.abs(z), places, values), atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("influence", [Clips(KNOTS, SLOPES), MonotoneClips()], ids=["clips", "monotone"])
def test_the_function_is_the_derivative_of_its_potential(influence: Clips) -> None:
    z = jnp.linspace(-4.1, 4.0, 30).reshape(1, 2, 15)
    slope = jax.grad(lambda z: jnp.sum(influence.potential(z)))(z)
    np.testing.assert_allclose(influence(z, tables(influence, 2)), slope, atol=1e-5)
    dense = np.linspace(0, 5, 20001)[None]
    phi = np.asarray(influence(jnp.asarray(np.stack([dense[0]] * 2)), tables(influence, 2)))[0]
    steepest = np.diff(phi).max() / (dense[0, 1] - dense[0, 0])
    assert float(influence.steepest()) == pytest.approx(steepest, rel=0.02)


@pytest.mark.long
def test_gradients_of_the_tables_are_those_of_plain_sums() -> None:
    clips, z = Clips(KNOTS, SLOPES), jax.random.normal(jax.random.key(0), (4, 3, 7))
    g, own = jax.random.normal(jax.random.key(1), z.shape), tables(Clips(KNOTS, SLOPES), 3)

    def plain(own):
        t, a = own["knots"][:, None, :, None], own["slopes"][:, None, :, None]
        return jnp.sum(g * jnp.sum(a * jnp.clip(z, -t, t), 0) / 3)

    found, expected = jax.grad(lambda own: jnp.sum(g * clips(z, own)))(own), jax.grad(plain)(own)
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-5)
    several = jax.vmap(lambda z: clips(z, own))(z)
    np.testing.assert_allclose(several, clips(z, own), atol=1e-6)


def test_tables_have_their_shapes_and_specs() -> None:
    assert {k: s.shape for k, s in Clips().scalars(1.0, 24).items()} == {"slopes": (4, 24), "knots": (4, 24)}
    assert {k: s.shape for k, s in Clips(shared="knots").scalars(1.0, 24).items()} == {"slopes": (4, 24), "knots": (4,)}
    assert Clips(bits=8).scalars(1.0, 2)["slopes"].bits == 8
    assert MonotoneClips().scalars(1.0, 2)["slopes"].constraint == "positive"
    for influence in (Clips(KNOTS, SLOPES, "all", 8), MonotoneClips()):
        assert Influence.from_spec(influence.to_spec()) == influence
    assert set(Influence.kinds) >= {"Clips", "MonotoneClips"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Clips((1.0,), (1.0, 2.0)), "expected a slope for each"),
        (lambda: Clips((1.0, 0.5), (1.0, 2.0)), "increasing"),
        (lambda: Clips((0.0,), (1.0,)), "increasing numbers > 0"),
        (lambda: Clips((1.0,), (float("nan"),)), "slopes: expected finite"),
        (lambda: MonotoneClips((1.0,), (0.0,)), "expected numbers > 0"),
    ],
)
def test_wrong_tables(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
