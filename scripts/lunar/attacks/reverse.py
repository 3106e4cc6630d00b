"""The known direction subtracted."""

from collections.abc import Mapping

import torch
from pydantic import Field

from lunar.attacks.base import Target, attack
from lunar.attacks.intervening import Intervention, Known, adding, writing
from lunar.attacks.settings import AttackSettings


@attack("reverse", needs=("statistics", "layers"))
class Reverse(Known):
    """Subtract ``c r`` from the output of the edited blocks' MLPs, on every prompt token (LUNAR, section 4)."""

    class Settings(AttackSettings):
        decoding: bool = Field(description="Whether to subtract at every decoding step too.")

    @property
    def decoding(self) -> bool:
        """As the attack: what subtracts at every step undoes what adds at every step."""
        return self.settings.decoding

    def hook(self, target: Target, vectors: Mapping[int, torch.Tensor]) -> Intervention:
        opposite = {layer: -vector for layer, vector in vectors.items()}
        return adding(target.model, *writing(target.model, opposite), self.decoding)
