"""Inverse problems: physics, signal prior, noise and data."""

from unrollbit.problems.arrays import ArrayProblem
from unrollbit.problems.base import Problem, Subset
from unrollbit.problems.block_camera import BlockCamera
from unrollbit.problems.blocks import BlockSparseRecovery
from unrollbit.problems.blur import Deblurring, SuperResolution
from unrollbit.problems.deconvolution import SparseDeconvolution
from unrollbit.problems.denoising import EEGDenoising
from unrollbit.problems.eeg import EEGCompressiveRecovery
from unrollbit.problems.image_folder import ImageFolder
from unrollbit.problems.image_recovery import ImageRecovery
from unrollbit.problems.magnetic_resonance import MagneticResonance
from unrollbit.problems.missing import Inpainting
from unrollbit.problems.noise import Gaussian, GaussianRange, Noise, Poisson
from unrollbit.problems.one_bit_sensing import OneBitCompressiveSensing
from unrollbit.problems.photographs import Photographs
from unrollbit.problems.recovery import recover_photograph
from unrollbit.problems.registration import register_problem
from unrollbit.problems.samples import DrawsFromSamples
from unrollbit.problems.single_pixel import SinglePixelCamera
from unrollbit.problems.sparse import DrawsSparse, SparseRecovery
from unrollbit.problems.tomography import Tomography

__all__ = [
    "ArrayProblem",
    "BlockCamera",
    "BlockSparseRecovery",
    "Deblurring",
    "DrawsFromSamples",
    "DrawsSparse",
    "EEGCompressiveRecovery",
    "EEGDenoising",
    "Gaussian",
    "GaussianRange",
    "ImageFolder",
    "ImageRecovery",
    "Inpainting",
    "MagneticResonance",
    "Noise",
    "OneBitCompressiveSensing",
    "Photographs",
    "Poisson",
    "Problem",
    "SinglePixelCamera",
    "SparseDeconvolution",
    "SparseRecovery",
    "Subset",
    "SuperResolution",
    "Tomography",
    "recover_photograph",
    "register_problem",
]
