"""Bit counts against counts by hand."""

import pytest

from unrollbit import AMP, ISTA, FullPrecision, FullyConnected, OneBit, Unrolled, count_bits
from unrollbit.bits import DEFINITIONS
from unrollbit.formats import Fixed
from unrollbit.operators import Dense, gaussian, gaussian_blocks
from unrollbit.problems import SparseRecovery

SCALARS = 6  # AMP with Bernoulli-Gaussian shrinkage: step, momentum, memory, gain, log_odds, noise


def test_one_bit_untied():
    report = count_bits(Unrolled(AMP(), gaussian(8, 16), 5))
    assert report.links == report.active_links == report.stored_weights == report.weight_bits == 5 * 8 * 16
    assert report.scale_bits == 32 * (5 + 5 * SCALARS)  # one scale a layer
    assert report.mask_bits == report.physics_bits == 0
    assert report.resident_bits == 32 * 8 * 16 + 5 * (8 * 16 + 32)
    assert report.bits_per_link == (640 + 32 * 35) / 640
    assert report.file_bits is None
    assert report.file_bits_per_link is None


def test_tied_planes_count_once_per_plane():
    net = Unrolled(AMP(), gaussian(8, 16), 5, OneBit(planes=3, scale="row"), distinct=1)
    report = count_bits(net)
    assert report.links == 640
    assert report.stored_weights == report.weight_bits == 3 * 128
    assert report.scale_bits == 32 * (3 * 8 + 5 * SCALARS)


def test_blocks_have_links_that_are_not_active():
    report = count_bits(Unrolled(AMP(), gaussian_blocks(4, 3, 5, 0), 2))
    assert report.links == 2 * 12 * 20
    assert report.active_links == report.weight_bits == 2 * 4 * 3 * 5
    assert report.mask_bits == 0
    assert report.bits_per_active_link == pytest.approx(4 * report.bits_per_link)


def test_w_is_a_stores_scalars_only():
    report = count_bits(Unrolled(AMP(), gaussian(8, 16), 5, Fixed()))
    assert report.weight_bits == report.stored_weights == 0
    assert report.bits_per_stored_weight is None
    assert report.resident_bits == 32 * 128


def test_everything_in_bits_for_sign_physics():
    report = count_bits(Unrolled(AMP(), SparseRecovery(8, 16, matrix="rademacher"), 5, Fixed()))
    assert report.resident_bits == 8 * 16
    report = count_bits(Unrolled(AMP(), SparseRecovery(8, 16, matrix="hadamard"), 5, Fixed()))
    assert report.resident_bits == 8 * 16 + 32 * 8  # signs of columns, indices of rows, as held


def test_classic_parametrisation_has_two_maps():
    report = count_bits(Unrolled(ISTA(parametrisation="classic"), gaussian(8, 16), 3, FullPrecision()))
    assert report.maps["W1"].links == 3 * 16 * 8
    assert report.maps["W2"].links == 3 * 16 * 16
    assert report.weight_bits == 32 * 3 * (128 + 256)


def test_a_users_mask_and_matrix_cost_bits():
    mask = [[True, False, True], [False, True, False]]
    A = Dense.of([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]], mask)
    report = count_bits(Unrolled(AMP(), A, 2))
    assert report.mask_bits == 0  # it is that of the physics
    assert report.active_links == 6
    assert report.physics_bits == 32 * 6 + 8  # the matrix, and its mask in a byte


def test_fully_connected():
    report = count_bits(FullyConnected(SparseRecovery(8, 16), 5, 10))
    assert report.links == 10 * 8 + 3 * 10 * 10 + 16 * 10
    assert report.weight_bits == 32 * report.links
    assert report.scale_bits == 32 * 4 * 10
    assert report.resident_bits == report.weight_bits  # no physics


def test_every_figure_has_a_definition():
    figures = count_bits(Unrolled(AMP(), gaussian(8, 16), 2)).to_dict()
    assert set(DEFINITIONS) <= set(figures)
    assert figures["maps"]["W"]["links"] == figures["links"]


def test_the_weights_of_one_map_are_no_network() -> None:
    net = Unrolled(AMP(), gaussian(8, 16), 2)
    with pytest.raises(TypeError, match="got the weights of a map: count the network"):
        count_bits(next(iter(net.maps.values())))  # pyright: ignore[reportArgumentType]
