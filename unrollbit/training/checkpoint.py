"""Checkpoints of a training run: one file each, written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import time
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from unrollbit.training.events import Event
from unrollbit.training.placement import is_key, like, on_host
from unrollbit.training.processes import from_first

_KEPT = 2


class Checkpoints:
    """``folder/STEP.npz``: a pytree of arrays as bytes, and a JSON record; the newest two are kept.

    Each file appears under its name only when it is complete. Nothing is pickled.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def steps(self) -> list[int]:
        """Steps of all checkpoints, ascending."""
        return sorted(int(path.stem) for path in self.folder.glob("*.npz") if path.stem.isdigit())

    def latest(self) -> int | None:
        """Step of the newest checkpoint, or None."""
        return max(self.steps(), default=None)

    def save(self, step: int, state: Any, record: dict[str, Any]) -> None:
        """Write a checkpoint and drop old ones. Raises ``OSError`` with what to do, and leaves the older ones whole."""
        arrays = {"record": np.frombuffer(json.dumps(record).encode(), np.uint8)}
        arrays |= {name: np.frombuffer(leaf.tobytes(), np.uint8) for name, leaf in _named(on_host(state))}
        scratch = self.folder / f".{step}.tmp"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with scratch.open("wb") as file:
                np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
            scratch.replace(self.folder / f"{step}.npz")
        except OSError as error:
            raise _not_written(self, error) from None
        finally:
            scratch.unlink(missing_ok=True)
        for old in self.steps()[:-_KEPT]:
            (self.folder / f"{old}.npz").unlink(missing_ok=True)

    def record(self, step: int) -> dict[str, Any]:
        """The JSON record saved with a step."""
        return json.loads(self._read(step)["record"].tobytes())

    def restore(self, step: int, template: Any) -> Any:
        """The state saved with a step; ``template`` has its structure, shapes, dtypes and placement on devices.

        Raises ``ValueError`` for a damaged file or one of another state.
        """
        arrays, names = self._read(step), [name for name, _ in _named(template)]
        if set(arrays) != {"record", *names}:
            raise ValueError(f"{self.folder / f'{step}.npz'}: the checkpoint is of another network or other stages")
        leaves = [_like(arrays[name], leaf, name) for name, leaf in _named(template)]
        return jax.tree.unflatten(jax.tree.structure(template), leaves)

    def _read(self, step: int) -> dict[str, np.ndarray]:
        path = self.folder / f"{step}.npz"
        try:
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except FileNotFoundError:
            reason = "no such checkpoint here; all processes of a run must see its folder"
            raise FileNotFoundError(errno.ENOENT, reason, str(path)) from None
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path}: damaged ({error}); delete it to go on from the one before") from error


class Saving:
    """Consumer that keeps checkpoints of a run: at the end of stages, when interrupted, and every ``seconds``.

    It listens in all processes, each of which may have a part of the state; the first one writes.
    """

    def __init__(self, checkpoints: Checkpoints, seconds: float, description: dict[str, Any]) -> None:
        self._checkpoints, self._seconds, self._description = checkpoints, seconds, description
        self._last, self._saved, self._broken = time.perf_counter(), from_first(checkpoints.latest), False

    def __call__(self, event: Event) -> None:
        match event.kind:
            case "trained":
                if from_first(lambda: time.perf_counter() - self._last > self._seconds):
                    self._save(event)
            case "stage ended" | "interrupted":
                self._save(event)

    def _save(self, event: Event) -> None:
        if event.step == self._saved or self._broken:
            return
        state, record = event.run.snapshot()
        self._broken = True  # until it has worked: a full disk is told once
        state, record = on_host(state), {**record, **self._description}
        from_first(lambda: self._checkpoints.save(event.step, state, record))
        self._last, self._saved, self._broken = time.perf_counter(), event.step, False


def _named(state: Any) -> list[tuple[str, Any]]:
    """Leaves in order, each under a name of its own."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return [(f"{number} {jax.tree_util.keystr(path)}", leaf) for number, (path, leaf) in enumerate(leaves)]


def _like(stored: np.ndarray, leaf: Any, name: str) -> Array:
    """Bytes as an array like ``leaf``, where that lies."""
    form = jax.eval_shape(jax.random.key_data, leaf) if is_key(leaf) else leaf
    expected = form.size * form.dtype.itemsize
    if stored.size != expected:
        raise ValueError(f"checkpoint: {name} has {stored.size} bytes, expected {expected}: another network or stage")
    return like(np.frombuffer(stored.tobytes(), form.dtype).reshape(form.shape), leaf)


def _not_written(checkpoints: Checkpoints, error: OSError) -> OSError:
    latest = checkpoints.latest()
    kept = "no checkpoint is there yet" if latest is None else f"the checkpoint of step {latest} is kept"
    number = error.errno or errno.EIO
    reason = f"a checkpoint cannot be written ({os.strerror(number)}); {kept}; make room and continue with resume"
    return OSError(number, reason, str(checkpoints.folder))
