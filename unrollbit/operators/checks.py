"""Checks of the arrays that operators are made of."""

from __future__ import annotations

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.values import is_known


def finite_array(name: str, values: Any, ndim: int) -> Array:
    """Return ``values`` as a floating array; raise ``ValueError`` unless real, finite, not empty, of ``ndim`` axes.

    Numbers of any byte order and integers are welcome; float64 stays where JAX has it. Of traced arrays only the axes
    are looked at.
    """
    if not is_known(values):
        if values.ndim != ndim:
            raise ValueError(f"{name}: expected a non-empty {ndim}-D array, got shape {values.shape}")
        return values
    if isinstance(values, str | os.PathLike):
        raise ValueError(f"{name}: expected an array, got the path {os.fspath(values)!r}; give numpy.load of it")
    try:
        host = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name}: expected a regular array, got rows of different lengths") from error
    if host.ndim != ndim or host.size == 0:
        raise ValueError(f"{name}: expected a non-empty {ndim}-D array, got shape {host.shape}")
    if np.iscomplexobj(host):
        raise ValueError(f"{name}: expected real entries; stack real and imaginary parts of a complex array")
    if not jnp.issubdtype(host.dtype, jnp.number) and host.dtype != bool:
        raise ValueError(f"{name}: expected numbers, got dtype {host.dtype}")
    double = jnp.issubdtype(host.dtype, jnp.floating) and host.dtype.itemsize >= 8
    dtype = jax.dtypes.canonicalize_dtype(np.float64 if double else np.float32)
    with np.errstate(over="ignore"):
        found = host.astype(dtype, copy=False)
    if not np.isfinite(found).all():
        raise ValueError(f"{name}: contains entries that are NaN, infinite or too large for {dtype.name}")
    return values if isinstance(values, jax.Array) and values.dtype == dtype else jnp.asarray(found)


def set_field(value: Any, name: str, content: Any) -> None:
    """Give a frozen dataclass, in its constructor, a field in the form that its methods expect."""
    object.__setattr__(value, name, content)
