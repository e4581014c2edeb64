"""The TOML of ``unrollbit train``: a problem, and a recipe or a network with stages. Keys mirror the constructors."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from unrollbit.algorithms.base import Algorithm
from unrollbit.cli.networks import open_network
from unrollbit.networks import Activations, FullyConnected, Network, Unrolled
from unrollbit.operators import LinearOperator, Preconditioned
from unrollbit.packed.description import check_fingerprint
from unrollbit.packed_operators import sign_planes
from unrollbit.problems import Problem
from unrollbit.shrinkage import Grouped
from unrollbit.training import Stage, recipes
from unrollbit.training.losses import Loss
from unrollbit.weights import (
    QUANTISED,
    Fixed,
    FullPrecision,
    Surrogate,
    WeightsFactory,
    anchored,
    designed,
    from_coherence,
    in_signal_domain,
    normalised,
    shared,
)

RECIPES: dict[str, Callable[..., recipes.Recipe]] = {
    "two_stage": recipes.two_stage,
    "designed_signs": recipes.designed_signs,
    "learned_signs": recipes.learned_signs,
    "scalars_only": recipes.scalars_only,
    "full_precision": recipes.full_precision,
    "distilled": recipes.distilled,
}
_SWITCHES = ("normalised", "signal_domain", "anchored")
_TABLES = ("seed", "samples", "teacher", "problem", "recipe", "network", "stages")


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
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid TOML: {error}") from error
    unknown = sorted(set(config) - set(_TABLES))
    if unknown:
        raise ValueError(f"{path}: unknown key {', '.join(unknown)}; expected {', '.join(_TABLES)}")
    if "problem" not in config:
        raise ValueError(f"{path}: the table [problem] is missing")
    if ("recipe" in config) == ("network" in config):
        raise ValueError(f"{path}: expected either a table [recipe] or the tables [network] and [[stages]]")
    return config


def build_run(config: Mapping[str, Any], folder: Path) -> Run:
    """Problem, network and stages of a config; paths are relative to ``folder``. Raises ``ValueError``."""
    spec = dict(_table(config, "problem"))
    if spec.get("kind") == "ArrayProblem":
        spec.setdefault("folder", str(folder))
    problem = Problem.from_spec(spec)
    seed, samples = _integer(config, "seed", 0), _integer(config, "samples", None)
    teacher = build_teacher(config["teacher"], problem, folder) if "teacher" in config else None
    if "recipe" in config:
        if "stages" in config:
            raise ValueError("[[stages]]: a recipe brings its own stages; describe [network] to give others")
        recipe = _build_recipe(dict(_table(config, "recipe")), problem, teacher)
        return Run(problem, recipe.network, recipe.stages, seed or 0, samples, teacher)
    stages = config.get("stages")
    if not isinstance(stages, list) or not stages:
        raise ValueError("[[stages]]: expected at least one stage beside [network]")
    network = build_network(dict(_table(config, "network")), problem)
    return Run(problem, network, tuple(Stage.from_spec(stage) for stage in stages), seed or 0, samples, teacher)


def build_teacher(path: Any, problem: Problem, folder: Path) -> Network:
    """The network of a file or run folder, for losses that follow it; the path is relative to ``folder``.

    Raises ``ValueError`` for what is no path, no network, or one for other physics than the problem's.
    """
    if not isinstance(path, str) or not path:
        raise ValueError(f"teacher: expected the path of a packed network or run folder, got {path!r}")
    try:
        packed = open_network(folder / path)
    except (ValueError, OSError) as error:
        raise ValueError(f"teacher: {error}") from error
    try:
        if packed.problem_fingerprint is not None:  # of the A that measured; a file without a problem has none
            check_fingerprint(problem.operator, packed.problem_fingerprint)
    except ValueError as error:
        raise ValueError(f"teacher: {path} was trained on other physics than those of [problem] ({error})") from error
    return packed.trainable()  # products with floats: a teacher runs as often as its student


def build_network(spec: dict[str, Any], problem: Problem) -> Network:
    """The network of a ``[network]`` table."""
    kind = spec.pop("kind", "Unrolled")
    if "activations" in spec:
        spec["activations"] = Activations.from_spec(spec["activations"])
    weights = build_weights(spec.pop("weights", {"format": "OneBit"}))
    if kind == "FullyConnected":
        return _call("network", FullyConnected, {"weights": weights, **spec}, problem)
    if kind != "Unrolled":
        raise ValueError(f"[network] kind: expected Unrolled or FullyConnected, got {kind!r}")
    algorithm = build_algorithm(spec.pop("algorithm", {"kind": "AMP"}), problem)
    held = build_physics(spec.pop("physics"), problem) if "physics" in spec else problem
    return _call("network", partial(Unrolled, algorithm), {"weights": weights, **spec}, held)


def build_algorithm(spec: Any, problem: Problem) -> Algorithm:
    """The algorithm of a table. A shrinkage ``Grouped`` with ``groups = "bands"`` takes the groups of the problem's own
    prior: wavelet subbands, or bands of frequencies.
    """
    shrinkage = spec.get("shrinkage") if isinstance(spec, Mapping) else None
    if not isinstance(shrinkage, Mapping) or shrinkage.get("groups") != "bands":
        return Algorithm.from_spec(spec)
    prior = getattr(problem, "prior", lambda: None)()
    if not isinstance(prior, Grouped):
        raise ValueError(f"shrinkage: groups = 'bands' is for signals with bands; {problem.to_spec()['kind']} has none")
    return Algorithm.from_spec({**spec, "shrinkage": {**shrinkage, "groups": list(prior.groups)}})


def build_physics(spec: Any, problem: Problem) -> LinearOperator:
    """A physics table: ``form`` "preconditioned" (takes ``delta``) or "sign-planes" (``planes``) of the problem's A."""
    options = dict(spec) if isinstance(spec, Mapping) else {"form": spec}
    form = options.pop("form", None)
    forms: dict[str, Callable[..., LinearOperator]] = {"preconditioned": Preconditioned.of, "sign-planes": sign_planes}
    if form not in forms:
        raise ValueError(f"physics: expected form = {' or '.join(map(repr, sorted(forms)))}, got {form!r}")
    return _call(f"physics {form}", forms[form], options, problem.operator)


