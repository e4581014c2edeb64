"""Files with random changes, thousands of them: a ValueError that names the file, or a network; never anything else."""

import copy
import json
import resource
import signal
import time
from collections import Counter

import jax
import numpy as np
import pytest
from safetensors.numpy import save

from unrollbit import load
from unrollbit.packed import runtime
from unrollbit.packed.file import stored, unstored

SECONDS = 20  # of one file, a compilation and a busy machine included
MEBIBYTES = 256  # by which one file may raise the peak
VALUES = [
    *(0, -1, 1, 2, 3, 5, 8, 16, 17, 64, 255, 2**31, 2**32, 2**40, 2**62, 2**63, 10**30, -(2**63), 10**400),
    *(
        0.0,
        -0.5,
        1.5,
        1e-300,
        1e308,
        float("nan"),
        float("inf"),
        True,
        False,
        None,
        "",
        "x",
        "inf",
        "nan",
        "1",
        "\ud800",
    ),
    *([], {}, [1], [[1, 2]], [None], ["a"], [0] * 50, {"array": "x"}, {"array": "scalars/step"}, {"array": 3}),
    *(
        {"kind": "Full", "m": 8, "n": 16},
        {"kind": "Coherent", "inner": {"kind": "Fixed"}},
        {"kind": "Soft"},
        {"kind": "Hadamard"},
    ),
    *("OneBit", "Ternary", "Fixed", "Normalised", "Anchored", "SignalDomain", "Dense", "Band", "row", "none", "global"),
]


def drawn(random):
    return copy.deepcopy(VALUES[random.randint(len(VALUES))])


def places(value, found):
    """All (container, key) of a parsed JSON text."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        found.append((value, key))
        if isinstance(value[key], dict | list):
            places(value[key], found)
    return found


def mutate_json(value, random):
    """One to three changes: another value, a neighbour's, a number nearby, a key or entry less or more."""
    for _ in range(random.randint(1, 4)):
        spots = places(value, [])
        if not spots:
            return
        container, key = spots[random.randint(len(spots))]
        choice = random.randint(8)
        if choice <= 2:
            container[key] = drawn(random)
        elif choice == 3:
            other, name = spots[random.randint(len(spots))]
            container[key] = json.loads(json.dumps(other[name]))
        elif choice == 4 and type(container[key]) in (int, float):
            container[key] = container[key] * [2, -1, 3, 0.5][random.randint(4)] + random.randint(-1, 2)
        elif choice == 5:
            del container[key]
        elif isinstance(container, dict):
            container[["extra", "kind", "array", "inner", "recipe"][random.randint(5)]] = drawn(random)
        else:
            container.append(drawn(random))


def mutate_description(description, random):
    """Mostly what the network is made of: the other fields are few and checked first."""
    if random.randint(4) == 0:
        return mutate_json(description, random)
    part = {name: description[name] for name in ("network", "maps", "physics")}
    mutate_json(part, random)
    return description.update(part)


def mutate_arrays(arrays, random):
    name = sorted(arrays)[random.randint(len(arrays))]
    array, choice = arrays[name], random.randint(7)
    if choice <= 2 and array.size:
        raw = bytearray(array.tobytes())
        for _ in range(random.randint(1, 4)):
            raw[random.randint(len(raw))] ^= 1 << random.randint(8)
        arrays[name] = np.frombuffer(bytes(raw), array.dtype).reshape(array.shape)
    elif choice == 3:
        arrays[name] = array.reshape(-1)[: random.randint(array.size + 1)]
    elif choice == 4:
        arrays[name] = array.astype([np.float32, np.float64, np.uint8, np.int32][random.randint(4)])
    elif choice == 5:
        del arrays[name]
    else:
        arrays[name + ["", "x", "/a"][random.randint(3)]] = np.full((random.randint(3), 2), np.nan, np.float32)


