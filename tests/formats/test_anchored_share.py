"""Where V of ``W = A + V`` starts: at a share of the start of its map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import Unrolled, load, pack
from unrollbit.algorithms import ADMM, AMP, ISTA
from unrollbit.formats import Anchored, Fixed, FullPrecision, OneBit
from unrollbit.operators import gaussian


@pytest.mark.long
@pytest.mark.parametrize("algorithm", [ISTA(), AMP(), ADMM()])
def test_without_a_share_signs_start_at_the_solver_and_train(algorithm: Any, tmp_path: Path) -> None:
    A = gaussian(6, 10)
    y = jnp.asarray(np.random.RandomState(0).standard_normal((4, 6)), jnp.float32)
    start = Unrolled(algorithm, A, 4, Fixed(), distinct=1)(y)
    net = Unrolled(algorithm, A, 4, Anchored(OneBit(), share=0.0), distinct=1)
    np.testing.assert_allclose(net(y), start, rtol=1e-5, atol=1e-6)
    pack(net).save(tmp_path / "network.safetensors")
    read = load(tmp_path / "network.safetensors")
    assert read.trainable().maps["W"].format == Anchored(OneBit(), share=0.0)
    np.testing.assert_allclose(read(y), start, rtol=1e-4, atol=1e-5)
    assert jnp.abs(Unrolled(algorithm, A, 4, Anchored(OneBit()), distinct=1)(y) - start).max() > 1e-3
    weights = net.maps["W"]
    floats = weights.unquantised(FullPrecision())
    V = np.random.RandomState(1).choice([-0.5, 0.5], weights.shape).astype(np.float32)
    trained = floats.rebuild(weights.dense() + V)
    np.testing.assert_allclose(weights.quantised_from(trained).dense(), trained.dense(), atol=1e-5)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_is_a_part(share: float) -> None:
    with pytest.raises(ValueError, match="share: expected a number from 0 to 1"):
        Anchored(OneBit(), share=share)
