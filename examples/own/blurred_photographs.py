"""A folder of photographs, blurred by a measured kernel.

``unrollbit init blurred-photographs --data`` writes the data, and this as TOML.
"""

import numpy as np

from unrollbit import fit, pack, recipes
from unrollbit.operators import Convolution
from unrollbit.problems import Gaussian, ImageFolder, ImageRecovery

physics = Convolution.of(np.load("kernel.npy"), (24, 32))
images = ImageFolder("photographs", split=(0.6, 0.2, 0.2))
problem = ImageRecovery(physics, images, Gaussian(sigma=0.01), size=(24, 32))

recipe = recipes.default(problem, depth=8, steps=600)
report = fit(recipe, problem)
pack(recipe.network, problem=problem).save("network.safetensors")
print(f"validation: {report.nmse_db:.1f} dB; {report.shortfall or 'ahead of zero and the untrained network'}")
