"""Tomography with a sparse matrix of rays, which stays sparse.

``unrollbit init sparse-tomography --data`` writes the data, and this as TOML.
"""

import scipy.sparse

from unrollbit import fit, pack, recipes
from unrollbit.problems import ImageRecovery

rays = scipy.sparse.load_npz("rays.npz")
problem = ImageRecovery(rays, size=32, snr_db=40)

recipe = recipes.default(problem, depth=8, steps=400, batch=32)
report = fit(recipe, problem)
pack(recipe.network, problem=problem).save("network.safetensors")
print(f"validation: {report.nmse_db:.1f} dB; {report.shortfall or 'ahead of zero and the untrained network'}")