def build_weights(spec: Any) -> WeightsFactory:
    """A weights table: ``format``, ``start`` (physics, coherence or designed), ``shared`` (true, or the number of taps
    beyond the physics' own), ``anchored``, ``signal_domain``, ``normalised``, and the format's options.
    """
    if isinstance(spec, str):
        spec = {"format": spec}
    if not isinstance(spec, Mapping):
        raise ValueError(f"weights: expected a format or a table, got {spec!r}")
    options = dict(spec)
    name, start = options.pop("format", "OneBit"), options.pop("start", "physics")
    wrap, domain, anchor = (options.pop(key, False) for key in _SWITCHES)
    for key, value in zip(_SWITCHES, (wrap, domain, anchor), strict=True):
        if not isinstance(value, bool):
            raise ValueError(f"weights: expected {key} = true or false, got {value!r}")
    taps = options.pop("shared", False)
    if not isinstance(taps, int) or taps < 0:
        raise ValueError(f"weights: expected shared = true, false or a number of taps >= 0, got {taps!r}")
    if "surrogate" in options:
        options["surrogate"] = Surrogate.from_spec(options["surrogate"])
    maker, allowed = _maker(name, start)
    unknown = sorted(set(options) - allowed)
    if unknown:
        raise ValueError(
            f"weights: {name} does not take {', '.join(unknown)}; it takes {', '.join(sorted(allowed)) or 'nothing'}"
        )
    if anchor and start == "designed":
        options["around_physics"] = True
    factory: WeightsFactory = partial(maker, **options)
    if taps is not False:
        factory = shared(factory, 0 if taps is True else taps)
    if anchor:
        factory = anchored(factory)
    if domain:
        factory = in_signal_domain(factory)
    return normalised(factory) if wrap else factory


