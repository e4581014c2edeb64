"""Arrays, JSON texts and headers of attackers: the checksum is right, the content is not."""

import numpy as np
import pytest

from unrollbit import ISTA, FullyConnected, Unrolled, load
from unrollbit.formats import Fixed
from unrollbit.operators import Dense, gaussian

ARRAYS = {
    ("gaussian", "one more"): ({"extra": np.zeros(1, np.float32)}, "arrays of no use: 'extra'"),
    ("gaussian", "one more of a map"): ({"maps/W/other": np.zeros(1, np.float32)}, "arrays: unknown 'other'"),
    ("gaussian", "one more map"): ({"maps/V/signs": np.zeros(1, np.uint8)}, "of no use: 'maps/V/signs'"),
    ("gaussian", "one more scalar"): ({"scalars/zeta": np.zeros(3, np.float32)}, "expected scalars"),
    ("gaussian", "infinite step"): ({"scalars/step": np.full(3, 100, np.float32)}, "too large for a float32"),
    ("gaussian", "NaN"): ({"scalars/noise": np.full(3, np.nan, np.float32)}, "'noise' has NaN"),
    ("gaussian", "scale"): ({"maps/W/log_scales": np.full((2, 1, 8), 1e3, np.float32)}, "too large"),
    ("gaussian", "NaN scale"): ({"maps/W/log_scales": np.full((2, 1, 8), np.nan, np.float32)}, "NaN or infinite"),
    ("masked", "padding"): ({"maps/W/signs": np.full((2, 1, 8), 255, np.uint8)}, "padding after a row of signs|shape"),
    ("masked", "NaN"): ({"physics/matrix": np.full((8, 16), np.nan, np.float32)}, "NaN"),
    ("masked", "zero matrix"): ({"physics/matrix": np.zeros((8, 16), np.float32)}, "fingerprints disagree"),
    ("masked", "mask"): ({"physics/mask/bitmap": None}, "is missing|of no use"),
    ("blocks", "trits"): ({"maps/W/trits": np.full((2, 3, 4, 2), 255, np.uint8)}, "codes that stand for no weight"),
    ("blocks", "zero scale"): ({"maps/W/scale": np.zeros(2, np.float32)}, "expected scales > 0"),
    ("rademacher", "values"): ({"maps/W/values": np.full((2, 8, 16), np.inf, np.float32)}, "NaN or infinite"),
    ("planes", "bits"): ({"physics/bits": np.zeros((2, 8, 3), np.uint8)}, "expected packed rows"),
    ("planes", "no planes"): ({"physics/bits": np.zeros((0, 8, 2), np.uint8)}, "expected packed rows"),
    ("planes", "scales"): ({"physics/scales": np.full((2, 16), np.inf, np.float32)}, "NaN, infinite"),
    ("planes", "scale's shape"): ({"physics/scales": np.ones((2, 8), np.float32)}, "expected scales of shape"),
    ("shared", "kernel"): ({"physics/kernel": np.ones((2, 2), np.uint8) * 9}, "fingerprints disagree"),
    ("shared", "axes"): ({"physics/kernel": np.ones((2,), np.float32)}, "kernel: expected a non-empty 2-D"),
}

TEXTS = {
    "key twice": (lambda text: text.replace('"depth": 3', '"depth": 3, "depth": 3'), "'depth' occurs twice"),
    "NaN": (lambda text: text.replace('"depth": 3', '"depth": NaN'), "NaN is no number"),
    "infinite": (lambda text: text.replace('"depth": 3', '"depth": 1e999'), "is infinite"),
    "digits": (lambda text: text.replace('"depth": 3', '"depth": ' + "9" * 5000), "integer of 5000 digits"),
    "nested": (lambda text: "[" * 100_000 + "]" * 100_000, "nest"),
    "open": (lambda text: text[:-1], "description is damaged"),
    "text": (lambda text: '"text"', "description is damaged"),
}


def name(case):
    return " - ".join(case)


@pytest.mark.parametrize("case", ARRAYS, ids=name)
def test_arrays(case, originals, rewrite, refused, tmp_path):
    path = tmp_path / "n.safetensors"
    path.write_bytes(originals[case[0]])
    arrays, message = ARRAYS[case]
    refused(rewrite(path, arrays=arrays), message)


@pytest.mark.parametrize("case", TEXTS)
def test_texts(case, originals, rewrite, refused, tmp_path):
    path = tmp_path / "n.safetensors"
    path.write_bytes(originals["gaussian"])
    change, message = TEXTS[case]
    refused(rewrite(path, text=change), message, alone=message)


def test_entries_of_the_header(originals, rewrite, refused, tmp_path):
    path = tmp_path / "n.safetensors"
    path.write_bytes(originals["gaussian"])
    refused(rewrite(path, metadata={"comment": "x"}), "entries of no use: 'comment'")
    whole = originals["gaussian"]
    length = int.from_bytes(whole[:8], "little")
    header = whole[8 : 8 + length].rstrip()
    twice = header[:1] + b'"__metadata__":{"format":"unrollbit"},' + header[1:]
    twice += b" " * (-len(twice) % 8)
    path.write_bytes(len(twice).to_bytes(8, "little") + twice + whole[8 + length :])
    refused(path, "occurs twice|not a readable|duplicate")


@pytest.mark.long
def test_the_files_themselves_load(originals, tmp_path):
    """So every refusal is due to its change."""
    path = tmp_path / "n.safetensors"
    for original in originals.values():
        path.write_bytes(original)
        packed = load(path)
        assert packed(np.ones(packed.network.operator.shape[0], np.float32)).shape == (
            packed.network.operator.shape[1],
        )


def test_a_zero_matrix_has_no_step_size():
    with pytest.raises(ValueError, match="positive, finite norm"):
        Unrolled(ISTA(), Dense.of(np.zeros((4, 4))), 2)


def test_fixed_weights_need_physics():
    with pytest.raises(ValueError, match="Fixed: its matrices depend on the physics; build a network"):
        FullyConnected(gaussian(8, 16), 3, 12, Fixed())
