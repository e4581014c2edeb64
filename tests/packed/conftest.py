"""A small file, and files with changes that someone made who knows the format."""

import hashlib
import json
import tracemalloc

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from unrollbit import AMP, ISTA, FullPrecision, FullyConnected, OneBit, Unrolled, load, pack
from unrollbit.formats import Fixed, LittleBit, SharedTaps, SignalDomain, Ternary
from unrollbit.operators import (
    Banded,
    Composition,
    Convolution,
    Dense,
    Hadamard,
    Preconditioned,
    Rademacher,
    Radon,
    SubsampledDCT,
    Wavelet,
    gaussian,
    gaussian_blocks,
    hadamard_blocks,
    rademacher_blocks,
)
from unrollbit.packed import runtime
from unrollbit.packed_operators import sign_planes
from unrollbit.problems import SparseRecovery
from unrollbit.shrinkage import Grouped, Soft
from unrollbit.structures import Indexed

MASK = np.random.RandomState(0).uniform(size=(8, 16)) < 0.5
FILES = {
    "gaussian": lambda: Unrolled(AMP(), gaussian(8, 16), 3, OneBit(scale="row"), distinct=2),
    "flips": lambda: Unrolled(AMP(), gaussian(40, 80), 3, OneBit(), distinct=2),
    "masked": lambda: Unrolled(ISTA(), Dense.of(np.ones((8, 16)), Indexed.from_mask(MASK)), 2),
    "blocks": lambda: Unrolled(ISTA(), gaussian_blocks(3, 4, 8), 2, Ternary()),
    "signs of blocks": lambda: Unrolled(ISTA(), rademacher_blocks(3, 4, 8), 2, Fixed()),
    "hadamard blocks": lambda: Unrolled(ISTA(), hadamard_blocks(3, 4, 8), 2, Fixed()),
    "rademacher": lambda: Unrolled(AMP(), Rademacher(8, 16), 2, FullPrecision()),
    "wavelet": lambda: Unrolled(
        AMP(), Composition.of(Hadamard(8, 16), Wavelet.of((4, 4), "db1", 1)), 2, SignalDomain(OneBit())
    ),
    "radon": lambda: Unrolled(ISTA(), Radon.of(4, 3), 2),
    "dct": lambda: Unrolled(ISTA(), SubsampledDCT.random(16, 8), 2, Fixed()),
    "band": lambda: Unrolled(ISTA(), Banded.of([1.0, 2.0, 3.0], (8, 16), stride=2), 2),
    "shared": lambda: Unrolled(ISTA(), Convolution.of(np.ones((2, 2)), (4, 4)), 2, SharedTaps(OneBit())),
    "whitened": lambda: Unrolled(ISTA(), Preconditioned.of(gaussian(8, 16)), 2, LittleBit(rank=4)),
    "planes": lambda: Unrolled(ISTA(), sign_planes(gaussian(8, 16), 2), 2, Fixed()),
    "grouped": lambda: Unrolled(AMP(Grouped(Soft(), (0, 0, 1, 1, 2, 2))), gaussian(4, 6), 3),
    "dense ReLU": lambda: FullyConnected(gaussian(8, 16), 3, 12, OneBit()),
}


@pytest.fixture(scope="session")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return {name: pack(make()).save(folder / f"{name}.safetensors").read_bytes() for name, make in FILES.items()}


@pytest.fixture
def saved(tmp_path):
    problem = SparseRecovery(8, 16)
    net = Unrolled(AMP(), problem, 2, OneBit(scale="row"))
    return pack(net, problem=problem).save(tmp_path / "net.safetensors")


NAMES = {"uint8": "U8", "bfloat16": "BF16", "float32": "F32", "float64": "F64", "int32": "I32", "int64": "I64"}


def checksum(metadata, arrays):
    """That of ``FORMAT.md``, section 3, computed from the specification."""
    digest = hashlib.sha256()
    for part in ("description", "run"):
        digest.update(metadata[part].encode("utf-8", "surrogatepass") + b"\0")
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}|{NAMES[str(array.dtype)]}|{array.shape}|".encode("utf-8", "surrogatepass"))
        digest.update(array.tobytes())
    return digest.hexdigest()


def content(path):
    """Metadata and arrays of a file, read by the safetensors library."""
    with safe_open(path, framework="numpy") as file:
        return dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _rewrite(path, *, metadata=None, description=None, run=None, arrays=None, text=None, fix_checksum=True):
    """Write a changed copy of a file, by default with a checksum that fits the change.

    ``description`` and ``run`` change the parsed objects, ``text`` the JSON text of the description; None as an array
    or entry drops it.
    """
    meta, held = content(path)
    held |= arrays or {}
    held = {name: array for name, array in held.items() if array is not None}
    for part, change in (("description", description), ("run", run)):
        parsed = json.loads(meta[part])
        if change is not None:
            change(parsed)
        meta[part] = json.dumps(parsed)
    if text is not None:
        meta["description"] = text(meta["description"])
    if fix_checksum:
        meta["checksum"] = checksum(meta, held)
    meta |= metadata or {}
    save_file(held, path, {key: value for key, value in meta.items() if value is not None})
    return path


@pytest.fixture
def rewrite():
    return _rewrite


def _refused(path, message, *, alone=".*"):
    """The one ValueError that ``load`` raises, and the reader ``alone``; it names the file; little memory."""
    for read, expected in ((load, message), (runtime.load, alone)):
        if expected is None:  # of no meaning to the reader alone
            continue
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match=expected) as caught:
                read(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert str(caught.value).startswith(f"{path}: ")
        assert len(str(caught.value)) < 2000
        assert peak < 2**26


@pytest.fixture
def refused():
    return _refused
