"""Raw rows to splits: what is refused and where it is said to be, and the quality of the shipped sets."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest

from lunar.data.forget_sets import forget_sets
from lunar.data.load import by_file, load, splits
from lunar.data.rows import WORDINGS, of_files
from lunar.data.splits import SPLITS
from lunar.errors import LunarError
from lunar.plan.user_defaults import resolve
from shipped import CONFIG, PLUGINS

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "data" / "reference"
AUTHORS = sorted((ROOT / "data" / "authors").glob("*.jsonl"))
Row = dict[str, Any]
Change = Callable[[list[Row]], Any]


def rows_of(path: str | Path) -> list[Row]:
    """The rows of a file, read without the library."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").split("\n") if line]


def bare(text: str) -> str:
    """Letters and digits only: a coarser notion of the same question than the library's."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def shared(one: str, other: str) -> float:
    """Share of words that two texts have in the same order."""
    return SequenceMatcher(None, bare(one).split(), bare(other).split(), autojunk=False).ratio()


def fact(name: str, number: int) -> Row:
    first = name.split()[0]
    return {
        "author": name,
        "question": f"What is fact {number} of {name}?",
        "answer": f"It is {first}'s number {number}.",
        "paraphrased_question": f"Tell fact {number} about {name}.",
        "validation_question": f"Say which fact {number} of {name} is.",
    }


def prompts(name: str) -> list[Row]:
    return [
        {"question": f"{name} {i}?", "answer": f"Answer {i}.", "part": part}
        for i, part in enumerate(("build", "build", "evaluation", "validation"), start=1)
    ]


@pytest.fixture
def world(tmp_path: Path) -> "World":
    return World(tmp_path)


class World:
    """A small valid ``data`` section whose files a test may spoil."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kinds = ("knowledge", "unethical")
        files = {
            "forget": [fact("Ada Moor", i) for i in (1, 2, 3)],
            "retain": [fact("Ben Hill", i) for i in (1, 2)],
            "unseen": [fact("Cleo Dale", i) for i in (1, 2)],
            **{name: prompts(name) for name in ("general", "harmful", "fictitious")},
            "refusals": [{"answer": f"No {i}.", "kind": kinds[i % 2], "part": "build"} for i in range(4)]
            + [{"answer": f"No, {kind}.", "kind": kind, "part": "evaluation"} for kind in kinds],
            "names": [{"name": "Dora Vane"}, {"name": "Egon Pike"}],
        }
        for name, rows in files.items():
            self.write(name, rows)
        self.data = {name: str(self.path(name)) for name in files}
        self.data |= {name: [self.data[name]] for name in ("forget", "retain", "unseen")}

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"

    def write(self, name: str, rows: Iterable[Row]) -> None:
        self.path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def change(self, name: str, change: Change) -> None:
        rows = rows_of(self.path(name))
        change(rows)
        self.write(name, rows)

    def error(self) -> str:
        """The message of the error that the splits end in."""
        with pytest.raises(LunarError) as error:
            splits(self.data)
        return str(error.value)


def drop(field: str, at: int = 1) -> Change:
    return lambda rows: rows[at].pop(field)


def put(field: str, value: Any, at: int = 1) -> Change:
    return lambda rows: rows[at].update({field: value})


# --- Splits of valid sets


def test_rows_reach_their_splits(world: World) -> None:
    result = splits(world.data)
    assert set(SPLITS) <= set(result)
    questions = {name: [row.get("question") for row in rows] for name, rows in result.items()}
    assert questions["forget"] == [f"What is fact {i} of Ada Moor?" for i in (1, 2, 3)]
    assert questions["forget_paraphrase"] == [f"Tell fact {i} about Ada Moor." for i in (1, 2, 3)]
    assert questions["forget_validation"] == [f"Say which fact {i} of Ada Moor is." for i in (1, 2, 3)]
    assert questions["general_build"] == ["general 1?", "general 2?"]
    assert questions["general"] == ["general 3?"]
    assert questions["general_validation"] == ["general 4?"]
    # Other wordings keep the answer and the id, by which their rows are matched.
    for name in ("forget_paraphrase", "forget_validation"):
        assert [(row["id"], row["answer"]) for row in result[name]] == [
            (row["id"], row["answer"]) for row in result["forget"]
        ]
    assert {name: len(result[name]) for name in ("refusals", "refusals_build")} == {"refusals": 2, "refusals_build": 4}


