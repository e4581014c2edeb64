"""Brain waves seen by wide detectors, an operator of PyLops.

``unrollbit init pylops-detectors --data`` writes the data, and this as TOML.
"""

import numpy as np
import pylops

from unrollbit import fit, pack, recipes
from unrollbit.problems import ArrayProblem

places = np.load("places.npy")
detectors = pylops.Restriction(128, places) @ pylops.Smoothing1D(nsmooth=9, dims=128)
windows = [np.load(f"{subset}.npy") for subset in ("train", "validation", "test")]
problem = ArrayProblem(detectors, windows, shape=128, snr_db=30)

recipe = recipes.default(problem, depth=8, steps=600)
report = fit(recipe, problem)
pack(recipe.network, problem=problem).save("network.safetensors")
print(f"validation: {report.nmse_db:.1f} dB; {report.shortfall or 'ahead of zero and the untrained network'}")
