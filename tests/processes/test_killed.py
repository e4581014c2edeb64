"""Two processes that are killed again and again come to the end of those that never were."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from unrollbit.training.checkpoint import Checkpoints

KILLS, STEPS = 20, 400
SCRIPT = f"""
from pathlib import Path
import numpy as np
from unrollbit import ISTA, OneBit, Stage, Unrolled, fit
from unrollbit.problems import SparseRecovery

folder = Path(sys.argv[4])
problem = SparseRecovery(8, 16, seed=1)
net = Unrolled(ISTA(), problem, 1, OneBit())
stages = (Stage({STEPS // 2}, batch=4, quantised=False), Stage({STEPS // 2}, batch=4))
options = dict(out=folder / "run", chunk=3, checkpoint_seconds=0.0, resume=True, progress=False)
report = fit(net, problem, stages, **options)
np.save(folder / f"{{index}}.npy", np.concatenate([np.ravel(leaf).astype(np.float64) for leaf in jax.tree.leaves(net)]))
records = [{{name: value for name, value in record.items() if name != "seconds"}} for record in report.records]
(folder / f"{{index}}.txt").write_text(repr((records, report.nmse_db, report.kept_step)))
"""


def done(folder: Path) -> int:
    return max(Checkpoints(folder / "run" / "checkpoints").steps(), default=0)


@pytest.mark.slow
def test_killed_twenty_times(team, tmp_path: Path) -> None:
    """SIGKILL of one, the other, or both, at random moments: while they start, compile, train or save."""
    team(SCRIPT, 2, tmp_path / "plain").finish()
    killed, random = tmp_path / "killed", np.random.RandomState(0)
    reached = []
    for kill in range(KILLS):
        run = team(SCRIPT, 2, killed)
        left = STEPS - done(killed)
        target = done(killed) + random.randint(0, max(1, 2 * left // (KILLS - kill + 1)))  # 0: before it trains at all
        deadline = time.monotonic() + 1200
        while done(killed) < target:
            assert all(member.poll() is None for member in run.members), "they have ended by themselves"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.3))
        for index in ((0,), (1,), (0, 1))[random.randint(3)]:
            run.members[index].kill()
        run.end()
        reached.append(done(killed))
    print("killed after steps", reached)
    assert 0 < reached[KILLS // 2] < reached[-1] < STEPS, "killed while it trained"
    team(SCRIPT, 2, killed).finish()
    for index in range(2):
        for name in (f"{index}.npy", f"{index}.txt"):
            assert (killed / name).read_bytes() == (tmp_path / "plain" / name).read_bytes(), name
