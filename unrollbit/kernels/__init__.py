"""Products with bit-packed one-bit matrices: pure JAX everywhere, C for x86-64 and ARM64, Pallas for NVIDIA GPUs."""

from unrollbit.kernels.backend import Backend
from unrollbit.kernels.backends import Kernels, add_backend, kernels, use_kernels
from unrollbit.kernels.compiled import Compiled
from unrollbit.kernels.hadamard import hadamard_transform
from unrollbit.kernels.matmul import packed_matmul

__all__ = [
    "Backend",
    "Compiled",
    "Kernels",
    "add_backend",
    "hadamard_transform",
    "kernels",
    "packed_matmul",
    "use_kernels",
]
