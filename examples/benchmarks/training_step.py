"""Time of a training step: this library against the same step written plainly in PyTorch, one thread each.

The network: 16 untied layers of the AMP cell with Bernoulli-Gaussian shrinkage and one-bit matrices (256, 512). The
step: draw a batch of 128 signals, forward, backward (straight-through signs), clipped gradients, Adam with a warm-up
cosine schedule. The library runs its own training program (``unrollbit.training.program``), many steps per dispatch.
Both sides first have to agree on loss and gradients for the same parameters and data, then take turns on one core.

    pip install -e .[benchmarks]
    python examples/benchmarks/training_step.py [--quick] [--json FILE]
"""

from __future__ import annotations

import os

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"
if hasattr(os, "sched_setaffinity"):  # before the libraries start their threads
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

from unrollbit import AMP, Normalised, OneBit, Stage, Unrolled
from unrollbit.problems import SparseRecovery
from unrollbit.training import LayerwiseLogNMSE
from unrollbit.training.program import Program

DEPTH, M, N, BATCH, SPARSITY = 16, 256, 512, 128, 0.1
RATES = {"scalars": 1e-2, "signs": 1e-3}
BETAS, CLIP, FLOOR, LAST, TOTAL = (0.9, 0.99), 5.0, 1e-13, 4.0, 1000
TOLERANCE = 1e-3  # of gradients; the sums run in another order
SCALARS = ("step", "momentum", "memory", "gain", "log_odds", "noise")
POSITIVE = {"step", "gain", "noise"}  # held as logarithms


class Sign(torch.autograd.Function):
    """``sign(w)`` with ``sign(0) = +1`` and the straight-through gradient."""

    @staticmethod
    def forward(ctx: Any, w: torch.Tensor) -> torch.Tensor:
        return torch.where(w >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0]


