"""Which test signals the demo's rows speak of."""

from __future__ import annotations

import numpy as np

from unrollbit.cli import demo_tasks


def test_baselines_are_measured_on_signals_of_the_whole_test_set(monkeypatch, tmp_path):
    """Data sets are ordered: the first signals are the tiles of one photograph."""
    seen = []

    def compare(problem, *, signals, **options):
        seen.append(signals)
        return []

    monkeypatch.setattr(demo_tasks, "compare", compare)
    monkeypatch.setattr(demo_tasks, "classic_solvers", lambda *arguments: [])
    task = demo_tasks.Task("patches", "classic", 0, tmp_path)
    problem = demo_tasks.problem_of(task)
    x, y, _ = demo_tasks.draw_test(problem, 1, demo_tasks.TEST_SIGNALS)
    demo_tasks._classic(task, problem, x, y)
    (rows, measured), wanted = map(np.asarray, seen[0]), np.asarray(x)
    places = [int(np.flatnonzero((wanted == row).all(1))[0]) for row in rows]
    assert len(rows) == len(measured)
    assert max(places) > len(wanted) - len(wanted) // len(rows) - 1
    assert np.diff(places).max() <= 2 * len(wanted) / len(rows)
