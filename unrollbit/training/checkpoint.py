"""Checkpoints of a training run (orbax), so that a killed run loses seconds and resumes bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax


class Checkpoints:
    """Saves and restores ``(state pytree, JSON record)`` under ``folder``; keeps the newest two."""

    def __init__(self, folder: Path) -> None:
        import orbax.checkpoint as ocp  # a quarter of a second: only runs that save pay for it

        self._ocp = ocp
        options = ocp.CheckpointManagerOptions(max_to_keep=2, create=True)
        self._manager = ocp.CheckpointManager(folder.resolve(), options=options)

    def save(self, step: int, state: Any, record: dict[str, Any]) -> None:
        """Save in the background; ``step`` must grow from call to call."""
        args = self._ocp.args
        arguments = args.Composite(state=args.StandardSave(state), record=args.JsonSave(record))
        self._manager.save(step, args=arguments, force=True)

    def latest(self) -> int | None:
        """Step of the newest complete checkpoint, or None."""
        return self._manager.latest_step()

    def record(self, step: int) -> dict[str, Any]:
        """The JSON record saved with a step."""
        args = self._ocp.args
        return dict(self._manager.restore(step, args=args.Composite(record=args.JsonRestore()))["record"])

    def restore(self, step: int, template: Any) -> Any:
        """The state saved with a step; ``template`` has its structure, shapes and dtypes."""
        args = self._ocp.args
        arguments = args.Composite(state=args.StandardRestore(template))
        return self._manager.restore(step, args=arguments)["state"]

    def close(self) -> None:
        """Wait for saves in flight."""
        self._manager.wait_until_finished()
        self._manager.close()


class MetricsFile:
    """``metrics.jsonl``: one JSON object a line, written through at once."""

    def __init__(self, path: Path, *, keep_until: int) -> None:
        """Open for appending after dropping lines of steps beyond ``keep_until`` (those will be trained again)."""
        kept = []
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    record = json.loads(line)
                except json.JSONDecodeError:  # a line cut off by a kill
                    continue
                if record.get("step", 0) <= keep_until:
                    kept.append(record)
        self.records: list[dict[str, Any]] = kept
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".tmp")  # a kill while rewriting must not lose the log
        scratch.write_text("".join(json.dumps(record) + "\n" for record in kept))
        scratch.replace(path)
        self._file = path.open("a")

    def write(self, record: dict[str, Any]) -> None:
        """Append one record."""
        self.records.append(record)
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def environment() -> dict[str, Any]:
    """What decides the last bits of a run: versions, backend and number of devices."""
    import flax
    import optax

    versions = {"jax": jax.__version__, "flax": flax.__version__, "optax": optax.__version__}
    return {**versions, "backend": jax.default_backend(), "devices": jax.device_count()}
