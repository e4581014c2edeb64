"""From somebody's model to a packed file and back."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import unrollbit
from unrollbit import BitNet, FullPrecision, LittleBit, OneBit, OneBitSVID, Ternary
from unrollbit.models.convolution import patches
from unrollbit.packed import runtime


@pytest.mark.long
def test_ten_lines_from_a_model_to_a_packed_file_and_back(case, tmp_path):
    make, x = case
    model = make(nnx.Rngs(0))
    student = unrollbit.quantise(model, OneBitSVID())
    optimiser = nnx.Optimizer(student, optax.adam(1e-2), wrt=nnx.Param)
    target = jnp.ones_like(model(x))

    @nnx.jit
    def step(student, optimiser):
        value, gradients = nnx.value_and_grad(lambda m: jnp.mean((m(x) - target) ** 2))(student)
        optimiser.update(student, gradients)
        return value

    losses = [step(student, optimiser) for _ in range(6)]
    student.eval()
    file = unrollbit.pack(student, training={"seed": 0}).save(tmp_path / "model.safetensors")
    packed = unrollbit.load(file, nnx.eval_shape(lambda: make(nnx.Rngs(7))))  # the code; no numbers of it are used
    packed.network.eval()

    trained = student(x)
    size = jnp.abs(trained).max()
    assert losses[-1] < losses[0]
    assert jnp.abs(unrollbit.packed.PackedModel(packed.network)(x) - trained).max() < 1e-5 * size
    again = packed.trainable()
    assert jnp.abs(again(x) - trained).max() < 1e-5 * size
    second = unrollbit.pack(again, training={"seed": 0}).save(tmp_path / "again.safetensors")
    assert second.read_bytes() == file.read_bytes()
    assert unrollbit.count_bits(packed).file_bits == 8 * file.stat().st_size


class Mixed(nnx.Module):
    """One layer of each kind that can be quantised."""

    def __init__(self, rngs):
        self.taps = nnx.Conv(2, 12, (3,), strides=2, feature_group_count=2, rngs=rngs)
        self.mixed = nnx.LinearGeneral((3, 4), (2, 5), axis=(-3, -1), rngs=rngs)
        self.out = nnx.Linear(5, 6, use_bias=False, rngs=rngs)

    def __call__(self, x):
        return self.out(self.mixed(self.taps(x).reshape(len(x), 4, 3, 4).swapaxes(1, 2)))


@pytest.mark.long
@pytest.mark.parametrize(
    "format",
    [OneBit(planes=2, scale="row"), BitNet(), Ternary(), LittleBit(bits_per_weight=1.0, rank=2), FullPrecision()],
    ids=lambda format: type(format).__name__,
)
def test_a_quantised_model_is_flax_with_the_kernels_of_the_format_and_so_is_its_file(format, tmp_path):
    model, x = Mixed(nnx.Rngs(0)), jax.random.normal(jax.random.key(0), (4, 8, 2))
    student, expected = unrollbit.quantise(model, format, keep=None), nnx.clone(model)
    for name in ("taps", "mixed", "out"):
        getattr(expected, name).kernel[...] = getattr(student, name).kernel
    start = format.from_matrix(model.out.kernel[...].T).dense()[0].T
    assert jnp.abs(student.out.kernel - start).max() < 0.01 * jnp.abs(start).max()  # of scales of 16 bits
    y = expected(x)
    size = jnp.abs(y).max()
    assert jnp.abs(student(x) - y).max() < 1e-5 * size
    packed = unrollbit.pack(student)
    assert jnp.abs(packed(x) - y).max() < 1e-5 * size

    matrices, others = runtime.matrices(packed.save(tmp_path / "model.safetensors"))  # NumPy alone
    probe = np.random.RandomState(0).standard_normal((7, 12)).astype(np.float32)
    product = matrices["mixed"].apply(probe)
    assert np.abs(product - probe @ student.mixed.kernel.reshape(12, 10)).max() < 1e-5 * np.abs(product).max()
    assert set(matrices) == {"taps", "mixed", "out"}
    assert set(others) == {"taps.bias", "mixed.bias"}


PADDINGS = [
    {"padding": "VALID", "strides": 2},
    {"padding": "REFLECT"},
    {"padding": "CIRCULAR", "kernel_dilation": 2},
    {"padding": [(1, 2), (0, 1)], "input_dilation": 2},
    {"padding": "SAME", "strides": (2, 1), "feature_group_count": 2},
]


@pytest.mark.long
@pytest.mark.parametrize("options", PADDINGS, ids=lambda options: str(options["padding"]))
def test_patches_are_what_a_convolution_multiplies(options):
    layer = nnx.Conv(4, 6, (3, 2), use_bias=False, rngs=nnx.Rngs(0), **options)
    x = jax.random.normal(jax.random.key(0), (2, 7, 8, 4))
    groups = layer.feature_group_count
    found = patches(layer, x)
    parts = found.reshape(*found.shape[:-1], groups, -1)
    kernel = layer.kernel[...].reshape(-1, groups, 6 // groups)
    y = jnp.einsum("...gk,kgo->...go", parts, kernel).reshape(*found.shape[:-1], 6)
    assert jnp.abs(y - layer(x)).max() < 1e-5


@pytest.mark.parametrize("side", [6, 7])
def test_a_packed_convolution_takes_patches_or_taps_whichever_are_fewer(side):
    layer = nnx.Conv(4, 12, (3,), feature_group_count=2, rngs=nnx.Rngs(0))  # 6 outputs of a group
    x = jax.random.normal(jax.random.key(0), (side, 4))
    student = unrollbit.quantise(layer, Ternary(), keep=None)
    packed = unrollbit.pack(student).network
    y = student(x)
    assert packed(x).shape == y.shape
    assert jnp.abs(packed(x) - y).max() < 1e-5 * jnp.abs(y).max()
    assert jnp.abs(packed.kernel - student.kernel).max() < 1e-6 * jnp.abs(student.kernel).max()
    program = str(jax.make_jaxpr(packed)(x))
    assert ("conv_general_dilated" in program) == (side > 6)


def test_the_first_and_the_last_layer_are_kept_and_said(transformer):
    model, _ = transformer
    kept = unrollbit.count_bits(unrollbit.quantise(model, OneBitSVID())).kept
    assert {"tokens", "head"} <= set(kept)
    assert repr(unrollbit.quantise(model, BitNet()).blocks[0].up) == "QuantisedLinear(BitNet, 64 x 32)"
    assert kept["head"] == 32 * (32 * 20 + 20)
    report = unrollbit.count_bits(unrollbit.quantise(model, OneBitSVID(), keep=nnx.PathContains("attention")))
    assert set(report.maps) == {"blocks.0.up", "blocks.0.down", "head"}
    assert report.weight_bits == 2 * 32 * 64 + 32 * 20
    assert report.scalar_bits == 32 * (64 + 32 + 20)  # biases
    twice = unrollbit.quantise(unrollbit.quantise(model, BitNet()), Ternary(), keep=None)
    assert {type(layer.weights.format) for layer in (twice.blocks[0].up, twice.head)} == {BitNet, Ternary}


def test_a_layer_in_two_places_stays_one():
    shared = nnx.Linear(4, 4, rngs=nnx.Rngs(0))
    student = unrollbit.quantise(nnx.Sequential(shared, nnx.relu, shared), OneBit(), keep=None)
    assert student.layers[0] is student.layers[2]
    assert len(unrollbit.count_bits(student).maps) == 1


@pytest.mark.long
@pytest.mark.parametrize(
    "format", [OneBit(), OneBitSVID(), BitNet(), Ternary(), LittleBit(rank=3)], ids=lambda format: type(format).__name__
)
def test_gradients_reach_all_that_trains_and_the_teacher_stays(format):
    layer, x = nnx.Linear(8, 8, rngs=nnx.Rngs(0)), jnp.eye(8)
    before = np.asarray(layer.kernel[...])
    student = unrollbit.quantise(layer, format, keep=None)
    gradients = nnx.grad(lambda student: jnp.sum((student(x) - 1) ** 2))(student)
    assert all(bool(jnp.any(gradient != 0)) for gradient in jax.tree.leaves(gradients))
    assert np.array_equal(before, layer.kernel[...])


def test_what_cannot_be_quantised_is_said(transformer):
    model, _ = transformer
    rngs = nnx.Rngs(0)
    pair = nnx.Sequential(nnx.Linear(4, 4, rngs=rngs), nnx.Linear(4, 4, rngs=rngs))
    with pytest.raises(ValueError, match="keep=None keeps none"):
        unrollbit.quantise(pair, OneBit())
    with pytest.raises(ValueError, match=r"expected a model with layers among nnx\.Linear"):
        unrollbit.quantise(nnx.LayerNorm(4, rngs=rngs), OneBit())
    with pytest.raises(ValueError, match=r"blocks\.0\.attention.*rate"):
        unrollbit.quantise(model, LittleBit(bits_per_weight=0.1))
    with pytest.raises(ValueError, match="depend on the physics"):
        unrollbit.quantise(model, unrollbit.Anchored(OneBit()))
    masked = nnx.Conv(1, 2, 3, mask=jnp.ones((3, 1, 2)), rngs=rngs)
    with pytest.raises(ValueError, match="its kernel is masked"):
        unrollbit.quantise(nnx.Sequential(masked), OneBit(), keep=None)
    with pytest.raises(TypeError, match=r"expected an nnx\.Module"):
        unrollbit.quantise("model", OneBit())  # pyright: ignore[reportArgumentType]


def test_files_of_models_are_checked(transformer, tmp_path):
    model, _ = transformer
    file = unrollbit.pack(unrollbit.quantise(model, OneBit())).save(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"load\(path, model\)"):
        unrollbit.load(file)
    with pytest.raises(ValueError, match="weights for blocks"):
        unrollbit.load(file, nnx.Sequential(nnx.Linear(4, 4, rngs=nnx.Rngs(0))))
    with pytest.raises(ValueError, match=r"layer blocks\.0"):
        unrollbit.load(file, type(model)(nnx.Rngs(0), width=16))
    other = type(model)(nnx.Rngs(0))
    other.more = nnx.Param(jnp.ones(3))
    with pytest.raises(ValueError, match="only the model has more"):
        unrollbit.load(file, other)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="checksum"):
        unrollbit.load(file, model)
