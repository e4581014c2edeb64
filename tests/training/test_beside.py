"""The table at the end of ``fit``."""

import jax
import numpy as np
import pytest

from unrollbit import fit, recipes
from unrollbit.problems import SparseRecovery


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::unrollbit.training.ResultWarning")
def test_comparing_leaves_the_network_as_it_was_trained():
    problem = SparseRecovery(32, 64)
    _, y = problem.split("test").sample(jax.random.key(0), 16)
    estimates, reports = {}, {}
    for compare in (True, False):
        network, stages = recipes.designed_signs(problem, depth=2, steps=40)
        before = np.asarray(network(y))
        reports[compare] = fit(network, problem, stages, progress=False, compare=compare, keep="last")
        estimates[compare] = np.asarray(network(y))
        assert not np.array_equal(estimates[compare], before)
    np.testing.assert_array_equal(estimates[True], estimates[False])
    assert reports[True].nmse_db == reports[False].nmse_db
    rows = {row["method"]: row["nmse_db"] for row in reports[True].rows}
    assert rows["trained"] != rows["untrained"]
    assert not reports[False].rows
