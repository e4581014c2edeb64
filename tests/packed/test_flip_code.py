"""The flip code: by hand, round trips, and its length. Strings that do not decode: see the tests of the reader."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit.packed.flip_code import encode_flips
from unrollbit.packed.runtime import CODE_HEADER, flips_of
from unrollbit.theory.generalization.code import log2_binomial


def decoded(stream, matrices, entries):
    return [positions.tolist() for positions in flips_of(np.asarray(stream, np.uint8), matrices, entries)]


def test_by_hand():
    """Flips 3, 4, 20 of 32 signs: gaps 3, 0, 15. k = 2: quotients 0, 0, 3 are 1 1 0001, remainders 3, 0, 3 are 11 00
    11: 12 bits 110001 110011, the first one least significant: 0b11100011, 0b1100. Any other k takes more.
    """
    stream = encode_flips([np.array([3, 4, 20])], 32)
    assert stream.tolist() == [2, 3, 0, 0, 0, 0b11100011, 0b1100]
    assert decoded(stream, 1, 32) == [[3, 4, 20]]


def test_no_flips_and_all_flips():
    assert encode_flips([np.array([], int)] * 2, 1000).tolist() == [0] * (2 * CODE_HEADER)
    everything = encode_flips([np.arange(16)], 16)
    assert everything.tolist() == [0, 16, 0, 0, 0, 255, 255]
    assert decoded(everything, 1, 16) == [list(range(16))]
    assert len(encode_flips([], 7)) == 0
    assert decoded([], 0, 7) == []


@settings(max_examples=150, deadline=None)
@given(
    entries=st.integers(1, 3000),
    rates=st.lists(st.floats(0, 1), min_size=1, max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_round_trips_and_bounds(entries, rates, seed):
    draw = np.random.RandomState(seed).uniform
    flips = [np.flatnonzero(draw(size=entries) < rate) for rate in rates]
    stream = encode_flips(flips, entries)
    assert decoded(stream, len(flips), entries) == [positions.tolist() for positions in flips]
    for positions in flips:
        bits, f = 8 * (len(encode_flips([positions], entries)) - CODE_HEADER), len(positions)
        assert bits <= entries + 7  # never longer than the signs themselves
        if 0 < f <= entries / 2:
            assert bits <= f * (math.log2((entries - f) / f) + 2) + 7


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.03, 0.1, 0.2, 0.3])
def test_length_against_the_number_of_flip_sets(rate):
    entries = 2**17
    positions = np.flatnonzero(np.random.RandomState(0).uniform(size=entries) < rate)
    bits = 8 * len(encode_flips([positions], entries))
    least = log2_binomial(entries, len(positions))
    assert least < bits <= 1.04 * least + 8 * CODE_HEADER + 7
    if rate == 0.03:
        assert bits <= 1.03 * entries * 0.1944  # H2(0.03)


def test_what_is_no_list_of_flips_is_refused():
    for positions, entries in (([3, 3], 10), ([4, 2], 10), ([-1], 10), ([10], 10), ([0], 2**32)):
        with pytest.raises(ValueError, match="increasing positions"):
            encode_flips([np.array(positions)], entries)
