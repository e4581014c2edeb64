"""The certificate of the risk (G3a) of a trained network, for three ways of writing its weights down."""

from __future__ import annotations

import argparse
from pathlib import Path

import jax
import numpy as np

from unrollbit import load
from unrollbit.problems import Problem
from unrollbit.theory.generalization import G3a, clipped_losses, network_code
from unrollbit.training import training_set


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("network", type=Path, help="packed network with a fixed training set (samples = N)")
    packed = load(parser.parse_args().network)
    samples = None if packed.training is None else packed.training.get("samples")
    problem = None if packed.problem is None else Problem.from_spec(packed.problem)
    energy = None if problem is None else problem.energy
    if packed.training is None or problem is None or samples is None or energy is None:
        parser.error("expected a file with its problem, of known energy, and a fixed training set (samples = N)")
    net = packed.trainable()
    pairs = training_set(problem, packed.training["seed"], samples)
    x, y = problem.split("test").sample(jax.random.key(1), 20_000)
    forward = jax.jit(lambda net, y: net(y))
    losses = clipped_losses(np.asarray(forward(net, pairs.y)), np.asarray(pairs.x), energy)
    test = clipped_losses(np.asarray(forward(net, y)), np.asarray(x), energy)
    code = network_code(net)
    print(f"{samples:,} training signals: risk {losses.mean():.4f}; 20,000 fresh signals: {test.mean():.4f}")
    if code.flip_share is not None:
        print(f"signs that differ from those of A: {code.flip_share:.2%}")
    lengths = {"shortest code": code.bits, "signs as they are": code.raw_bits + 1, "float32": code.float32_bits}
    for name, bits in lengths.items():
        print(f"{name}: {bits:,.0f} bits, risk at most {G3a(losses, bits).bound:.3f}")


if __name__ == "__main__":
    main()