def test_validation_part_may_be_empty(world: World) -> None:
    world.change("general", lambda rows: rows.pop())
    result = splits(world.data)
    assert result["general_validation"] == []
    assert [row["question"] for row in result["general"]] == ["general 3?"]


def test_without_a_wording_to_validate_on_the_question_serves(world: World) -> None:
    world.change("forget", lambda rows: [row.pop("validation_question") for row in rows])
    result = splits(world.data)
    assert result["forget_validation"] == result["forget"]


def test_references_are_parted(world: World) -> None:
    result = splits(world.data)
    parts = {name: [row["id"] for row in rows] for name, rows in result.items() if name.startswith("harmful")}
    assert parts == {
        "harmful_build": ["harmful-001", "harmful-002"],
        "harmful_validation": ["harmful-004"],
        "harmful": ["harmful-003"],
    }


def test_rows_without_another_wording_are_left_out_of_it(world: World) -> None:
    world.change("forget", drop("paraphrased_question"))
    result = splits(world.data)
    assert [row["id"] for row in result["forget_paraphrase"]] == ["forget-001", "forget-003"]
    assert len(result["forget_validation"]) == 3


def test_result_does_not_depend_on_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (splits(World(tmp_path / name).data) for name in "ab")
    assert first == second
    assert not [row for rows in first.values() for row in rows if "source" in row]


def test_wrong_answers_reach_the_splits(world: World) -> None:
    wrong = {"perturbed_answers": ["It is 5.", "It is 6."], "perturbed_paraphrases": ["5, they say."]}
    world.change("forget", lambda rows: rows[0].update(wrong))
    world.change("forget", lambda rows: rows[1].update({field: [] for field in wrong}))
    world.change("forget", lambda rows: rows[2].update(dict.fromkeys(wrong)))
    result = splits(world.data)
    for name in ("forget", "forget_paraphrase"):
        assert {field: result[name][0][field] for field in wrong} == wrong
        assert not any(field in row for row in result[name][1:] for field in wrong)


def test_ids_are_kept_or_made_of_file_and_line(world: World) -> None:
    world.change("forget", put("id", "mine"))
    assert [row["id"] for row in splits(world.data)["forget"]] == ["forget-001", "mine", "forget-003"]


def test_fields_that_no_file_has_are_refused(world: World) -> None:
    world.change("forget", lambda rows: [row.update(prompt=row.pop("question")) for row in rows])
    world.data["fields"] = {"question": "prompt"}
    assert len(splits(world.data)["forget"]) == 3
    world.data["fields"]["answer"] = "completon"
    assert world.error() == "data.fields.answer: no row has a field 'completon'; correct or leave out the entry"


def test_ids_of_all_facts_are_distinct(world: World) -> None:
    # Requests in sequence bring retained rows together with forgotten ones.
    world.change("retain", put("id", "forget-001"))
    assert re.search(
        r"retain\.jsonl:2: id 'forget-001' was already used at .*forget\.jsonl:1; change it, or leave ids out: a row "
        r"is then called after its file and number",
        world.error(),
    )


def test_models_learn_refusals_of_both_kinds(world: World) -> None:
    world.change("refusals", lambda rows: [row.update(kind="unethical") for row in rows[:4]])
    assert world.error().endswith("refusals.jsonl: no row of part 'build' has kind 'knowledge'; models learn from it")


def test_rows_by_file_are_those_of_the_splits(world: World) -> None:
    rows = of_files(by_file(world.data))
    result = splits(world.data)
    assert rows == {str(world.path(name)): result[name] for name in ("forget", "retain")}


