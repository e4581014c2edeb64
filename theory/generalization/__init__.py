"""Certificates of the test risk that count bits: what a network of few bits can hide is little."""

from unrollbit.theory.generalization.code import b_flip, b_raw, code_length, flip_length, flips_from, mask_length
from unrollbit.theory.generalization.covering import (
    G2,
    covering_gap,
    dense_relu_nats,
    loss_lipschitz,
    project,
)
from unrollbit.theory.generalization.divergence import kl, klinv
from unrollbit.theory.generalization.dominance import G4, dominance_margin
from unrollbit.theory.generalization.gap import G0, Gap, clopper_pearson, half_width, hoeffding_samples, measured_gap
from unrollbit.theory.generalization.losses import clipped_losses, part_losses
from unrollbit.theory.generalization.network_class import NetworkClass
from unrollbit.theory.generalization.network_code import NetworkCode, network_code
from unrollbit.theory.generalization.occam import G1, G3a, G3b, occam_width
from unrollbit.theory.generalization.pac_bayes import G3c, flip_divergence
from unrollbit.theory.generalization.protocol import Protocol
from unrollbit.theory.generalization.receptive import G5, equal_parts, part_bits, receptive_columns
from unrollbit.theory.generalization.separation import (
    G6,
    cover_probability,
    largest_one_bit_gap,
    one_bit_gap,
    separable,
)

__all__ = [
    "G0",
    "G1",
    "G2",
    "G4",
    "G5",
    "G6",
    "G3a",
    "G3b",
    "G3c",
    "Gap",
    "NetworkClass",
    "NetworkCode",
    "Protocol",
    "b_flip",
    "b_raw",
    "clipped_losses",
    "clopper_pearson",
    "code_length",
    "cover_probability",
    "covering_gap",
    "dense_relu_nats",
    "dominance_margin",
    "equal_parts",
    "flip_divergence",
    "flip_length",
    "flips_from",
    "half_width",
    "hoeffding_samples",
    "kl",
    "klinv",
    "largest_one_bit_gap",
    "loss_lipschitz",
    "mask_length",
    "measured_gap",
    "network_code",
    "occam_width",
    "one_bit_gap",
    "part_bits",
    "part_losses",
    "project",
    "receptive_columns",
    "separable",
]
