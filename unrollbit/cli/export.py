"""``unrollbit export FILE``: a packed network for where this library is not."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unrollbit.cli.arguments import add_common, add_network
from unrollbit.cli.outputs import C_SOURCE, MARKDOWN, ONNX, STABLEHLO, Output, Outputs

DTYPES = ("float32", "float16", "bfloat16")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_network(parser)
    parser.add_argument(
        "--c",
        type=Path,
        metavar="DIR",
        help="folder for C99: unrollbit_recover.h, unrollbit_recover.c and a README.md that says what they take; made "
        "if it is missing",
    )
    parser.add_argument(
        "--fixed-point",
        action="store_true",
        help="C99 whose products with signs add integers of 16 bits, for devices without a floating-point unit",
    )
    parser.add_argument(
        "--stablehlo",
        type=Path,
        metavar="OUT",
        help="file for StableHLO, which jax.export.deserialize reads",
    )
    parser.add_argument("--onnx", type=Path, metavar="OUT", help="file for an ONNX model, from y to x")
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default=DTYPES[0],
        help="of measurements and estimates of --stablehlo and --onnx (default: %(default)s)",
    )
    add_common(parser, out="folder for export.json")


def run(options: argparse.Namespace) -> None:
    """Write what is asked for."""
    outputs = Outputs(options.network)
    reports = outputs.reports(options.json, options.out, "export.json")
    if options.fixed_point and options.c is None:
        raise ValueError("--fixed-point: expected --c DIR with it; other targets have no such form")
    written = {}
    for name, (check, write) in _TARGETS.items():
        if (target := getattr(options, name)) is not None:
            written[name] = (check(outputs, target), write)
    if not written:
        raise ValueError(f"expected what to write: {', '.join(f'--{name}' for name in _TARGETS)}")
    reports.write({name: write(options, checked) for name, (checked, write) in written.items()})


def _c_files(outputs: Outputs, target: Path) -> Any:
    from unrollbit.export.c99 import HEADER, README, SOURCE

    folder, kinds = outputs.folder("--c", target), {HEADER: C_SOURCE, SOURCE: C_SOURCE, README: MARKDOWN}
    return {name: outputs.file("--c", folder / name, kind, into=folder) for name, kind in kinds.items()}


def _write_c(options: argparse.Namespace, files: dict[str, Output]) -> dict[str, Any]:
    from unrollbit.export.c99 import c_files

    program, texts = c_files(options.network, fixed_point=options.fixed_point)
    for name, file in files.items():
        file.write_text(texts[name])
    m, n = program.shape
    print(
        f"wrote {options.c}: {n} unknowns from {m} measurements in C99; {program.data_bytes:,} bytes of constants, "
        f"{program.work_bytes:,} bytes of work"
    )
    sizes = {"data_bytes": program.data_bytes, "work_bytes": program.work_bytes, "operations": program.operations}
    return {"m": m, "n": n, **sizes}


def _write_stablehlo(options: argparse.Namespace, file: Output) -> dict[str, Any]:
    from unrollbit.export.stablehlo import stablehlo

    content = stablehlo(options.network, options.dtype)
    file.write(lambda target: target.write(content))
    print(f"wrote {options.stablehlo}: {len(content):,} bytes of StableHLO for jax.export.deserialize")
    return {"bytes": len(content), "dtype": options.dtype}


def _write_onnx(options: argparse.Namespace, file: Output) -> dict[str, Any]:
    from unrollbit.export.onnx_file import onnx_bytes

    content = onnx_bytes(options.network, options.dtype)
    file.write(lambda target: target.write(content))
    print(f"wrote {options.onnx}: an ONNX model of {len(content):,} bytes")
    return {"bytes": len(content), "dtype": options.dtype}


_TARGETS: dict[str, tuple[Callable[[Outputs, Path], Any], Callable[[argparse.Namespace, Any], dict[str, Any]]]] = {
    "c": (_c_files, _write_c),
    "onnx": (lambda outputs, path: outputs.file("--onnx", path, ONNX), _write_onnx),
    "stablehlo": (lambda outputs, path: outputs.file("--stablehlo", path, STABLEHLO), _write_stablehlo),
}
