"""The table of weights in a config."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

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

_SWITCHES = ("normalised", "signal_domain", "anchored")


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
