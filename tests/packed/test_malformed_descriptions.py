"""Descriptions of attackers: the checksum is right, the content is not. One ValueError each, before anything is
allocated.
"""

import pytest

from unrollbit import load


def at(*keys, **values):
    """A change of the description: the fields of the part that ``keys`` lead to."""

    def change(description):
        for key in keys:
            description = description[key]
        description.update(values)

    return change


def recipe(*entries):
    return at("physics", recipe=list(entries))


def nested(kind, field, depth):
    def change(description):
        for _ in range(depth):
            description["physics"] = {"kind": kind, field: description["physics"], "factor": 1.0}

    return change


def normalised(format):
    return {"kind": "Normalised", "inner": format}


def many_parts(description):
    for _ in range(4):
        part = description["physics"]
        description["physics"] = {"kind": "Sum", "first": part, "second": part}


HUGE = 2**40
W = ("maps", "W")
F = (*W, "format")
DESCRIPTIONS = {
    # network
    ("gaussian", "depth 1e9"): (at("network", depth=10**9), "depth: expected at most"),
    ("gaussian", "depth 10^6"): (at("network", depth=10**6), "expected shape"),
    ("gaussian", "depth true"): (at("network", depth=True), "depth: expected a positive integer, got True"),
    ("gaussian", "depth 3.0"): (at("network", depth=3.0), "depth: expected a positive integer, got 3.0"),
    ("gaussian", "depth '3'"): (at("network", depth="3"), "depth: expected a positive integer, got '3'"),
    ("gaussian", "depth -3"): (at("network", depth=-3), "depth: expected a positive integer, got -3"),
    ("gaussian", "depth 1"): (at("network", depth=1), "expected shape"),
    ("gaussian", "a field"): (at("network", width=3), "has the fields"),
    ("gaussian", "no object"): (lambda d: d.update(network=[1]), "unknown network kind"),
    ("gaussian", "algorithm"): (at("network", algorithm=3), "an? Algorithm spec"),
    ("gaussian", "momentum"): (at("network", "algorithm", momentum="yes"), "AMP.momentum: expected bool"),
    ("gaussian", "noise"): (at("network", "algorithm", "shrinkage", noise="nan"), "noise: expected float"),
    ("grouped", "runs"): (at("network", "algorithm", "shrinkage", groups=[[0, 2**40]]), "runs of at most"),
    ("grouped", "unknowns"): (at("network", "algorithm", "shrinkage", groups=[0, 1, 2]), "expected 3 unknowns"),
    ("dense ReLU", "width"): (at("network", width=10**6), "expected shape"),
    ("dense ReLU", "width 2^40"): (at("network", width=HUGE), "width: expected at most"),
    ("dense ReLU", "depth"): (at("network", depth=2**25), "expected shape"),
    ("dense ReLU", "skip"): (at("network", skip=1), "skip true or false"),
    ("dense ReLU", "copies"): (at("maps", "hidden", copies=2), "expected shape"),
    ("dense ReLU", "nothing"): (lambda d: d["maps"].update(first={"format": {"kind": "Fixed"}}), "array"),
    # header
    ("gaussian", "fingerprint"): (at(fingerprint=["1"] * 8), "expected a list of numbers"),
    ("gaussian", "fingerprint of others"): (at(fingerprint=[1.0] * 8), "fingerprints disagree"),
    ("gaussian", "short fingerprint"): (at(fingerprint=[1.0]), "fingerprint of the physics is damaged"),
    ("gaussian", "fingerprint of truths"): (at(fingerprint=[True] * 8), "expected a list of numbers"),
    ("gaussian", "no fingerprint"): (at(fingerprint=None), "expected a list of numbers"),
    ("gaussian", "more fingerprints"): (at(fingerprint={"physics": [1.0] * 8}), "expected a list of numbers"),
    ("gaussian", "of the run"): (at(training=None), "exactly the fields"),
    # physics
    ("gaussian", "m"): (recipe("gaussian", HUGE, 16, 0), "m: expected at most"),
    ("gaussian", "m n"): (recipe("gaussian", 2**20, 2**20, 0), "more than the"),
    ("gaussian", "m true"): (recipe("gaussian", True, 16, 0), "m: expected a positive integer"),
    ("gaussian", "m float"): (recipe("gaussian", 8.0, 16, 0), "m: expected a positive integer"),
    ("gaussian", "seed"): (recipe("gaussian", 8, 16, -1), "seed: expected an integer"),
    ("gaussian", "seed text"): (recipe("gaussian", 8, 16, "0"), "seed: expected an integer"),
    ("gaussian", "arguments"): (recipe("gaussian", 8, 16, 0, 1, 2), "does not take the arguments"),
    ("gaussian", "empty recipe"): (recipe(), "expected a list"),
    ("gaussian", "text recipe"): (at("physics", recipe="gaussian"), "expected a list"),
    ("gaussian", "condition"): (recipe("ill_conditioned", 8, 16, 0, "50"), "does not take the arguments"),
    ("gaussian", "nested"): (nested("Scaled", "operator", 40), "nest more than 32 levels"),
    ("gaussian", "parts"): (nested("Scaled", "operator", 20), "physics has 21 parts"),
    ("gaussian", "many parts"): (many_parts, "physics has 31 parts"),
    ("gaussian", "list"): (
        lambda d: d.update(physics=[d["physics"]]),
        "unknown operator|spec is a table",
    ),
    ("blocks", "count"): (recipe("gaussian_blocks", 2**20, 1, 1, 0), "count: expected at most"),
    ("blocks", "size"): (recipe("gaussian_blocks", 3, 2**20, 2**20, 0), "more than the"),
    ("signs of blocks", "size"): (recipe("rademacher_blocks", 3, 2**20, 2**20, 0), "more than the"),
    ("hadamard blocks", "count"): (recipe("hadamard_blocks", 2**20, 1, 1, 0), "count: expected at most"),
    ("hadamard blocks", "size"): (recipe("hadamard_blocks", 2**10, 2**12, 2**12, 0), "more than the"),
    ("rademacher", "n"): (at("physics", n=HUGE), "n: expected at most"),
    ("rademacher", "m n"): (at("physics", m=2**20, n=2**20), "more than the"),
    ("wavelet", "levels"): (at("physics", "inner", levels=2**62), "levels: expected at most"),
    ("wavelet", "more levels"): (at("physics", "inner", levels=30), "30 levels need sides divisible"),
    ("wavelet", "sides"): (at("physics", "inner", signal_shape=[2**20, 2**20]), "unknowns: expected at most"),
    ("wavelet", "side"): (
        at("physics", "inner", signal_shape=["4", 4]),
        "signal_shape.*: expected (a positive|an )?int",
    ),
    ("wavelet", "axes"): (at("physics", "inner", signal_shape=[2, 2, 2, 2]), "signal_shape: expected"),
    ("wavelet", "name"): (at("physics", "inner", name="db99"), "wavelet: expected one of"),
    ("wavelet", "hadamard"): (at("physics", "outer", n=2**60), "n: expected at most"),
    ("wavelet", "rows"): (at("physics", "outer", m=2**25, n=2**26), "inner sizes differ"),
    ("radon", "size"): (at("physics", size=2**20), "size: expected at most"),
    ("radon", "angles"): (at("physics", angles=10**9), "angles: expected (at most|a list|a number|an integer)"),
    ("radon", "text"): (at("physics", angles="all"), "angles: expected (a number|a list)"),
    ("dct", "count"): (at("physics", count=2**30), "count: expected at most"),
    ("dct", "seed"): (at("physics", seed=None), "count: expected all 16 entries"),
    ("dct", "sides"): (at("physics", signal_shape=[HUGE]), "signal_shape: expected at most"),
    ("band", "lower"): (at("physics", lower=-(10**9)), "lower: expected a diagonal"),
    ("band", "stride"): (at("physics", stride=2**26), "span: expected at most"),
    ("band", "m"): (at("physics", m=2**26), "span: expected at most"),
    ("band", "circular"): (at("physics", circular=0), "circular: expected (True or False|bool|one of)"),
    ("shared", "stride"): (at("physics", stride=2**30), "stride: expected at most"),
    ("shared", "boundary"): (at("physics", boundary="mirror"), "boundary: expected"),
    ("whitened", "delta"): (at("physics", delta=-1.0), "delta: expected a number >= 0"),
    ("whitened", "delta true"): (at("physics", delta=True), "delta: expected a number >= 0"),
    ("planes", "scale"): (at("physics", scale="diagonal"), "expected a scale among"),
    ("planes", "structure"): (at("physics", "structure", n=2**26), "expected packed rows"),
    # weights
    ("gaussian", "copies"): (at(*W, copies=2**60), "copies: expected at most"),
    ("gaussian", "copies 10^6"): (at(*W, copies=10**6), "expected shape"),
    ("gaussian", "copies false"): (at(*W, copies=False), "copies: expected a positive integer, got False"),
    ("gaussian", "copies float"): (at(*W, copies=2.0), "copies: expected a positive integer, got 2.0"),
    ("gaussian", "planes"): (at(*F, planes="1"), "OneBit.planes: expected int, got '1'"),
    ("gaussian", "scale"): (at(*F, scale=["row"]), "OneBit.scale: expected one of"),
    ("gaussian", "weight field"): (at(*W, color="red"), "fields? of no use: 'color'"),
    ("gaussian", "format field"): (at(*F, color="red"), "OneBit has no field 'color'"),
    ("gaussian", "surrogate"): (at(*F, surrogate={"kind": "Clipped", "limit": -1.0}), "limit"),
    ("gaussian", "structure"): (at(*W, structure={"kind": "Full", "m": HUGE, "n": HUGE}), "m: expected at most"),
    ("gaussian", "other structure"): (
        at(*W, structure={"kind": "Blocks", "count": 2, "block_m": 4, "block_n": 8}),
        "expected shape",
    ),
    ("gaussian", "band of all"): (
        at(*W, structure={"kind": "Band", "m": 8, "n": 16, "lower": 2**60, "upper": 2**60}),
        r"expected \|lower\|",
    ),
    ("gaussian", "band of none"): (
        at(*W, structure={"kind": "Band", "m": 8, "n": 16, "lower": 100, "upper": 100}),
        "expected a mask with entries",
    ),
    ("gaussian", "rays"): (
        at(*W, structure={"kind": "Rays", "size_of_image": 2**20, "angles": [0.0]}),
        "size_of_image: expected at most",
    ),
    ("gaussian", "structure field"): (at(*W, "structure", k=1), "has no field 'k'|does not know|does not take"),
    ("gaussian", "wrapped for ever"): (
        lambda d: d["maps"]["W"].update(format=normalised(normalised(d["maps"]["W"]["format"]))),
        None,  # odd, and a network
    ),
    ("gaussian", "frozen"): (at(*F, kind="Frozen"), "unknown kind of Format 'Frozen'"),
    ("gaussian", "wrapper"): (at(*F, kind="Normalised"), "Normalised has no field 'planes', 'scale', 'surrogate'"),
    ("gaussian", "map"): (lambda d: d["maps"].update(V=d["maps"]["W"]), "expected maps"),
    ("gaussian", "maps"): (lambda d: d.update(maps=[1, 2]), "expected an object of maps"),
    ("gaussian", "array as a spec"): (
        lambda d: d["maps"].update(W={"array": "scalars/step"}),
        "expected a table with the key 'format'",
    ),
    ("gaussian", "array as a name"): (lambda d: d["maps"].update(W={"array": ["x"]}), "is missing"),
    ("masked", "size"): (at(*W, "structure", size=2**60), "how many of 128 exist"),
    ("masked", "size true"): (at(*W, "structure", size=True), "how many of 128 exist"),
    ("masked", "size text"): (at(*W, "structure", size="64"), "how many of 128 exist"),
    ("masked", "other size"): (at(*W, "structure", size=3), "entries in the mask, got"),
    ("masked", "m"): (at(*W, "structure", m=2**26, n=2**26), "more than the"),
    ("masked", "matrix"): (at("physics", matrix="ones"), "no use: 'physics/matrix'"),
    ("masked", "rows"): (at("physics", matrix=[[1, 2], [3]]), "no use: 'physics/matrix'"),
    ("shared", "kernel"): (at(*W, "structure", kernel_shape=[2**20, 2**20]), "does not fit"),
    ("shared", "kernel of text"): (
        at(*W, "structure", kernel_shape="22"),
        "one or two|kernel_shape: expected",
    ),
    ("shared", "grid"): (at(*W, "structure", signal_shape=[2**20, 2**20]), "unknowns: expected at most"),
    ("blocks", "per byte"): (at(*F, per_byte=5.0), "per_byte: expected one of .* got 5.0"),
    ("whitened", "rank"): (at(*F, rank=2**40), "expected rank in"),
    ("whitened", "paths"): (at(*F, residual="two"), "LittleBit.residual: expected bool, got 'two'"),
    ("wavelet", "no composition"): (
        lambda d: d.update(physics={"kind": "Hadamard", "m": 8, "n": 16, "seed": 0}),
        "fingerprints disagree",
    ),
    ("dct", "coherent"): (at(*F, coherent=True), "Fixed has no field 'coherent'"),
}


