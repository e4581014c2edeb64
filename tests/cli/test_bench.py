"""``unrollbit bench``: what it measures, and its rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit.cli import bench, bench_networks, bench_products, bench_timing
from unrollbit.cli.bench_timing import Timer, beyond_caches, extra_mebibytes, in_turn, read_bandwidth, take_threads
from unrollbit.kernels import kernels

NEEDED = {"path", "processor", "rows"}
ROW = {"matrix", "m", "n", "batch", "direction", "cache", "speedup", "relative_error", "extra_mib"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the command binds itself to one core."""
    command = [sys.executable, "-m", "unrollbit", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))


@pytest.mark.long
def test_the_command_measures_and_writes_its_rows(tmp_path):
    done = run("--quick", "--only", "products", "--sizes", "64", "--json", str(tmp_path / "bench.json"))
    assert done.returncode == 0, done.stderr
    assert kernels().path in done.stdout
    assert "speed-up" in done.stdout
    result = json.loads((tmp_path / "bench.json").read_text())
    assert set(result) >= NEEDED
    assert {row["matrix"] for row in result["rows"]} == {"64 x 64"}
    assert len(result["rows"]) == 2 * (2 + 1 + 1)  # single vectors in cold caches too
    for row in result["rows"]:
        assert set(row) >= ROW
        assert row["direction"] in ("forward", "transpose")
        assert row["cache"] in ("hot", "cold")
        assert row["speedup"] > 0
        assert row["relative_error"] < 2e-6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--kernels", "fast"), "--kernels: expected one of"), (("--json", "."), "expected a file")],
)
def test_mistakes_are_one_line(arguments, message):
    done = run("--quick", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_functions_take_turns_and_slow_ones_look_slow():
    calls: list[str] = []

    def work(name: str, size: int) -> None:
        calls.append(name)
        np.arange(size, dtype=np.float64).sum()

    seconds = Timer(0.05).compare({"quick": lambda: work("quick", 10), "slow": lambda: work("slow", 2_000_000)})
    assert seconds["slow"] > seconds["quick"] > 0
    assert calls.index("slow") < len(calls) - 1 - calls[::-1].index("quick")


def test_sleeping_is_not_working():
    seconds = Timer(0.05).compare({"asleep": lambda: time.sleep(0.02)})
    assert seconds["asleep"] < 0.01


def test_several_threads_are_timed_by_the_clock_on_the_wall():
    assert Timer(0.05, threads=2).compare({"asleep": lambda: time.sleep(0.02)})["asleep"] >= 0.02


def test_more_threads_than_cores_are_refused():
    with pytest.raises(ValueError, match="as many as there are cores, got 100000"):
        take_threads(100_000)


def test_cold_calls_go_round_copies_that_do_not_fit_the_caches(monkeypatch):
    assert 2**28 <= beyond_caches() <= 2**30
    monkeypatch.setattr(bench_timing, "beyond_caches", lambda: 10_001)
    matrix, seen = np.ones(3_000 // 8), []
    call = in_turn(seen.append, matrix)
    for _ in range(8):
        call()
    places = [id(copy) for copy in seen]
    assert seen[0] is matrix
    assert len(set(places)) == 4
    assert places[:4] == places[4:]
    assert all(np.array_equal(copy, matrix) for copy in seen[1:4])


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="not Linux")
def test_extra_memory_is_what_was_touched_and_given_back():
    def touch() -> None:
        np.ones(2**23)  # 64 MiB

    found = extra_mebibytes(touch)
    assert found is not None
    assert 60 < found < 80


@pytest.mark.long
def test_bandwidth_is_positive():
    assert read_bandwidth() > 1e8


@pytest.mark.parametrize("transpose", [False, True])
def test_the_yardsticks_compute_the_same_product(transpose):
    for case in (bench_products.Case(24, 40, 3), bench_products.Case(8, 16, 3, blocks=4)):
        random = np.random.RandomState(0)
        bits = random.randint(0, 256, (case.blocks, case.rows, case.columns // 8), np.uint8)
        x = random.standard_normal((3, case.shape[0 if transpose else 1])).astype(np.float32)
        wanted = bench_products.exact(jnp.asarray(bits), x, case, transpose)
        matrix = bench_products._floats(bits, case)
        for form in bench_products.float_forms(case, transpose).values():
            assert bench_products.relative_error(form(matrix, jnp.asarray(x)), wanted) < 1e-6
        packed = bench_products.packed(case.columns, transpose, kernels().path)
        assert bench_products.relative_error(packed(jnp.asarray(bits), jnp.asarray(x)), wanted) < 2e-6


@pytest.mark.long
def test_a_network_agrees_with_its_float32_form(monkeypatch):
    small = bench_networks.cases(quick=True)[0]._replace(m=16, n=32)
    learned = bench_networks.cases(quick=True)[2]._replace(m=16, n=32)
    monkeypatch.setattr(bench_networks, "cases", lambda quick: [small, learned])
    rows = list(bench_networks.measure(Timer(0.01), True, kernels().path))
    assert [row["network"] for row in rows] == ["signs, W = A", "Gaussian, one-bit W"]
    for row in rows:
        assert row["difference"] < 1e-5
        assert row["memory_ratio"] > 5
    bench.show([], rows)
