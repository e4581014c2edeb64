"""Certificates of trained networks, again and again: fixed training sets, fresh test signals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import ISTA, OneBit, Stage, Unrolled, fit
from unrollbit.problems import SparseRecovery
from unrollbit.theory.generalization import G1, G3a, G3b, clipped_losses, clopper_pearson, measured_gap, network_code
from unrollbit.training import training_set
from unrollbit.training.losses import LogNMSE


@pytest.mark.slow
def test_no_violation_in_repeated_trainings():
    problem = SparseRecovery(16, 24)
    trials, violated, gaps = 12, 0, []
    for seed in range(trials):
        net = Unrolled(ISTA(regularisation=0.1), problem, 5, OneBit(), distinct=1)
        rates = {"scalars": 1e-2, "scales": 1e-2, "signs": 1e-2}
        fit(net, problem, [Stage(300, rates=rates, loss=LogNMSE())], seed=seed, samples=200, progress=False)
        training = training_set(problem, seed, 200)
        x, y = problem.split("test").sample(jax.random.key(seed), 20_000)
        run = jax.jit(lambda net, y: net(y))
        c, bits = 24 * 0.1, network_code(net).bits
        losses = clipped_losses(np.asarray(run(net, training.y)), np.asarray(training.x), c)
        test = clipped_losses(np.asarray(run(net, jnp.asarray(y))), np.asarray(x), c)
        reports = [G(losses, bits, test_losses=test) for G in (G1, G3a, G3b)]
        violated += any(report.status == "violated" for report in reports)
        assert all(report.status != "not applicable" for report in reports)
        gaps.append(measured_gap(losses, test).gap / (reports[0].bound - losses.mean()))
    assert clopper_pearson(violated, trials)[0] <= 0.05
    assert -0.05 < np.median(gaps) < 0.5  # the certificates are far from the truth, on the safe side
