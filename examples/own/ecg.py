"""Compressed sensing of an electrocardiogram with +-1 sums.

``unrollbit init ecg --data`` writes the data, and this as TOML.
"""

import numpy as np

from unrollbit import fit, pack, recipes
from unrollbit.operators import Rademacher
from unrollbit.problems import ArrayProblem

windows = [np.load(f"{subset}.npy") for subset in ("train", "validation", "test")]
problem = ArrayProblem(Rademacher(48, 128, seed=0), windows, shape=128, snr_db=30, transform="wavelet")

recipe = recipes.default(problem, depth=8)
report = fit(recipe, problem)
pack(recipe.network, problem=problem).save("network.safetensors")
print(f"validation: {report.nmse_db:.1f} dB; {report.shortfall or 'ahead of zero and the untrained network'}")
