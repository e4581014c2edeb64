"""Signs stored as flips from sign(A): which networks, how small, and every sign comes back."""

import numpy as np
import pytest

from unrollbit import AMP, ISTA, OneBit, Unrolled, load, pack
from unrollbit.formats import Anchored, BitNet, Normalised, OneBitSVID, PackedWeights, SignalDomain
from unrollbit.networks import Network
from unrollbit.operators import (
    BlockDiagonal,
    Composition,
    Dense,
    Hadamard,
    Preconditioned,
    Rademacher,
    Scaled,
    Wavelet,
    gaussian,
    gaussian_blocks,
    hadamard_blocks,
    ill_conditioned,
    rademacher_blocks,
)
from unrollbit.packed import PackedNetwork, runtime
from unrollbit.packed.flips import decode_signs
from unrollbit.packed_operators import sign_planes
from unrollbit.signbits import pack_signs
from unrollbit.structures import Indexed

RANDOM = np.random.RandomState(0)
MATRIX = RANDOM.standard_normal((40, 83)).astype(np.float32)
MASK = RANDOM.uniform(size=(40, 83)) < 0.6
EXACT = {
    "array": Dense.of(MATRIX),
    "masked array": Dense.of(MATRIX, Indexed.from_mask(MASK)),
    "blocks of an array": BlockDiagonal.of(RANDOM.standard_normal((3, 20, 43))),
    "gaussian": gaussian(40, 83, 5),
    "gaussian blocks": gaussian_blocks(3, 20, 43, 5),
    "rademacher": Rademacher(40, 83, 5),
    "rademacher blocks": rademacher_blocks(3, 20, 43, 5),
    "hadamard": Hadamard(70, 128, 5),
    "hadamard blocks": hadamard_blocks(3, 20, 64, 5),
    "multiple": Scaled(gaussian(40, 83, 5), 2.5),
}


@pytest.mark.parametrize("kind", EXACT)
def test_reference_is_the_sign_of_the_matrix(kind):
    A, structure = EXACT[kind], EXACT[kind].mask()
    core = np.asarray(structure.gather(A.dense()))
    expected = pack_signs(core if structure.core_mask is None else core[structure.core_mask])
    np.testing.assert_array_equal(A.sign_reference(structure), expected)


def test_no_reference_where_a_sign_could_turn():
    full = gaussian(8, 16)
    transformed = Composition.of(Hadamard(8, 16), Wavelet.of(16, "db1"))
    for A in (
        ill_conditioned(8, 16),
        transformed,
        Preconditioned.of(full),
        sign_planes(full, 2),
        Scaled(full, -1.0),
        Scaled(full, 0.0),
    ):
        assert A.sign_reference(full.mask()) is None


def flipped(net, rate, seed=0):
    """The network packed, each sign flipped with this probability."""
    parts = net.parts()
    for weights in parts.maps.values():
        signs, last = weights.arrays["signs"], _last(weights.spec)
        bits = np.unpackbits(signs, axis=-1, count=last, bitorder="little")
        bits ^= np.random.RandomState(seed).uniform(size=bits.shape) < rate
        weights.arrays["signs"] = np.packbits(bits, axis=-1, bitorder="little")
    return PackedNetwork(Network.from_parts(parts, frozen=True))


def _last(spec):
    from unrollbit.structures import Structure

    return Structure.from_spec(spec["structure"]).entries_shape[-1]


def stored_kind(path):
    return {name.rsplit("/", 1)[-1] for name in runtime.read(path).arrays}


FORMATS = {
    "one plane": OneBit(),
    "two planes": OneBit(planes=2, scale="row"),
    "normalised": Normalised(OneBit()),
    "BitNet": BitNet(),
    "OneBitSVID": OneBitSVID(),
}
SMALLER = [(kind, "one plane") for kind in EXACT] + [
    (kind, weights) for kind in ("masked array", "gaussian blocks") for weights in FORMATS if weights != "one plane"
]


