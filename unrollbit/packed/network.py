"""Packed networks: what a trained network is shipped as, and runs from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, overload

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Num

from unrollbit.arguments import choice, shown
from unrollbit.arrays import as_signal
from unrollbit.bits import BitReport, count_bits
from unrollbit.formats import PackedWeights
from unrollbit.kernels import Compiled
from unrollbit.networks import LastStep, Network, local_sizes, sizes
from unrollbit.networks.parts import Parts
from unrollbit.operators import LinearOperator
from unrollbit.packed import runtime
from unrollbit.packed.error_bar import ErrorBar, Of, Recovered
from unrollbit.packed.file import extract_arrays, unstored, write_file
from unrollbit.packed.flips import code_signs, decode_signs
from unrollbit.packed.model import PackedModel, load_model, pack_model
from unrollbit.packed.run import Run, fingerprint


class PackedNetwork:
    """A network with its weights as packed bits; made by ``pack(net)`` or ``load(path)``.

    Calling it runs on the bits: no float copy of a packed matrix exists, and the bits are held once. ``network`` is
    that frozen network (calls do not see what is written into it), ``trainable()`` gives one that ``fit`` accepts and
    that can be changed and packed. ``run`` is what the file says about how the network came about.

    Example:
        >>> from unrollbit import AMP, Unrolled
        >>> from unrollbit.operators import gaussian
        >>> pack(Unrolled(AMP(), gaussian(8, 16), depth=4))
        PackedNetwork(AMP, 4 layers, Dense 8 x 16, W: OneBit, 2.75 bits per link)
    """

    def __init__(self, network: Network, run: Run | None = None, *, file: Path | None = None) -> None:
        """``network`` runs on packed bits (``Network.from_parts(..., frozen=True)``); ``file`` is where it was read."""
        self._network, self.run = network, Run() if run is None else run
        self._call = Compiled(_forward, network)
        # what every call checks, found once: asking the physics takes as long as a tenth of a small network
        self._measurements, self._complex = network.operator.shape[0], network.operator.complex_physics
        self._written(file)

    def _written(self, file: Path | None) -> None:
        self.file = file
        self._file_bits = None if file is None else 8 * file.stat().st_size

    @property
    def network(self) -> Network:
        """The frozen network that calls run."""
        return self._network

    @property
    def measured(self) -> list[float]:
        """The fingerprint of the physics that measures, of which the network may hold another form."""
        return self.run.fingerprint or fingerprint(self.network.operator)

    @property
    def problem(self) -> dict[str, Any] | None:
        """The recipe of the problem that the network was trained on, or None."""
        return self.run.problem

    @property
    def training(self) -> dict[str, Any] | None:
        """Facts about the training, or None."""
        return self.run.training

    def __call__(self, y: Num[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        """Recover ``x`` from measurements, compiled end to end: in one call of the C extension where signals are few
        and all that layers do is on its tape (``unrollbit.kernels.tape``), by XLA else.
        """
        return self._call(as_signal(y, self._measurements, "network(y)", "m", complex_physics=self._complex))

    @property
    def certificates(self) -> dict[str, Any] | None:
        """What is certified of the network on fresh signals (``unrollbit calibrate``), or None."""
        return self.run.certificates

    def certified(self, certificates: dict[str, Any] | None) -> PackedNetwork:
        """The same network with other certificates; raises ``ValueError`` for such as no file could hold."""
        if certificates is not None:
            runtime.check_certificates(certificates)
        return PackedNetwork(self.network, replace(self.run, certificates=certificates))

    def recover(
        self, y: Num[Array, "*batch m"], *, error_bar: bool | Of = False
    ) -> Float[Array, "*batch n"] | Recovered:
        """Recover ``x``; with ``error_bar`` (True or "signal") beside it a bar for every signal: ``||x^ - x*||`` is
        below it with the probability ``certificates["error_bar"]["level"]``, for signals like those of the calibration.
        "sample": a bar for every sample of signals on a grid, ``(*batch, n)``; as many of them are within theirs on
        average.

        Raises ``ValueError`` where bars are wanted and the file has none: ``unrollbit calibrate`` makes them.
        """
        if not error_bar:
            return self(y)
        of: Of = "signal" if error_bar is True else choice("error_bar", error_bar, get_args(Of))
        bar = self.error_bar(of)
        y = as_signal(y, self._measurements, "recover(y)", "m", complex_physics=self._complex)
        step, found = (_sizes if of == "signal" else _local_sizes)(self.network, y)
        return Recovered(step.x, bar(found))

    def error_bar(self, of: Of = "signal") -> ErrorBar:
        """The calibrated error bar of signals, or of their samples. Raises ``ValueError`` where the file has none."""
        bar = ErrorBar.from_json(self.certificates, of)
        if bar is None:
            raise ValueError(
                f"this network has no error bar of {of}s; unrollbit calibrate FILE makes those it can have"
            )
        return bar

    def __repr__(self) -> str:
        report = self.bits()
        rate = "" if report.bits_per_link is None else f", {report.bits_per_link:.3g} bits per link"
        size = "" if report.file_bits is None else f", file of {report.file_bits // 8:,} bytes"
        return f"PackedNetwork({self.network.described()}{rate}{size})"

    def trainable(self) -> Network:
        """The same network with weights that train (latents are the stored signs)."""
        return Network.from_parts(self.network.parts())

    def with_physics(self, problem: Any, signal_shape: tuple[int, ...] | None = None) -> PackedNetwork:
        """The same bits for other physics: see ``Unrolled.with_physics``. What the file says of a problem, and what is
        certified, is left out.

        Raises ``ValueError`` where the weights do not fit.
        """
        return PackedNetwork(self.network.with_physics(problem, signal_shape), Run(training=self.training))

    def bits(self) -> BitReport:
        """Bit counts: by formula, of the network in memory, and the size of the file once it is saved or loaded."""
        return count_bits(self.network, file_bits=self._file_bits)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one ``.safetensors`` file; an existing file is replaced only once the new one is complete.

        Equal networks give equal bytes, apart from what describes their runs. Signs that differ little from
        ``sign(A)`` are written in the flip code (``unrollbit.packed.flips``) where that is shorter; ``load`` gives back
        every sign.
        """
        parts = self.network.parts()
        physics, arrays = extract_arrays(parts.physics.to_spec(), "physics")
        known = dict(arrays)
        maps = {name: code_signs(packed, parts.physics) for name, packed in parts.maps.items()}
        for name, packed in maps.items():
            arrays |= {f"maps/{name}/{key}": array for key, array in packed.arrays.items()}
        arrays |= {f"scalars/{name}": values for name, values in parts.scalars.items()}
        specs, masks = extract_arrays({name: packed.spec for name, packed in maps.items()}, "specs", known)
        description = {
            "network": parts.spec,
            "maps": specs,
            "physics": physics,
            "fingerprint": fingerprint(parts.physics),
        }
        self._written(file := write_file(Path(path), description, self.run.to_json(), arrays | masks))
        return file


