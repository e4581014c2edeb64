"""Packed Flax models: any NNX model whose quantised layers run from their bits."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from unrollbit.arguments import instance, shown
from unrollbit.arrays import required
from unrollbit.bits import BitReport, count_bits
from unrollbit.formats import PackedWeights
from unrollbit.models.layers import QuantisedLayer
from unrollbit.models.parts import by_name, kept_variables, quantised_layers, read_weights
from unrollbit.models.quantise import replaced
from unrollbit.packed import runtime
from unrollbit.packed.file import unstored, write_file
from unrollbit.packed.run import Run, facts_of


class PackedModel:
    """A Flax model with its quantised layers on packed bits; made by ``pack(model)`` or ``load(path, model)``.

    Calling it runs the model's own code, compiled; keyword arguments are static (``deterministic=True``). ``network``
    is that model, for a loop of one's own (generation with a cache, say): it does not train. ``trainable()`` gives one
    that does.

    Example:
        >>> from unrollbit import OneBit, pack, quantise
        >>> rngs = nnx.Rngs(0)
        >>> mlp = nnx.Sequential(*(nnx.Linear(64, 64, use_bias=False, rngs=rngs) for _ in range(3)))
        >>> pack(quantise(mlp, OneBit()))
        PackedModel(Sequential, 1 quantised matrix, 1.01 bits per weight)
    """

    def __init__(self, network: nnx.Module, run: Run | None = None, *, file: Path | None = None) -> None:
        """``network``: a model on packed bits; ``file``: where it was read."""
        self._network, self.run = network, Run() if run is None else run
        self._graph, self._state = nnx.split(network)
        self._written(file)

    def _written(self, file: Path | None) -> None:
        self.file = file
        self._file_bits = None if file is None else 8 * file.stat().st_size

    @property
    def network(self) -> nnx.Module:
        """The model on packed bits that calls run."""
        return self._network

    def __call__(self, *inputs: Any, **static: Any) -> Any:
        """``model(*inputs, **static)``; what the model writes into its own variables is lost."""
        return _run(self._graph, self._state, inputs, tuple(sorted(static.items())))

    def __repr__(self) -> str:
        report = self.bits()
        count = len(report.maps)
        rate = "" if report.bits_per_link is None else f", {report.bits_per_link:.3g} bits per weight"
        size = "" if report.file_bits is None else f", file of {report.file_bits // 8:,} bytes"
        matrices = f"{count} quantised matri{'x' if count == 1 else 'ces'}"
        return f"PackedModel({type(self.network).__name__}, {matrices}{rate}{size})"

    def trainable(self) -> Any:
        """The same model with weights that train (latents are the stored signs)."""
        return _read_again(self.network, frozen=False)

    def bits(self) -> BitReport:
        """Bit counts: by formula, and the size of the file once it is saved or loaded."""
        return count_bits(self.network, file_bits=self._file_bits)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one ``.safetensors`` file: packed weights, and all other variables in their own dtypes. An existing
        file is replaced only once the new one is complete. Equal models give equal bytes.
        """
        layers, kept = quantised_layers(self.network), kept_variables(self.network)
        packed = {name: layers[where].weights.pack() for name, where in by_name(layers).items()}
        arrays = {f"maps/{name}/{key}": a for name, one in packed.items() for key, a in one.arrays.items()}
        arrays |= {f"scalars/{name}": np.asarray(kept[where][...]) for name, where in by_name(kept).items()}
        specs = {name: one.spec for name, one in packed.items()}
        description = {"network": {"kind": runtime.MODEL}, "maps": specs, "physics": None, "fingerprint": None}
        self._written(file := write_file(Path(path), description, self.run.to_json(), arrays))
        return file


@functools.partial(jax.jit, static_argnums=(0, 3))
def _run(graph: Any, state: Any, inputs: tuple[Any, ...], static: tuple[tuple[str, Any], ...]) -> Any:
    return nnx.merge(graph, state)(*inputs, **dict(static))


def pack_model(model: Any, training: Mapping[str, Any] | None) -> PackedModel:
    """``pack`` of a Flax model."""
    model = instance("net", model, nnx.Module, "Unrolled(...) or a Flax model")
    return PackedModel(_read_again(model, frozen=True), Run(training=facts_of(training)))


def load_model(file: runtime.File, model: Any) -> PackedModel:
    """``load`` of a file of a Flax model into the model's code, which may be abstract (``nnx.eval_shape``)."""
    if model is None:
        raise ValueError(f"{file.path}: the weights of a Flax model, which its own code runs: load(path, model)")
    if not isinstance(model, nnx.Module):
        raise TypeError(f"model: expected the Flax model whose weights {file.path} holds, got {shown(model)}")
    with runtime.refusing(file.path):
        parts = runtime.parts_of(file.description, file.arrays)
        layers = {
            path: node
            for path, node in nnx.iter_modules(model)
            if isinstance(node, QuantisedLayer) or type(node) in QuantisedLayer.kinds
        }
        paths = by_name(layers)
        if unknown := sorted(set(parts.maps) - set(paths)):
            raise ValueError(
                f"the file has weights for {', '.join(unknown)}; the layers of the model: {', '.join(paths)}"
            )
        weights = {}
        for name, (spec, arrays) in parts.maps.items():
            packed = PackedWeights(spec, {key: unstored(array) for key, array in arrays.items()})
            weights[paths[name]] = _named(name, layers[paths[name]], packed)
        network = replaced(model, weights.__getitem__, weights)
        _fill(network, {name: unstored(array) for name, array in parts.scalars.items()})
    return PackedModel(network, Run(**file.run), file=file.path)


def _named(name: str, layer: Any, packed: PackedWeights) -> Any:
    try:
        return read_weights(layer, packed, frozen=True)
    except ValueError as error:
        raise ValueError(f"layer {name}: {error}") from error


def _fill(network: nnx.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Give the model all other variables, which must be exactly these."""
    kept = kept_variables(network)
    paths = by_name(kept)
    if set(paths) != set(arrays):
        only = {"the file": sorted(set(arrays) - set(paths)), "the model": sorted(set(paths) - set(arrays))}
        said = "; ".join(f"only {who} has {', '.join(names[:8])}" for who, names in only.items() if names)
        raise ValueError(f"expected the variables of the model: {said}")
    for name, path in paths.items():
        variable = kept[path]
        variable.set_value(jnp.asarray(required(arrays, name, variable.shape, variable.dtype)))


def _read_again(model: nnx.Module, *, frozen: bool) -> nnx.Module:
    """A copy of a model whose quantised weights are as a file would give them."""
    layers = quantised_layers(model)
    return replaced(model, lambda path: read_weights(layers[path], layers[path].weights.pack(), frozen=frozen), layers)
