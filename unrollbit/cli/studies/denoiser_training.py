"""One network of the denoiser study: a residual convolutional net, trained and packed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from unrollbit.cli.studies.model_training import train_model
from unrollbit.formats import BitNet, Format, LittleBit, OneBitSVID, Ternary
from unrollbit.models import quantise
from unrollbit.operators import Subsampling
from unrollbit.packed import load, pack
from unrollbit.problems import Gaussian, ImageRecovery, Problem

FLOAT, CONTINUED = "float", "float, trained on"
FORMATS: dict[str, Format] = {
    "BitNet": BitNet(),
    "b1.58": Ternary(),
    "OneBit": OneBitSVID(),
    **{f"LittleBit {rate:g}": LittleBit(bits_per_weight=rate, multiple=1) for rate in (2.0, 1.0, 0.7)},
}
SIGMA = 25 / 255
_FILE = "model.safetensors"


class ResidualDenoiser(nnx.Module):
    """``y - f(y)`` with a convolutional f, after DnCNN (Zhang et al., IEEE TIP 2017): 3 x 3 taps, ReLU, no norms; the
    convolutions between the first and the last add to what they are given.
    """

    def __init__(self, width: int, layers: int, rngs: nnx.Rngs) -> None:
        self.first = nnx.Conv(1, width, (3, 3), rngs=rngs)
        self.inner = nnx.List([nnx.Conv(width, width, (3, 3), rngs=rngs) for _ in range(layers)])
        self.last = nnx.Conv(width, 1, (3, 3), rngs=rngs)

    def __call__(self, y: Float[Array, "batch height width"]) -> Float[Array, "batch height width"]:
        h = nnx.relu(self.first(y[..., None]))
        for layer in self.inner:
            h = h + nnx.relu(layer(h))
        return y - self.last(h)[..., 0]


@dataclass(frozen=True)
class Size:
    """Of the model and of its training."""

    width: int = 16
    layers: int = 4
    crop: int = 24
    batch: int = 8
    steps: int = 1000  # of the teacher, and of every student

    def model(self, seed: int) -> ResidualDenoiser:
        """A model with random numbers."""
        return ResidualDenoiser(self.width, self.layers, nnx.Rngs(seed))


QUICK = Size(width=8, layers=2, crop=24, steps=60)


@dataclass(frozen=True)
class Training:
    """A network to train: the float one, the same trained on, or a student of a format."""

    network: str
    seed: int
    size: Size
    out: Path
    photographs: str | None

    @property
    def path(self) -> str:
        """Of its file, in the folder of the study."""
        stem = self.network.replace(", ", "-").replace(" ", "-").lower()
        return f"networks/{stem}/seed{self.seed}/{_FILE}"

    @property
    def file(self) -> Path:
        """Where it is kept."""
        return self.out / self.path

    def problem(self) -> ImageRecovery:
        """Noise on crops of photographs."""
        crop = self.size.crop
        return ImageRecovery(Subsampling.full((crop, crop)), self.photographs, noise=Gaussian(sigma=SIGMA), size=crop)


def train_one(task: Training) -> dict[str, Any]:
    """Train a network and pack it, or keep the one of the same setting that is there."""
    record = task.file.with_name("row.json")
    setting = {**vars(task.size), "photographs": task.photographs}
    if record.is_file() and (kept := json.loads(record.read_text()))["setting"] == setting:
        return kept["row"]
    model = task.size.model(task.seed)
    if task.network != FLOAT:
        model = load(replace(task, network=FLOAT).file, model).trainable()
    if task.network in FORMATS:
        model = quantise(model, FORMATS[task.network])
    begun, side, batch = time.perf_counter(), task.size.crop, task.size.batch

    def loss(model: ResidualDenoiser, problem: Problem, key: Array) -> Array:
        x, y = problem.sample(key, batch)
        return jnp.mean((model(y.reshape(-1, side, side)).reshape(x.shape) - x) ** 2)

    seed = 2 * task.seed + (task.network != FLOAT)
    train_model(model, loss, task.problem(), steps=task.size.steps, seed=seed)
    seconds = time.perf_counter() - begun
    pack(model, training={"network": task.network, "seed": task.seed, "seconds": seconds}).save(task.file)
    row = {"method": task.network, "path": task.path, "seconds": seconds}
    record.write_text(json.dumps({"setting": setting, "row": row}))
    return row


def told(row: Mapping[str, Any]) -> str:
    """A row in words."""
    return f"{row['method']}: {row['seconds']:.0f} s of training"