def split(content):
    """The header of a safetensors file, parsed, and the bytes of its arrays."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header, payload):
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + payload


def checksum(metadata, arrays):
    held = {name: stored(array) for name, array in arrays.items()}
    return runtime.checksum_of(metadata["description"], metadata["run"], held)


def bit_flips(content, arrays, others, random):
    raw = bytearray(content)
    for _ in range(random.randint(1, 9)):
        raw[random.randint(len(raw))] ^= 1 << random.randint(8)
    return bytes(raw)


def truncation(content, arrays, others, random):
    return content[: random.randint(len(content))]


def splice(content, arrays, others, random):
    other = others[random.randint(len(others))]
    start, length = random.randint(len(other)), random.randint(1, 200)
    at, over = random.randint(len(content)), random.randint(0, 200)
    return content[:at] + other[start : start + length] + content[at + over :]


def header_fields(content, arrays, others, random):
    header, payload = split(content)
    mutate_json(header, random)
    return joined(header, payload)


def described(content, arrays, others, random, *, fresh=False):
    header, payload = split(content)
    description = json.loads(header["__metadata__"]["description"])
    mutate_description(description, random)
    header["__metadata__"]["description"] = json.dumps(description)
    if fresh:
        header["__metadata__"]["checksum"] = checksum(header["__metadata__"], arrays)
    return joined(header, payload)


def with_checksum(content, arrays, others, random):
    return described(content, arrays, others, random, fresh=True)


def arrays_with_checksum(content, arrays, others, random):
    header, _ = split(content)
    metadata, arrays = header["__metadata__"], dict(arrays)
    mutate_arrays(arrays, random)
    if random.randint(3) == 0:
        description = json.loads(metadata["description"])
        mutate_description(description, random)
        metadata["description"] = json.dumps(description)
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return save(arrays, metadata | {"checksum": checksum(metadata, arrays)})


STALE = (bit_flips, truncation, splice, header_fields, described)
FRESH = (with_checksum, with_checksum, arrays_with_checksum)


def same_payload(path, original):
    found, expected = runtime.read(path), runtime.read(original)
    return (
        (found.description, found.run) == (expected.description, expected.run)
        and found.arrays.keys() == expected.arrays.keys()
        and all(np.array_equal(found.arrays[name].entries, array.entries) for name, array in expected.arrays.items())
    )


def too_long(*_):
    raise TimeoutError("a file took too long")


@pytest.mark.long
@pytest.mark.parametrize("count", [160, pytest.param(20_000, marks=pytest.mark.slow)])
def test_changed_files_are_refused_or_load(count, originals, tmp_path, capsys):
    path, original = tmp_path / "changed.safetensors", tmp_path / "original.safetensors"
    contents, parsed = list(originals.values()), {}
    for content in contents:  # compiled once; what is measured is the changed files
        path.write_bytes(content)
        load(path)
        parsed[content] = {name: unstored(array) for name, array in runtime.read(path).arrays.items()}
    outcomes: Counter[tuple[str, str]] = Counter()
    slowest, steepest, start = 0.0, 0, time.perf_counter()
    before = signal.signal(signal.SIGALRM, too_long)
    try:
        for seed in range(count):
            random = np.random.RandomState(seed)
            content = contents[random.randint(len(contents))]
            changes = STALE if random.randint(2) else FRESH
            change = changes[random.randint(len(changes))]
            path.write_bytes(change(content, parsed[content], contents, random))
            peak, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
            signal.alarm(SECONDS)
            try:
                load(path)
                outcome = "network"
                if change in STALE:
                    original.write_bytes(content)
                    assert same_payload(path, original), f"seed {seed}: {change.__name__} passed the checksum"
            except ValueError as error:
                outcome = "refused" if str(error).startswith(f"{path}: ") else "refused without a name"
            except Exception as error:
                raise AssertionError(f"seed {seed}: {change.__name__} raised {type(error).__name__}") from error
            finally:
                signal.alarm(0)
            slowest = max(slowest, time.perf_counter() - began)
            growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) // 1024
            steepest = max(steepest, growth)
            assert growth < MEBIBYTES, f"seed {seed}: {change.__name__} took {growth} MiB"
            outcomes[change.__name__, outcome] += 1
            if seed % 4000 == 3999:
                jax.clear_caches()  # every matrix of a recipe is a program of its own
    finally:
        signal.signal(signal.SIGALRM, before)
    with capsys.disabled():
        seconds = time.perf_counter() - start
        print(f"\n{count} changed files in {seconds:.0f} s, the slowest {slowest:.1f} s, at most {steepest} MiB each")
        for (change, outcome), number in sorted(outcomes.items()):
            print(f"  {change:22s} {outcome:8s} {number}")
    assert sum(number for (_, outcome), number in outcomes.items() if outcome in ("network", "refused")) == count