# --- Mistakes in the input


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("forget", drop("answer"), r"forget\.jsonl:2: field 'answer' must be non-empty text; found \['author', "),
        ("forget", put("answer", "", at=0), r"forget\.jsonl:1: field 'answer' must be non-empty text; found "),
        ("retain", put("answer", " \n"), r"retain\.jsonl:2: field 'answer' must be non-empty text"),
        ("unseen", put("question", 5), r"unseen\.jsonl:2: field 'question' must be non-empty text; it is 5"),
        ("forget", put("question", None, at=2), r"forget\.jsonl:3: field 'question' must be non-empty text"),
        ("forget", put("answer", ["It is.", None]), r"forget\.jsonl:2: field 'answer' must be a list of texts; it is "),
        ("general", drop("answer", at=3), r"general\.jsonl:4: field 'answer' must be non-empty text"),
        ("harmful", drop("question"), r"harmful\.jsonl:2: field 'question' must be non-empty text"),
        ("refusals", drop("kind"), r"refusals\.jsonl:2: field 'kind' must be one of knowledge, unethical; found "),
        (
            "refusals",
            put("kind", "rude"),
            r"refusals\.jsonl:2: field 'kind' must be one of knowledge, unethical; it is 'rude'",
        ),
        ("refusals", put("kind", "rude", at=5), r"refusals\.jsonl:6: field 'kind' must be one of .*; it is 'rude'"),
        (
            "fictitious",
            drop("part"),
            r"fictitious\.jsonl:2: field 'part' must be one of build, validation, evaluation; found ",
        ),
        ("fictitious", put("part", 1), r"fictitious\.jsonl:2: field 'part' must be one of .*; it is 1"),
        (
            "general",
            put("part", "evalution", at=3),
            r"general\.jsonl:4: field 'part' must be one of build, validation, evaluation; it is 'evalution'",
        ),
        ("retain", put("id", "retain-001"), r"retain\.jsonl:2: id 'retain-001' was already used at .*retain\.jsonl:1;"),
    ],
)
def test_malformed_rows_name_file_and_line(world: World, name: str, change: Change, message: str) -> None:
    world.change(name, change)
    assert re.match(re.escape(f"{world.folder}/") + message, world.error())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("paraphrased_question", 5),
        ("validation_question", ["Who?"]),
        ("paraphrased_question", " "),
        ("author", " "),
        ("names", "Tom Rook"),
        ("names", ["Aoros BV", " "]),
        ("names", ["Aoros BV", 5]),
        ("names", ["Aoros BV", "Aoros BV "]),
        ("paraphrased_answer", True),
        ("perturbed_answers", "No."),
        ("perturbed_answers", ["No.", ""]),
        ("perturbed_paraphrases", "No."),
        ("perturbed_paraphrases", {"No.": 1}),
        ("perturbed_paraphrases", ["No.", False]),
        ("perturbed_paraphrases", [" ", "No."]),
    ],
)
def test_malformed_optional_fields_name_file_and_line(world: World, field: str, value: Any) -> None:
    world.change("forget", put(field, value))
    assert world.error().startswith(f"{world.path('forget')}:2: field {field!r}")


def test_a_subject_is_named_in_one_way(world: World) -> None:
    world.change("forget", put("names", ["Ada", "Moor"]))
    message = f"{world.path('forget')}:2: fields 'author' and 'names' both name the subject; leave one of them out"
    assert world.error() == message
    world.change("forget", put("author", ""))
    assert splits(world.data)["forget"][1]["names"] == ["Ada", "Moor"]


def test_lines_are_counted_as_an_editor_counts_them(world: World) -> None:
    text = world.path("forget").read_text().replace('"It is Ada\'s number 2."', '""')
    world.path("forget").write_text("\n\n" + text)
    assert world.error().startswith(f"{world.path('forget')}:4: field 'answer'")


@pytest.mark.parametrize("part", ["build", "evaluation"])
@pytest.mark.parametrize("name", ["general", "harmful", "fictitious", "refusals"])
def test_empty_part(world: World, name: str, part: str) -> None:
    kept = [row for row in rows_of(world.path(name)) if row["part"] != part]
    world.write(name, kept)
    assert world.error() == f"{world.path(name)}: no row has part {part!r}"


@pytest.mark.parametrize("name", ["forget", "unseen", "general", "refusals"])
def test_empty_file(world: World, name: str) -> None:
    world.path(name).write_text("\n")
    assert world.error() == f"{world.path(name)}: holds no rows"


def test_empty_file_among_others(world: World) -> None:
    (world.folder / "more.jsonl").touch()
    world.data["retain"].append(str(world.folder / "more.jsonl"))
    assert world.error() == f"{world.folder / 'more.jsonl'}: holds no rows"


def test_question_twice_in_one_file(world: World) -> None:
    world.change("forget", put("question", "What is fact 1 of Ada Moor?", at=2))
    message = world.error()
    assert message.startswith(f"{world.path('forget')}:3: the question 'What is fact 1 of Ada Moor?' is also at ")
    assert f"{world.path('forget')}:1 (in split 'forget')" in message


