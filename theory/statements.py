"""What every theorem says, in a line."""

from __future__ import annotations

from typing import NamedTuple


class Statement(NamedTuple):
    """Family, one line about the theorem, and the quantity that bound and measurement are values of."""

    family: str
    summary: str
    quantity: str


STATEMENTS: dict[str, Statement] = {
    "S1": Statement("stability", "global Lipschitz recursion", "Lipschitz constant"),
    "S1h": Statement("stability", "half-linearised Lipschitz recursion", "Lipschitz constant"),
    "S2": Statement("stability", "lower bound from large inputs", "Lipschitz constant"),
    "S3": Statement("stability", "local Lipschitz constant from the support pattern", "Lipschitz constant"),
    "S4": Statement("stability", "exact linear region", "Lipschitz constant"),
    "S5": Statement("stability", "pairwise Lipschitz constant along the supports", "Lipschitz constant"),
    "N1": Statement("sensitivity", "deviation of a perturbed network along the trajectory", "output deviation"),
    "N1path": Statement("sensitivity", "the same along the supports", "output deviation"),
    "N1free": Statement("sensitivity", "the same for all measurements of bounded norm", "output deviation"),
    "N2": Statement("sensitivity", "size of a sign-flip perturbation", "spectral norm"),
    "N2u": Statement("sensitivity", "any f sign flips per layer", "output deviation"),
    "N3": Statement("sensitivity", "random bit errors", "RMS output deviation"),
    "N6": Statement("sensitivity", "quantisation to one bit", "output deviation"),
    "C1": Statement("convergence", "linear rate under generalised coherence", "largest error"),
    "C1b": Statement("convergence", "the same in the l1 norm", "l1 error"),
    "C2": Statement("convergence", "contraction along the supports", "error"),
    "C2u": Statement("convergence", "the same for all supports of a size", "error"),
    "C3": Statement("convergence", "gradient descent, recursion", "error"),
    "C3a": Statement("convergence", "gradient descent, alignment of W with A", "error"),
    "C3b": Statement("convergence", "gradient descent, product of layers", "error"),
    "C4": Statement("convergence", "ball around the Lasso solution", "distance to the solution"),
    "C5": Statement("convergence", "one-bit ADMM, ball around the Lasso solution", "distance to the solution"),
    "C6": Statement("convergence", "what one bit costs in coherence", "coherence"),
    "C7": Statement("convergence", "certificate from the residual", "error"),
    "G0": Statement("generalization", "sampling error of the measured risk", "risk"),
    "G1": Statement("generalization", "Occam: bits per training signal", "risk"),
    "G2": Statement("generalization", "covering numbers, real scalars", "risk"),
    "G3a": Statement("generalization", "Occam-kl: the fast rate", "risk"),
    "G3b": Statement("generalization", "empirical Bernstein", "risk"),
    "G3c": Statement("generalization", "random flips, PAC-Bayes", "risk"),
    "G4": Statement("generalization", "fewer bits, smaller certificate than in float32", "certificate"),
    "G5": Statement("generalization", "each part pays for the bits that it sees", "risk"),
    "G6": Statement("generalization", "separation of one bit from full precision", "gap"),
}
PROBABILISTIC = frozenset(name for name in STATEMENTS if name[0] == "G" and name != "G4") | {"C6"}
"""They hold with probability 1 - delta: a share delta of instances may be violated."""
FAMILIES = tuple(dict.fromkeys(statement.family for statement in STATEMENTS.values()))
