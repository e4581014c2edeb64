"""Processes that train together, started by a test and ended with it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

BEGIN = """
import sys
import jax
count, index, port = map(int, sys.argv[1:4])
if count > 1:
    address = f"127.0.0.1:{port}"
    jax.distributed.initialize(address, count, index, coordinator_bind_address=address)
"""
PATIENCE = 1200.0  # seconds, of a machine that does much else


class Team:
    """``count`` processes that run one script: ``count`` and ``index`` are defined, arguments are ``sys.argv[4:]``."""

    def __init__(self, script: str, count: int, *arguments: object, flags: str = "") -> None:
        root = Path(__file__).resolve().parents[2]
        path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
        environment["XLA_FLAGS"] = f"{flags} {os.environ.get('XLA_FLAGS', '')}".strip()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.members = [
            subprocess.Popen(
                [sys.executable, "-c", BEGIN + script, str(count), str(index), str(port), *map(str, arguments)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for index in range(count)
        ]

    def finish(self) -> list[str]:
        """What they print, once all have ended well."""
        outputs, deadline = [], time.monotonic() + PATIENCE
        for member in self.members:
            outputs.append(member.communicate(timeout=max(1.0, deadline - time.monotonic()))[0])
        assert [member.returncode for member in self.members] == [0] * len(self.members), "\n".join(outputs)
        return outputs

    def send(self, number: signal.Signals, *indices: int) -> None:
        """A signal to some of them."""
        for index in indices:
            self.members[index].send_signal(number)

    def end(self) -> None:
        """Kill those that are left."""
        for member in self.members:
            with contextlib.suppress(ProcessLookupError):
                member.kill()
            member.wait()
            if member.stdout is not None:
                member.stdout.close()


@pytest.fixture(scope="module")
def team() -> Iterator[type[Team]]:
    """``team(script, count, *arguments)``: a ``Team``, whose processes end with the module at the latest."""
    started: list[Team] = []

    class Started(Team):
        def __init__(self, *arguments, **options) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    yield Started
    for each in started:
        each.end()
