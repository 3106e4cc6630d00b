"""What is read of lm-eval's JSON."""

from lunar.pages.harness import columns


def test_columns_of_the_json() -> None:
    told = {"alias": "arc_easy", "acc,none": 0.25, "acc_stderr,none": 0.1, "exact_match,strict-match": 0.5}
    found = columns({"results": {"arc_easy": told}})
    assert found == {"arc_easy_acc": 0.25, "arc_easy_acc_stderr": 0.1, "arc_easy_exact_match_strict-match": 0.5}
