"""OneBit, LittleBit, BitNet and b1.58 where they come from: a small language model in each format, at equal steps."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from unrollbit.cli.arguments import positive
from unrollbit.cli.parallel import in_parallel
from unrollbit.cli.studies.language_text import standard_library
from unrollbit.cli.studies.language_training import (
    CONTINUED,
    FLOAT,
    QUICK,
    WAYS,
    Size,
    Training,
    speeds,
    told,
    train_one,
)
from unrollbit.cli.studies.model_training import holdable
from unrollbit.cli.tables import print_table
from unrollbit.formats import BitNet, Format, LittleBit, OneBitSVID, Ternary
from unrollbit.plots import quality_at_bits, save

NAMES = ("BitNet", "b1.58", "OneBit", "LittleBit")
RATES = (1.0, 0.7, 0.55, 0.3, 0.1)
_SIZES = {
    "width": "width of the model",
    "blocks": "blocks of the model",
    "steps": "steps of a student's training",
    "teacher_steps": "steps of the teacher's",
}
_NOTES = (
    "bits: per weight of the blocks' matrices, scales included; embeddings and norms stay floats in all. bits/byte,",
    "accuracy of the next byte: on files that no training saw; share: accuracy over the teacher's. file: bytes, of it",
    "embeddings. read/s, next/s: bytes per second, whole windows and one at a time, students on packed bits.",
    "All students start at the teacher's matrices and train for equally many steps.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this study."""
    parser.add_argument("--seeds", type=positive, metavar="N", help="seeds per network (default 3; quick: 1)")
    parser.add_argument("--formats", nargs="+", choices=NAMES, help="students (default: all)")
    parser.add_argument("--text", type=Path, metavar="FOLDER", help="*.py files in place of the standard library")
    for name, what in _SIZES.items():
        default = f"(default {getattr(Size(), name)}; quick: {getattr(QUICK, name)})"
        parser.add_argument(f"--{name.replace('_', '-')}", type=positive, metavar="N", help=f"{what} {default}")


def formats(width: int) -> tuple[dict[str, Format], list[str]]:
    """The formats by name, and what cannot be had at this width, in words."""
    all_of_them: dict[str, Format] = {"BitNet": BitNet(), "b1.58": Ternary(), "OneBit": OneBitSVID()}
    all_of_them |= {f"LittleBit {rate:g}": LittleBit(bits_per_weight=rate, multiple=1, rotate=True) for rate in RATES}
    return holdable(all_of_them, (width, width))


def run(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Train the teachers and all students, print the table, draw the figure."""
    given = {name: getattr(options, name) for name in _SIZES if getattr(options, name)}
    size = replace(QUICK if options.quick else Size(), **given)
    text = standard_library(options.text)
    found, missing = formats(size.width)
    if options.formats:
        found = {name: format for name, format in found.items() if name.split()[0] in options.formats}
    seeds = range(options.seed, options.seed + (options.seeds or (1 if options.quick else 3)))
    common = {"size": size, "out": out, "text": options.text}
    students: list[tuple[str, str, Format | None]] = [(CONTINUED, "text", None)]
    students += [(name, way, format) for name, format in found.items() for way in WAYS]

    def of_teacher(row: dict[str, Any]) -> list[Training]:
        if row["network"] != FLOAT:
            return []
        return [Training(name, way, format, row["seed"], **common) for name, way, format in students]

    teachers = [Training(FLOAT, "text", None, seed, **common) for seed in seeds]
    done = list(in_parallel(train_one, teachers, options.workers, told, followers=of_teacher))
    order = [FLOAT, CONTINUED, *found]
    rows = sorted(done, key=lambda row: (order.index(row["network"]), [*WAYS].index(row["way"]), row["seed"]))
    accuracy = {row["seed"]: row["accuracy"] for row in rows if row["network"] == FLOAT}
    rows = [{**row, "share": row["accuracy"] / accuracy[row["seed"]]} for row in rows]
    table = summarise(rows)
    files = {row["network"]: out / row["path"] for row in rows if row["way"] == "text" and row["seed"] == options.seed}
    found_speeds = speeds(files, size, text.test)
    table = beside_float([line | found_speeds[line["network"]] for line in table])
    show(table, size)
    for line in missing:
        print(f"not at this width: {line}")
    save(draw(table), out / "figures" / "language")
    return {"rows": rows, "table": table, "size": vars(size), "text": text.facts, "missing": missing}


def summarise(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds, and the range of the bits per byte."""
    table = []
    for name, way in dict.fromkeys((row["network"], row["way"]) for row in rows):
        own = [row for row in rows if (row["network"], row["way"]) == (name, way)]
        levels = [row["bits_per_byte"] for row in own]
        line = {"network": name, "way": way, "low": min(levels), "high": max(levels), "seeds": len(own)}
        keys = [key for key, value in own[0].items() if isinstance(value, float | int) and key not in ("seed",)]
        table.append(line | {key: float(np.mean([row[key] for row in own])) for key in keys})
    return table


def beside_float(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each line with how many times as fast as the float teacher it is, and how much smaller without embeddings."""
    teacher = next(line for line in table if line["network"] == FLOAT)

    def rest(line: dict[str, Any]) -> float:
        return line["file_bytes"] - line["embedding_bytes"]

    ratios = {f"{kind}_speedup": f"{kind}_per_second" for kind in ("read", "next")}
    return [
        line | {key: line[of] / teacher[of] for key, of in ratios.items()} | {"smaller_by": rest(teacher) / rest(line)}
        for line in table
    ]


def show(table: list[dict[str, Any]], size: Size) -> None:
    """The table, by the way of training and the bits."""
    columns = (
        "network",
        "way",
        "bits",
        "bits/byte",
        "perplexity",
        "accuracy",
        "share",
        "file",
        "of it",
        "read/s",
        "next/s",
    )
    keys = ("bits_per_weight", "bits_per_byte", "perplexity", "accuracy", "share")
    whole = ("file_bytes", "embedding_bytes", "read_per_second", "next_per_second")
    lines = sorted(table, key=lambda line: (line["way"], -line["bits_per_weight"]))
    training = f"{size.steps} steps of {size.batch} x {size.context} bytes"
    title = f"Language: {size.blocks} blocks of width {size.width}, {training}"
    cells = [
        (line["network"], line["way"], *(line[k] for k in keys), *(round(line[k]) for k in whole)) for line in lines
    ]
    print_table(title, columns, cells, _NOTES)


def draw(table: list[dict[str, Any]]) -> Any:
    """Bits per byte against bits per weight, trained on text and following the teacher."""
    floats = {line["network"]: line["bits_per_byte"] for line in table if line["network"] in (FLOAT, CONTINUED)}
    points = [
        {
            "problem": WAYS[line["way"]].capitalize(),
            "format": line["network"].split()[0],
            "bits": line["bits_per_weight"],
            "mean": line["bits_per_byte"],
            "low": line["low"],
            "high": line["high"],
        }
        for line in table
        if line["network"] not in floats
    ]
    axes = {"ylabel": "bits per byte, held-out files", "xlabel": "bits per weight of the blocks"}
    return quality_at_bits(points, {way.capitalize(): floats for way in WAYS.values()}, **axes)
