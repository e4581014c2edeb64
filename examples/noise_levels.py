"""Networks of the shelf at noise that they were never trained on, beside total variation tuned for it: JSON.

Run it as ``python examples/noise_levels.py docs/results/data/noise.json``; four minutes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from unrollbit import load
from unrollbit.baselines import TotalVariation, compare
from unrollbit.problems import Problem

NETWORKS = Path(__file__).parent / "networks"
SHOWN = ("network", "measurements", "total variation")


def rows(name: str, levels: dict[str, dict[str, Any]], trained: str | None) -> list[dict[str, Any]]:
    """PSNR of one network on the library's own photographs, a line for each level in ``levels``."""
    packed = load(NETWORKS / f"{name}.safetensors")
    kept = {key: value for key, value in packed.problem.items() if key not in ("noise", "snr_db", "images")}
    found = []
    for level, noise in levels.items():
        problem = Problem.from_spec({**kept, **noise}, operator=packed.network.operator)
        compared = compare(problem, packed, baselines=[TotalVariation(problem.signal_shape)], timed=False)
        line = {row["method"]: row["psnr_db"] for row in compared if row["method"] in SHOWN}
        found.append({"file": name, "noise": level, "trained": level == trained, **line})
        print(found[-1], flush=True)
    return found


def main() -> None:
    """Two physics by their signal-to-noise ratio, two denoisers by their standard deviation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", type=Path, help="where the table is written")
    path = parser.parse_args().json
    if not path.parent.is_dir():
        parser.error(f"{path}: expected a folder that exists, and {path.parent} is none")
    ratios = {f"{ratio} dB SNR": {"snr_db": float(ratio)} for ratio in (50, 45, 40, 35, 30)}
    levels = {
        f"{level}/255": {"noise": {"kind": "Gaussian", "sigma": level / 255}} for level in (2, 15, 25, 30, 50, 75)
    }
    found = []
    for name in ("gaussian-blur", "tomography"):
        found += rows(name, ratios, "40 dB SNR")
    found += rows("denoising-25", levels, "25/255")
    found += rows("denoising-any", levels, None)
    path.write_text(json.dumps({"rows": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
