"""Linear operators: the physics of an inverse problem."""

from unrollbit.operators.adjoint import Adjoint
from unrollbit.operators.banded import Banded, Toeplitz
from unrollbit.operators.base import LinearOperator
from unrollbit.operators.block import BlockDiagonal
from unrollbit.operators.complex_measurements import ComplexMeasurements
from unrollbit.operators.composition import Composition
from unrollbit.operators.conversion import add_converter
from unrollbit.operators.convolution import Convolution
from unrollbit.operators.dense import Dense
from unrollbit.operators.fourier import SubsampledDCT, SubsampledFourier
from unrollbit.operators.function import Function
from unrollbit.operators.hadamard import Hadamard
from unrollbit.operators.host import Host
from unrollbit.operators.multi_coil import MultiCoil
from unrollbit.operators.named import named_physics
from unrollbit.operators.norms import Norm
from unrollbit.operators.pattern_design import hadamard_patterns, learned_patterns
from unrollbit.operators.patterns import BlockPatterns
from unrollbit.operators.physics import as_operator
from unrollbit.operators.preconditioned import Preconditioned
from unrollbit.operators.rademacher import Rademacher
from unrollbit.operators.radon import Radon
from unrollbit.operators.random import gaussian, gaussian_blocks, hadamard_blocks, ill_conditioned, rademacher_blocks
from unrollbit.operators.scaled import Scaled
from unrollbit.operators.sparse import Sparse
from unrollbit.operators.subsampling import Subsampling
from unrollbit.operators.sum import Sum
from unrollbit.operators.unspecified import unpackable
from unrollbit.operators.wavelet import Wavelet

__all__ = [
    "Adjoint",
    "Banded",
    "BlockDiagonal",
    "BlockPatterns",
    "ComplexMeasurements",
    "Composition",
    "Convolution",
    "Dense",
    "Function",
    "Hadamard",
    "Host",
    "LinearOperator",
    "MultiCoil",
    "Norm",
    "Preconditioned",
    "Rademacher",
    "Radon",
    "Scaled",
    "Sparse",
    "SubsampledDCT",
    "SubsampledFourier",
    "Subsampling",
    "Sum",
    "Toeplitz",
    "Wavelet",
    "add_converter",
    "as_operator",
    "gaussian",
    "gaussian_blocks",
    "hadamard_blocks",
    "hadamard_patterns",
    "ill_conditioned",
    "learned_patterns",
    "named_physics",
    "rademacher_blocks",
    "unpackable",
]
