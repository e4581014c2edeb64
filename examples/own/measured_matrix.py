"""Sparse signals through a matrix that was measured.

``unrollbit init measured-matrix --data`` writes the data, and this as TOML.
"""

import numpy as np

from unrollbit import fit, pack, recipes
from unrollbit.problems import ArrayProblem

problem = ArrayProblem(np.load("matrix.npy"), np.load("signals.npy"), snr_db=30)

recipe = recipes.default(problem, depth=16)
report = fit(recipe, problem)
pack(recipe.network, problem=problem).save("network.safetensors")
print(f"validation: {report.nmse_db:.1f} dB; {report.shortfall or 'ahead of zero and the untrained network'}")
