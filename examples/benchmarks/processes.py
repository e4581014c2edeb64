"""What several processes send in a training step, beside what they compute; measured here and extrapolated.

The network: 16 layers of the AMP cell with one-bit matrices (256, 512), tied or one a layer. Each of P processes on
this machine (CPU, gloo) trains with its own core, if there are as many. Per step and process: work (the program of one
device, timed), bytes that are sent (read off the compiled program), time of the all-reduce of as many bytes alone.

    python examples/benchmarks/processes.py [--processes 1 2 4] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

M, N, DEPTH, BATCH, STEPS, REPEATS = 256, 512, 16, 64, 5, 4
LINKS = {"10 Gb/s Ethernet": (1.25e9, 50e-6), "100 Gb/s": (12.5e9, 10e-6), "400 Gb/s": (50e9, 5e-6)}  # bytes/s, s
BYTES = {"f32": 4, "s32": 4, "u32": 4, "pred": 1, "u8": 1}


def all_reduce_seconds(count: int, size: float, bandwidth: float, latency: float) -> float:
    """``2 (P - 1) / P size / bandwidth + 2 log2(P) latency``: halving and doubling (Thakur et al., 2005)."""
    return 2 * (count - 1) / count * size / bandwidth + 2 * math.log2(count) * latency


def reduced_bytes(text: str) -> int:
    """Bytes of all all-reduces of a compiled program: those of a step, and of one loss more."""
    lines = [line.split("=", 1)[1].split("all-reduce", 1)[0] for line in text.splitlines() if " all-reduce(" in line]
    shapes = [shape for line in lines for shape in re.findall(r"(\w+)\[([\d,]*)\]", line)]
    return sum(BYTES[kind] * math.prod(int(side) for side in sides.split(",") if side) for kind, sides in shapes)


def best(run: Any) -> float:
    """The quickest of some: others share the machine."""
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return min(times)


def measured(count: int, index: int, address: str) -> list[dict[str, Any]]:
    """Of one process: the figures of both networks."""
    import jax

    if count > 1:
        jax.distributed.initialize(address, count, index, coordinator_bind_address=address)
    import jax.numpy as jnp
    import numpy as np

    from unrollbit import AMP, OneBit, Stage, Unrolled
    from unrollbit.problems import SparseRecovery
    from unrollbit.training.placement import Placement
    from unrollbit.training.program import Program

    problem, placement, rows = SparseRecovery(M, N), Placement(), []
    source = placement.data(problem)
    for name, distinct in (("tied", 1), ("one matrix a layer", DEPTH)):
        net = Unrolled(AMP(), problem, DEPTH, OneBit(), distinct=distinct)
        program = Program(net, Stage(100, batch=BATCH * count), jax.random.key(0), None, placement=placement)
        state = program.start()
        sent = reduced_bytes(program.lowered(state, source).compile().as_text())

        def steps(number: int, program: Any = program, state: Any = state) -> None:
            jax.block_until_ready(program.run(state, source, 0, number))

        steps(1)
        step = best(lambda: steps(STEPS)) / STEPS
        vector = placement.rows(np.zeros((count, max(sent // 4, 1)), np.float32))
        total = jax.jit(lambda v: jnp.sum(v, axis=0), out_shardings=placement.state(np.zeros(1)).sharding)
        alone = best(lambda: jax.block_until_ready(total(vector)))  # noqa: B023
        row = {"network": name, "processes": count, "signals": BATCH * count, "step_ms": 1e3 * step, "sent_bytes": sent}
        rows.append({**row, "all_reduce_ms": 1e3 * alone if count > 1 else 0.0})
    return rows


def together(count: int) -> list[dict[str, Any]]:
    """The figures of ``count`` processes: those that the first has measured."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    commands = [[sys.executable, __file__, "--one", str(count), str(index), address] for index in range(count)]
    members = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for command in commands]
    outputs = [member.communicate()[0] for member in members]
    if any(member.returncode for member in members):
        raise SystemExit("a process has failed")
    return json.loads(outputs[0].decode().splitlines()[-1])


def extrapolated(row: dict[str, Any]) -> list[str]:
    """Share of a step that 2, 16 and 256 hosts would spend on sending, each with this machine's work per step."""
    work = row["step_ms"] / 1e3
    shares = []
    for bandwidth, latency in LINKS.values():
        sent = [all_reduce_seconds(hosts, row["sent_bytes"], bandwidth, latency) for hosts in (2, 16, 256)]
        shares.append(" ".join(f"{100 * s / (s + work):5.1f} %" for s in sent))
    return shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(int(options.one[0]), int(options.one[1]), options.one[2])))
        return
    rows = [row for count in options.processes for row in together(count)]
    print(f"{'network':20} {'P':>3} {'signals':>8} {'step':>10} {'sent':>12} {'all-reduce alone':>17}")
    for row in rows:
        figures = f"{row['step_ms']:7.1f} ms {row['sent_bytes']:10} B {row['all_reduce_ms']:14.2f} ms"
        print(f"{row['network']:20} {row['processes']:3} {row['signals']:8} {figures}")
    print("\nshare of a step spent on sending, by formula, on 2, 16 and 256 hosts")
    for row in rows:
        if row["processes"] == min(count for count in options.processes if count > 1):
            alone = next(r for r in rows if r["network"] == row["network"] and r["processes"] == min(options.processes))
            for link, shares in zip(LINKS, extrapolated({**row, "step_ms": alone["step_ms"]}), strict=True):
                print(f"{row['network']:20} {link:18} {shares}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