class PlainNetwork(torch.nn.Module):
    """The cell of ``unrollbit.AMP``, layer by layer."""

    A: torch.Tensor

    def __init__(self, A: np.ndarray, latents: np.ndarray, scalars: dict[str, np.ndarray], column_scale: bool) -> None:
        super().__init__()
        self.register_buffer("A", torch.tensor(A))
        self.column_scale = column_scale
        self.latents = torch.nn.ParameterList([torch.tensor(latent) for latent in latents])
        self.raw = torch.nn.ParameterDict({name: torch.tensor(value) for name, value in scalars.items()})

    def forward(self, y: torch.Tensor) -> list[torch.Tensor]:
        A = self.A
        s = {name: raw.exp() if name in POSITIVE else raw for name, raw in self.raw.items()}
        x = previous = y.new_zeros(len(y), N)
        v, estimates = torch.zeros_like(y), []
        for k in range(DEPTH):
            W = Sign.apply(self.latents[k])
            v = y - x @ A.T + s["memory"][k] * v
            correction = v @ W / ((W * A).sum(0) if self.column_scale else M)
            u = x + s["step"][k] * correction + s["momentum"][k] * (x - previous)
            tau = torch.sqrt((v * v).mean(-1, keepdim=True) + 1e-20)
            previous, x = x, self.shrink(u, tau, s["gain"][k], s["log_odds"][k], s["noise"][k])
            estimates.append(x)
        return estimates

    @staticmethod
    def shrink(
        u: torch.Tensor, tau: torch.Tensor, gain: torch.Tensor, log_odds: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        t = torch.clamp(noise * tau, min=1e-6)
        wiener = 1 / (1 + t**2)
        evidence = gain * wiener * (u / t) ** 2 / 2
        return u * wiener * torch.sigmoid(evidence - log_odds - torch.log1p(1 / t**2) / 2)


def plain_loss(estimates: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """``LayerwiseLogNMSE``."""
    energy = (x * x).sum()
    logs = [torch.log10(((estimate - x) ** 2).sum() / energy + FLOOR) for estimate in estimates]
    return sum(logs[:-1], LAST * logs[-1])


class PlainTraining:
    """The step in PyTorch: draw, forward, backward, clip, Adam."""

    def __init__(self, net: PlainNetwork, *, fused: bool) -> None:
        self.net = net
        self.groups = [list(net.raw.parameters()), list(net.latents.parameters())]
        rates = (RATES["scalars"], RATES["signs"])
        groups = [{"params": group, "lr": rate} for group, rate in zip(self.groups, rates, strict=True)]
        self.optimiser = torch.optim.Adam(groups, betas=BETAS, fused=fused)
        warmup = round(0.02 * TOTAL)
        rise = torch.optim.lr_scheduler.LinearLR(self.optimiser, 1e-3, 1.0, warmup)
        fall = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, TOTAL - warmup)
        self.schedule = torch.optim.lr_scheduler.SequentialLR(self.optimiser, [rise, fall], [warmup])

    def run(self, count: int) -> float:
        loss = torch.zeros(())
        for _ in range(count):
            x = torch.where(torch.rand(BATCH, N) < SPARSITY, torch.randn(BATCH, N), 0.0)
            y = x @ self.net.A.T
            self.optimiser.zero_grad()
            loss = plain_loss(self.net(y), x)
            loss.backward()
            for group in self.groups:
                torch.nn.utils.clip_grad_norm_(group, CLIP)
            self.optimiser.step()
            self.schedule.step()
        return loss.item()


class LibraryTraining:
    """The step of the library, ``count`` steps in one dispatch."""

    def __init__(self, net: Unrolled, problem: SparseRecovery) -> None:
        stage = Stage(TOTAL, rates=RATES, batch=BATCH, betas=BETAS, clip=CLIP)
        self.program = Program(net, stage, jax.random.key(0), None)
        self.problem, self.state, self.step = problem, self.program.start(), 0

    def run(self, count: int) -> float:
        self.state, losses, *_ = self.program.run(self.state, self.problem, self.step, count)
        self.step += count
        return float(jax.block_until_ready(losses)[count - 1])


def build(column_scale: bool) -> tuple[SparseRecovery, Unrolled, PlainNetwork]:
    """The same network on both sides: signs of A, columns normalised or divided by m."""
    problem = SparseRecovery(M, N, SPARSITY)
    rng = np.random.RandomState(0)
    start = rng.standard_normal((DEPTH, M, N)).astype(np.float32) / 16 + np.asarray(problem.operator.dense())
    if column_scale:
        net = Unrolled(AMP(), problem, DEPTH, Normalised(OneBit(scale="none")))
        one_bit: Any = net.maps["W"].leaf
    else:
        net = Unrolled(AMP(), problem, DEPTH, OneBit())
        one_bit = net.maps["W"]
        logs = one_bit.variables["log_scales"]
        logs[...] = jnp.full(logs[...].shape, -np.log(M))
    one_bit.variables["signs"][...] = jnp.asarray(start[:, None])
    scalars = {name: np.asarray(net.scalars[name][...]) for name in SCALARS}
    return problem, net, PlainNetwork(np.asarray(problem.operator.dense()), start, scalars, column_scale)


def disagreement(problem: SparseRecovery, net: Unrolled, plain: PlainNetwork) -> dict[str, float]:
    """Relative differences of loss and gradients (Euclidean norm, per variable) on the same batch."""

    @nnx.jit
    @nnx.value_and_grad
    def library(net: Unrolled, x: jax.Array, y: jax.Array) -> jax.Array:
        return LayerwiseLogNMSE(LAST, FLOOR)(net(y, iterates=True), x, None)

    x, y = problem.sample(jax.random.key(7), BATCH)
    value, gradients = library(net, x, y)
    weights = gradients["maps"]["W"]
    latents = weights.get("inner", weights)["variables"]["signs"][...]
    theirs = plain_loss(plain(torch.tensor(np.asarray(y))), torch.tensor(np.asarray(x)))
    theirs.backward()
    result = {"loss": abs(float(value) - theirs.item()) / abs(theirs.item())}
    pairs = {name: (gradients["scalars"][name][...], plain.raw[name].grad) for name in SCALARS}
    pairs["latents"] = (latents[:, 0], torch.stack([latent.grad for latent in plain.latents]))
    for name, (mine, other) in pairs.items():
        reference = other.numpy().astype(np.float64)
        result[name] = float(np.linalg.norm(np.asarray(mine) - reference) / np.linalg.norm(reference))
    plain.zero_grad()
    return result


def measure(column_scale: bool, repetitions: int, steps: int) -> dict[str, Any]:
    """Agreement, then milliseconds per step of all sides in turn."""
    problem, net, plain = build(column_scale)
    differences = disagreement(problem, net, plain)
    name, worst = max(differences.items(), key=lambda item: item[1])
    label = "normalised columns" if column_scale else "one scale per layer"
    print(f"{label}: largest relative difference of loss and gradients {worst:.1e} ({name})", flush=True)
    if not worst <= TOLERANCE:
        sys.exit(f"the two sides compute different things: {differences}")
    _, _, second = build(column_scale)
    sides = {
        "library": LibraryTraining(net, problem),
        "pytorch": PlainTraining(plain, fused=False),
        "pytorch, fused Adam": PlainTraining(second, fused=True),
    }
    for side in sides.values():
        side.run(steps)  # compiles, warms up
    clocks = {"wall": time.perf_counter, "cpu": time.process_time}  # equal on an idle machine
    times: dict[str, dict[str, list[float]]] = {side: {clock: [] for clock in clocks} for side in sides}
    for _ in range(repetitions):
        for side, training in sides.items():
            began = {clock: read() for clock, read in clocks.items()}
            training.run(steps)
            for clock, read in clocks.items():
                times[side][clock].append(1e3 * (read() - began[clock]) / steps)
    rows = {}
    for side in sides:
        rows[side] = {f"{clock}_ms": statistics.median(times[side][clock]) for clock in clocks}
        for clock in clocks:
            rows[side][f"{clock}_ratio"] = rows[side][f"{clock}_ms"] / rows["library"][f"{clock}_ms"]
    return {"network": label, "relative_differences": differences, "median": rows, "all_ms": times}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    repetitions, steps = (3, 5) if options.quick else (11, 20)
    results = [measure(column_scale, repetitions, steps) for column_scale in (True, False)]

    size = f"{DEPTH} one-bit layers ({M}, {N}), batch {BATCH}"
    print(f"\n{size}: milliseconds per training step, median of {repetitions} x {steps} steps, one thread each")
    print("ratio: time of the side over that of the library")
    print(f"{'network':<22}{'side':<22}{'ms':>8}{'ratio':>8}{'CPU ms':>10}{'ratio':>8}")
    for result in results:
        for side, row in result["median"].items():
            wall, cpu = (
                f"{row['wall_ms']:>8.1f}{row['wall_ratio']:>8.2f}",
                f"{row['cpu_ms']:>10.1f}{row['cpu_ratio']:>8.2f}",
            )
            print(f"{result['network']:<22}{side:<22}{wall}{cpu}")
    if options.json is not None:
        versions = {"jax": jax.__version__, "torch": torch.__version__}
        record = {"setting": size, "repetitions": repetitions, "steps": steps, "versions": versions, "results": results}
        options.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
