"""The camera of blocks: patterns from the training photographs, which a file of a network carries."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from unrollbit import FISTA, FullPrecision, Unrolled, load, pack
from unrollbit.cli.networks import problem_of
from unrollbit.operators import BlockPatterns, learned_patterns
from unrollbit.operators.pattern_design import block_moments
from unrollbit.operators.patterns import unexplained
from unrollbit.problems import BlockCamera, Problem
from unrollbit.problems.photographs import Photographs


@pytest.fixture(scope="module")
def problem() -> BlockCamera:
    return BlockCamera(size=16, block=8, patterns="hadamard", ratio=0.25)


def test_learned_patterns_know_the_training_photographs(problem: BlockCamera) -> None:
    photographs = Photographs.of(None)
    images = [photographs.read(name) for name in photographs.names("train")]
    assert problem.operator.patterns == 16
    C = block_moments(images, 8)
    assert unexplained(learned_patterns(images, 8, 16, steps=100).signs(), C) < unexplained(problem.operator.signs(), C)


@pytest.mark.long
def test_the_linear_estimate_is_a_picture(problem: BlockCamera) -> None:
    test = problem.split("test")
    x, y = test.image("camera")
    estimate = jax.jit(lambda A, y: A.linear_estimate(y))(test.operator, y)
    assert test.metrics(estimate, x)["psnr_db"] > test.metrics(0 * x, x)["psnr_db"] + 10


def test_a_file_brings_its_patterns(problem: BlockCamera, tmp_path) -> None:
    """Patterns that no search would find again."""
    signs = np.sign(np.random.RandomState(0).standard_normal((16, 64)))
    own = BlockCamera(size=16, block=8, patterns="learned", camera=BlockPatterns.of(signs, (8, 8), 8))
    net = Unrolled(FISTA(), own, 2, FullPrecision())
    pack(net, problem=own).save(tmp_path / "network.safetensors")
    found = problem_of(load(tmp_path / "network.safetensors"))
    assert found.operator == own.operator
    assert found.to_spec() == own.to_spec()
    assert Problem.from_spec(problem.to_spec()) == problem


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of the block"):
        BlockCamera(size=20, block=8)
    with pytest.raises(ValueError, match="patterns"):
        BlockCamera(size=16, block=8, patterns="random")
