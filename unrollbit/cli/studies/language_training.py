"""One network of the language study: trained, packed, read back and measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flax import nnx

from unrollbit.bits import count_bits
from unrollbit.cli.studies.language_model import (
    LanguageModel,
    bytes_per_second,
    cross_entropy,
    is_block,
    measured,
    train,
)
from unrollbit.cli.studies.language_text import standard_library, windows
from unrollbit.formats import Format
from unrollbit.models import KnowledgeDistillation, quantise
from unrollbit.packed import load, pack

FLOAT, CONTINUED = "float", "float, trained on"
WAYS = {"text": "trained on text", "teacher": "following the teacher"}
_FILE = "model.safetensors"


@dataclass(frozen=True)
class Size:
    """Of the model and of its training."""

    width: int = 384
    blocks: int = 2
    context: int = 128
    batch: int = 8
    steps: int = 250
    teacher_steps: int = 1200
    windows: int = 400  # that are measured

    def model(self, seed: int) -> LanguageModel:
        """A model with random numbers."""
        return LanguageModel(self.width, self.blocks, self.context, nnx.Rngs(seed))


QUICK = Size(width=128, blocks=2, context=64, batch=16, steps=150, teacher_steps=150, windows=100)


@dataclass(frozen=True)
class Training:
    """A network to train: the teacher (``FLOAT``), the teacher trained on (``CONTINUED``), or a student of a format."""

    network: str
    way: str
    format: Format | None
    seed: int
    size: Size
    out: Path
    text: Path | None

    @property
    def path(self) -> str:
        """Of its file, in the folder of the study."""
        stem = f"{self.network} {self.way}".replace(", ", "-").replace(" ", "-").lower()
        return f"networks/{stem}/seed{self.seed}/{_FILE}"

    def teacher(self) -> LanguageModel:
        """The trained float model, from its file."""
        file = Training(FLOAT, "text", None, self.seed, self.size, self.out, self.text).path
        return load(self.out / file, self.size.model(self.seed)).trainable()


def train_one(task: Training) -> dict[str, Any]:
    """The row of a network; what the folder holds already of the same setting is kept."""
    text, size = standard_library(task.text), task.size
    file = task.out / task.path
    record = file.with_name("row.json")
    setting = {"size": vars(size), "text": text.facts["sha256"]}
    if record.is_file() and (row := json.loads(record.read_text()))["setting"] == setting:
        return row
    if task.network == FLOAT:
        teacher, model = None, size.model(task.seed)
    else:
        teacher = task.teacher()
        model = nnx.clone(teacher) if task.format is None else quantise(teacher, task.format, keep=None)
    steps, seed = (size.teacher_steps, 2 * task.seed) if teacher is None else (size.steps, 2 * task.seed + 1)
    objective = cross_entropy if task.way == "text" else follow
    train(
        model,
        text.train,
        objective,
        teacher=teacher if task.way == "teacher" else None,
        steps=steps,
        batch=size.batch,
        context=size.context,
        seed=seed,
    )
    pack(model, training={"network": task.network, "way": task.way, "seed": task.seed}).save(file)
    row = {"network": task.network, "way": task.way, "seed": task.seed, **_measured(task, file, text.test)}
    row |= {"path": task.path, "setting": setting}
    record.write_text(json.dumps(row))
    return row


def follow(model: Any, teacher: Any, tokens: Any) -> Any:
    """OneBit's loss: the teacher's predictions, and the directions of its hidden states after every block."""
    return KnowledgeDistillation(where=is_block)(model, teacher, tokens[:, :-1])


def _measured(task: Training, file: Path, text: Any) -> dict[str, Any]:
    """What the file does, and what it holds."""
    packed = load(file, task.size.model(0))
    report, tokens = count_bits(packed), windows(text, task.size.context + 1, task.size.windows)
    return {
        **measured(packed.network, tokens),
        "bits_per_weight": report.bits_per_link or 32.0,
        "file_bytes": file.stat().st_size,
        "embedding_bytes": sum(report.kept[part] for part in ("tokens", "places")) // 8,
    }


def speeds(files: Mapping[str, Path], size: Size, text: Any) -> dict[str, dict[str, float]]:
    """Bytes per second of packed models by name: ``read``, whole windows, and ``next``, one byte at a time."""
    models = {name: load(file, size.model(0)).network for name, file in files.items()}
    window = windows(text, size.context, 1)
    read, following = bytes_per_second(models, window), bytes_per_second(models, window[:, :1])
    return {name: {"read_per_second": read[name], "next_per_second": following[name]} for name in files}


def told(row: dict[str, Any]) -> str:
    """A row in words."""
    level, right = f"{row['bits_per_byte']:.3f} bits per byte", f"{100 * row['accuracy']:.1f} % right"
    return f"{row['network']}, {WAYS[row['way']]}: {level}, {right}"
