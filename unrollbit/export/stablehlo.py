"""Packed networks as StableHLO, for JAX without this library."""

from __future__ import annotations

import os
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import export

from unrollbit.packed import load

PLATFORMS = ("cpu", "cuda", "tpu")
DTYPES = ("float32", "float16", "bfloat16")


def stablehlo(path: str | os.PathLike[str], dtype: str = "float32") -> bytes:
    """A packed network as a program of any number of signals: ``jax.export.deserialize(content).call(y)``.

    It maps ``y`` (batch, m) to estimates (batch, n) in the same dtype, computes in float32, runs on every platform of
    ``PLATFORMS``, holds sign matrices as bits, and needs JAX alone.

    Args:
        path: a packed network, or the folder of its run.
        dtype: of measurements and estimates: float32, float16 or bfloat16.

    Raises:
        ValueError: the file is wrong, or the dtype is none of these.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
    packed = load(path)
    (batch,) = export.symbolic_shape("batch")
    shape = jax.ShapeDtypeStruct((batch, packed.network.operator.shape[0]), jnp.dtype(dtype))
    return bytes(export.export(jax.jit(packed), platforms=PLATFORMS)(shape).serialize())


def export_stablehlo(path: str | os.PathLike[str], target: str | os.PathLike[str], dtype: str = "float32") -> Path:
    """Write ``stablehlo(path, dtype)`` to a file, which is replaced."""
    content, target = stablehlo(path, dtype), Path(target)
    target.write_bytes(content)
    return target