@jax.jit
def _sizes(net: Network, y: Array) -> tuple[LastStep, dict[str, Array]]:
    return sizes(net, y)


@jax.jit
def _local_sizes(net: Network, y: Array) -> tuple[LastStep, dict[str, Array]]:
    return local_sizes(net, y)


def _forward(net: Network, y: Array) -> Array:
    return net(y)


@overload
def pack(net: Network, *, problem: Any = None, training: dict[str, Any] | None = None) -> PackedNetwork: ...
@overload
def pack(net: nnx.Module, *, training: dict[str, Any] | None = None) -> PackedModel: ...
def pack(net: Any, *, problem: Any = None, training: dict[str, Any] | None = None) -> PackedNetwork | PackedModel:
    """Pack a network for shipping: ``pack(net, problem=problem).save("network.safetensors")``.

    Args:
        net: a trained (or untrained) network, or a Flax model (``quantise``).
        problem: its problem; the file then carries the recipe, so that ``unrollbit evaluate`` can draw fresh data. A
            user's data is named there by what is in it, not by the folder it lies in.
        training: JSON-able facts to keep (seed, command); absolute paths in them become names.
    """
    if not isinstance(training, Mapping | None):
        raise TypeError(f"training: expected a mapping of facts, such as {{'seed': 0}}, or None, got {shown(training)}")
    if not isinstance(net, Network):
        return pack_model(net, training)
    if problem is not None and not hasattr(problem, "recipe"):  # the core knows no problems
        raise TypeError(f"problem: expected a Problem, such as SparseRecovery(), or None, got {shown(problem)}")
    return PackedNetwork(Network.from_parts(net.parts(), frozen=True), Run.of(problem, training, net.operator))


@overload
def load(path: str | os.PathLike[str]) -> PackedNetwork: ...
@overload
def load(path: str | os.PathLike[str], model: nnx.Module) -> PackedModel: ...
def load(path: str | os.PathLike[str], model: nnx.Module | None = None) -> PackedNetwork | PackedModel:
    """Read a packed network, from its file or from the folder of its run. Everything in the file is checked: what is
    wrong is one clear ``ValueError``.

    A file of a Flax model holds its weights; ``model`` is its code: a model of the same structure, quantised or not, of
    any values, or of none (``nnx.eval_shape(lambda: Model(...))``). It is not changed.

    Raises:
        FileNotFoundError: no such file.
        TypeError: no path.
        ValueError: not a file of this format, another format version, wrong shapes, dtypes or lengths, scalars that are
            not finite, a payload that does not match its checksum, or physics that differ from the trained one's.
    """
    file = runtime.read(path)
    if runtime.of_model(file.description):
        return load_model(file, model)
    with runtime.refusing(file.path):
        if model is not None:
            raise ValueError("a recovery network, which needs no model: load(path)")
        network = _restored(runtime.parts_of(file.description, file.arrays))
    return PackedNetwork(network, Run(**file.run), file=file.path)


def _restored(found: runtime.Parts[runtime.Stored]) -> Network:
    """The network of a file. Raises ``ValueError``, or what a description of the wrong types leads to."""
    operator = LinearOperator.from_spec(_arrays(found.physics))
    runtime.check_fingerprint(operator.fingerprint(), found.fingerprint)
    maps = {}
    for name, (spec, stored) in found.maps.items():
        maps[name] = decode_signs(PackedWeights(_arrays(spec), _arrays(stored)), operator)
    network = Network.from_parts(Parts(found.network, maps, _arrays(found.scalars), operator), frozen=True)
    # what only shows when a layer runs (groups of another number of unknowns, say) is said now: nothing is computed
    jax.eval_shape(network.__call__, jax.ShapeDtypeStruct((operator.shape[0],), jnp.float32))
    return network


def _arrays(value: Any) -> Any:
    """A part of a description with its arrays as NumPy has them."""
    if isinstance(value, dict):
        return {name: _arrays(entry) for name, entry in value.items()}
    array = runtime.stored_as(value)
    return value if array is None else unstored(array)
