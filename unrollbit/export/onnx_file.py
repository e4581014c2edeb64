"""Packed networks as files of ONNX, for its many runtimes."""

from __future__ import annotations

import os
from pathlib import Path


def export_onnx(path: str | os.PathLike[str], target: str | os.PathLike[str], dtype: str = "float32") -> Path:
    """Write the ONNX model of a packed network to a file, which is replaced.

    It maps ``y`` (batch, m) to ``x`` (batch, n), computes in float32, and unpacks the signs that it holds as bits.

    Args:
        path: a packed network, or the folder of its run.
        target: the file.
        dtype: of measurements and estimates: float32, float16 or bfloat16.

    Raises:
        ModuleNotFoundError: the package onnx is not installed.
        ValueError: the file is wrong, the dtype is none of these, or a part of the network has no ONNX: it is named.
    """
    content, target = onnx_bytes(path, dtype), Path(target)
    target.write_bytes(content)
    return target


def onnx_bytes(path: str | os.PathLike[str], dtype: str = "float32") -> bytes:
    """The content of such a file."""
    try:
        import onnx  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("ONNX is written with the package onnx: pip install unrollbit[export]") from error
    from unrollbit.export.onnx_program import onnx_model

    return onnx_model(path, dtype).SerializeToString()
