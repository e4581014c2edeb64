"""Three models such as people write, with their inputs; nothing in them knows of the library."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx


class Block(nnx.Module):
    def __init__(self, width, rngs):
        self.before_attention = nnx.LayerNorm(width, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, width, decode=False, rngs=rngs)
        self.before_mlp = nnx.LayerNorm(width, rngs=rngs)
        self.up = nnx.Linear(width, 2 * width, rngs=rngs)
        self.down = nnx.Linear(2 * width, width, rngs=rngs)

    def __call__(self, x):
        x = x + self.attention(self.before_attention(x), mask=nnx.make_causal_mask(x[..., 0]))
        return x + self.down(nnx.gelu(self.up(self.before_mlp(x))))


class Transformer(nnx.Module):
    def __init__(self, rngs, width=32):
        self.tokens = nnx.Embed(20, width, rngs=rngs)
        self.blocks = nnx.List([Block(width, rngs)])
        self.head = nnx.Linear(width, 20, rngs=rngs)

    def __call__(self, tokens):
        x = self.tokens(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class ConvNet(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Conv(1, 8, (3, 3), rngs=rngs)
        self.middle = nnx.Conv(8, 8, (3, 3), strides=2, padding="CIRCULAR", use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.grouped = nnx.Conv(8, 16, (3, 3), feature_group_count=2, padding="VALID", rngs=rngs)
        self.last = nnx.Linear(16, 3, rngs=rngs)

    def __call__(self, images):
        x = nnx.relu(self.norm(self.middle(self.first(images))))
        return self.last(nnx.relu(self.grouped(x)).mean((-3, -2)))


def mlp(rngs):
    layers = [
        nnx.Linear(8, 24, rngs=rngs),
        nnx.relu,
        nnx.Linear(24, 24, rngs=rngs),
        nnx.relu,
        nnx.Linear(24, 4, rngs=rngs),
    ]
    return nnx.Sequential(*layers)


MODELS = {
    "mlp": (mlp, lambda key: jax.random.normal(key, (6, 8))),
    "transformer": (Transformer, lambda key: jax.random.randint(key, (3, 7), 0, 20)),
    "convolutional": (ConvNet, lambda key: jax.random.normal(key, (2, 12, 12, 1))),
}


@pytest.fixture(params=MODELS)
def case(request):
    """A way to make a model, and a batch of its inputs."""
    make, inputs = MODELS[request.param]
    return make, inputs(jax.random.key(1))


@pytest.fixture
def transformer():
    return Transformer(nnx.Rngs(0)), jnp.arange(21).reshape(3, 7) % 20


@pytest.fixture
def block():
    return Block
