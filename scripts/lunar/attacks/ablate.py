"""The known direction projected out."""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from lunar.attacks.base import Target, attack
from lunar.attacks.intervening import Intervention, Known, projecting
from lunar.attacks.settings import AttackSettings
from lunar.model.load import blocks, down_proj


@attack("ablate", needs=("statistics", "layers"))
class Ablate(Known):
    """The known direction projected out at every token of prompt and answer (Arditi et al. 2024, section 2.4)."""

    class Settings(AttackSettings):
        where: Literal["edited", "stream"] = Field(
            description="edited: out of what each edited down_proj gives, its own; stream: all edited blocks' "
            "directions, out of the residual stream after every block."
        )

    def hook(self, target: Target, vectors: Mapping[int, torch.Tensor]) -> Intervention:
        if self.settings.where == "edited":
            modules: dict[int, nn.Module] = {layer: down_proj(target.model, layer) for layer in vectors}
            return projecting(target.model, modules, {layer: vector[:, None] for layer, vector in vectors.items()})
        basis = torch.stack(list(vectors.values()), dim=1)
        return projecting(
            target.model, dict(enumerate(blocks(target.model))), dict.fromkeys(range(target.depth), basis)
        )
