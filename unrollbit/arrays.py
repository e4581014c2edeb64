"""How signals enter and leave: dtypes, byte orders and units."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def as_real(x: Any, what: str) -> Float[Array, "..."]:
    """``x`` as a real floating array of JAX: the one place where arrays of a user come in.

    Takes arrays of any library that has ``__array__`` (of any byte order and layout) and nested lists. Floats keep
    their width, as far as JAX has it (float64 becomes float32 without ``jax_enable_x64``); integers and booleans become
    float32.

    Raises ``TypeError`` for complex numbers and for what is no array of numbers, ``ValueError`` for ragged lists.
    """
    if not isinstance(x, jax.Array):
        x = _on_host(x, what)
    elif jnp.issubdtype(x.dtype, jnp.floating):
        return x
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise TypeError(
            f"{what}: expected real numbers, got dtype {x.dtype}; stack real and imaginary parts on the last axis, "
            "concatenate([x.real, x.imag], -1), as the operators here do with complex physics"
        )
    if jnp.issubdtype(x.dtype, jnp.floating):
        return x if isinstance(x, jax.Array) else jnp.asarray(x)  # asarray takes as long as a small network
    if jnp.issubdtype(x.dtype, jnp.integer) or x.dtype == bool:
        return jnp.asarray(x, jnp.float32)
    raise TypeError(f"{what}: expected an array of real numbers, got dtype {x.dtype}")


def as_signal(
    x: Any, size: int, what: str, letter: str, *, complex_physics: bool = False
) -> Float[Array, "*batch size"]:
    """``x`` as ``as_real`` gives it, after checking that its last axis has ``size`` entries.

    Args:
        x: signals or measurements; leading axes are batch axes.
        size: entries of the last axis.
        what: what the array is, for messages: ``"network(y)"``.
        letter: the name of ``size``, for messages: ``"m"``.
        complex_physics: complex ``x`` of ``size / 2`` entries is welcome: its real and imaginary parts are stacked.

    Raises:
        TypeError: complex numbers, or no array of numbers.
        ValueError: a wrong last axis.

    Example:
        >>> import numpy as np
        >>> as_signal(np.array([1, 2], ">i2"), 2, "network(y)", "m")
        Array([1., 2.], dtype=float32)
    """
    if complex_physics and np.issubdtype(getattr(x, "dtype", np.float32), np.complexfloating):
        x = np.concatenate([x.real, x.imag], -1) if isinstance(x, np.ndarray) else jnp.concatenate([x.real, x.imag], -1)
    x = as_real(x, what)
    if x.ndim == 0 or x.shape[-1] != size:
        raise ValueError(f"{what}: expected the last axis to have {letter} = {size} entries, got shape {x.shape}")
    return x


def widened(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """``x`` in the dtype that everything is computed in: its own, and at least float32.

    The dtype of the measurement decides: physics, maps and scalars are cast to it, and the result is given back in the
    dtype of the measurement (``result.astype(x.dtype)``).
    """
    return x if x.dtype.itemsize >= 4 else x.astype(jnp.float32)


def in_dtype(tree: Any, dtype: Any) -> Any:
    """The same pytree with its floating leaves in ``dtype``: a step keeps the dtypes of its state."""
    return jax.tree.map(
        lambda a: jnp.asarray(a, dtype) if jnp.issubdtype(jnp.result_type(a), jnp.floating) else a, tree
    )


def binary_unit(x: Float[Array, "..."], axis: int | tuple[int, ...] = -1) -> Float[Array, "..."]:
    """A power of two near the largest magnitude along ``axis`` (kept with length 1), and 1 for zeros.

    Dividing by it changes no digit, and squares of the quotient stay within the range of floats: what is computed in
    this unit is the same for volts and microvolts. No gradient passes.
    """
    largest = jnp.max(jnp.abs(jax.lax.stop_gradient(x)), axis=axis, keepdims=True)
    usable = (largest > 0) & jnp.isfinite(largest)
    info = jnp.finfo(x.dtype)
    bound = 2.0 ** (info.maxexp - 2)  # the reciprocal, too, is a normal float
    near = jax.lax.reduce_precision(jnp.clip(largest, 1 / bound, bound), exponent_bits=info.nexp, mantissa_bits=0)
    return jnp.where(usable, near, 1)


def over(values: Float[Array, "..."], size: Float[Array, "..."]) -> Float[Array, "..."]:
    """``values / size``, and the values themselves where the size is 0.

    Example:
        >>> over(jnp.array([3.0, 3.0]), jnp.array([2.0, 0.0])).tolist()
        [1.5, 3.0]
    """
    return values / jnp.where(size > 0, size, 1)


@functools.partial(jax.jit, static_argnames=("axis", "keepdims"))
def norm(x: Float[Array, "... n"], axis: int = -1, *, keepdims: bool = False) -> Float[Array, "..."]:
    """``||x||_2`` along ``axis``, without overflow or underflow of the squares; its gradient at 0 is 0.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> norm(jnp.array([3e-30, 4e-30])), jax.grad(norm)(jnp.zeros(2))
        (Array(5.e-30, dtype=float32), Array([0., 0.], dtype=float32))
    """
    unit = binary_unit(x, axis)
    square = jnp.sum(jnp.square(x * (1 / unit)), axis=axis, keepdims=True)
    length = unit * jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
    length = jnp.where(jnp.isnan(square), square, length)  # a signal of NaN has no norm, rather than the norm 0
    return length if keepdims else jnp.squeeze(length, axis)


def direction(v: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """``v / ||v||``; 0, with a zero gradient, for a vector that has none."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(v), axis=-1, keepdims=True))
    v = v / jnp.where(largest > 0, largest, 1.0)  # a vector that is not 0 has now a norm of at least 1
    square = jnp.sum(v * v, axis=-1, keepdims=True)
    return jnp.where(largest > 0, v * jax.lax.rsqrt(jnp.where(largest > 0, square, 1.0)), 0.0)


def same_array(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays have the same dtype, shape and entries."""
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)


def _on_host(x: Any, what: str) -> np.ndarray:
    try:
        array = np.asarray(x)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{what}: expected a regular array of numbers ({error})") from error
    except (TypeError, RuntimeError) as error:  # tensors of other libraries that NumPy cannot read
        raise TypeError(f"{what}: expected an array of real numbers, got {type(x).__name__} ({error})") from error
    if array.dtype == np.longdouble:
        return array.astype(np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def required(arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of a file that exists, has this shape and dtype, and is finite; ``ValueError`` otherwise."""
    if name not in arrays:
        raise ValueError(f"array {name!r} is missing")
    array = arrays[name]
    if array.shape != shape or array.dtype != np.dtype(dtype):
        raise ValueError(
            f"array {name!r}: expected shape {shape}, dtype {np.dtype(dtype)}; got {array.shape}, {array.dtype}"
        )
    if jnp.issubdtype(array.dtype, jnp.floating) and not np.isfinite(array).all():
        raise ValueError(f"array {name!r} has NaN or infinite entries")
    return array