def _maker(name: Any, start: Any) -> tuple[Callable[..., Any], set[str]]:
    """The factory of a format and start, and the options that it takes."""
    formats = {kind.__name__: kind for kind in QUANTISED}
    if (name, start) == ("OneBit", "designed"):
        return designed, _options(designed, "around_physics")
    if name in formats and start in ("physics", "coherence"):
        maker = formats[name].for_map
        return (maker if start == "physics" else from_coherence(maker)), _options(formats[name].from_matrix)
    others: dict[tuple[str, str], Callable[..., Any]] = {
        ("FullPrecision", "physics"): FullPrecision.for_map,
        ("FullPrecision", "coherence"): from_coherence(FullPrecision.for_map),
        ("Fixed", "physics"): Fixed.for_map,
        ("Fixed", "coherence"): Fixed.coherent_with,
    }
    if (name, start) in others:
        return others[name, start], set()
    known = [f"{one}/{how}" for one in formats for how in ("physics", "coherence")]
    known += ["OneBit/designed", *(f"{one}/{how}" for one, how in others)]
    raise ValueError(f"weights: unknown format and start {name}/{start}; expected one of {', '.join(known)}")


def _options(function: Callable[..., Any], *hidden: str) -> set[str]:
    """Names of the keyword options of a factory that a config may set."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} - {"copies", *hidden}


def _build_recipe(spec: dict[str, Any], problem: Problem, teacher: Network | None) -> recipes.Recipe:
    name = spec.pop("name", "two_stage")
    if name not in RECIPES:
        raise ValueError(f"[recipe] name: expected one of {', '.join(sorted(RECIPES))}, got {name!r}")
    if "algorithm" in spec:
        spec["algorithm"] = build_algorithm(spec["algorithm"], problem)
    if "physics" in spec:
        spec["physics"] = build_physics(spec["physics"], problem)
    if "weights" in spec:
        spec["weights"] = build_weights(spec["weights"])
    if "loss" in spec:
        spec["loss"] = Loss.from_spec(spec["loss"])
    if "activations" in spec:
        spec["activations"] = Activations.from_spec(spec["activations"])
    if "teacher" in spec:
        raise ValueError("[recipe] teacher: expected at the top of the config, before the tables, where stages find it")
    if "teacher" in inspect.signature(RECIPES[name]).parameters:
        if teacher is None:
            raise ValueError(f"[recipe] {name}: needs teacher = 'network.safetensors' at the top of the config")
        spec["teacher"] = teacher
    return _call(f"recipe {name}", RECIPES[name], spec, problem)


def _call(what: str, function: Callable[..., Any], options: Mapping[str, Any], problem: Any) -> Any:
    """Call with options from a table; an unknown or missing key is a ``ValueError`` that lists the known ones."""
    signature = inspect.signature(function.__init__ if isinstance(function, type) else function)
    if isinstance(function, type):  # a class of Flax hides its constructor's arguments
        signature = signature.replace(parameters=list(signature.parameters.values())[1:])
    try:
        bound = signature.bind(problem, **options)
    except TypeError as error:
        known = ", ".join(
            name
            for name in signature.parameters
            if name not in ("problem", "operator", "scalars", "packed", "biases", "teacher")
        )
        raise ValueError(f"[{what}]: {error}; it takes {known}") from error
    try:
        return function(*bound.args, **bound.kwargs)
    except TypeError as error:
        raise ValueError(f"[{what}]: {error}") from error


def _table(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = config[name]
    if not isinstance(table, Mapping):
        raise ValueError(f"[{name}]: expected a table, got {table!r}")
    return table


def _integer(config: Mapping[str, Any], name: str, default: int | None) -> int | None:
    value = config.get(name, default)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ValueError(f"{name}: expected a non-negative integer, got {value!r}")
    return value
