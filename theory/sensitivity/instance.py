"""Networks that are perturbed: what sensitivity is checked on."""

from __future__ import annotations

from functools import cached_property

from unrollbit.theory.instances import Attacked
from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import norms
from unrollbit.theory.sensitivity.flips import flipped, greedy_flips, random_flips
from unrollbit.theory.sensitivity.sources import with_scale_error
from unrollbit.theory.trajectory import recover

_RANDOM = 5  # random sets of flips beside the greedy ones


class Perturbed(Attacked):
    """A signal and networks with flipped signs, greedy and random."""

    @cached_property
    def count(self) -> int:
        """Flips of every stored matrix."""
        return min(self.settings.flips, int(self.form.mask.sum()))

    @cached_property
    def perturbed(self) -> list[NormalForm]:
        """The network with flips."""
        form, seeds = self.form, (self.settings.seeded(self.index + i) for i in range(_RANDOM))
        flips = [*greedy_flips(form, self.y, self.count), *(random_flips(form, self.count, seed) for seed in seeds)]
        return [flipped(form, each) for each in flips]

    @cached_property
    def worst(self) -> NormalForm:
        """The one whose output is farthest from that of the network."""
        clean = recover(self.form, self.y)
        return max(self.perturbed, key=lambda other: float(norms(recover(other, self.y) - clean)))

    @cached_property
    def errors(self) -> list[NormalForm]:
        """The worst flips, and an error of the scale where the form has one scale."""
        scaled = [] if self.form.form == "lista" else [with_scale_error(self.form, self.settings.scale_error)]
        return [self.worst, *scaled]