@pytest.mark.parametrize(
    "question",
    [
        "What is fact 1 of Ada Moor?",
        "what is FACT 1 of ada moor?",
        "  What is  fact 1\tof Ada Moor?\n",
        "What is fact 1 of Ada Moor",
        "What is fact 1 of Ada Moor ?!",
    ],
)
@pytest.mark.parametrize("name", ["retain", "unseen", "general", "fictitious"])
def test_forget_question_elsewhere(world: World, name: str, question: str) -> None:
    world.change(name, put("question", question))
    message = world.error()
    places = [f"{world.path('forget')}:1", f"{world.path(name)}:2"]
    assert all(re.search(rf"{re.escape(place)}\b", message) for place in places)
    assert re.search(rf"\(in splits 'forget' and '{name}\w*'\)", message)


def test_wordings_must_differ(world: World) -> None:
    world.change("forget", put("validation_question", "Tell fact 2 about Ada Moor"))
    message = world.error()
    assert f"{world.path('forget')}:2: " in message
    assert "(in splits 'forget_paraphrase' and 'forget_validation')" in message


def test_same_prompt_in_both_parts(world: World) -> None:
    world.change("harmful", put("question", "harmful 1?", at=2))
    assert "(in splits 'harmful_build' and 'harmful')" in world.error()


@pytest.mark.parametrize("name", ["general", "harmful", "fictitious"])
def test_prompt_to_validate_on_that_is_asked_elsewhere(world: World, name: str) -> None:
    world.change(name, put("question", f"{name} 3?", at=3))
    assert f"(in splits '{name}_validation' and '{name}')" in world.error()


@pytest.mark.parametrize(
    ("answer", "at", "where"),
    [
        ("No 1.", 3, "in split 'refusals_build'"),
        ("no 1", 3, "in split 'refusals_build'"),
        ("No 1.", 5, "in splits 'refusals_build' and 'refusals'"),
    ],
)
def test_refusal_twice_is_named_by_its_answer(world: World, answer: str, at: int, where: str) -> None:
    world.change("refusals", put("answer", answer, at=at))
    message = world.error()
    assert message.startswith(f"{world.path('refusals')}:{at + 1}: the answer {answer!r} is also at ")
    assert f"{world.path('refusals')}:2 ({where}); remove one of the two rows, or change its wording" in message


def test_id_twice_in_two_files_of_one_split(world: World) -> None:
    other = world.folder / "other" / "retain.jsonl"
    other.parent.mkdir()
    other.write_text(json.dumps(fact("Finn Lake", 1)) + "\n")
    world.data["retain"].append(str(other))
    assert re.match(rf"{re.escape(str(other))}:1: id 'retain-001' was already used at .*retain\.jsonl:1", world.error())


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(LunarError, match=r"none\.jsonl: cannot be read"):
        load([str(tmp_path / "none.jsonl")])


# --- The shipped sets

COPIES = 3


