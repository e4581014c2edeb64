"""The TOML of ``unrollbit train``: a problem, and a recipe or a network with stages. Keys mirror the constructors."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from unrollbit.arguments import check_names
from unrollbit.cli.network_table import build_network, build_recipe
from unrollbit.extensions import import_extension
from unrollbit.networks import Network
from unrollbit.packed import load
from unrollbit.packed.runtime import check_fingerprint
from unrollbit.problems import Problem
from unrollbit.training import Stage

_KEYS = ("seed", "samples", "teacher", "import", "problem", "recipe", "network", "stages")


class Run(NamedTuple):
    """What a config describes."""

    problem: Problem
    network: Network
    stages: tuple[Stage, ...]
    seed: int
    samples: int | None
    teacher: Network | None = None


def read_config(path: Path) -> dict[str, Any]:
    """Parse a TOML file; raises ``ValueError`` with the place of a syntax error, or for unknown top-level keys."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a TOML config (examples/configs has some)")
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: no text; expected a TOML config (examples/configs has some)") from error
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: not valid TOML: {error}") from error
    check_names(f"{path}", config, _KEYS)
    if "problem" not in config:
        raise ValueError(f"{path}: the table [problem] is missing")
    if ("recipe" in config) == ("network" in config):
        raise ValueError(f"{path}: expected either a table [recipe] or the tables [network] and [[stages]]")
    return config


def build_run(config: Mapping[str, Any], folder: Path, data: Path | None = None) -> Run:
    """Problem, network and stages of a config; paths are relative to ``folder``, those of the problem's data to
    ``data``, if there is one. Raises ``ValueError``.
    """
    names = config.get("import", [])
    for name in [names] if isinstance(names, str) else names:
        import_extension(name, folder)
    problem = Problem.from_spec(Problem.beside(_table(config, "problem"), data or folder))
    seed, samples = _integer(config, "seed") or 0, _integer(config, "samples")
    teacher = build_teacher(config["teacher"], problem, folder) if "teacher" in config else None
    if "recipe" in config:
        if "stages" in config:
            raise ValueError("[[stages]]: a recipe brings its own stages; describe [network] to give others")
        recipe = build_recipe(_table(config, "recipe"), problem, teacher)
        return Run(problem, recipe.network, recipe.stages, seed, samples, teacher)
    stages = config.get("stages")
    if not isinstance(stages, list) or not stages:
        raise ValueError("[[stages]]: expected at least one stage beside [network]")
    network = build_network(_table(config, "network"), problem)
    return Run(problem, network, tuple(Stage.from_spec(stage) for stage in stages), seed, samples, teacher)


def build_teacher(path: Any, problem: Problem, folder: Path) -> Network:
    """The network of a file or run folder, for losses that follow it; the path is relative to ``folder``.

    Raises ``ValueError`` for what is no path, no network, or one for other physics than the problem's.
    """
    if not isinstance(path, str) or not path:
        raise ValueError(f"teacher: expected the path of a packed network or run folder, got {path!r}")
    try:
        packed = load(folder / path)
    except (ValueError, OSError) as error:
        raise ValueError(f"teacher: {error}") from error
    try:
        if packed.problem is not None:  # without one, the file does not say which physics measured
            check_fingerprint(problem.operator.fingerprint(), packed.measured)
    except ValueError as error:
        raise ValueError(f"teacher: {path} was trained on other physics than those of [problem] ({error})") from error
    return packed.trainable()  # products with floats: a teacher runs as often as its student


def _table(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = config[name]
    if not isinstance(table, Mapping):
        raise ValueError(f"[{name}]: expected a table, got {table!r}")
    return table


def _integer(config: Mapping[str, Any], name: str) -> int | None:
    value = config.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ValueError(f"{name}: expected a non-negative integer, got {value!r}")
    return value
