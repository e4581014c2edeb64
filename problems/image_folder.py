"""A folder of the user's images, of any layout."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float

from unrollbit.arguments import path as checked_path
from unrollbit.problems.base import SUBSETS, Subset, checked_seed
from unrollbit.problems.images import ENDINGS, image_shape, read_grey
from unrollbit.problems.parts import checked_fractions, shuffled_parts
from unrollbit.problems.photographs import Photographs

_FOLDERS = {"train": ("train", "training"), "validation": ("val", "validation", "valid"), "test": ("test", "testing")}
_DEPTH = 4  # how far below the folder the three are looked for
_SPLIT = (0.8, 0.1, 0.1)


class _File(NamedTuple):
    """An image of a subset: its name, the file and what shows that the file has changed."""

    subset: str
    name: str
    path: str
    stamp: tuple[int, int]


@dataclass(frozen=True, init=False)
class ImageFolder(Photographs):
    """Images of a folder: PNG, JPEG and TIFF of 8 or 16 bits, grey or colour (of which the luminance is taken).

    Two layouts. Three folders ``train``, ``val`` (or ``validation``) and ``test``, in the folder or up to four levels
    below (``BSDS500/data/images`` of BSD500, for example), with images in them or below; without the second, validation
    is taken from training. Or images anywhere in the folder or below: files are shuffled and split at ``split``. Of
    equal files one is taken, and files that differ in their ending alone stay together: no image is in two subsets.

    Args:
        path: the folder.
        split: shares of training, validation and test, where there are no three folders.
        seed: of the shuffle.

    Raises:
        ValueError: no such folder, fewer than three images, one of three folders without any, or an image that is in
            two of them.

    Example:
        >>> import tempfile, numpy as np
        >>> from PIL import Image
        >>> folder = tempfile.mkdtemp()
        >>> for i in range(10):
        ...     Image.fromarray(np.full((20, 30), i, np.uint8)).save(f"{folder}/{i}.png")
        >>> images = ImageFolder(folder)
        >>> [len(images.names(subset)) for subset in ("train", "validation", "test")]
        [8, 1, 1]
        >>> images.crops("test", (10, 10)).shape
        (6, 100)
    """

    path: str
    split: tuple[float, float, float] = _SPLIT
    seed: int = 0
    files: tuple[_File, ...] = field(default=(), init=False, repr=False)
    _paths: ClassVar[dict[str, str]]  # of every object, by name

    def __init__(self, path: str | os.PathLike[str], split: Sequence[float] = _SPLIT, seed: int = 0) -> None:
        root, seed = Path(checked_path("path", path)), checked_seed(seed)
        shares = checked_fractions("split", split)
        if not root.is_dir():
            raise ValueError(f"images: {root}: no such folder")
        parts = _three_folders(root, shares, seed) or _one_folder(root, shares, seed)
        files = tuple(
            _File(subset, name, str(file), (file.stat().st_size, file.stat().st_mtime_ns))
            for subset in SUBSETS
            for name, file in parts[subset].items()
        )
        for name, value in {"path": str(root), "split": shares, "seed": seed, "files": files}.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_paths", {file.name: file.path for file in files})

    def names(self, subset: Subset) -> tuple[str, ...]:
        return tuple(file.name for file in self.files if file.subset == subset)

    def read(self, name: str) -> Float[np.ndarray, "height width"]:
        return read_grey(self._file(name))

    def shape(self, name: str) -> tuple[int, int]:
        return image_shape(self._file(name))

    def argument(self) -> Any:
        return self.path if (self.split, self.seed) == (_SPLIT, 0) else self.to_spec()

    def _file(self, name: str) -> Path:
        if name not in self._paths:
            raise ValueError(f"image: no photograph {name!r} in {self.path}")
        return Path(self._paths[name])


def _one_folder(root: Path, shares: tuple[float, float, float], seed: int) -> dict[str, dict[str, Path]]:
    found = _distinct(_images(root))
    if not found:
        raise ValueError(f"images: {root}: no images inside; expected {', '.join(ENDINGS)} files")
    return dict(zip(SUBSETS, _split(root, found, shares, seed), strict=True))


def _three_folders(root: Path, shares: tuple[float, float, float], seed: int) -> dict[str, dict[str, Path]] | None:
    """The images of every subset, or None where there are no such folders."""
    folders = next(filter(None, map(_named, _folders(root))), None)
    if folders is None:
        return None
    found = {subset: _distinct(_images(folder)) for subset, folder in folders.items()}
    for subset, files in found.items():
        if not files:
            raise ValueError(f"images: {folders[subset]} has no images; expected {', '.join(ENDINGS)} files")
    everywhere = [file for files in found.values() for file in files]
    kept = set(_distinct(everywhere))
    twice = [file for file in everywhere if file not in kept]
    if twice:
        raise ValueError(f"images: {twice[0]} is in two of {', '.join(map(str, folders.values()))}; remove one")
    named = {subset: _names(folders[subset], files) for subset, files in found.items()}
    if len(set().union(*named.values())) < len(everywhere):  # 1.png in all of them
        named = {
            subset: {f"{folders[subset].name}/{name}": file for name, file in named[subset].items()} for subset in named
        }
    if "validation" not in named:
        order = np.random.RandomState(seed).permutation(len(found["train"]))
        count = max(1, round(shares[1] / (shares[0] + shares[1]) * len(order)))
        if len(order) < 2:
            raise ValueError(f"images: {folders['train']} has one image, and there is no folder val; add images")
        images = list(named["train"].items())
        named["validation"] = dict(images[i] for i in sorted(order[:count]))
        named["train"] = dict(images[i] for i in sorted(order[count:]))
    return named


def _split(root: Path, files: Sequence[Path], shares: tuple[float, float, float], seed: int) -> list[dict[str, Path]]:
    """The images of three subsets in their order: files that differ in their ending alone stay together."""
    alike: dict[str, dict[str, Path]] = defaultdict(dict)
    for name, file in _names(root, files).items():
        alike[file.relative_to(root).with_suffix("").as_posix()][name] = file
    groups = list(alike.values())
    parts = shuffled_parts(f"images: {root}: images", len(groups), shares, seed)
    return [{name: file for i in sorted(part) for name, file in groups[i].items()} for part in parts]


def _folders(root: Path) -> Iterable[Path]:
    """The folder and those below it, the outer ones first."""
    level = [root]
    for _ in range(_DEPTH + 1):
        yield from level
        level = [
            inside for folder in level for inside in sorted(folder.iterdir()) if _is_plain(inside) and inside.is_dir()
        ]


def _named(folder: Path) -> dict[str, Path] | None:
    """The folders of the subsets in a folder, if those of training and test are there."""
    inside = {entry.name.lower(): entry for entry in folder.iterdir() if entry.is_dir()}
    named: dict[str, Path] = {
        subset: next(inside[name] for name in _FOLDERS[subset] if name in inside)
        for subset in SUBSETS
        if any(name in inside for name in _FOLDERS[subset])
    }
    return named if {"train", "test"} <= set(named) else None


def _images(folder: Path) -> list[Path]:
    """All image files in a folder and below, sorted by their place in it."""
    files = [Path(place, name) for place, _, names in os.walk(folder) for name in names]
    wanted = [file for file in files if file.suffix.lower() in ENDINGS and all(map(_is_plain, _below(file, folder)))]
    return sorted(wanted, key=lambda file: file.relative_to(folder).as_posix())


def _below(file: Path, folder: Path) -> list[Path]:
    return [Path(part) for part in file.relative_to(folder).parts]


def _is_plain(entry: Path) -> bool:
    """Not hidden, nor what an archive of a Mac brings along."""
    return not entry.name.startswith(".") and entry.name != "__MACOSX"


def _names(folder: Path, files: Sequence[Path]) -> dict[str, Path]:
    """The place of every file in a folder, without its ending where that is enough."""
    short = [file.relative_to(folder).with_suffix("").as_posix() for file in files]
    often = Counter(short)
    return {
        name if often[name] == 1 else file.relative_to(folder).as_posix(): file
        for name, file in zip(short, files, strict=True)
    }


def _distinct(files: Sequence[Path]) -> list[Path]:
    """The files without those that equal an earlier one; only files of equal size are read."""
    sizes: dict[int, list[Path]] = defaultdict(list)
    for file in files:
        sizes[file.stat().st_size].append(file)
    copies: set[Path] = set()
    for alike in sizes.values():
        seen: set[bytes] = set()
        for file in alike if len(alike) > 1 else []:
            content = hashlib.sha256(file.read_bytes()).digest()
            if content in seen:
                copies.add(file)
            seen.add(content)
    return [file for file in files if file not in copies]