@pytest.mark.long
@pytest.mark.grid(8)
@pytest.mark.parametrize(("kind", "weights"), SMALLER)
def test_every_sign_comes_back(kind, weights, tmp_path):
    net = Unrolled(ISTA(), EXACT[kind], 8, FORMATS[weights], distinct=4)
    packed = flipped(net, 0.02)
    path = packed.save(tmp_path / "net.safetensors")
    assert "flips" in stored_kind(path)
    assert ("signs" in stored_kind(path)) == (weights == "two planes")
    back = load(path)
    found = back.network.parts().maps
    for name, expected in packed.network.parts().maps.items():
        assert repr(found[name].spec) == repr(expected.spec)
        for array in expected.arrays:
            np.testing.assert_array_equal(found[name].arrays[array], expected.arrays[array])
    assert back.bits().weight_bits == packed.bits().weight_bits  # by formula: 1 a sign
    assert back.save(tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_raw_where_the_code_is_not_shorter_or_has_no_reference(tmp_path):
    A = gaussian(40, 83)
    cases = {
        "half of the signs": flipped(Unrolled(ISTA(), A, 8), 0.5),
        "small": pack(Unrolled(ISTA(), gaussian(8, 16), 2)),
        "anchored": pack(Unrolled(AMP(), A, 8, Anchored(OneBit(scale="global")))),
        "no exact signs": pack(Unrolled(AMP(), ill_conditioned(40, 83), 8)),
    }
    for name, packed in cases.items():
        path = packed.save(tmp_path / "net.safetensors")
        assert "flips" not in stored_kind(path), name
        load(path)


def single_pixel():
    return Composition.of(Hadamard(512, 4096), Wavelet.of((64, 64)))


def test_sizes_of_files(tmp_path):
    """Kibibytes of files, for signs at random, with 3 % flips and as they start."""

    def sizes(net):
        return [flipped(net, rate).save(tmp_path / "n.safetensors").stat().st_size / 1024 for rate in (0.5, 0.03, 0)]

    A = gaussian(256, 512)
    raw, few, none = sizes(Unrolled(ISTA(), A, 16))
    assert raw <= 266
    assert few <= 0.25 * 266
    assert none <= 2
    raw, few, none = sizes(Unrolled(ISTA(), A, 16, distinct=1))
    assert raw <= 20
    assert none <= 2
    per_sign = (few - none) * 8 * 1024 / (256 * 512)
    assert 0.19 < per_sign < 0.205  # H2(0.03) = 0.194
    net = Unrolled(ISTA(), single_pixel(), 16, SignalDomain(OneBit()), distinct=1)
    path = pack(net).save(tmp_path / "single-pixel.safetensors")
    assert path.stat().st_size <= 6 * 1024  # float32: 8.4 MB


DAMAGE = {
    "another checksum": (lambda d: d["maps"]["W"].update(flips="0" * 64), {}, "decoded signs are not those"),
    "no text": (lambda d: d["maps"]["W"].update(flips=3), {}, "decoded signs are not those"),
    "another matrix": (
        lambda d: d["maps"]["W"].update(copies=5),
        {},
        "at least|follow|do not fit|not in",
    ),
    "many copies": (lambda d: d["maps"]["W"].update(copies=2**40), {}, "copies: expected at most"),
    "copies beyond the limit": (lambda d: d["maps"]["W"].update(copies=2**26), {}, "are not in"),
    "truth": (lambda d: d["maps"]["W"].update(copies=True), {}, "copies: expected a positive integer, got True"),
    "planes": (lambda d: d["maps"]["W"]["format"].update(planes=2), {}, "array 'signs' is missing"),
    "missing": (lambda d: None, {"maps/W/flips": None}, "'flips' is missing"),
    "cut": (lambda d: None, {"maps/W/flips": np.zeros(3, np.uint8)}, "are not in|at least"),
    "floats": (
        lambda d: None,
        {"maps/W/flips": np.zeros(30, np.float32)},
        r"expected bytes of shape \(-1,\), got F32 of shape \(30,\)",
    ),
    "signs, too": (lambda d: None, {"maps/W/signs": np.zeros((4, 1, 40, 11), np.uint8)}, "of no use"),
    "no flips, no checksum": (lambda d: d["maps"]["W"].pop("flips"), {}, "arrays: unknown 'flips'"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_codes(case, rewrite, tmp_path):
    path = pack(Unrolled(ISTA(), gaussian(40, 83), 8, distinct=4)).save(tmp_path / "net.safetensors")
    description, arrays, message = DAMAGE[case]
    rewrite(path, description=description, arrays=arrays)
    with pytest.raises(ValueError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_signs_beside_the_code_are_of_no_use(rewrite, tmp_path):
    path = pack(Unrolled(ISTA(), gaussian(40, 83), 8, BitNet())).save(tmp_path / "net.safetensors")
    rewrite(path, arrays={"maps/W/signs": np.zeros((8, 40, 11), np.uint8)})
    with pytest.raises(ValueError, match="of no use beside a flip code"):
        load(path)


def test_too_many_signs_are_refused_before_the_reference_is_formed():
    A = Hadamard(2**17, 2**17)
    spec = {"format": OneBit(scale="none").to_spec(), "structure": A.mask().to_spec(), "copies": 1, "flips": ""}
    with pytest.raises(ValueError, match="are not in 5 bytes"):
        decode_signs(PackedWeights(spec, {"flips": np.zeros(5, np.uint8)}), A)


def test_physics_that_give_other_signs_are_noticed(rewrite, tmp_path, monkeypatch):
    """A machine whose generator draws another sign somewhere must not decode a network quietly."""
    path = pack(Unrolled(ISTA(), gaussian(40, 83), 8)).save(tmp_path / "net.safetensors")
    exact = Dense.sign_reference

    def other(A, structure=None):
        signs = exact(A, structure).copy()
        signs[7, 3] ^= 4
        return signs

    monkeypatch.setattr(Dense, "sign_reference", other)
    with pytest.raises(ValueError, match="computes other signs of A"):
        load(path)
