"""Pulses seen through a measured kernel of 24 taps.

``unrollbit init deconvolution --data`` writes the data, and this as TOML.
"""

import numpy as np

from unrollbit import fit, pack, recipes
from unrollbit.operators import Convolution
from unrollbit.problems import ArrayProblem

physics = Convolution.of(np.load("kernel.npy"), 128, boundary="zero")
problem = ArrayProblem(physics, np.load("signals.npy"), snr_db=30)

recipe = recipes.default(problem, depth=8)
report = fit(recipe, problem)
pack(recipe.network, problem=problem).save("network.safetensors")
print(f"validation: {report.nmse_db:.1f} dB; {report.shortfall or 'ahead of zero and the untrained network'}")
