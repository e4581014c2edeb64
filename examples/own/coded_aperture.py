"""A camera without a lens, through a measured mask of holes: 16 x 16 pixels.

``unrollbit init coded-aperture --data`` writes the data, and this as TOML.
"""

import numpy as np

from unrollbit import fit, pack, recipes
from unrollbit.operators import Convolution
from unrollbit.problems import ImageRecovery

mask = np.load("mask.npy")
physics = Convolution.of(mask, (16, 16))
problem = ImageRecovery(physics, size=16, snr_db=30)

recipe = recipes.default(problem, depth=8, steps=600)
report = fit(recipe, problem)
pack(recipe.network, problem=problem).save("network.safetensors")
print(f"validation: {report.nmse_db:.1f} dB; {report.shortfall or 'ahead of zero and the untrained network'}")
