"""What a command is at: a line that spins on a terminal, a line for each step elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from unrollbit.baselines.comparison import Tell


@contextmanager
def telling() -> Iterator[Tell]:
    """``tell(words)``: what begins now, on stderr."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True)
    if console.is_terminal:
        with console.status("loading") as status:
            yield lambda words: status.update(escape(words))
    else:
        yield lambda words: console.print(words, highlight=False, markup=False, soft_wrap=True)
