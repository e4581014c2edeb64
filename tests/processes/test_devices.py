"""Large matrices and data on many devices: none of them holds a whole one."""

from __future__ import annotations

import pytest

SCRIPT = """
import math, re, warnings
import numpy as np
import unrollbit.training.placement
from flax import nnx
from unrollbit import AMP, OneBit, Stage, Unrolled, fit
from unrollbit.problems import SparseRecovery
from unrollbit.problems.random_crops import RandomCrops
from unrollbit.training.placement import Placement, shared_rows
from unrollbit.training.program import compiled_chunk
from unrollbit.training.run import TrainingRun
from unrollbit.variables import TRAINED

warnings.simplefilter("ignore")
assert jax.device_count() == 4
BATCH = 128


def largest(compiled):
    shapes = re.findall(r"[fsu][0-9]+\\[([0-9,]+)\\]", compiled.as_text())
    return max(math.prod(map(int, shape.split(","))) for shape in shapes)


def programs(run):
    program = run._program
    return program.lowered(run._at.state, run._source).compile()


def without(net, stage, problem, model_parallel):
    # the step of one device, compiled without any numbers
    placement = Placement(model_parallel)
    graph, trained, other, frozen = nnx.split(net, stage.types(), TRAINED, ...)
    moments = jax.eval_shape(stage.optimiser(trained).init, trained)
    state = placement.abstract({"trained": trained, "other": other, "optimiser": moments})
    step = compiled_chunk(graph, stage, 1.0, placement.mesh)
    return step.lower(state, placement.abstract(frozen), problem, None, jax.random.key(0), 0, 1).compile()


# a large tied matrix over four devices: what each of them would hold and compute
m = int(sys.argv[4])
n = 2 * m
huge = SparseRecovery(m, n, matrix="hadamard")
net = nnx.eval_shape(lambda: Unrolled(AMP(), huge, 2, OneBit(scale="row"), distinct=1))
step = without(net, Stage(2, batch=4), huge, 4)
memory, bytes_of_it = step.memory_analysis(), 4 * m * n
print("GiB:", memory.argument_size_in_bytes / 2**30, memory.temp_size_in_bytes / 2**30, largest(step) / (m * n))
assert largest(step) == m * n // 4, "an array of more than a quarter of it"
assert 0.75 * bytes_of_it < memory.argument_size_in_bytes < 0.76 * bytes_of_it, "latents and both moments of Adam"

# a smaller one trains
unrollbit.training.placement._WHOLE = 2**6  # entries, from which arrays are split
problem = SparseRecovery(32, 64, matrix="hadamard")
net = Unrolled(AMP(), problem, 2, OneBit(scale="row"), distinct=1)
(whole,) = {leaf.size for leaf in jax.tree.leaves(net.maps) if leaf.size >= 32 * 64}
run = TrainingRun(net, problem, [Stage(2, batch=4)], model_parallel=4)
large = [leaf for leaf in jax.tree.leaves((run._at.state, net.maps)) if leaf.size == whole]
assert len(large) == 4, "the latents, both moments of Adam, and what the network holds"
for leaf in large:
    assert [shard.data.size for shard in leaf.addressable_shards] == [whole // 4] * 4
report = fit(net, problem, Stage(2, batch=4), model_parallel=4, progress=False)
alone = Unrolled(AMP(), problem, 2, OneBit(scale="row"), distinct=1)
assert abs(report.nmse_db - fit(alone, problem, Stage(2, batch=4), progress=False).nmse_db) < 1e-3

# a batch that is drawn in four parts, fresh or from a fixed set that lies in four parts
small = SparseRecovery(12, 24, seed=1)
for samples in (None, 1_000):
    run = TrainingRun(Unrolled(AMP(), small, 2), small, [Stage(2, batch=BATCH)], samples=samples)
    assert largest(programs(run)) < (BATCH * 24 if samples is None else samples * 24), samples

# signals are those of one device, bit for bit
draw = jax.jit(lambda problem, key: shared_rows(run._placement.mesh, problem.sample(key, BATCH))[0])
assert np.array_equal(draw(small, jax.random.key(3)), small.sample(jax.random.key(3), BATCH)[0])
assert len(draw(small, jax.random.key(3)).addressable_shards[0].data) == BATCH // 4

# crops of photographs whose pixels lie in four parts: the crops of one device, bit for bit
crops = RandomCrops.of([np.random.RandomState(i).rand(70, 51).astype(np.float32) for i in range(3)], (8, 8))
placement = Placement()
split = placement.data(crops)
assert {shard.data.size for shard in split.pixels.addressable_shards} == {crops.pixels.size // 4}
draw = jax.jit(lambda crops, key: shared_rows(placement.mesh, crops(key, 16)))
assert np.array_equal(draw(split, jax.random.key(5)), crops(jax.random.key(5), 16))
assert largest(draw.lower(split, jax.random.key(5)).compile()) < crops.pixels.size
print("done", report.nmse_db)
"""


@pytest.mark.long
@pytest.mark.parametrize("m", [2**11, pytest.param(2**14, marks=pytest.mark.slow)])
def test_no_device_holds_what_is_split(team, m: int) -> None:
    """(2^14, 2^15) is 2 GiB in float32: each device has 0.5 GiB of it, and as much of each moment."""
    (output,) = team(SCRIPT, 1, m, flags="--xla_force_host_platform_device_count=4").finish()
    assert "done" in output
