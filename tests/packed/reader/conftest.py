"""What the tests of the reader share: comparisons with the library, and a few files."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import AMP, ISTA, OneBit, Unrolled, load, pack
from unrollbit.formats import Normalised
from unrollbit.operators import LinearOperator, Preconditioned, gaussian
from unrollbit.packed import runtime
from unrollbit.packed.file import stored as held

ROOT = Path(__file__).resolve().parents[3]
SHELF = sorted((ROOT / "examples" / "networks").glob("*.safetensors"))
QUICK_SHELF = ("certified-ista", "single-pixel")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def stored(value):
    """A spec, or arrays by name, as the reader holds them: what is no array went through JSON, as in a file."""
    if isinstance(value, dict):
        return {name: stored(entry) for name, entry in value.items()}
    return held(value) if isinstance(value, np.ndarray) else json.loads(json.dumps(value))


def close(found: np.ndarray, expected, tolerance: float = 1e-5) -> None:
    expected = np.asarray(expected)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert np.linalg.norm(found - expected) <= tolerance * max(float(np.linalg.norm(expected)), 1e-6)


def matrix(found: runtime.Operator, dense, tolerance: float = 2e-6) -> None:
    """Products both ways, rows and the whole, against a matrix of the library."""
    dense = np.asarray(dense)
    m, n = dense.shape
    x, r = normal(3, n, seed=1), normal(3, m, seed=2)
    assert found.shape == (m, n)
    close(found.apply(x), x @ dense.T, tolerance)
    close(found.adjoint(r), r @ dense, tolerance)
    close(found.panel(m // 3, m), dense[m // 3 :], tolerance)


def network(net, folder: Path, tolerance: float = 1e-5, batch: tuple[int, ...] = (3,)) -> Path:
    """Write a network, and run it from the file with both readers."""
    path = pack(net).save(folder / "net.safetensors")
    A = net.operator
    measured = LinearOperator.from_spec(A.origin.spec) if isinstance(A, Preconditioned) else A
    x = normal(*batch, A.shape[1]) * (np.random.RandomState(3).uniform(size=(*batch, A.shape[1])) < 0.2)
    y = np.asarray(measured(jnp.asarray(x)))
    expected = np.asarray(load(path)(y))
    assert np.linalg.norm(expected) > 0.01 * np.linalg.norm(x)  # not everything is shrunken away
    close(runtime.load(path)(y), expected, tolerance)
    return path


def physics(operator: LinearOperator) -> runtime.Operator:
    """The reader's operator from the recipe of the library's."""
    return runtime.physics_of(stored(operator.to_spec()))


def weights(packed, shape: tuple[int, int]) -> list[runtime.Operator]:
    """The reader's matrices of packed weights for a map of this shape."""
    linear = runtime.Map(shape, lambda: runtime.zero_matrix(shape))
    return runtime.weights_of(stored(packed.spec), stored(packed.arrays), linear, linear.initial())


def measurements(path: Path) -> np.ndarray:
    """Measurements of sparse signals by the physics of a file."""
    A = runtime.load(path).operator
    file = runtime.read(path)
    spec = file.description["physics"]
    if spec["kind"] == "Preconditioned":
        A = runtime.physics_of(runtime.with_arrays(spec["operator"], file.arrays, set()))
    n = A.shape[1]
    return A.apply(normal(4, n) * (np.random.RandomState(3).uniform(size=(4, n)) < 0.1).astype(np.float32))


