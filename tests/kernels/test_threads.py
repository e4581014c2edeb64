"""Products in parts by several threads: the same bits for any number, and no wait for a thread that never comes."""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit.kernels import kernels, native, packed_matmul, threads

LEVELS = [path for path in native.LEVELS if path in kernels().available]
pytestmark = pytest.mark.skipif(not LEVELS, reason="no C extension")

TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
BEGIN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, TASK, ctypes.c_void_p)


class Team(ctypes.Structure):
    """``team_t``."""

    _fields_ = (("threads", ctypes.c_size_t), ("begin", BEGIN), ("lender", ctypes.c_void_p))


class Signs(ctypes.Structure):
    """``signs_t``."""

    _fields_ = (("bits", ctypes.c_void_p), *((name, ctypes.c_size_t) for name in ("size", "blocks", "rows", "columns")))
    _fields_ += (("row_bytes", ctypes.c_size_t),)


@pytest.fixture(scope="module")
def library():
    """The extension, called past XLA."""
    return ctypes.CDLL(str(next(Path(native.__file__).parent.glob("_signs*.so"))))


def shared(library, path: str, count: int, begin, bits: np.ndarray, x: np.ndarray, columns: int, transpose: bool):
    """A product by a team of ``count`` threads."""
    blocks, rows, row_bytes = bits.shape
    team = Team(count, BEGIN(begin), None)
    signs = Signs(bits.ctypes.data, bits.size, blocks, rows, columns, row_bytes)
    out = np.full((len(x), blocks * (columns if transpose else rows)), np.nan, np.float32)
    product = ctypes.cast(getattr(library, f"signs_product_{path}"), ctypes.c_void_p)
    places = (ctypes.c_void_p(x.ctypes.data), ctypes.c_size_t(len(x)), ctypes.c_void_p(out.ctypes.data))
    library.signs_product_shared(ctypes.byref(team), product, ctypes.byref(signs), int(transpose), *places)
    return out


def drawn(blocks: int, rows: int, columns: int, batch: int, transpose: bool) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.RandomState(rows + columns + batch)
    bits = random.randint(0, 256, (blocks, rows, -(-columns // 8)), np.uint8)
    x = random.standard_normal((batch, blocks * (rows if transpose else columns))).astype(np.float32)
    if batch > 1:
        x[batch // 2, 3] = np.inf  # takes a path of its own
        x[batch - 1] *= 1e-39  # denormal
    return bits, x


class Helpers:
    """Threads of Python that run what they are given, at once or when they are let."""

    def __init__(self, late: bool = False) -> None:
        self.late, self.started = late, []

    def begin(self, _: int, task, data: int) -> int:
        entry = ctypes.cast(task, ctypes.c_void_p)  # the object is only lent to this call
        self.started.append(threading.Thread(target=lambda: ctypes.cast(entry, TASK)(data)))
        if not self.late:
            self.started[-1].start()
        return 1

    def finish(self) -> None:
        for thread in self.started:
            if self.late:
                thread.start()
            thread.join()


CASES = {
    "rows, columns": (1, 5001, 4300, 1),
    "with few vectors": (1, 2100, 2600, 20),
    "with sets of vectors": (1, 600, 1124, 150),
    "blocks": (7, 640, 1000, 3),
}


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("path", [path for path in LEVELS if path != "plain"])
def test_any_number_of_threads_gives_the_same_bits(library, path, case, transpose):
    blocks, rows, columns, batch = CASES[case]
    bits, x = drawn(blocks, rows, columns, batch, transpose)
    one = shared(library, path, 1, lambda *_: pytest.fail("one thread is enough"), bits, x, columns, transpose)
    for count in (2, 3, 16):
        helpers = Helpers()
        found = shared(library, path, count, helpers.begin, bits, x, columns, transpose)
        helpers.finish()
        assert 1 <= len(helpers.started) < count
        assert np.array_equal(found.view(np.int32), one.view(np.int32))


@pytest.mark.parametrize("late", [False, True])
def test_threads_that_do_not_come_or_come_late_are_not_waited_for(library, late):
    bits, x = drawn(1, 3000, 3000, 4, False)
    one = shared(library, LEVELS[-1], 1, lambda *_: 0, bits, x, 3000, False)
    helpers = Helpers(late=True)
    found = shared(library, LEVELS[-1], 4, helpers.begin if late else lambda *_: 0, bits, x, 3000, False)
    assert np.array_equal(found, one, equal_nan=True)
    kept = found.copy()
    helpers.finish()  # after the product has returned, there is nothing left to do
    assert np.array_equal(found, kept, equal_nan=True)


def test_small_products_take_one_thread(library):
    bits, x = drawn(1, 512, 512, 1, False)
    shared(library, LEVELS[-1], 8, lambda *_: pytest.fail("not worth a thread"), bits, x, 512, False)


def test_products_under_xla_have_the_bits_of_one_thread(monkeypatch):
    """The pool has as many threads as there are cores."""
    bits, x = drawn(1, 3000, 3000, 3, False)

    def product(limit: int):
        monkeypatch.setattr(native, "most_threads", lambda: limit)
        compiled = jax.jit(lambda bits, x: packed_matmul(bits[None], x, 3000)).lower(jnp.asarray(bits), x).compile()
        return np.asarray(compiled(jnp.asarray(bits), x))

    assert np.array_equal(product(0), product(1), equal_nan=True)


@pytest.mark.parametrize(
    ("flags", "most"),
    [
        ("", 0),
        ("--xla_cpu_multi_thread_eigen=true", 0),
        ("--xla_cpu_multi_thread_eigen=false --xla_dump_to=x", 1),
        ("--xla_cpu_multi_thread_eigen=false --xla_cpu_multi_thread_eigen=1", 0),
        ("--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1", 1),
        ("--xla_a=b intra_op_parallelism_threads=3", 3),
        ("--intra_op_parallelism_threads=2", 2),
        ("--xla_intra_op_parallelism_threads=2", 0),
    ],
)
def test_flags_of_xla_say_how_many_threads_there_may_be(flags, most):
    assert threads.allowed(flags) == most


def test_the_limit_reaches_the_extension(monkeypatch):
    monkeypatch.setattr(native, "most_threads", lambda: 3)
    bits, x = drawn(1, 40, 40, 1, False)
    text = jax.jit(lambda bits, x: packed_matmul(bits[None], x, 40)).lower(jnp.asarray(bits), x).as_text()
    assert "threads = 3 : i64" in text
