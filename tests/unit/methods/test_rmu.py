"""Representation misdirection: the losses on the model."""

import pytest
import torch

from lunar.model.chat import PREFIX
from lunar.model.load import blocks
from trained import ASKED, moved


def test_losses_on_the_model(job) -> None:
    found = moved(job, "rmu")
    parts = {"forget": [found.run.forget[i] for i in ASKED], "retain": found.run.retain}
    streams = {}
    for name, model in (("before", found.before), ("after", found.after)):
        for part, group in parts.items():
            states = []
            for one in group:
                seen: list[torch.Tensor] = []
                hook = blocks(model)[1].register_forward_hook(lambda m, a, output, seen=seen: seen.append(output))
                with torch.no_grad():
                    model(torch.tensor([one.ids]))
                hook.remove()
                states += [state for state, span in zip(seen[0][0], one.spans, strict=True) if span != PREFIX]
            streams[name, part] = torch.stack(states)
    vector = torch.rand(16, generator=torch.Generator().manual_seed(job.seed))
    target = 20.0 * vector / vector.norm()
    assert found.forget == pytest.approx(float((streams["after", "forget"] - target).square().mean()), rel=1e-4)
    difference = streams["after", "retain"] - streams["before", "retain"]
    assert found.retain == pytest.approx(float(difference.square().mean()), rel=1e-3)
    assert found.retain > 1e-6
