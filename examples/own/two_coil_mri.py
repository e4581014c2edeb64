"""Magnetic resonance with two coils, complex measurements.

``unrollbit init two-coil-mri --data`` writes the data, and this as TOML.
"""

import numpy as np

from unrollbit import fit, pack, recipes
from unrollbit.problems import ImageRecovery

coils = np.load("coils.npy")  # complex, (measurements, pixels)
problem = ImageRecovery(coils, size=16, snr_db=30)

recipe = recipes.default(problem, depth=8, steps=600)
report = fit(recipe, problem)
pack(recipe.network, problem=problem).save("network.safetensors")
print(f"validation: {report.nmse_db:.1f} dB; {report.shortfall or 'ahead of zero and the untrained network'}")
