"""Packed networks: what a trained network is shipped as, and runs from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.algorithms.base import Algorithm
from unrollbit.bits import BitReport, count_bits
from unrollbit.networks import Activations, FullyConnected, Network, Unrolled
from unrollbit.networks.fully_connected import linear_maps
from unrollbit.operators import LinearOperator
from unrollbit.packed.file import read_file, write_file
from unrollbit.packed.flips import code_signs, decode_signs
from unrollbit.weights import PackedWeights, Weights
from unrollbit.weights.base import required

FINGERPRINT_TOLERANCE = 1e-3  # relative; float32 products on other machines differ by 1e-6


class PackedNetwork:
    """A network with its weights as packed bits; made by ``pack(net)`` or ``load(path)``.

    Calling it runs on the bits: no float copy of a packed matrix exists. ``network`` is that frozen network,
    ``trainable()`` gives one that ``fit`` accepts. ``problem`` and ``training`` are the recipes that the file carries
    (or None).
    """

    def __init__(
        self,
        spec: dict[str, Any],
        maps: Mapping[str, PackedWeights],
        scalars: Mapping[str, np.ndarray],
        operator: LinearOperator,
        problem: dict[str, Any] | None,
        training: dict[str, Any] | None,
        file_bits: int | None = None,
        *,
        problem_fingerprint: list[float] | None = None,
    ) -> None:
        self._spec, self._maps, self._scalars, self._operator = spec, dict(maps), dict(scalars), operator
        self.problem, self.training = problem, training
        self.problem_fingerprint = problem_fingerprint  # of the A that measured; the network may hold a form of it
        self._file_bits = file_bits
        self.network = self._build(frozen=True)

    def __call__(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        """Recover ``x`` from measurements, compiled end to end."""
        return _forward(self.network, jnp.asarray(y))

    def trainable(self) -> Network:
        """The same network with weights that train (latents are the stored signs)."""
        return self._build(frozen=False)

    def bits(self) -> BitReport:
        """Bit counts: by formula, of the network in memory, and ``file_bits``, the size of the file, once it is saved or
        loaded.
        """
        return count_bits(self.network, file_bits=self._file_bits)

    def save(self, path: str | Path) -> Path:
        """Write one ``.safetensors`` file; an existing file is replaced only once the new one is complete.

        Signs that differ little from ``sign(A)`` are written in the flip code (``unrollbit.packed.flips``) where that
        is shorter; ``load`` gives back every sign.
        """
        physics, arrays = _extract_arrays(self._operator.to_spec(), "physics")
        maps = {name: code_signs(packed, self._operator) for name, packed in self._maps.items()}
        for name, packed in maps.items():
            arrays |= {f"maps/{name}/{key}": array for key, array in packed.arrays.items()}
        arrays |= {f"scalars/{name}": values for name, values in self._scalars.items()}
        specs, masks = _extract_arrays({name: packed.spec for name, packed in maps.items()}, "specs")
        arrays |= masks
        header = {
            "network": self._spec,
            "maps": specs,
            "physics": physics,
            "fingerprint": {"physics": self._operator.fingerprint(), "problem": self.problem_fingerprint},
            "problem": self.problem,
            "training": self.training,
        }
        path = write_file(Path(path), header, arrays)
        self._file_bits = 8 * path.stat().st_size
        return path

    def _build(self, *, frozen: bool) -> Network:
        A, spec = self._operator, self._spec
        kind = spec.get("kind")
        if kind == "Unrolled":
            algorithm = Algorithm.from_spec(spec["algorithm"])
            linear, specs = algorithm.maps(A), algorithm.scalars(A)
            shapes = {name: (spec["depth"], *scalar.shape) for name, scalar in specs.items()}
        elif kind == "FullyConnected":
            m, n = A.shape
            linear = linear_maps(m, n, spec["width"], spec["depth"])
            shapes = {"bias_first": (1, spec["width"]), "bias_hidden": (spec["depth"] - 2, spec["width"])}
        else:
            raise ValueError(f"unknown network kind {kind!r}; expected Unrolled or FullyConnected")
        if set(linear) != set(self._maps) or set(shapes) != set(self._scalars):
            raise ValueError(
                f"expected maps {sorted(linear)} and scalars {sorted(shapes)}, "
                f"got {sorted(self._maps)} and {sorted(self._scalars)}"
            )
        raw = {name: jnp.asarray(required(self._scalars, name, shape, np.float32)) for name, shape in shapes.items()}
        maps = {name: Weights.unpack(packed, linear[name], A, frozen=frozen) for name, packed in self._maps.items()}
        for name, weights in maps.items():
            if weights.shape != linear[name].shape:
                raise ValueError(f"map {name!r}: expected matrices of shape {linear[name].shape}, got {weights.shape}")
        # networks without activations say nothing of them
        activations = Activations.from_spec(spec["activations"]) if "activations" in spec else None
        depth = spec["depth"]
        if kind == "Unrolled":
            options = {"distinct": 1, "scalars": raw, "packed": frozen}
            return Unrolled(algorithm, A, depth, maps, activations=activations, **options)
        skip = bool(spec["skip"])
        return FullyConnected(A, depth, spec["width"], maps, skip=skip, biases=raw, activations=activations)


@jax.jit
def _forward(net: Network, y: Array) -> Array:
    return net(y)


def pack(net: Network, *, problem: Any = None, training: dict[str, Any] | None = None) -> PackedNetwork:
    """Pack a network for shipping: ``pack(net, problem=problem).save("network.safetensors")``.

    Args:
        net: a trained (or untrained) network.
        problem: its problem; the file then carries the recipe, so that ``unrollbit evaluate`` can draw fresh data.
        training: JSON-able facts to keep (seed, command).
    """
    scalars = {name: np.asarray(raw[...], np.float32) for name, raw in net.scalars.items()}
    maps = {name: weights.pack() for name, weights in net.maps.items()}
    spec = None if problem is None else problem.to_spec()
    measured = None if problem is None else problem.operator.fingerprint()
    return PackedNetwork(net.to_spec(), maps, scalars, net.operator, spec, training, problem_fingerprint=measured)


def load(path: str | Path) -> PackedNetwork:
    """Read a packed network. Everything in the file is checked: what is wrong is one clear ``ValueError``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of this format, another format version, wrong shapes, dtypes or lengths, scalars that are
            not finite, a payload that does not match its checksum, or physics that differ from the trained one's.
    """
    path = Path(path)
    header, arrays = read_file(path)
    try:
        operator = LinearOperator.from_spec(_insert_arrays(header["physics"], arrays))
        fingerprints = header["fingerprint"]
        check_fingerprint(operator, fingerprints["physics"])
        maps = {}
        for name, spec in _insert_arrays(header["maps"], arrays).items():
            prefix = f"maps/{name}/"
            own = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
            maps[name] = decode_signs(PackedWeights(spec, own), operator)
        scalars = {key.removeprefix("scalars/"): v for key, v in arrays.items() if key.startswith("scalars/")}
        bits = 8 * path.stat().st_size
        held, training = header["network"], header["training"]
        measured = {"problem_fingerprint": fingerprints["problem"]}
        return PackedNetwork(held, maps, scalars, operator, header["problem"], training, bits, **measured)
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(
            f"{path}: the description of the network is damaged ({type(error).__name__}: {error})"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _extract_arrays(value: Any, name: str) -> tuple[Any, dict[str, np.ndarray]]:
    """A spec with its arrays replaced by references ``{"array": name}``, and those arrays."""
    if isinstance(value, np.ndarray | jax.Array):
        return {"array": name}, {name: np.ascontiguousarray(value)}
    if isinstance(value, dict):
        parts = {key: _extract_arrays(entry, f"{name}/{key}") for key, entry in value.items()}
        arrays: dict[str, np.ndarray] = {}
        for _, found in parts.values():
            arrays |= found
        return {key: part for key, (part, _) in parts.items()}, arrays
    return value, {}


def _insert_arrays(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if not isinstance(value, dict):
        return value
    if set(value) == {"array"}:
        if value["array"] not in arrays:
            raise ValueError(f"array {value['array']!r} of the physics is missing")
        return arrays[value["array"]]
    return {key: _insert_arrays(entry, arrays) for key, entry in value.items()}


def check_fingerprint(operator: LinearOperator, expected: list[float]) -> None:
    """Raise ``ValueError`` unless the operator is the one whose fingerprint is ``expected``."""
    found, wanted = np.asarray(operator.fingerprint()), np.asarray(expected, np.float64)
    if found.shape != wanted.shape or not np.isfinite(wanted).all():
        raise ValueError("the fingerprint of the physics is damaged")
    if not np.abs(found - wanted).max() <= FINGERPRINT_TOLERANCE * np.abs(wanted).max():
        raise ValueError("the physics rebuilt from its recipe differs from that of training (fingerprints disagree)")
