"""What every problem keeps: energy, samples, subsets, noise, specs, seeds and precision."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit.operators import Convolution
from unrollbit.problems import (
    ArrayProblem,
    BlockCamera,
    BlockSparseRecovery,
    Deblurring,
    EEGCompressiveRecovery,
    ImageRecovery,
    Inpainting,
    MagneticResonance,
    OneBitCompressiveSensing,
    Problem,
    SinglePixelCamera,
    SparseDeconvolution,
    SparseRecovery,
    SuperResolution,
    Tomography,
)
from unrollbit.problems.base import SUBSETS
from unrollbit.problems.transforms import transformed

RNG = np.random.RandomState(0)
A, X = RNG.randn(8, 16).astype(np.float32), RNG.randn(50, 16).astype(np.float32)
MAKERS = {
    "sparse": lambda **o: SparseRecovery(16, 32, **o),
    "blocks": lambda **o: BlockSparseRecovery(4, 8, 16, **o),
    "arrays": lambda **o: ArrayProblem(A, X, **o),
    "eeg": lambda **o: EEGCompressiveRecovery(**o),
    "block camera": lambda **o: BlockCamera(**{"size": 16, "block": 8, "patterns": "hadamard", **o}),
    "single pixel": lambda **o: SinglePixelCamera(**{"size": 16, "transform": "dct", **o}),
    "blurred": lambda **o: Deblurring(size=16, **o),
    "coarse": lambda **o: SuperResolution(size=16, transform="dct", **o),
    "missing": lambda **o: Inpainting(size=16, transform="dct", **o),
    "tomography": lambda **o: Tomography(size=16, angles=6, transform="dct", **o),
    "resonance": lambda **o: MagneticResonance(size=16, transform="dct", **o),
    "spikes": lambda **o: SparseDeconvolution(n=64, **o),
    "any physics": lambda **o: ImageRecovery(Convolution.of(np.ones((1, 3)) / 3, (8, 12)), crops="grid", **o),
    "signs": lambda **o: OneBitCompressiveSensing(64, 128, sparsity=0.1, **o),
}
FIXED = [
    "any physics",
    "block camera",
    "blurred",
    "coarse",
    "tomography",
    "spikes",
]  # nothing about their physics is random
KINDS = list(MAKERS)
LINEAR = [kind for kind in KINDS if kind != "signs"]  # what they measure is A x, plus noise
GENERATED = ["sparse", "blocks", "spikes", "signs"]
DATA = [kind for kind in KINDS if kind not in GENERATED]
ALIKE = ["blurred", "coarse", "missing", "resonance"]  # image problems share all but their physics: two run always


def cases(kinds):
    """Kinds as parameters; those that differ from others in their physics alone are slow."""
    return [pytest.param(kind, marks=pytest.mark.slow if kind in ALIKE else []) for kind in kinds]


@jax.jit
def draw(problem, key):
    return problem.sample(key, 64)


@pytest.fixture(scope="module")
def problems():
    return {name: make() for name, make in MAKERS.items()}


@pytest.fixture(scope="module")
def noisy():
    return {name: make(snr_db=20.0) for name, make in MAKERS.items()}


@pytest.mark.long
@pytest.mark.parametrize("kind", cases(KINDS))
def test_the_energy_is_known_where_signals_are_generated(problems, kind):
    """And is never estimated from data: certificates need it fixed before."""
    for subset in SUBSETS:
        energy = problems[kind].split(subset).energy
        share = 0.05 if kind == "spikes" else 0.1
        assert energy is None if kind in DATA else energy == pytest.approx(share * problems[kind].operator.shape[1])


@pytest.mark.long
@pytest.mark.grid(4)
@pytest.mark.parametrize("kind", cases(KINDS))
def test_samples_are_float32_pairs_reproducible_from_the_key(noisy, kind):
    problem = noisy[kind]
    m, n = problem.operator.shape
    for subset in SUBSETS:
        part = problem.split(subset)
        first, again, other = (draw(part, jax.random.key(seed)) for seed in (3, 3, 4))
        assert first[0].shape == (64, n)
        assert first[1].shape == (64, m)
        assert {a.dtype for a in first} == {jnp.dtype("float32")}
        for a, b, c in zip(first, again, other, strict=True):
            np.testing.assert_array_equal(a, b)
            assert not np.array_equal(a, c)


@pytest.mark.long
@pytest.mark.parametrize("kind", cases(KINDS))
def test_equal_keys_give_other_signals_in_other_subsets(noisy, kind):
    drawn = [np.asarray(draw(noisy[kind].split(subset), jax.random.key(0))[0]) for subset in SUBSETS]
    rows = [{row.tobytes() for row in part if row.any()} for part in drawn]
    assert not rows[0] & rows[1]
    assert not rows[0] & rows[2]
    assert not rows[1] & rows[2]


@pytest.mark.long
@pytest.mark.grid(2)
@pytest.mark.parametrize("kind", cases(DATA))
def test_data_subsets_share_no_row_and_sample_draws_from_all(noisy, kind):
    rows = {}
    for subset in SUBSETS:
        part = noisy[kind].split(subset)
        rows[subset] = {row.tobytes() for row in np.asarray(part.all()[0])}
        drawn = {row.tobytes() for row in np.concatenate([draw(part, jax.random.key(i))[0] for i in range(4)])}
        assert drawn <= rows[subset]
        assert len(drawn) > min(100, len(rows[subset]) // 2)
    assert not rows["train"] & rows["validation"]
    assert not rows["train"] & rows["test"]
    assert not rows["validation"] & rows["test"]


@pytest.mark.long
@pytest.mark.parametrize("kind", cases(LINEAR))
def test_measurement_is_the_operator_exactly_without_noise(problems, kind):
    x, y = draw(problems[kind], jax.random.key(0))
    dense = np.asarray(jax.jit(lambda A: A.dense())(problems[kind].operator), np.float64)
    np.testing.assert_allclose(y, np.asarray(x, np.float64) @ dense.T, atol=2e-6 * float(jnp.abs(y).max()))


@pytest.mark.long
@pytest.mark.parametrize("kind", cases(LINEAR))
def test_snr_is_that_of_each_signal(noisy, kind):
    problem = noisy[kind].split("test")
    x, y = (np.concatenate(part) for part in zip(*(draw(problem, jax.random.key(i)) for i in range(16)), strict=True))
    clean = np.asarray(transformed(problem.operator, x))
    keep = np.abs(clean).max(1) > 0
    clean, noise = clean[keep], np.asarray(y)[keep] - clean[keep]
    snr = 10 * np.log10((clean**2).sum(1) / (noise**2).sum(1))
    m = clean.shape[1]
    assert abs(10 * np.log10(np.mean(10 ** (-snr / 10))) + 20.0) < 0.2
    assert np.std(snr) < 2 * 4.34 * np.sqrt(2 / m)  # the spread of chi squared with m degrees of freedom, not of ||y||
    if kind == "arrays":
        return
    np.testing.assert_array_less(np.abs(np.corrcoef(noise[:500].ravel(), clean[:500].ravel())[0, 1]), 0.03)


@pytest.mark.long
@pytest.mark.parametrize("kind", cases(KINDS))
def test_all(noisy, kind):
    problem = noisy[kind].split("validation")
    pairs = problem.all()
    assert problem.count == (None if pairs is None else len(pairs[0]))
    if kind not in DATA:
        assert pairs is None
        return
    x, y = pairs
    assert len(x) == len(y) > 1
    np.testing.assert_array_equal(y, problem.all()[1])
    clean = transformed(problem.operator, x)
    relative = np.linalg.norm(y - clean) / np.linalg.norm(clean)
    assert relative == pytest.approx(0.1, rel=4 / np.sqrt(2 * y.size))


@pytest.mark.long
@pytest.mark.parametrize("kind", cases(k for k in KINDS if k != "arrays"))
def test_spec_survives_json_and_gives_the_same_samples(noisy, kind):
    problem = noisy[kind]
    spec = json.loads(json.dumps(problem.to_spec()))
    rebuilt = Problem.from_spec(spec)
    assert type(rebuilt) is type(problem)
    assert rebuilt.to_spec() == spec
    for subset in SUBSETS:
        for a, b in zip(
            draw(problem.split(subset), jax.random.key(1)),
            draw(rebuilt.split(subset), jax.random.key(1)),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)


@pytest.mark.long
@pytest.mark.parametrize("kind", cases(k for k in KINDS if k != "arrays"))
def test_spec_without_noise_leaves_it_out_and_takes_defaults(problems, kind):
    spec = problems[kind].to_spec()
    assert "snr_db" not in spec
    assert Problem.from_spec(spec).snr_db is None
    needed = {"physics": spec["physics"]} if "physics" in spec else {}
    assert Problem.from_spec({"kind": spec["kind"], **needed}).to_spec()["seed"] == 0


@pytest.mark.long
@pytest.mark.parametrize("kind", cases(KINDS))
def test_seed_decides_the_physics(problems, kind):
    other = MAKERS[kind](seed=1)
    if kind == "arrays":
        assert not np.array_equal(other.samples[2], problems[kind].samples[2])
    else:
        assert other.to_spec() != problems[kind].to_spec()
        if kind in FIXED:
            return
        probe = jnp.ones(other.operator.shape[1])
        assert not np.allclose(transformed(other.operator, probe), transformed(problems[kind].operator, probe))


@pytest.mark.long
@pytest.mark.parametrize("kind", cases(KINDS))
def test_problem_is_an_argument_of_jit(noisy, kind):
    problem = noisy[kind].split("test")
    key = jax.random.key(2)
    for a, b in zip(draw(problem, key), problem.sample(key, 64), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)
    leaves, tree = jax.tree.flatten(problem)
    assert hash(tree) == hash(jax.tree.structure(noisy[kind].split("test")))
    assert jax.tree.unflatten(tree, leaves).subset == "test"


@pytest.mark.grid(4)
@pytest.mark.parametrize("kind", cases(KINDS))
def test_x64_changes_no_sample(noisy, kind):
    problem = noisy[kind]
    x, y = draw(problem, jax.random.key(9))
    with jax.enable_x64(True):
        x64, y64 = (np.asarray(a) for a in draw(problem, jax.random.key(9)))
        made = draw(MAKERS[kind](snr_db=20.0), jax.random.key(9))
        made = tuple(np.asarray(a) for a in made)
    assert {a.dtype for a in (x64, y64, *made)} == {np.dtype("float32")}
    np.testing.assert_array_equal(x, x64)
    np.testing.assert_array_equal(y, y64)
    np.testing.assert_allclose(x, made[0], atol=2e-6 * np.abs(x).max())
    np.testing.assert_allclose(y, made[1], atol=1e-5 * np.abs(y).max())


@pytest.mark.long
@pytest.mark.parametrize("kind", cases(KINDS))
def test_metrics_of_the_truth_and_of_zero(problems, kind):
    problem = problems[kind]
    x, _ = draw(problem, jax.random.key(0))
    exact, nothing = problem.metrics(x, x), problem.metrics(jnp.zeros_like(x), x)
    assert exact["nmse_db"] < -100
    assert exact["failures"] == 0
    assert nothing["nmse_db"] == pytest.approx(0, abs=1e-4)
    assert all(isinstance(value, float) for value in exact.values())


@pytest.mark.parametrize("kind", cases(KINDS))
def test_unknown_subset_is_refused(problems, kind):
    with pytest.raises(ValueError, match=r"expected one of .*'train', 'validation', 'test'.*got 'dev'"):
        problems[kind].split("dev")
