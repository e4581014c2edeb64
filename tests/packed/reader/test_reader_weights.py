"""Learned matrices of every format on every structure: the reader's against those of the library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit import FullPrecision, OneBit
from unrollbit.decompositions import rate
from unrollbit.formats import BitNet, Format, LittleBit, OneBitSVID, PackedWeights, Ternary, Uniform, UnitFilters
from unrollbit.operators import Banded, Convolution, Radon, gaussian_blocks
from unrollbit.packed import runtime
from unrollbit.signbits import pack_signs
from unrollbit.structures import FilterBank, Full, Indexed, Pattern, Shared, Structure
from unrollbit.structures.drawn import Drawn


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


STRUCTURES: dict[str, dict[str, Callable[[], Structure]]] = {  # by kind; of one shape, for the library's compiler
    "Full": {"full": lambda: Full(9, 9)},
    "Blocks": {"blocks": lambda: gaussian_blocks(3, 3, 3).mask()},
    "Indexed": {
        "bitmap": lambda: Indexed.from_mask(np.random.RandomState(5).uniform(size=(9, 9)) < 0.6),
        "indices": lambda: Indexed.from_mask(np.random.RandomState(5).uniform(size=(9, 9)) < 0.1),
    },
    "Band": {
        "band": lambda: Banded.of(normal(3), (9, 9), -1, 1, True).mask(),
        "transposed band": lambda: Banded.of(normal(3), (9, 9), -1, 2).mask().T,
    },
    "Stencil": {"stencil": lambda: Convolution.of(normal(3, 2), (3, 3), "zero").mask()},
    "Rays": {"rays": lambda: Radon.of(3, 3).mask()},
    "Drawn": {"drawn": lambda: Drawn(9, 9, seed=4)},
    "Pattern": {
        "pattern": lambda: Pattern.of(np.random.RandomState(5).uniform(size=(9, 9)) < 0.3),
        "a long row": lambda: Pattern.of(np.eye(9) + np.eye(9)[3][:, None] > 0),
    },
    "FilterBank": {
        "filters of images": lambda: FilterBank((4, 3), 3, (3, 2)),
        "filters of signals": lambda: FilterBank((9,), 10, (4,), "reflect"),
    },
    "Shared": {"shared": lambda: Shared((6, 6), (3, 3), "circular", 2)},
}
FORMATS = {
    **{f"OneBit {scale}": OneBit(scale=scale, planes=2) for scale in ("none", "global", "layer")},
    **{f"OneBit {scale}": OneBit(scale=scale) for scale in ("row", "column")},
    "Ternary": Ternary(),
    "Ternary, four a byte": Ternary(per_byte=4),
    "BitNet": BitNet(),
    "OneBitSVID": OneBitSVID(),
    "LittleBit": LittleBit(rank=2),
    "LittleBit, residual": LittleBit(rank=1, residual=True),
    "LittleBit, by bits": LittleBit(multiple=1),
    "FullPrecision": FullPrecision(),
    "Uniform": Uniform(3),
    "UnitFilters": UnitFilters(Uniform(1)),
}
UNLINED = {
    "Shared": ("row", "column", "SVID", "LittleBit"),
    "FilterBank": ("row", "column", "SVID", "LittleBit"),
    "Pattern": ("SVID", "LittleBit"),
}  # what they do not have

KINDS = {"test_structures": (Structure, STRUCTURES)}


def matrices_of(mask: Structure) -> jnp.ndarray:
    """Two of them, with equal entries where the structure shares some."""
    shared = len(mask.core_shape) == 2 and mask.core_shape != mask.shape
    return mask.scatter(jnp.asarray(normal(2, *mask.core_shape))) if shared else jnp.asarray(normal(2, *mask.shape))


def format_of(name: str, mask: Structure) -> Format:
    """Where a rate is asked for, that of rank 2: each structure reaches rates of its own."""
    if name != "LittleBit, by bits":
        return FORMATS[name]
    m, n = (size // mask.blocks for size in mask.shape)
    return replace(FORMATS[name], bits_per_weight=rate(m, n, 2, mask.size // mask.blocks))


def compare(name: str, mask: Structure, same) -> None:
    weights = format_of(name, mask).from_matrix(matrices_of(mask), mask, copies=2)
    weights.round_scales()
    found = same.weights(weights.pack(), weights.shape)
    assert len(found) == 2
    for matrix, expected in zip(found, np.asarray(weights.dense()), strict=True):
        same.matrix(matrix, expected, 1e-5)  # scales that train are logarithms, whose exponentials round


@pytest.mark.long
def test_structures(kind: str, case: Callable[[], Structure], same) -> None:
    mask = case()
    assert mask.to_spec()["kind"] == kind
    compare("OneBit layer", mask, same)


QUICK = {
    "OneBit column": "Rays",
    "OneBit row": "Pattern",
    "Ternary, four a byte": "Full",
    "OneBitSVID": "Indexed",
    "LittleBit": "Blocks",
}
PAIRS = [  # every format with every kind of structure
    pytest.param(name, case, id=f"{name}-{label}", marks=[] if QUICK.get(name) == kind and not i else pytest.mark.slow)
    for name in FORMATS
    for kind, cases in STRUCTURES.items()
    for i, (label, case) in enumerate(cases.items())
    if not any(word in name for word in UNLINED.get(kind, ())) and (kind == "FilterBank" or name != "UnitFilters")
]


@pytest.mark.long
@pytest.mark.parametrize(("name", "case"), PAIRS)
def test_formats_on_structures(name: str, case: Callable[[], Structure], same) -> None:
    compare(name, case(), same)


@given(
    size=st.tuples(st.integers(1, 150), st.integers(1, 20)),
    copies=st.integers(1, 3),
    planes=st.integers(1, 3),
    scale=st.sampled_from(["none", "global", "layer", "row", "column"]),
    seed=st.integers(0, 100),
)
@settings(max_examples=25, deadline=None)
def test_one_bit_of_any_size(size, copies, planes, scale, seed, same) -> None:
    """Against the definition, bit by bit."""
    m, n = size
    random = np.random.RandomState(seed)
    signs = random.choice([-1, 1], (copies, planes, m, n))
    lead = (copies, planes)
    shape = {"none": (), "global": (planes,), "layer": lead, "row": (*lead, m), "column": (*lead, n)}[scale]
    logs = random.uniform(-1, 1, shape).astype(np.float32)
    lines = {"none": np.ones((1, 1, 1, 1)), "global": np.exp(logs)[None, :, None, None] if shape else None}
    lines |= {"layer": np.exp(logs)[..., None, None], "row": np.exp(logs)[..., None]}
    factor = np.exp(logs)[:, :, None] if scale == "column" else lines[scale]
    arrays = {"signs": pack_signs(signs), **({} if scale == "none" else {"log_scales": logs})}
    structure = {"kind": "Full", "m": m, "n": n}
    spec = {"format": {"kind": "OneBit", "planes": planes, "scale": scale}, "copies": copies, "structure": structure}
    found = same.weights(PackedWeights(spec, arrays), (m, n))
    for matrix, expected in zip(found, (factor * signs).sum(1), strict=True):
        np.testing.assert_allclose(matrix.dense(), expected, rtol=1e-5, atol=1e-6)


def test_wrong_scales_of_formats(same) -> None:
    weights = BitNet().from_matrix(jnp.asarray(normal(4, 6)))
    packed = weights.pack()
    linear = runtime.Map((4, 6), lambda: runtime.zero_matrix((4, 6)))
    zero = same.stored(packed.arrays) | {"scale": runtime.Stored("BF16", np.zeros(1, np.uint16))}
    with pytest.raises(ValueError, match="expected scales > 0"):
        runtime.weights_of(packed.spec, zero, linear, linear.initial())
    packed = Ternary().from_matrix(jnp.asarray(normal(4, 6))).pack()
    for byte in (243, 3):  # no code; padding that is not zero
        wrong = same.stored(packed.arrays) | {"trits": runtime.Stored("U8", np.full((1, 4, 2), byte, np.uint8))}
        with pytest.raises(ValueError, match="ternary"):
            runtime.weights_of(packed.spec, wrong, linear, linear.initial())
