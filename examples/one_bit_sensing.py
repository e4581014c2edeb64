"""One-bit compressive sensing: signs in, signs inside. A network of bits beside FISTA and BIHT.

    python examples/one_bit_sensing.py [--network FILE] [--signals N] [--json FILE]

Prints the NMSE of estimates and that of their directions (both vectors scaled to unit norm; signs do not tell the
length) on fresh test signals: of the shipped network, of FISTA with as many iterations and until it settles, with its
best weight, and of BIHT with its best number of non-zeros. Both are chosen on validation signals.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit import FISTA, load
from unrollbit.baselines import BIHT, Classic, tune
from unrollbit.metrics import nmse_db
from unrollbit.problems import OneBitCompressiveSensing, Problem

SHIPPED = Path(__file__).parent / "networks" / "one-bit-sensing.safetensors"
CONVERGED, TOLERANCE = 1000, 1e-5
NONZEROS = (0.75, 1.0, 1.25, 1.5, 2.0)  # of the expected number


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", type=Path, default=SHIPPED, help="a network for OneBitCompressiveSensing")
    parser.add_argument("--signals", type=int, default=2000, help="test signals (2000)")
    parser.add_argument("--json", type=Path, help="also write the figures as JSON")
    options = parser.parse_args()
    try:
        packed = load(options.network)
        problem = Problem.from_spec(packed.problem or {})
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if not isinstance(problem, OneBitCompressiveSensing):
        parser.error(f"--network: expected one for OneBitCompressiveSensing, got {type(problem).__name__}")
    if options.signals < 1:
        parser.error(f"--signals: expected a positive number, got {options.signals}")
    A, depth = problem.operator, packed.network.depth
    x, y = problem.split("test").sample(jax.random.key(0), options.signals)
    validation = problem.split("validation").sample(jax.random.key(0), 500)
    estimates = {}
    for name, iterations, tolerance in ((f"FISTA, {depth}", depth, 0.0), ("FISTA, converged", CONVERGED, TOLERANCE)):
        estimates[name] = tune(Classic(FISTA(), iterations, tolerance), A, *validation).baseline(A, y)
    for name, iterations in ((f"BIHT, {depth}", depth), ("BIHT, 500", 500)):
        counts = [max(1, round(factor * problem.sparsity * A.shape[1])) for factor in NONZEROS]
        best = min(counts, key=lambda k: direction(BIHT(k, 1.0, iterations)(A, validation[1]), validation[0]))
        estimates[name] = BIHT(best, problem.energy**0.5, iterations)(A, y)
    estimates[f"network, {options.network.stat().st_size:,} bytes"] = packed(y)
    figures = {name: (float(nmse_db(found, x)), direction(found, x)) for name, found in estimates.items()}
    print(f"{'':24s} {'NMSE, dB':>9s} {'of directions':>14s}")
    for name, (whole, angle) in figures.items():
        print(f"{name:24s} {whole:9.2f} {angle:14.2f}")
    print(f"{len(x)} test signals, {A.shape[0]} signs for {A.shape[1]} unknowns")
    if options.json is not None:
        options.json.write_text(json.dumps(figures))


def direction(found: Float[Array, "batch n"], x: Float[Array, "batch n"]) -> float:
    """NMSE in dB of vectors scaled to unit norm."""

    def unit(v: Float[Array, "batch n"]) -> Float[Array, "batch n"]:
        return v / jnp.maximum(jnp.linalg.norm(v, axis=-1, keepdims=True), 1e-30)

    return float(nmse_db(unit(found), unit(x)))


if __name__ == "__main__":
    main()
