"""Weights shared by convolution: a one-bit filter is a one-bit Toeplitz matrix."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import (
    FISTA,
    FullPrecision,
    LittleBit,
    OneBit,
    OneBitSVID,
    Ternary,
    Unrolled,
    count_bits,
    fit,
    load,
    pack,
)
from unrollbit.cli.network_table import build_weights
from unrollbit.formats import Designed, Format, SharedTaps, SignalDomain
from unrollbit.operators import Composition, Convolution, SubsampledDCT, gaussian
from unrollbit.problems import Deblurring, SparseDeconvolution
from unrollbit.structures import Shared
from unrollbit.training import Stage

KERNEL = np.array([[1.0, 2.0, -1.0], [4.0, -5.0, 6.0]])
A = Convolution.of(KERNEL, (6, 5))


def network(format: Format, depth: int = 3, physics=A) -> Unrolled:
    return Unrolled(FISTA(regularisation=0.1), physics, depth, SharedTaps(format))


def test_a_filter_in_full_precision_is_the_solver() -> None:
    y = jnp.asarray(np.random.RandomState(0).standard_normal((2, 30)), jnp.float32)
    own = Unrolled(FISTA(regularisation=0.1), A, 3, FullPrecision())
    np.testing.assert_allclose(network(FullPrecision())(y), own(y), rtol=2e-5, atol=1e-6)


def test_signs_and_scale_are_those_of_the_kernel() -> None:
    weights = network(OneBit(), 1).maps["W"]
    mean = np.abs(KERNEL).mean()
    np.testing.assert_allclose(
        weights.dense()[0], Convolution.of(mean * np.sign(KERNEL), (6, 5)).dense(), rtol=1e-5, atol=1e-6
    )


def test_links_and_stored_bits_are_counted_apart() -> None:
    """By hand: 6 taps a layer; each stands for 30 of the 900 entries of a layer's matrix."""
    report = count_bits(network(OneBit()))
    assert report.links == 3 * 900
    assert report.active_links == 3 * 6 * 30
    assert report.stored_weights == report.weight_bits == 3 * 6
    assert report.maps["W"].scale_bits == 3 * 32
    assert report.mask_bits == 0


@pytest.mark.long
@pytest.mark.grid(2)
@pytest.mark.parametrize("format", [OneBit(), OneBit(planes=2), Ternary()], ids=str)
@pytest.mark.parametrize("distinct", [1, None])
def test_files(format, distinct, tmp_path) -> None:
    net = Unrolled(FISTA(regularisation=0.1), A, 3, SharedTaps(format, wider=1), distinct=distinct)
    y = jnp.asarray(np.random.RandomState(0).standard_normal((2, 30)), jnp.float32)
    packed = load(pack(net).save(tmp_path / "n.safetensors"))
    expected = net(y)
    assert float(jnp.linalg.norm(packed(y) - expected)) <= 1e-5 * float(jnp.linalg.norm(expected))
    np.testing.assert_allclose(packed.trainable()(y), expected, rtol=1e-5, atol=1e-6)
    assert packed.network.maps["W"].structure == Shared((6, 5), (4, 5))
    assert packed.bits().active_links == 3 * 20 * 30


@pytest.mark.slow
def test_filters_train_in_the_domain_of_the_signal() -> None:
    """Every tap moves, the matrix stays a convolution, and the loss falls."""
    problem = Deblurring("gaussian", 0.8, size=16, transform="dct")
    net = Unrolled(FISTA(regularisation=1e-3), problem, 3, SignalDomain(SharedTaps(OneBit(), wider=1)))
    assert net.maps["W"].leaf.structure.kernel_shape == (9, 9)
    before = net.maps["W"].leaf.variables["signs"][...]
    x, y = problem.split("validation").sample(jax.random.key(0), 64)
    start = float(jnp.mean((net(y) - x) ** 2))
    fit(
        net,
        problem,
        (Stage(steps=60, rates={"signs": 1e-2, "scalars": 1e-2, "scales": 1e-2}, batch=16),),
        progress=False,
    )
    assert float(jnp.mean((net(y) - x) ** 2)) < start
    assert (np.asarray(net.maps["W"].leaf.variables["signs"][...] - before) != 0).all()
    taps = net.maps["W"].leaf
    layer = taps.dense()[0]
    again = taps.structure.scatter(taps.structure.gather(layer))
    np.testing.assert_allclose(again, layer, atol=1e-6)


def test_no_matrix_is_formed_for_whole_images() -> None:
    """A dense matrix would have 10^10 entries."""
    blur = Convolution.of(np.ones((5, 5)) / 25, (320, 320))
    psi = SubsampledDCT.full((320, 320)).T
    net = Unrolled(FISTA(regularisation=0.1), Composition.of(blur, psi), 2, SignalDomain(SharedTaps(OneBit())))
    assert net(jnp.ones(320 * 320)).shape == (320 * 320,)
    report = count_bits(net)
    assert report.weight_bits + report.scale_bits == 2 * 25 + 2 * 32 + 6 * 32  # taps, scales, the layers' scalars
    assert report.bits_per_link == 306 / (2 * 102400**2)


def test_in_a_config() -> None:
    problem = SparseDeconvolution(n=32)
    one_bit = {"kind": "OneBit"}
    for given, taps in (({}, 17), ({"wider": 3}, 23)):
        format = build_weights({"kind": "SharedTaps", "inner": one_bit, **given})
        assert Unrolled(FISTA(), problem, 2, format).maps["W"].structure.kernel_shape == (taps,)
    assert not isinstance(Unrolled(FISTA(), problem, 2, build_weights(one_bit)).maps["W"].structure, Shared)
    with pytest.raises(ValueError, match=r"SharedTaps\.wider: expected int, got 'yes'"):
        build_weights({"kind": "SharedTaps", "inner": one_bit, "wider": "yes"})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SharedTaps(OneBit(), wider=-1), "wider: expected an integer >= 0"),
        (lambda: network(OneBit(), physics=gaussian(4, 6)), "expected physics that is a Convolution"),
        (lambda: network(OneBit(scale="row")), "take a global or layer scale"),
        (lambda: network(OneBitSVID()), "taps of a convolution .* have no rank"),
        (
            lambda: network(LittleBit(bits_per_weight=1.0)),
            "taps of a convolution and entries of a sparse matrix have no rank",
        ),
        (lambda: network(Designed()), "use OneBit here"),
    ],
)
def test_what_does_not_fit_says_so(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
