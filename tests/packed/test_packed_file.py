"""Files: round trips, size, what runs from the bits, and everything that can be wrong with a file."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from unrollbit import AMP, ISTA, FullPrecision, FullyConnected, OneBit, Unrolled, count_bits, load, pack
from unrollbit.formats import Designed, Fixed, Normalised
from unrollbit.operators import Dense, gaussian
from unrollbit.packed.runtime import VERSION
from unrollbit.problems import BlockSparseRecovery, SparseRecovery
from unrollbit.shrinkage import Grouped, Soft

PROBLEMS = {
    "gaussian": lambda: SparseRecovery(24, 48),
    "hadamard": lambda: SparseRecovery(24, 32, matrix="hadamard"),
    "rademacher": lambda: SparseRecovery(24, 48, matrix="rademacher"),
    "blocks": lambda: BlockSparseRecovery(blocks=3, m=8, n=17),
}
WEIGHTS = {
    "W = A": Normalised(Fixed()),
    "row scales, two planes": OneBit(scale="row", planes=2),
    "global scale": OneBit(scale="global"),
    "designed": Normalised(Designed(steps=5)),
    "float32": FullPrecision(),
}


DISTINCT = [1, 3, None]
# every pair of problem and weights once, in turn tied, cycled and untied; the rest are slow
CASES = [
    pytest.param(problem, weights, distinct, marks=[] if (i + j) % 3 == k else pytest.mark.slow)
    for i, problem in enumerate(PROBLEMS)
    for j, weights in enumerate(WEIGHTS)
    for k, distinct in enumerate(DISTINCT)
]


@pytest.mark.long
@pytest.mark.grid(7)
@pytest.mark.parametrize(("problem", "weights", "distinct"), CASES)
def test_a_file_gives_back_the_network(problem, weights, distinct, tmp_path):
    physics = PROBLEMS[problem]()
    # rounding differs between products on bits and on floats; ISTA contracts it, untrained AMP magnifies it
    net = Unrolled(ISTA(adaptive=True), physics, 4, WEIGHTS[weights], distinct=distinct)
    _, y = physics.sample(jax.random.key(0), 5)
    expected = net(y)
    path = pack(net, problem=physics, training={"seed": 3}).save(tmp_path / "net.safetensors")
    packed = load(path)
    assert float(jnp.linalg.norm(packed(y) - expected)) <= 1e-5 * float(jnp.linalg.norm(expected))
    np.testing.assert_array_equal(packed.trainable()(y), expected)
    assert packed.problem == physics.to_spec()
    assert packed.training == {"seed": 3}
    report = packed.bits()
    assert report.file_bits == 8 * path.stat().st_size
    stored = report.weight_bits + report.scale_bits + report.mask_bits + report.physics_bits
    # the padding of rows to bytes is in the file and not in the formula: 17 columns take 24 bits here
    padding = 24 / 17 if problem == "blocks" else 1.0
    assert report.file_bits <= 1.05 * padding * stored + 8 * 4096
    before = count_bits(net)
    assert before.weight_bits == report.weight_bits
    assert before.scale_bits == report.scale_bits


@pytest.mark.parametrize("leading", [(), (1,), (2, 3)])
def test_leading_axes(leading, tmp_path):
    net = Unrolled(AMP(), gaussian(8, 16), 3)
    packed = load(pack(net).save(tmp_path / "n.safetensors"))
    assert packed(jnp.ones((*leading, 8))).shape == (*leading, 16)


@pytest.mark.long
def test_fully_connected_round_trip(tmp_path):
    problem = SparseRecovery(8, 16)
    for weights in (FullPrecision(), OneBit()):
        net = FullyConnected(problem, 4, 12, weights, skip=True)
        packed = load(pack(net, problem=problem).save(tmp_path / "fc.safetensors"))
        np.testing.assert_allclose(packed(jnp.ones((2, 8))), net(jnp.ones((2, 8))), rtol=1e-5, atol=1e-6)


def test_a_users_matrix_travels_with_the_file(tmp_path):
    matrix = np.random.RandomState(0).randn(6, 9).astype(np.float32)
    net = Unrolled(ISTA(), Dense.of(matrix), 2)
    packed = load(pack(net).save(tmp_path / "n.safetensors"))
    np.testing.assert_array_equal(packed.network.operator.dense(), matrix)
    assert packed.bits().physics_bits == 32 * 54


def test_grouped_scalars_survive(tmp_path):
    net = Unrolled(AMP(Grouped(Soft(), (0, 0, 1, 1, 2, 2))), gaussian(4, 6), 3)
    packed = load(pack(net).save(tmp_path / "n.safetensors"))
    assert packed.network.scalars["threshold"][...].shape == (3, 3)


def _float_arrays(jaxpr, found):
    for equation in jaxpr.eqns:
        for variable in equation.outvars:
            if jnp.issubdtype(variable.aval.dtype, jnp.floating):
                found.append(variable.aval.shape)
        for parameter in equation.params.values():
            for inner in jax.tree.leaves(parameter, is_leaf=lambda v: hasattr(v, "eqns") or hasattr(v, "jaxpr")):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    _float_arrays(inner, found)


@pytest.mark.long
@pytest.mark.parametrize("distinct", [1, None])
def test_no_float_form_of_a_packed_matrix(distinct):
    m, n = 64, 128
    problem = SparseRecovery(m, n, matrix="hadamard")
    net = Unrolled(AMP(), problem, 4, Normalised(Designed(steps=2)), distinct=distinct)
    packed = pack(net)
    found: list[tuple[int, ...]] = []
    _float_arrays(jax.make_jaxpr(packed.network.__call__)(jnp.ones((1, m))).jaxpr, found)
    assert found
    assert max(int(np.prod(shape)) for shape in found) < m * n // 2
    trained: list[tuple[int, ...]] = []
    _float_arrays(jax.make_jaxpr(net.__call__)(jnp.ones((1, m))).jaxpr, trained)
    assert max(int(np.prod(shape)) for shape in trained) >= m * n  # the test can see a dense matrix


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metadata": {"version": "99"}}, f"version '99'.*reads version {VERSION}"),
        ({"metadata": {"format": "other"}}, "no packed network of unrollbit"),
        ({"metadata": {"checksum": None}}, "lacks checksum"),
        ({"metadata": {"description": "{"}}, "checksum does not match"),
        ({"arrays": {"scalars/step": np.zeros(2, np.float32)}, "fix_checksum": False}, "checksum does not match"),
        ({"arrays": {"scalars/step": np.full(2, np.nan, np.float32)}}, "'step' has NaN"),
        ({"arrays": {"scalars/step": np.zeros(3, np.float32)}}, r"'step': expected shape \(2,\)"),
        ({"arrays": {"scalars/step": np.zeros(2, np.float64)}}, "'step': expected shape"),
        ({"arrays": {"scalars/step": np.zeros(2, np.int64)}}, "dtype I64"),
        ({"arrays": {"scalars/step": None}}, "expected scalars"),
        ({"arrays": {"maps/W/signs": np.zeros((2, 1, 8, 3), np.uint8)}}, "'signs': expected shape"),
        ({"arrays": {"maps/W/signs": None}}, "'signs' is missing"),
        ({"arrays": {"maps/W/log_scales": np.full((2, 1, 8), np.inf, np.float32)}}, "'log_scales' has NaN"),
        ({"description": lambda d: d["network"].update(kind="Other")}, "unknown network kind 'Other'"),
        ({"description": lambda d: d["network"]["algorithm"].update(kind="Other")}, "unknown kind of Algorithm"),
        ({"description": lambda d: d["maps"]["W"]["format"].update(kind="Other")}, "unknown kind of Format 'Other'"),
        ({"description": lambda d: d["maps"]["W"].update(copies=-1)}, "copies: expected a positive integer, got -1"),
        ({"description": lambda d: d["maps"]["W"].update(copies="x")}, "copies: expected a positive integer, got 'x'"),
        ({"description": lambda d: d["maps"]["W"]["structure"].update(m=9)}, "expected matrices of shape"),
        ({"description": lambda d: d["physics"].update(kind="Other")}, "unknown kind of LinearOperator 'Other'"),
        ({"description": lambda d: d["physics"].update(recipe=["gaussian", 8, 16, 1])}, "fingerprints disagree"),
        ({"description": lambda d: d.update(physics=None)}, "damaged|expected|is a table"),
        ({"description": lambda d: d.pop("physics")}, "exactly the fields"),
        ({"description": lambda d: d["network"].update(depth=10**6)}, "expected shape"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(saved, rewrite, change, message):
    rewrite(saved, **change)
    with pytest.raises(ValueError, match=message):
        load(saved)


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        load(tmp_path / "none.safetensors")
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"\x00" * 100)
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        load(other)
    save_file({"a": np.zeros(2, np.float32)}, other)
    with pytest.raises(ValueError, match="no packed network"):
        load(other)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255), cut=st.booleans())
def test_changed_and_cut_files_never_load_quietly(saved, place, mask, cut):
    content = bytearray(saved.read_bytes())
    position = int(place * len(content))
    if cut:
        content = content[:position]
    else:
        content[position] ^= mask
    changed = saved.with_name("changed.safetensors")
    changed.write_bytes(bytes(content))
    try:
        packed = load(changed)
    except ValueError:
        return
    # what still loads must be the same network: only insignificant header bytes may differ
    y = jnp.ones((1, 8))
    np.testing.assert_array_equal(packed(y), load(saved)(y))


def test_saving_replaces_whole_files_only(saved):
    before = saved.read_bytes()
    load(saved).save(saved)
    assert load(saved).bits().file_bits == 8 * len(before)
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]
