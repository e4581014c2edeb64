"""Shapes and dtypes in signatures are enforced while tests run (``conftest.py``)."""

from __future__ import annotations

import warnings

import array_annotations
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from array_annotations import WrongAnnotation, announced
from jaxtyping import Array, Float, Int

from unrollbit.operators import gaussian
from unrollbit.signbits import unpack_signs


def test_a_wrong_dtype_or_a_wrong_type_is_refused_in_kernels():
    assert unpack_signs(jnp.zeros((2, 1), jnp.uint8), 3).shape == (2, 3)
    with pytest.raises(jaxtyping.TypeCheckError):
        unpack_signs(jnp.zeros((2, 1), jnp.int32), 3)
    with pytest.raises(jaxtyping.TypeCheckError):
        unpack_signs(jnp.zeros((2, 1), jnp.uint8), "3")  # type: ignore[arg-type]


def test_functions_of_the_library_are_compared():
    assert gaussian.__code__.co_filename == array_annotations.WRAPPER
    assert np.shape(gaussian(4, 8).dense()) == (4, 8)


@announced
def halves(
    x: Float[Array, "batch n"], start: float | Float[Array, ""] = 0.0
) -> tuple[Float[Array, " batch"], Int[Array, " n"]]:
    if not x.size:
        raise ValueError("empty")
    return x.sum(-1) / 2 + start, jnp.arange(x.shape[-1])


@announced
def wrong(x: Float[Array, "batch n"]) -> tuple[Float[Array, " batch"], Float[Array, " n"]]:
    return x.sum(-1), x.sum(-1)


def test_arrays_are_compared_after_a_call():
    assert halves(jnp.ones((2, 4)))[0].tolist() == [2, 2]
    assert halves(np.ones((2, 4), np.float32), np.float64(1.0))[0].tolist() == [3, 3]
    assert halves(jnp.ones((2, 4), jnp.int32))[0].tolist() == [2, 2]
    with pytest.raises(WrongAnnotation, match=r"halves: x: .*float32\[1, 2, 4\]"):
        halves(jnp.ones((1, 2, 4)))
    with pytest.raises(WrongAnnotation, match=r"halves: start: .*float32\[2\]"):
        halves(jnp.ones((2, 4)), jnp.ones(2))
    with pytest.raises(
        WrongAnnotation, match=r"wrong: return: its annotation says Float\[Any, .n.\], it was float32\[2\]"
    ):
        wrong(jnp.ones((2, 4)))
    with pytest.raises(ValueError, match="empty"):  # its own message comes first
        halves(jnp.ones((0, 4, 4)))


def test_warnings_name_the_same_line_as_without_it():
    @announced
    def warning(x: Float[Array, " n"]) -> None:
        warnings.warn("careful", stacklevel=2)

    with pytest.warns(UserWarning, match="careful") as caught:
        warning(jnp.ones(2))
    assert caught[0].filename == __file__
