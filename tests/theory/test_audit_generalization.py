"""Certificates of networks: the sample is that of the training, and what the flips of stored signs stand for."""

import jax
import numpy as np
import pytest

from unrollbit import ISTA, GradientDescent, OneBit, Unrolled
from unrollbit.formats import Normalised
from unrollbit.problems import BlockSparseRecovery, SparseRecovery
from unrollbit.theory import audit, generalization
from unrollbit.theory.generalization import clipped_losses, network_code
from unrollbit.training import training_set

SETTINGS = audit.Settings(test=500, sample=400)


def reports(net, problem, samples: int | None = 300):
    return {report.theorem: report for report in audit.generalization(net, problem, samples, 7, SETTINGS)}


@pytest.mark.long
def test_the_sample_is_that_of_the_training():
    problem = SparseRecovery(16, 24)
    net = Unrolled(ISTA(), problem, 3)
    sample = training_set(problem, 7, 300)
    losses = clipped_losses(np.asarray(net(sample.y)), np.asarray(sample.x), problem.energy)
    report = reports(net, problem)["G1"]
    assert report.bound == pytest.approx(generalization.G1(losses, network_code(net).bits).bound, rel=1e-6)
    fresh = reports(net, problem, samples=None)["G1"]
    assert report.bound is not None
    assert fresh.bound is not None
    assert fresh.bound < report.bound  # 400 signals in place of 300


@pytest.mark.long
def test_random_flips_of_cycled_matrices_are_shared_by_their_layers():
    problem = SparseRecovery(16, 24)
    found = reports(Unrolled(ISTA(), problem, 4, OneBit(scale="global"), distinct=2), problem)
    assert found["G3c"].status == "holds"


@pytest.mark.slow
def test_signs_that_normalise_columns_have_no_random_flips():
    problem = SparseRecovery(16, 24, matrix="rademacher")  # W D has one magnitude while W = A
    net = Unrolled(ISTA(), problem, 2, Normalised(OneBit()))
    assert network_code(net).entries
    report = reports(net, problem)["G3c"]
    assert not report.assumptions["a flipped sign changes no other entry of its matrices"]
    assert report.status == "not applicable"


@pytest.mark.long
def test_parts_are_compared_with_the_zero_estimate_part_by_part():
    problem = BlockSparseRecovery(4, 4, 6, sparsity=0.05)
    net = Unrolled(GradientDescent(), problem, 1)
    report = reports(net, problem, samples=20_000)["G5"]
    x, _ = problem.split("test").sample(jax.random.key(1), 4000)
    zero = np.minimum((np.asarray(x).reshape(-1, 4, 6) ** 2).sum(-1) * 4 / problem.energy, 1).mean()
    assert report.status == "holds"
    assert report.vacuous == (report.bound >= zero)
