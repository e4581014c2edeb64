"""Products with bit-packed one-bit matrices: pure JAX everywhere, C for x86-64, Pallas for NVIDIA GPUs."""

from unrollbit.kernels.matmul import packed_matmul
from unrollbit.kernels.native import Kernels, kernels, use_kernels

__all__ = ["Kernels", "kernels", "packed_matmul", "use_kernels"]