@pytest.fixture(scope="session")
def same() -> SimpleNamespace:
    """Comparisons of the reader with the library, and what they need."""
    return SimpleNamespace(
        normal=normal,
        stored=stored,
        close=close,
        matrix=matrix,
        network=network,
        physics=physics,
        weights=weights,
        measurements=measurements,
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``kind, case``: every kind of a family, from the library's registry: see ``every_kind``. ``KINDS`` of the module
    says by the name of the test which family, which cases, and which kinds no file names.

    ``shelf``: the shipped networks; the larger files take a second each to compile and are slow tests.
    """
    if {"kind", "case"} <= set(metafunc.fixturenames):
        metafunc.parametrize(("kind", "case"), every_kind(*metafunc.module.KINDS[metafunc.function.__name__]))
    if "shelf" in metafunc.fixturenames:
        quick = {path: path.stem in QUICK_SHELF for path in SHELF}
        marked = [pytest.param(p, id=p.stem, marks=[] if fast else pytest.mark.slow) for p, fast in quick.items()]
        metafunc.parametrize("shelf", marked)


def every_kind(family, cases: dict[str, dict[str, Callable]], *exceptions: str) -> list:
    """Parameters for every kind that the library registers in a family: its first case in the fast tests, others in the
    slow ones. A kind without a case fails. Kinds of users, from other modules, are theirs to test.
    """
    own = {name for name, found in family.kinds.items() if found.__module__.startswith("unrollbit.")}
    own -= {name for name in own if inspect.isabstract(family.kinds[name])}
    assert set(exceptions) <= own, "an exception that is none"
    assert set(cases) <= own, "a case of no kind"
    parameters = []
    for kind in sorted(own - set(exceptions)):
        missing = partial(
            pytest.fail, f"{kind}: add an entry to the reader (packed/runtime.py), and a case to this test"
        )
        for i, (name, case) in enumerate(cases.get(kind, {"no case": lambda *_, found=missing, **__: found()}).items()):
            parameters.append(pytest.param(kind, case, id=f"{kind}-{name}", marks=[pytest.mark.slow] if i else []))
    return parameters


# ---- files ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Path:
    net = Unrolled(AMP(), gaussian(8, 16), 2, Normalised(OneBit(scale="row")))
    return pack(net).save(tmp_path_factory.mktemp("network") / "net.safetensors")


@pytest.fixture(scope="session")
def coded(tmp_path_factory) -> Path:
    """A file with a flip code."""
    net = Unrolled(ISTA(), gaussian(40, 83), 8, OneBit(), distinct=4)
    return pack(net).save(tmp_path_factory.mktemp("coded") / "net.safetensors")


def by_hand(path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """A fully connected network, written without the library."""
    (m, n), width = (4, 8), 5
    sizes = {"maps/first/values": (1, width, m), "maps/hidden/values": (1, width, width)}
    sizes |= {"maps/last/values": (1, n, width), "scalars/bias_first": (1, width), "scalars/bias_hidden": (1, width)}
    arrays = {name: normal(*shape, seed=k) for k, (name, shape) in enumerate(sizes.items())}
    A = {"kind": "Hadamard", "m": m, "n": n, "seed": 0}
    probe = np.random.RandomState(20250212).choice(np.array([-1.0, 1.0], np.float32), size=n)
    image = runtime.physics_of(A).apply(probe[None])[0] * np.cos(np.arange(m))
    activations = {"kind": "Activations", "bits": 8, "normalisation": "none"}
    spec = {"kind": "FullyConnected", "depth": 3, "width": width, "skip": True, "activations": activations}
    shapes = {name.split("/")[1]: shape[1:] for name, shape in sizes.items() if name.startswith("maps")}
    maps = {
        name: {
            "format": {"kind": "FullPrecision"},
            "structure": {"kind": "Full", "m": rows, "n": columns},
            "copies": 1,
        }
        for name, (rows, columns) in shapes.items()
    }
    description = {"network": spec, "maps": maps, "physics": A, "fingerprint": image.tolist()}
    run = {"problem": None, "fingerprint": None, "training": None}
    metadata = {"format": "unrollbit", "version": "2", "description": json.dumps(description), "run": json.dumps(run)}
    header: dict = {"__metadata__": metadata}
    data = b""
    for name, array in arrays.items():
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": offsets}
        data += array.tobytes()
    return write(path, resealed(header, data), data), arrays


@pytest.fixture(scope="session")
def hand_made(tmp_path_factory) -> tuple[Path, dict[str, np.ndarray]]:
    """The file of ``by_hand`` and its arrays."""
    return by_hand(tmp_path_factory.mktemp("hand") / "net.safetensors")


@pytest.fixture(scope="session")
def files(small: Path, coded: Path, hand_made) -> list[Path]:
    """Files with many kinds in them."""
    return [small, *(path for path in SHELF if path.stem in QUICK_SHELF), coded, hand_made[0]]


def parts(path: Path) -> tuple[dict, bytes]:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def write(path: Path, header: dict | str, data: bytes, *, size: int | None = None) -> Path:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    path.write_bytes((len(text) if size is None else size).to_bytes(8, "little") + text + data)
    return path


def resealed(header: dict, data: bytes) -> dict:
    """The header with a checksum that fits, computed from the specification."""
    digest = hashlib.sha256()
    for part in ("description", "run"):
        digest.update(header["__metadata__"][part].encode() + b"\0")
    for name in sorted(set(header) - {"__metadata__"}):
        entry = header[name]
        digest.update(f"{name}|{entry['dtype']}|{tuple(entry['shape'])}|".encode())
        digest.update(data[slice(*entry["data_offsets"])])
    metadata = {**header["__metadata__"], "checksum": digest.hexdigest()}
    return {**header, "__metadata__": metadata}


def described(header: dict, change) -> dict:
    description = json.loads(header["__metadata__"]["description"])
    change(description)
    return {**header, "__metadata__": {**header["__metadata__"], "description": json.dumps(description)}}


@pytest.fixture(scope="session")
def headers() -> SimpleNamespace:
    """Files taken apart and put together by hand."""
    return SimpleNamespace(parts=parts, write=write, resealed=resealed, described=described)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The one file of the reader, elsewhere."""
    return Path(shutil.copy(runtime.__file__, tmp_path / "runtime.py"))


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", *map(str, command)], capture_output=True, text=True, timeout=120, env={**os.environ}
    )


@pytest.fixture(scope="session")
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """``run_python(*arguments)``: isolated from the library."""
    return run
