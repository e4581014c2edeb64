"""Packed networks as ONNX, for its many runtimes."""

from __future__ import annotations

import os

import onnx
from onnx import TensorProto

from unrollbit.export.onnx_graph import Graph, Recorded
from unrollbit.export.onnx_products import recorded
from unrollbit.packed import runtime

DTYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}


def onnx_model(path: str | os.PathLike[str], dtype: str = "float32") -> onnx.ModelProto:
    """A packed network as a model from ``y`` (batch, m) to ``x`` (batch, n), both of a dtype; it computes in float32.

    Signs and trits are packed as in the file; the model unpacks them. Raises as ``export_onnx``.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
    file = runtime.network_file(path)
    network, graph = runtime.load(file), Graph()
    measured = graph.node("Cast", "y", to=TensorProto.FLOAT)
    with runtime.refusing(file):
        y = Recorded(graph, measured, (1, network.shape[0]))
        x = network.plan.run(network.products(recorded), y, recorded(network.operator))  # pyright: ignore
    return graph.model(DTYPES[dtype], x.name, network.shape)  # pyright: ignore[reportAttributeAccessIssue]
