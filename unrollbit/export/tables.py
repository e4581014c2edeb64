"""Constants of an exported program: arrays in read-only memory, each held once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_TYPES = {"f": "float", "u": "uint8_t", "i": "int32_t"}
_PLACE = "Place"  # the narrowest unsigned integer that holds every index of the program
_WIDTH = 112  # characters of a line of numbers


class Tables:
    """Arrays that C functions read. ``bytes`` counts what they take."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, bytes], str] = {}
        self._arrays: dict[str, tuple[str, np.ndarray]] = {}

    def floats(self, hint: str, arrays: Sequence[np.ndarray]) -> str:
        """C text of a pointer to float32 entries: those of matrix ``layer`` modulo their number, where they differ."""
        return self._pointer(hint, "float", [np.asarray(array, np.float32) for array in arrays])

    def codes(self, hint: str, arrays: Sequence[np.ndarray]) -> str:
        """The same for bytes."""
        return self._pointer(hint, "uint8_t", [np.asarray(array, np.uint8) for array in arrays])

    def integers(self, hint: str, values: Sequence[int]) -> str:
        """The same for a few integers."""
        return self._pointer(hint, "int32_t", [np.asarray(values, np.int32)])

    def places(self, hint: str, index: np.ndarray) -> str:
        """The same for indices of entries."""
        return self._pointer(hint, _PLACE, [np.asarray(index, np.int64)])

    def number(self, hint: str, values: Sequence[float]) -> str:
        """C text of one number, that of matrix ``layer`` modulo their number where they differ."""
        array = np.asarray(values, np.float32)
        if (array == array[0]).all():
            return literal(array[0])
        return f"{self._name(hint, 'float', array)}[layer % {len(array)}]"

    @property
    def bytes(self) -> int:
        """Bytes of all arrays."""
        sizes = {"float": 4, "uint8_t": 1, "int32_t": 4, _PLACE: self._place_bytes}
        return sum(array.size * sizes[kind] for kind, array in self._arrays.values())

    def text(self) -> str:
        """Declarations of all arrays."""
        lines = [f"typedef uint{8 * self._place_bytes}_t {_PLACE};\n"]
        for name, (kind, array) in self._arrays.items():
            numbers = [literal(v) for v in array] if kind == "float" else [str(int(v)) for v in array]
            lines.append(f"static const {kind} {name}[{array.size}] = {{\n{_wrapped(numbers)}\n}};\n")
        return "\n".join(lines)

    @property
    def _place_bytes(self) -> int:
        places = [int(array.max()) for kind, array in self._arrays.values() if kind == _PLACE]
        return 2 if max(places, default=0) < 2**16 else 4

    def _pointer(self, hint: str, kind: str, arrays: Sequence[np.ndarray]) -> str:
        flat = [array.reshape(-1) for array in arrays]
        if all(np.array_equal(array, flat[0]) for array in flat):
            return self._name(hint, kind, flat[0])
        name = self._name(hint, kind, np.concatenate(flat))
        return f"&{name}[(layer % {len(flat)}) * {flat[0].size}]"

    def _name(self, hint: str, kind: str, array: np.ndarray) -> str:
        key = (kind, array.tobytes())
        if key not in self._found:
            name = f"{hint}_{sum(found.startswith(hint + '_') for found in self._arrays)}"
            self._found[key], self._arrays[name] = name, (kind, array)
        return self._found[key]


def literal(value: float) -> str:
    """A float32 as C writes it, exactly.

    Example:
        >>> literal(0.5), literal(1e20)
        ('0.5f', '1.00000002e+20f')
    """
    text = f"{np.float32(value):.9g}"
    if "inf" in text:
        return text.replace("inf", "INFINITY")
    return text + ("f" if "." in text or "e" in text else ".0f")


def _wrapped(words: Sequence[str]) -> str:
    lines, line = [], ""
    for word in words:
        if line and len(line) + len(word) + 2 > _WIDTH:
            lines.append(line.rstrip())
            line = ""
        line += f"{word}, "
    return "\n".join(f"    {text}" for text in [*lines, line.rstrip(" ,")])
