"""Packed networks: what a trained network is shipped as, and runs from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.algorithms.base import Algorithm, LinearMap
from unrollbit.arrays import as_signal
from unrollbit.bits import BitReport, count_bits
from unrollbit.kernels import Compiled
from unrollbit.networks import Activations, FullyConnected, Network, Unrolled
from unrollbit.networks.fully_connected import linear_maps
from unrollbit.operators import LinearOperator
from unrollbit.packed.description import (
    check_fingerprint,
    check_parts,
    extract_arrays,
    fingerprint_of,
    insert_arrays,
)
from unrollbit.packed.file import read_file, write_file
from unrollbit.packed.flips import code_signs, decode_signs
from unrollbit.sizes import positive_integer
from unrollbit.weights import PackedWeights, Weights
from unrollbit.weights.base import required
from unrollbit.weights.one_bit import LARGEST_LOG

_NETWORK_FIELDS = {
    "Unrolled": {"kind", "algorithm", "depth"},
    "FullyConnected": {"kind", "depth", "width", "skip"},
}


class PackedNetwork:
    """A network with its weights as packed bits; made by ``pack(net)`` or ``load(path)``.

    Calling it runs on the bits: no float copy of a packed matrix exists. ``network`` is that frozen network (calls do
    not see what is written into it), ``trainable()`` gives one that ``fit`` accepts and that can be changed and packed.
    ``problem`` and ``training`` are the recipes that the file carries (or None).
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
        self._network = self._build(frozen=True)
        self._call = Compiled(_forward, self._network)

    @property
    def network(self) -> Network:
        """The frozen network that calls run."""
        return self._network

    def __call__(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        """Recover ``x`` from measurements, compiled end to end: in one call of the C extension where signals are few
        and all that layers do is on its tape (``unrollbit.kernels.tape``), by XLA else.
        """
        A = self._operator
        return self._call(as_signal(y, A.shape[0], "network(y)", "m", complex_physics=A.complex_physics))

    def trainable(self) -> Network:
        """The same network with weights that train (latents are the stored signs)."""
        return self._build(frozen=False)

    def bits(self) -> BitReport:
        """Bit counts: by formula, of the network in memory, and the size of the file once it is saved or loaded."""
        return count_bits(self.network, file_bits=self._file_bits)

    def save(self, path: str | Path) -> Path:
        """Write one ``.safetensors`` file; an existing file is replaced only once the new one is complete.

        Signs that differ little from ``sign(A)`` are written in the flip code (``unrollbit.packed.flips``) where that
        is shorter; ``load`` gives back every sign.
        """
        physics, arrays = extract_arrays(self._operator.to_spec(), "physics")
        maps = {name: code_signs(packed, self._operator) for name, packed in self._maps.items()}
        for name, packed in maps.items():
            arrays |= {f"maps/{name}/{key}": array for key, array in packed.arrays.items()}
        arrays |= {f"scalars/{name}": values for name, values in self._scalars.items()}
        specs, masks = extract_arrays({name: packed.spec for name, packed in maps.items()}, "specs")
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
        kind = spec.get("kind") if isinstance(spec, dict) else spec
        if not isinstance(kind, str) or kind not in _NETWORK_FIELDS:
            raise ValueError(f"unknown network kind {kind!r}; expected one of {', '.join(_NETWORK_FIELDS)}")
        if set(spec) - {"activations"} != _NETWORK_FIELDS[kind]:
            raise ValueError(f"a network of kind {kind} has the fields {sorted(_NETWORK_FIELDS[kind])}: {sorted(spec)}")
        # networks without activations say nothing of them
        activations = Activations.from_spec(spec["activations"]) if "activations" in spec else None
        depth = positive_integer("depth", spec["depth"])
        if kind == "Unrolled":
            algorithm = Algorithm.from_spec(spec["algorithm"])
            specs = algorithm.scalar_forms(A)
            raw = self._raw({name: (depth, *scalar.shape) for name, scalar in specs.items()})
            for name, scalar in specs.items():
                if scalar.constraint != "free" and (raw[name] > LARGEST_LOG).any():
                    raise ValueError(f"scalar {name!r}: exp({raw[name].max()}) is too large for a float32")
            maps = self._weights(algorithm.maps(A), frozen)
            for name, weights in maps.items():
                if weights.copies > depth:
                    raise ValueError(f"map {name!r}: expected at most {depth} matrices, one a layer; {weights.copies}")
            options = {"distinct": 1, "scalars": _on_device(raw), "packed": frozen}
            return Unrolled(algorithm, A, depth, maps, activations=activations, **options)
        width, skip = positive_integer("width", spec["width"]), spec["skip"]
        if depth < 2 or not isinstance(skip, bool):
            raise ValueError(f"FullyConnected: expected depth >= 2 and skip true or false, got {depth} and {skip!r}")
        raw = self._raw({"bias_first": (1, width), "bias_hidden": (depth - 2, width)})
        maps = self._weights(linear_maps(*A.shape, width, depth), frozen)
        biases = _on_device(raw)
        net = FullyConnected(A, depth, width, maps, skip=skip, biases=biases, activations=activations)
        for name, weights in maps.items():
            if weights.copies != net.uses(name):
                raise ValueError(f"map {name!r}: expected {net.uses(name)} matrices, got {weights.copies}")
        return net

    def _raw(self, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
        """The scalars, checked: they bound the depth (and a width) that a file declares."""
        if set(shapes) != set(self._scalars):
            raise ValueError(f"expected scalars {sorted(shapes)}, got {sorted(self._scalars)}")
        return {name: required(self._scalars, name, shape, np.float32) for name, shape in shapes.items()}

    def _weights(self, linear: Mapping[str, LinearMap], frozen: bool) -> dict[str, Weights]:
        if set(linear) != set(self._maps):
            raise ValueError(f"expected maps {sorted(linear)}, got {sorted(self._maps)}")
        maps = {}
        for name, packed in self._maps.items():
            maps[name] = Weights.unpack(packed, linear[name], self._operator, frozen=frozen)
            if maps[name].shape != linear[name].shape:
                expected = linear[name].shape
                raise ValueError(f"map {name!r}: expected matrices of shape {expected}, got {maps[name].shape}")
        return maps


def _on_device(scalars: Mapping[str, np.ndarray]) -> dict[str, Array]:
    return {name: jnp.asarray(values) for name, values in scalars.items()}


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
        return _restored(header, arrays, 8 * path.stat().st_size)
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(
            f"{path}: the description of the network is damaged ({type(error).__name__}: {error})"
        ) from error
    except MemoryError as error:
        raise ValueError(f"{path}: the network needs more memory than there is") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _restored(header: dict[str, Any], arrays: dict[str, np.ndarray], file_bits: int) -> PackedNetwork:
    """The network of a file. Raises ``ValueError``, or what a description of the wrong types leads to."""
    fingerprints, problem, training = header["fingerprint"], header["problem"], header["training"]
    if not all(value is None or isinstance(value, dict) for value in (problem, training)):
        raise ValueError("expected objects, or null, as problem and training")
    if set(fingerprints) != {"physics", "problem"}:
        raise ValueError("expected the fingerprints of physics and problem")
    if fingerprints["problem"] is not None:
        fingerprint_of(fingerprints["problem"])
    used: set[str] = set()
    physics = insert_arrays(header["physics"], arrays, used)
    check_parts(physics)
    specs = insert_arrays(header["maps"], arrays, used)
    if not isinstance(specs, dict):
        raise ValueError(f"expected an object of maps, got {specs!r:.60}")
    prefixes = ("scalars/", *(f"maps/{name}/" for name in specs))
    if useless := sorted(name for name in arrays if name not in used and not name.startswith(prefixes)):
        raise ValueError(f"arrays of no use: {', '.join(map(repr, useless))}")
    operator = LinearOperator.from_spec(physics)
    check_fingerprint(operator, fingerprints["physics"])
    maps = {
        name: decode_signs(PackedWeights(spec, _under(arrays, f"maps/{name}/")), operator)
        for name, spec in specs.items()
    }
    measured = {"problem_fingerprint": fingerprints["problem"]}
    scalars = _under(arrays, "scalars/")
    packed = PackedNetwork(header["network"], maps, scalars, operator, problem, training, file_bits, **measured)
    # what only shows when a layer runs (groups of another number of unknowns, say) is said now: nothing is computed
    jax.eval_shape(packed.network.__call__, jax.ShapeDtypeStruct((operator.shape[0],), jnp.float32))
    return packed


def _under(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
