"""What unquantised training leaves behind reaches the quantised network, all of it, and survives a checkpoint."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import pytest
from flax import nnx

from unrollbit import AMP, Stage, Unrolled, fit
from unrollbit.formats import BitNet, LittleBit, OneBit, OneBitSVID, Ternary
from unrollbit.problems import SparseRecovery
from unrollbit.training.hand_over import hand_over
from unrollbit.variables import TRAINED, MatrixParam

PROBLEM = SparseRecovery(12, 24, seed=1)
FORMATS = {
    "OneBit": OneBit(),
    "OneBit, 2 planes": OneBit(planes=2),
    "Ternary": Ternary(),
    "BitNet": BitNet(),
    "OneBitSVID": OneBitSVID(),
    "LittleBit": LittleBit(bits_per_weight=4),
}


@pytest.mark.long
@pytest.mark.parametrize("name", FORMATS)
def test_the_scale_of_trained_matrices_is_handed_over(name: str) -> None:
    """Matrices that training has tripled give a quantised network of three times the scale."""
    net = Unrolled(AMP(), PROBLEM, 2, FORMATS[name])
    before = np.asarray(net.maps["W"].dense())
    work = net.unquantised()
    parameters = nnx.state(work, MatrixParam)
    # the start of the stand-in need not be the physics' matrix: what it is is handed over once first
    hand_over(net, work)
    once = np.asarray(net.maps["W"].dense())
    nnx.update(work, jax.tree.map(lambda leaf: 3 * leaf, parameters))
    hand_over(net, work)
    np.testing.assert_allclose(net.maps["W"].dense(), 3 * once, rtol=1e-2)  # BitNet stores its scale in 16 bits
    assert np.linalg.norm(once) > 0.3 * np.linalg.norm(before)


@pytest.mark.long
@pytest.mark.parametrize("weights", [Ternary(), BitNet()])
def test_a_run_resumed_after_the_hand_over_has_its_scale(weights, tmp_path, monkeypatch) -> None:
    """The unit of a format is no parameter, yet it is in the checkpoint of a later stage."""
    stages = [Stage(30, batch=8, quantised=False, rates={"matrices": 0.1}), Stage(4, batch=8)]
    run = partial(fit, problem=PROBLEM, stages=stages, chunk=2, checkpoint_seconds=0.0, progress=False)
    whole, resumed = (Unrolled(AMP(), PROBLEM, 2, weights) for _ in range(2))
    units = np.asarray(whole.maps["W"].variables["unit"][...])
    run(whole, out=tmp_path)
    assert not np.allclose(whole.maps["W"].variables["unit"][...], units, rtol=1e-2)
    run(resumed, out=tmp_path, resume=True)  # from the last checkpoint, which lies in the second stage
    for a, b in zip(
        jax.tree.leaves(nnx.state(whole, TRAINED)), jax.tree.leaves(nnx.state(resumed, TRAINED)), strict=True
    ):
        np.testing.assert_array_equal(a, b)
