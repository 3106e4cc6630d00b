"""The one table of splits."""

from lunar.data.splits import ANSWERED, ATTACKED, BUILT_FROM, LADDER_SPLITS, SPLITS, TABLE


def test_splits_have_distinct_names() -> None:
    assert len(set(SPLITS)) == len(SPLITS)
    assert set(ANSWERED) | set(BUILT_FROM) <= set(SPLITS)
    assert not set(ANSWERED) & set(BUILT_FROM), "two rules would write one file"
    assert set(LADDER_SPLITS) <= set(ANSWERED)


def test_splits_are_what_the_workflow_had() -> None:
    assert ANSWERED == ("forget", "forget_paraphrase", "retain", "unseen", "general", "harmful", "fictitious")
    assert ATTACKED == ("forget", "retain")
    assert set(TABLE) - set(SPLITS) == {"forget_short", "forget_renamed"}
