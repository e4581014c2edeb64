"""The Markdown of a model card, from its figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from unrollbit.bits import DEFINITIONS
from unrollbit.cli.beside import COLUMNS, cells
from unrollbit.cli.certificates import sentences

_COLUMNS: dict[str, str] = {"nmse_db_mean_of_db": "mean of dB", "nmse_db": "NMSE (ratio, dB)", "failures": "failures"}
_BITS = {  # row of the table: its value in the figures, its definition
    "stored bits per link": ("bits_per_link", DEFINITIONS["bits_per_link"]),
    "weight bits": ("weight_bits", DEFINITIONS["weight_bits"]),
    "scale bits": ("scale_bits", DEFINITIONS["scale_bits"]),
    "resident bits per link": ("resident_bits_per_link", f"resident bits / links: {DEFINITIONS['resident_bits']}"),
    "resident bits per entry of A": ("resident_bits_per_entry", "resident bits / (m n)"),
    "physics bits": ("physics_bits", DEFINITIONS["physics_bits"]),
}


def markdown(figures: Mapping[str, Any]) -> str:
    """The card of ``unrollbit card``'s figures."""
    parts = [
        f"# {figures['network'].removesuffix('.safetensors')}",
        figures["description"],
        "## Problem",
        _table(("field", "value"), [(name, _code(value)) for name, value in figures["problem"].items()]),
        "## Training",
        _training(figures["training"]),
        "## Accuracy",
        _accuracy(figures),
        "## Beside other methods",
        _others(figures["said"], figures["baselines"]),
        *(("## Photographs", figures["photographs"]["text"]) if "photographs" in figures else ()),
        "## Certificates",
        _certificates(figures["certificates"]),
        "## Bits",
        _bits(figures),
        "## How to use",
        _usage(figures),
        "## Where this card is from",
        f"Written by `{figures['command']}` (unrollbit {figures['unrollbit']}, JAX {figures['jax']}, "
        f"{figures['device']}). All figures are measured by the network read back from its file.",
    ]
    return "\n\n".join(parts) + "\n"


def _training(training: Mapping[str, Any]) -> str:
    if all(value is None for value in training.values()):
        return "The file has no record of its training."
    seconds = None if training["seconds"] is None else f"{training['seconds']:g} s"
    rows = [
        ("command", _code(training["command"]) if training["command"] else None),
        ("seed", training["seed"]),
        ("steps", None if training["steps"] is None else f"{training['steps']:,}"),
        ("training time", seconds),
    ]
    if training["samples"] is not None:
        rows.append(("training set", f"{training['samples']:,} signals, fixed"))
    text = _table(("field", "value"), [(name, "not recorded" if value is None else value) for name, value in rows])
    return text if training["config"] is None else f"{text}\n\nConfig:\n\n{_config(training['config'])}"


def _config(config: Mapping[str, Any]) -> str:
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in config.items()]
    return "```json\n{\n  " + ",\n  ".join(lines) + "\n}\n```"


def _accuracy(figures: Mapping[str, Any]) -> str:
    rows = figures["seeds"]
    names: list[str] = [*_COLUMNS, *(name for name in rows[0] if name not in {"seed", *_COLUMNS})]
    header = ("seed", *(_COLUMNS.get(name, name) for name in names))
    lines = [(str(row["seed"]), *(_figure(name, row[name]) for name in names)) for row in rows]
    samples, whole = f"{figures['samples']:,} test signals", figures["drawn_from"]
    if figures["one_test_set"]:
        notes = f"The problem has one test set: {samples} {whole}, so there is one row and no spread. "
    else:
        both = [f"{_figure(name, figures['mean'][name])} ({_figure(name, figures['spread'][name])})" for name in names]
        lines.append(("**mean (max - min)**", *both))
        notes = f"{samples} of each seed, drawn afresh. "
    notes += (
        "Mean of dB: mean over signals of each signal's NMSE; ratio: 10 log10(sum of errors / sum of energies); "
        "failures: share of signals worse than -20 dB."
    )
    parts = [_table(header, lines), notes]
    layers = figures["nmse_db_mean_of_db_per_layer"]
    if layers is not None:
        levels = ", ".join(f"{level:.1f}" for level in layers)
        parts.append(f"Mean of dB after layers 1 to {len(layers)} (seed {rows[0]['seed']}): {levels}.")
    return "\n\n".join(parts)


def _others(said: str, rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [(name, f"{nmse:.2f}", _decimals(psnr), _decimals(time)) for name, nmse, psnr, time in map(cells, rows)]
    notes = (
        "The same test signals, at most 512 of them; parameters tuned on validation signals. PSNR: mean over images; "
        "ms: one signal alone, compiled, on the device named below."
    )
    return "\n\n".join([said, _table(COLUMNS, lines), notes])


def _decimals(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _figure(name: str, value: float) -> str:
    return (
        f"{round(100 * value, 3):g} %" if name == "failures" else f"{value:.4f}" if name == "ssim" else f"{value:.2f}"
    )


def _certificates(certificates: Mapping[str, Any] | None) -> str:
    if certificates is None:
        return "The file has none; `unrollbit calibrate` makes them."
    return "\n".join(f"- {sentence}" for sentence in sentences(certificates))


def _bits(figures: Mapping[str, Any]) -> str:
    bits = figures["bits"]
    rows = [(name, _count(bits[key]), definition) for name, (key, definition) in _BITS.items()]
    rows.append(("file bytes", _count(figures["file_bytes"]), "size of the file"))
    text = _table(("figure", "value", "definition"), rows)
    links, m, n = bits["links"], figures["m"], figures["n"]
    return f"{text}\n\n{links:,} links: {DEFINITIONS['links']}. A has m x n = {m} x {n} entries."


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _usage(figures: Mapping[str, Any]) -> str:
    python = [
        "from unrollbit import load",
        "",
        f"network = load({json.dumps(figures['network'])})",
        f"x = network(y)  # y: measurements (..., {figures['m']}); x: their recovery (..., {figures['n']})",
    ]
    seeds = [row["seed"] for row in figures["seeds"]]
    one = len(seeds) == 1
    line = f"unrollbit evaluate {figures['network']} --seed {seeds[0] if one else 'N'} --samples {figures['samples']}"
    which = "The row of the table above" if one else f"A row of the table above (N: {seeds[0]} to {seeds[-1]})"
    return "\n\n".join([_fence("python", python), f"{which}, beside classic solvers:", _fence("", [line])])


def _fence(language: str, lines: Sequence[str]) -> str:
    return "\n".join([f"```{language}", *lines, "```"])


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _code(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
    return "`" + " ".join(text.replace("`", "'").split()) + "`"
