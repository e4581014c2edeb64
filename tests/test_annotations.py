"""Shapes and dtypes in signatures are enforced while tests run (``conftest.py``)."""

from __future__ import annotations

import jax.numpy as jnp
import jaxtyping
import pytest

from unrollbit.signbits import unpack_signs


def test_a_wrong_dtype_or_a_wrong_type_is_refused():
    assert unpack_signs(jnp.zeros((2, 1), jnp.uint8), 3).shape == (2, 3)
    with pytest.raises(jaxtyping.TypeCheckError):
        unpack_signs(jnp.zeros((2, 1), jnp.int32), 3)
    with pytest.raises(jaxtyping.TypeCheckError):
        unpack_signs(jnp.zeros((2, 1), jnp.uint8), "3")  # type: ignore[arg-type]