def name(case):
    return " - ".join(case)


TRAINING_ALONE = {("gaussian", "surrogate")}  # how weights train, which a reader does not look at
RUNS = {
    "training": (at(training=[1]), "problem and training"),
    "problem": (at(problem="sparse"), "problem and training"),
    "fingerprint of the problem": (at(fingerprint=[None]), "expected a list of numbers"),
    "more": (at(other=1), "exactly the fields problem, fingerprint, training"),
    "less": (lambda run: run.pop("training"), "exactly the fields problem, fingerprint, training"),
}


@pytest.mark.parametrize("case", RUNS)
def test_descriptions_of_runs(case, originals, rewrite, refused, tmp_path):
    path = tmp_path / "n.safetensors"
    path.write_bytes(originals["gaussian"])
    change, message = RUNS[case]
    refused(rewrite(path, run=change), message, alone=message)


@pytest.mark.long
@pytest.mark.parametrize("case", DESCRIPTIONS, ids=name)
def test_descriptions(case, originals, rewrite, refused, tmp_path):
    path = tmp_path / "n.safetensors"
    path.write_bytes(originals[case[0]])
    change, message = DESCRIPTIONS[case]
    rewrite(path, description=change)
    if message is None:
        load(path)
    else:
        refused(path, message, alone=None if case in TRAINING_ALONE else ".*")
