"""The same camera with 64 x 64 pixels.

``unrollbit init coded-aperture-64 --data`` writes the data, and this as TOML.
"""

import numpy as np

from unrollbit import fit, pack, recipes
from unrollbit.operators import Convolution
from unrollbit.problems import ImageRecovery

mask = np.load("mask.npy")
physics = Convolution.of(mask, (64, 64))
problem = ImageRecovery(physics, size=64, snr_db=30)

recipe = recipes.default(problem, depth=8, steps=300, batch=16)
report = fit(recipe, problem)
pack(recipe.network, problem=problem).save("network.safetensors")
print(f"validation: {report.nmse_db:.1f} dB; {report.shortfall or 'ahead of zero and the untrained network'}")