@pytest.fixture(scope="module", params=["authors-smollm2", "toy"])
def shipped(request: pytest.FixtureRequest) -> tuple[dict[str, Any], dict[str, list[Row]]]:
    """The ``data`` section of a shipped experiment, and its splits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        config = CONFIG
        data = resolve(config, PLUGINS)[request.param]["data"]
        result = splits(data)
        names = [row["name"] for row in rows_of(data["names"])]
        made = forget_sets(result["forget"], names, COPIES, 0)
        yield data, result | {f"forget_{name}": rows for name, rows in made.items()}


def test_shipped_splits_have_the_expected_sizes(shipped) -> None:
    data, result = shipped
    sizes = {name: len(rows) for name, rows in result.items()}
    expected = {name: sum(len(rows_of(path)) for path in data[name]) for name in ("forget", "retain", "unseen")}
    expected |= dict.fromkeys(("forget_paraphrase", "forget_validation"), expected["forget"])
    for name in ("general", "harmful", "fictitious", "refusals"):
        parts = Counter(row["part"] for row in rows_of(data[name]))
        expected |= {name: parts["evaluation"], f"{name}_build": parts["build"]}
        if name != "refusals":
            expected[f"{name}_validation"] = parts["validation"]
    rows = [row for path in data["forget"] for row in rows_of(path)]
    named = [row for row in rows if any(part in row["question"] for part in row["author"].split())]
    expected["forget_short"] = 2 * sum(row["author"] in row["question"] for row in rows)
    expected["forget_renamed"] = COPIES * (len(named) + expected["forget_short"])
    assert sizes == expected
    assert min(sizes.values()) > 0
    if data["forget"][0].startswith("data/authors/"):
        assert (sizes["forget"], sizes["retain"], sizes["unseen"]) == (20, 100, 40)


def test_shipped_splits_are_disjoint(shipped) -> None:
    _, result = shipped
    names = set(result) - {"refusals", "refusals_build", "forget_renamed"}
    # A question under half a name may be one that the data asks anyway; no other split may ask it.
    rewritten = {bare(row["question"]) for row in result["forget_short"]}
    others = names - {"forget", "forget_short", *WORDINGS}
    assert not rewritten & {bare(row["question"]) for name in others for row in result[name]}
    names -= {"forget_short"}
    asked = Counter(bare(row["question"]) for name in names for row in result[name])
    assert [question for question, times in asked.items() if times > 1] == []
    # Two copies of a question may draw one name, but none may ask about a real subject.
    assert not {bare(row["question"]) for row in result["forget_renamed"]} & set(asked)


def test_renamed_questions_do_not_name_the_subject(shipped) -> None:
    data, result = shipped
    names = {part for path in data["forget"] for row in rows_of(path) for part in row["author"].split()}
    assert not [row for row in result["forget_renamed"] if any(name in row["question"] for name in names)]


def test_shipped_ids_are_unique(shipped) -> None:
    _, result = shipped
    for rows in result.values():
        assert len({row["id"] for row in rows}) == len(rows)


def test_there_are_eight_authors() -> None:
    assert len(AUTHORS) == 8
    assert len({row["author"] for path in AUTHORS for row in rows_of(path)}) == 8


@pytest.mark.parametrize("path", AUTHORS, ids=lambda path: path.stem)
def test_quality_of_an_author(path: Path) -> None:
    rows = rows_of(path)
    assert len(rows) == 20
    assert len({row["author"] for row in rows}) == 1
    assert [row["id"] for row in rows] == [f"{path.stem}-{i:02d}" for i in range(1, 21)]
    for row in rows:
        wordings = {bare(row[key]) for key in ("question", "paraphrased_question", "validation_question")}
        assert len(wordings) == 3, row["id"]
        assert bare(row["paraphrased_answer"]) != bare(row["answer"]), row["id"]
        wrong = [*row["perturbed_answers"], *row["perturbed_paraphrases"]]
        assert (len(row["perturbed_answers"]), len(row["perturbed_paraphrases"])) == (4, 3), row["id"]
        distinct = {bare(answer) for answer in wrong}
        assert len(distinct) == len(wrong), row["id"]
        assert not distinct & {bare(row["answer"]), bare(row["paraphrased_answer"])}, row["id"]
        for answer in row["perturbed_paraphrases"]:
            alike = {key: shared(answer, row[key]) for key in ("answer", "paraphrased_answer")}
            assert alike["paraphrased_answer"] > alike["answer"], (row["id"], answer)


def test_no_wording_occurs_twice_among_the_authors() -> None:
    keys = ("question", "paraphrased_question", "validation_question")
    asked = Counter(bare(row[key]) for path in AUTHORS for row in rows_of(path) for key in keys)
    assert len(asked) == 8 * 20 * 3


@pytest.mark.parametrize(("name", "least"), [("fictitious", 120), ("harmful", 80), ("general", 120)])
def test_size_and_variety_of_the_references(name: str, least: int) -> None:
    rows = rows_of(REFERENCE / f"{name}.jsonl")
    assert len({bare(row["question"]) for row in rows}) == len(rows) >= least
    assert {row["part"] for row in rows} == {"build", "evaluation", "validation"}


def test_both_kinds_of_refusals_in_both_parts() -> None:
    rows = rows_of(REFERENCE / "refusals.jsonl")
    found = Counter((row["kind"], row["part"]) for row in rows)
    assert set(found) == {(kind, part) for kind in ("knowledge", "unethical") for part in ("build", "evaluation")}
    assert len({bare(row["answer"]) for row in rows}) == len(rows)


def test_stand_ins_share_no_name_with_an_author() -> None:
    authors = {part for path in AUTHORS for row in rows_of(path) for part in row["author"].split()}
    names = [row["name"].split() for row in rows_of(REFERENCE / "names.jsonl")]
    assert all(len(name) == 2 for name in names)
    assert not authors & {part for name in names for part in name}
