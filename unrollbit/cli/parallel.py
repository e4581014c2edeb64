"""Many trainings side by side."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from unrollbit.extensions import import_extension, imported_extensions

DEFAULT_WORKERS = min(os.cpu_count() or 1, 4)


def in_parallel(
    run: Callable[[Any], Any],
    tasks: Sequence[Any],
    workers: int,
    describe: Callable[[Any], str],
    *,
    label: str = "training",
    followers: Callable[[Any], Sequence[Any]] = lambda outcome: (),
) -> Iterator[Any]:
    """Outcomes of ``run(task)`` as they finish, with a progress bar on stderr that prints ``describe(outcome)``.

    ``followers(outcome)`` are tasks that had to wait for it; they queue behind those that are there. Each worker is a
    process of its own with one thread, which trains small networks fastest. An exception (or an interrupt) ends all of
    them.
    """
    if not tasks:
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    wanted = {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()}
    wanted |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    kept, others = {name: os.environ.get(name) for name in wanted}, set(multiprocessing.active_children())
    os.environ.update(wanted)  # spawned processes inherit it
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # several processes share a GPU
    context = multiprocessing.get_context("spawn")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
    )
    with (
        ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(imported_extensions(),)) as pool,
        Progress(*columns, console=Console(stderr=True)) as bar,
    ):
        shown = bar.add_task(label, total=len(tasks))
        pending = [pool.submit(run, task) for task in tasks]
        try:
            while pending:
                finished = wait(pending, return_when=FIRST_COMPLETED).done
                ended = [future for future in pending if future in finished]
                outcomes = [future.result() for future in ended if not future.exception()]
                after = [task for outcome in outcomes for task in followers(outcome)]
                pending = [future for future in pending if future not in finished]
                pending += [pool.submit(run, task) for task in after]  # before this waits for who takes the outcomes
                bar.update(shown, total=(bar.tasks[0].total or 0) + len(after))
                for outcome in outcomes:
                    bar.console.print(describe(outcome), highlight=False, markup=False)
                    bar.update(shown, advance=1)
                    yield outcome
                for future in ended:
                    future.result()  # raises what one of them raised, now that the others are told
        except BrokenProcessPool as error:
            raise OSError("a worker process was killed (out of memory?); finished work is kept: run again") from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise
        finally:
            for name, value in kept.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def _begin(extensions: Sequence[str]) -> None:
    """A worker knows what its parent imported, and leaves an interrupt from the keyboard to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in extensions:
        import_extension(name)
