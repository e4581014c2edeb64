"""What arrays cannot show of an experiment, and what every certificate assumes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """How an experiment was done, as declared by whoever did it. What is False makes certificates not applicable.

    Args:
        iid: training pairs are independent draws of the distribution that the risk is about.
        constant_fixed: the loss constant c, its limit B and delta were fixed before seeing the training data.
        code_fixed: so were A, masks, reference signs and the code that the bits are counted in.
        decoded: the losses are those of the network decoded from its stored bits.
        fresh_test: test losses are of independent draws of the same distribution that nothing else has used.
    """

    iid: bool = True
    constant_fixed: bool = True
    code_fixed: bool = True
    decoded: bool = True
    fresh_test: bool = True

    def training(self) -> dict[str, bool]:
        """The assumptions on training, in words."""
        return {
            "the training sample is drawn independently from the test distribution": self.iid,
            "c, B and delta are fixed before the training data are seen": self.constant_fixed,
            "A, masks, reference signs and the code are fixed before the training data are seen": self.code_fixed,
            "the losses are those of the network decoded from its stored bits": self.decoded,
        }

    def test(self) -> dict[str, bool]:
        """The assumption on a test sample, in words."""
        return {"the test sample is fresh and independent": self.fresh_test}


DECLARED = Protocol()
