"""Kinds of a user's own, each in a file outside the library."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def own() -> Path:
    """The folder of the files."""
    return HERE
