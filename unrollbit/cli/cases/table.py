"""The worked cases by name."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unrollbit.arguments import choice
from unrollbit.cli.cases import images, signals


class Case(NamedTuple):
    """A worked case: ``write(folder, random)`` writes its ``data``, which ``NAME.toml`` of this folder reads."""

    name: str
    summary: str
    write: Callable[[Path, np.random.RandomState], None]
    data: tuple[str, ...]

    def text(self) -> str:
        """Its TOML file."""
        return (files("unrollbit.cli.cases") / f"{self.name}.toml").read_text(encoding="utf-8")

    def config(self) -> dict[str, Any]:
        """The tables of its TOML file."""
        return tomllib.loads(self.text())

    def written_in(self, folder: Path) -> list[str]:
        """The names of its data that are in a folder already."""
        return [name for name in self.data if (folder / name).exists()]

    def write_data(self, folder: Path, seed: int = 0) -> None:
        """Write the data, drawn from a seed, into a folder that is made; files of these names are replaced."""
        folder.mkdir(parents=True, exist_ok=True)
        self.write(folder, np.random.RandomState(seed))


_WINDOWS = ("train.npy", "validation.npy", "test.npy")
CASES = {
    case.name: case
    for case in (
        Case(
            "coded-aperture",
            "images of 16 x 16 pixels through a measured mask of holes",
            images.coded_aperture,
            ("mask.npy",),
        ),
        Case("coded-aperture-64", "the same of 64 x 64 pixels", images.coded_aperture, ("mask.npy",)),
        Case(
            "deconvolution",
            "pulses seen through a measured kernel of 24 taps",
            signals.deconvolution,
            ("kernel.npy", "signals.npy"),
        ),
        Case(
            "blurred-photographs",
            "a folder of photographs, cut to 24 x 32 pixels and blurred",
            images.photographs,
            ("kernel.npy", "photographs"),
        ),
        Case(
            "two-coil-mri",
            "complex measurements of two coils with their sensitivities",
            images.two_coils,
            ("coils.npy",),
        ),
        Case(
            "measured-matrix",
            "sparse signals through a matrix that was measured",
            signals.measured_matrix,
            ("matrix.npy", "signals.npy"),
        ),
        Case(
            "sparse-tomography",
            "a matrix of rays of scipy.sparse, images of 32 x 32 pixels",
            images.tomography,
            ("rays.npz",),
        ),
        Case(
            "pylops-detectors",
            "brain waves seen by wide detectors, an operator of PyLops",
            signals.detectors,
            ("detectors.py", "places.npy", *_WINDOWS),
        ),
        Case("ecg", "compressed sensing of an electrocardiogram", signals.electrocardiogram, _WINDOWS),
    )
}


def case_named(name: Any) -> Case:
    """Raises ``ValueError`` that lists the cases for an unknown one."""
    return CASES[choice("case", name, CASES)]
