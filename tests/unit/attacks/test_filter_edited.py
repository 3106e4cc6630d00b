"""All edited blocks filtered at once."""

import pytest
import torch

from lunar.attacks.base import Target
from lunar.edits.edit import applied, down_proj_name
from targets import declared, make, unchanged, weights


@pytest.fixture
def target(refusing: Target) -> Target:
    return declared(refusing, "filter_edited")


def test_all_edited_blocks_are_filtered_at_once_and_put_back(target, planted) -> None:
    both = planted | {down_proj_name(2): planted[down_proj_name(1)]}
    with applied(target.model, both):
        target.edit = both
        before = weights(target)
        seen = []
        answer = target.answer

        def asked(*given, **named):
            seen.append([name for name, value in weights(target).items() if not torch.equal(value, before[name])])
            return answer(*given, **named)

        target.answer = asked
        found = make("filter_edited", prompts=2, ridge=1.0).run(target)
        assert unchanged(target, before)
    assert [one["block"] for one in found.evidence["filtered"]] == [1, 2]
    assert [name for name in seen[-1] if "down_proj" in name] == seen[-1]
    assert len(seen[-1]) == 2, "both weights are filtered while the questions are asked"
    assert found.evidence["kl"] > 0
    assert found.evidence["chosen"] in found.evidence["filtered"]
    target.edit = {}
    found = make("filter_edited", prompts=2, ridge=1.0).run(target)
    assert [one["block"] for one in found.evidence["filtered"]] == [target.best]
