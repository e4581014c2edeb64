"""The flip code: by hand, round trips, its length, and strings that do not decode."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit.packed.flip_code import HEADER, decode_flips, encode_flips
from unrollbit.theory.generalization.code import log2_binomial


def decoded(stream, matrices, entries):
    return [positions.tolist() for positions in decode_flips(np.asarray(stream, np.uint8), matrices, entries)]


def test_by_hand():
    """Flips 3, 4, 20 of 32 signs: gaps 3, 0, 15. k = 2: quotients 0, 0, 3 are 1 1 0001, remainders 3, 0, 3 are 11 00
    11: 12 bits 110001 110011, the first one least significant: 0b11100011, 0b1100. Any other k takes more.
    """
    stream = encode_flips([np.array([3, 4, 20])], 32)
    assert stream.tolist() == [2, 3, 0, 0, 0, 0b11100011, 0b1100]
    assert decoded(stream, 1, 32) == [[3, 4, 20]]


def test_no_flips_and_all_flips():
    assert encode_flips([np.array([], int)] * 2, 1000).tolist() == [0] * (2 * HEADER)
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
        bits, f = 8 * (len(encode_flips([positions], entries)) - HEADER), len(positions)
        assert bits <= entries + 7  # never longer than the signs themselves
        if 0 < f <= entries / 2:
            assert bits <= f * (math.log2((entries - f) / f) + 2) + 7


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.03, 0.1, 0.2, 0.3])
def test_length_against_the_number_of_flip_sets(rate):
    entries = 2**17
    positions = np.flatnonzero(np.random.RandomState(0).uniform(size=entries) < rate)
    bits = 8 * len(encode_flips([positions], entries))
    least = log2_binomial(entries, len(positions))
    assert least < bits <= 1.04 * least + 8 * HEADER + 7
    if rate == 0.03:
        assert bits <= 1.03 * entries * 0.1944  # H2(0.03)


GOOD = [2, 3, 0, 0, 0, 0b11100011, 0b1100]
BAD = {
    "empty": ([], 1, 32, "at least 5 bytes"),
    "half a header": (GOOD[:3], 1, 32, "at least 5 bytes"),
    "no bits": (GOOD[:5], 1, 32, "cut off"),
    "cut": (GOOD[:6], 1, 32, "cut off"),
    "one byte too many": ([*GOOD, 0], 1, 32, "1 bytes follow the last matrix"),
    "filling": ([*GOOD[:6], 0b10001100], 1, 32, "filling of the last byte is not zero"),
    "past the end": (GOOD, 1, 20, "a flip at 20, past the last of 20 entries"),
    "quotient past the end": (GOOD, 1, 12, "past the last of 12 entries|cut off"),
    "parameter": ([32, *GOOD[1:]], 1, 32, "parameter of at most 31, got 32"),
    "count beyond the entries": (GOOD, 1, 2, "3 flips of 2 entries"),
    "count beyond the bits": ([2, 255, 0, 0, 0, 1, 2], 1, 10**6, "255 flips take more than the 2 bytes"),
    "huge count": ([0, 255, 255, 255, 255, 1], 1, 2**32 - 1, "flips take more"),
    "zeros only": ([0, 1, 0, 0, 0, 0, 0], 1, 16, "past the last of 16 entries, or cut off"),
    "more flips than counted": ([2, 2, *GOOD[2:]], 1, 32, "follow|filling"),
    "another matrix": (GOOD, 2, 32, "at least 10 bytes"),
    "too many matrices": (GOOD, 10**12, 32, "at least"),
}


@pytest.mark.parametrize("case", BAD)
def test_strings_that_do_not_decode(case):
    stream, matrices, entries, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        decoded(stream, matrices, entries)


@settings(max_examples=300, deadline=None)
@given(stream=st.binary(max_size=40), matrices=st.integers(0, 3), entries=st.integers(1, 200))
def test_any_bytes_decode_to_flips_or_are_refused(stream, matrices, entries):
    array = np.frombuffer(stream, np.uint8)
    try:
        flips = list(decode_flips(array, matrices, entries))
    except ValueError:
        return
    assert len(flips) == matrices
    for positions in flips:
        assert (np.diff(positions) > 0).all()
        assert positions.size == 0 or (positions[0] >= 0 and positions[-1] < entries)


def test_what_is_no_list_of_flips_is_refused():
    for positions, entries in (([3, 3], 10), ([4, 2], 10), ([-1], 10), ([10], 10), ([0], 2**32)):
        with pytest.raises(ValueError, match="increasing positions"):
            encode_flips([np.array(positions)], entries)
    with pytest.raises(ValueError, match="bytes in one row"):
        list(decode_flips(np.zeros((2, 5), np.uint8), 1, 10))
