"""``unrollbit recover FILE Y.npy X.npy``: apply a packed network to measurements, or to a photograph."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from unrollbit.cli.arguments import PHOTOGRAPHS, add_common, add_network
from unrollbit.cli.outputs import NUMPY, PNG, Outputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_network(parser)
    parser.add_argument(
        "measurements",
        type=Path,
        metavar="Y.npy",
        help="measurements, shape (m,) or (..., m), real numbers; or a noisy or blurred photograph of any size (PNG, "
        "JPEG, TIFF; grey of 8 or 16 bits, colour of 8), for networks that remove noise or a blur",
    )
    parser.add_argument(
        "estimates",
        type=Path,
        metavar="X.npy",
        help="where to write the estimates, shape (n,) or (..., n), or the photograph (PNG, or .npy: floats, nothing "
        "clipped or rounded, without opacity); its folder must exist",
    )
    parser.add_argument(
        "--photograph",
        action="store_true",
        help="Y.npy is a photograph of floats in [0, 1], shape (height, width) or (planes, height, width)",
    )
    parser.add_argument(
        "--refine", action="store_true", help="repeat the last layers for signals that have not settled (slower)"
    )
    parser.add_argument(
        "--error-bar",
        action="store_true",
        help="also write X-error-bar.npy beside X.npy: a bar of ||x - truth|| for every signal, or of every pixel of a "
        "photograph, for a file that unrollbit calibrate wrote",
    )
    add_common(parser, out="folder for recover.json")


def run(options: argparse.Namespace) -> None:
    """Recover and write."""
    outputs = Outputs(options.network, options.measurements)
    if options.photograph or options.measurements.suffix.lower() in PHOTOGRAPHS:
        _photograph(options, outputs)
        return
    if options.estimates.suffix.lower() in PHOTOGRAPHS:
        raise ValueError(f"X.npy: expected a .npy file for estimates of measurements, got {options.estimates}")
    estimates = outputs.file("X.npy", options.estimates, NUMPY)
    beside = _beside(options)
    error_bars = outputs.file("--error-bar", beside, NUMPY) if options.error_bar else None
    reports = outputs.reports(options.json, options.out, "recover.json")
    if options.refine and error_bars is not None:
        raise ValueError("--error-bar: bars are calibrated for the network as it is; leave --refine out")
    import numpy as np

    from unrollbit.cli.measurements import recovered, with_error_bars
    from unrollbit.packed import load
    from unrollbit.packed.runtime import measurements_of

    network = load(options.network)
    A = network.network.operator
    m, n = A.shape
    try:
        y = measurements_of(options.measurements, m, A.complex_physics)
    except ValueError as error:
        if A.measured_shape is None:
            raise
        other = "is it a photograph? Say --photograph, or give it as PNG or TIFF"
        raise ValueError(f"{error}; {other}") from error
    if error_bars is None:
        x, bars = recovered(network, y, refined=options.refine), None
    else:
        x, bars = with_error_bars(network, y)
    _check_finite(options.measurements, x)
    estimates.write(lambda file: np.save(file, x))
    if error_bars is not None and bars is not None:
        error_bars.write(lambda file: np.save(file, bars))
    signals = y.size // m
    bar_file = None if error_bars is None else str(beside)
    reports.write({"signals": signals, "m": m, "n": n, "output": str(options.estimates), "error_bar": bar_file})
    print(
        f"wrote {options.estimates}: {signals} signal{'s' * (signals != 1)} of {n} unknowns from {m} measurements each"
    )


def _photograph(options: argparse.Namespace, outputs: Outputs) -> None:
    """A photograph without its noise or blur."""
    if options.refine:
        raise ValueError("--refine: photographs are recovered in one go; leave it out")
    kinds = {".png": PNG, ".npy": NUMPY}
    kind = kinds.get(options.estimates.suffix.lower())
    if kind is None:
        raise ValueError(
            f"X.npy: expected a PNG or .npy file for a photograph, got {options.estimates}; call it something.png"
        )
    picture = outputs.file("X.npy", options.estimates, kind)
    error_bars = outputs.file("--error-bar", _beside(options), NUMPY) if options.error_bar else None
    reports = outputs.reports(options.json, options.out, "recover.json")
    import numpy as np

    from unrollbit.cli.picture_files import read_photograph
    from unrollbit.packed import load
    from unrollbit.problems.recovery import recover_photograph

    photograph = read_photograph(options.measurements)
    if kind is PNG and len(photograph.planes) not in (1, 3):
        raise ValueError(
            f"X.npy: a PNG file holds 1 or 3 planes, {options.measurements} has {len(photograph.planes)}; "
            "call it something.npy"
        )
    result = recover_photograph(load(options.network), photograph.planes, error_bar=options.error_bar)
    pixels, bars = result if options.error_bar else (result, None)
    _check_finite(options.measurements, np.asarray(pixels))
    found, floats = photograph._replace(planes=np.asarray(pixels)), photograph.array
    picture.write(lambda file: found.image().save(file, "PNG") if kind is PNG else np.save(file, floats(found.planes)))
    if error_bars is not None and bars is not None:
        error_bars.write(lambda file: np.save(file, floats(np.asarray(bars))))
    planes, height, width = found.planes.shape
    bits = found.bits if kind is PNG else 32
    size = {"planes": planes, "height": height, "width": width, "bits": bits, "output": str(options.estimates)}
    reports.write(size | {"error_bar": None if error_bars is None else str(_beside(options))})
    print(f"wrote {options.estimates}: {height} x {width} pixels, {planes} plane{'s' * (planes != 1)}")


def _check_finite(measurements: Path, x: Any) -> None:
    import numpy as np

    if not np.isfinite(x).all():
        raise ValueError(
            f"{measurements}: the estimate is not finite; are the measurements far outside the trained range?"
        )


def _beside(options: argparse.Namespace) -> Path:
    """Where error bars are written."""
    return options.estimates.with_name(f"{options.estimates.stem}-error-bar.npy")
