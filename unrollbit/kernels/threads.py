"""How many threads products in C take: those that XLA lends, and no more than XLA's flags allow."""

from __future__ import annotations

import functools
import os
import re

_SINGLE = re.compile(r"--xla_cpu_multi_thread_eigen=(\w+)")
_COUNT = re.compile(r"(?<!\w)(?:--)?intra_op_parallelism_threads=(\d+)")


@functools.cache  # XLA reads its flags once
def most_threads() -> int:
    """The most threads that a product may take, by the environment variable ``XLA_FLAGS``; 0: all threads of XLA.

    XLA lends a pool of as many threads as the process may use cores (``NPROC`` changes that), whatever its flags say:
    ``--xla_cpu_multi_thread_eigen=false`` and ``intra_op_parallelism_threads=n`` are read here.
    """
    return allowed(os.environ.get("XLA_FLAGS", ""))


def allowed(flags: str) -> int:
    """What flags of XLA say. Of a flag that is given twice, the last one counts.

    Example:
        >>> allowed("--xla_cpu_multi_thread_eigen=false"), allowed("intra_op_parallelism_threads=4"), allowed("")
        (1, 4, 0)
    """
    single, counts = _SINGLE.findall(flags), _COUNT.findall(flags)
    if single and single[-1].lower() in ("false", "0", "f", "no", "n"):
        return 1
    return int(counts[-1]) if counts else 0
