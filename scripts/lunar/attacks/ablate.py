"""The known direction projected out."""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field

from lunar.attacks.base import Target, attack, expect, rouge1
from lunar.attacks.intervening import Intervention, Known, ask, projecting, writing
from lunar.attacks.settings import AttackSettings
from lunar.model.load import blocks


@attack("ablate", needs=("statistics", "layers"))
class Ablate(Known):
    """Project out the known direction at every token of prompt and answer (Arditi et al. 2024, section 2.4)."""

    class Settings(AttackSettings):
        where: Literal["edited", "stream"] = Field(
            description="edited: the direction of each edited block, out of the output of its MLP. stream: the "
            "directions of all edited blocks, out of the residual stream after every block."
        )

    def most(self, target: Target, vectors: Mapping[int, torch.Tensor], plain: float) -> float:
        """The projection itself may take answers away: out of the whole stream, at a late block's direction, most."""
        part = {"forget": target.rows["forget"]}
        return rouge1(ask(target, self.hook(target, vectors), parts=part)[0]["forget"])

    def hook(self, target: Target, vectors: Mapping[int, torch.Tensor]) -> Intervention:
        if self.settings.where == "edited":
            modules, written = writing(target.model, vectors)
            for layer, vector in vectors.items():
                same = float(torch.cosine_similarity(vector, written[layer], dim=0))
                expect(same > 0.999, f"block {layer} has a factor for each unit, behind which nothing is projected out")
            return projecting(target.model, modules, {layer: vector[:, None] for layer, vector in written.items()})
        basis = torch.stack(list(vectors.values()), dim=1)
        return projecting(
            target.model, dict(enumerate(blocks(target.model))), dict.fromkeys(range(target.depth), basis)
        )
