"""Whole-or-nothing writing, and errors that name the file and line to mend."""

import json
import os
from pathlib import Path

import pytest

from lunar.errors import LunarError
from lunar.files import atomic_folder, atomic_write, read_json, read_rows, write_json, write_rows, write_text


@pytest.fixture
def umask():
    """Set the umask for one test; it belongs to the whole process."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def test_whole_makes_the_folder_and_leaves_only_the_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "a.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("done")
        # Same file system, or the replacement would be a copy; same suffix, since writers go by it.
        assert (temporary.parent, temporary.suffix) == (path.parent, path.suffix)
        assert not path.exists()
    assert path.read_text() == "done"
    assert list(path.parent.iterdir()) == [path]


# KeyboardInterrupt is no Exception, yet Ctrl-C is the commonest way for a job to end early.
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("old", [None, "old"])
def test_whole_leaves_nothing_on_failure(tmp_path: Path, error: type[BaseException], old: str | None) -> None:
    path = tmp_path / "a.txt"
    if old:
        path.write_text(old)
    with pytest.raises(error), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise error
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == ({"a.txt": old} if old else {})


def test_whole_replaces_atomically(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with path.open() as reader:
        with atomic_write(path) as temporary:
            temporary.write_text("new")
            assert path.read_text() == "old"
        # A reader that came before keeps the whole old file: the name moved to another one, nothing was overwritten.
        assert reader.read() == "old"
    assert path.read_text() == "new"


def test_whole_cleans_up_when_the_replacement_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.mkdir()
    with pytest.raises(OSError), atomic_write(path) as temporary:
        temporary.write_text("new")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("mask", "file_mode", "folder_mode"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_permissions_honour_the_umask(tmp_path: Path, umask, mask: int, file_mode: int, folder_mode: int) -> None:
    umask(mask)
    write_text(tmp_path / "a.txt", "")
    theirs = tmp_path / "theirs"
    theirs.touch()
    theirs.chmod(0o640)
    with atomic_folder(tmp_path / "folder") as temporary:
        (temporary / "below").mkdir(mode=0o700)
        (temporary / "below/private").touch(mode=0o600)  # as safetensors and downloads do
        (temporary / "link").symlink_to(theirs)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == file_mode
    assert (tmp_path / "folder").stat().st_mode & 0o777 == folder_mode
    assert (tmp_path / "folder/below").stat().st_mode & 0o777 == folder_mode
    assert (tmp_path / "folder/below/private").stat().st_mode & 0o777 == file_mode
    assert theirs.stat().st_mode & 0o777 == 0o640
    assert os.umask(mask) == mask, "writing a file changed the umask of the process"


def test_whole_folder_replaces_all_of_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "model"
    for name in ("first", "second"):
        with atomic_folder(folder) as temporary:
            (temporary / name).write_text(name)
    assert [file.name for file in folder.iterdir()] == ["second"]
    assert list(folder.parent.iterdir()) == [folder]


def test_whole_folder_keeps_the_old_one_on_failure(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(ValueError), atomic_folder(folder) as temporary:
        (temporary / "half").touch()
        raise ValueError
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == ["model", "model/old"]


def test_a_link_is_replaced_and_not_what_it_leads_to(tmp_path: Path) -> None:
    theirs, folder = tmp_path / "theirs", tmp_path / "model"
    theirs.mkdir()
    (theirs / "weights").touch()
    folder.symlink_to(theirs)
    with atomic_folder(folder) as temporary:
        (temporary / "new").touch()
    assert [path.name for path in theirs.iterdir()] == ["weights"]
    assert [path.name for path in folder.iterdir()] == ["new"] and not folder.is_symlink()


@pytest.mark.parametrize("name", [".", "..", "work/../..", "../work"])
def test_a_folder_around_the_work_folder_is_never_replaced(tmp_path: Path, monkeypatch, name: str) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    with pytest.raises(LunarError, match="holds the work folder"), atomic_folder(name):
        pass
    assert work.is_dir()


def test_rows_come_back_as_written(tmp_path: Path) -> None:
    # U+2028 and U+0085 end a line for str.splitlines, but not in JSON lines.
    rows = [{"question": "Señor \u2028 \x85?"}, {"nested": {"a": [1, None, 0.1]}}]
    path = tmp_path / "rows.jsonl"
    write_rows(path, rows)
    assert read_rows(path) == rows
    assert "Señor" in path.read_text(encoding="utf-8")


def test_blank_lines_and_carriage_returns_are_allowed(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\r\n\r\n  \n{"a": 2}')
    assert read_rows(path) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        (b'{"a": 1,}', "not JSON"),
        (b'{"a": 1} {"a": 2}', "not JSON (Extra data at column 10)"),
        (b"[1, 2]", "expected a JSON object"),
        (b'"text"', "expected a JSON object"),
        (b"null", "expected a JSON object"),
    ],
)
def test_unreadable_rows_name_file_and_line(tmp_path: Path, line: bytes, message: str) -> None:
    path = tmp_path / "rows.jsonl"
    # A blank line before it must count, or an editor would jump to the wrong place.
    path.write_bytes(b'{"a": 0}\n\n' + line + b'\n{"a": 3}\n')
    with pytest.raises(LunarError) as error:
        read_rows(path)
    assert str(error.value).startswith(f"{path}:3: ")
    assert message in str(error.value)


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(LunarError) as error:
            read_rows(path)
        assert str(error.value).startswith(f"{path}: cannot be read (")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_write_json_refuses_what_is_no_json_number(tmp_path: Path, number: float) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"mean": None})
    with pytest.raises(ValueError):
        write_json(path, {"mean": number})
    assert read_json(path) == {"mean": None}
    assert list(tmp_path.iterdir()) == [path]


def test_json_comes_back_as_written(tmp_path: Path) -> None:
    value = {"b": [1, 0.1], "a": "né"}
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert list(json.loads(text)) == ["b", "a"], "keys keep their order"
    assert read_json(tmp_path / "a.json") == value
    assert "né" in text and text.endswith("}\n")


def full(temporary: Path) -> None:
    """Write as one does on a full disk: /dev/full refuses every byte, as Linux itself words it."""
    temporary.write_text("half")
    Path("/dev/full").write_text("the rest")


def foreign(temporary: Path) -> None:
    """The same from a library that raises its own errors, as safetensors does."""
    temporary.write_text("half")
    raise ValueError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize("write", [full, foreign])
@pytest.mark.parametrize("kind", [atomic_write, atomic_folder])
def test_a_full_disk_leaves_what_was_there_and_says_what_to_do(tmp_path: Path, write, kind) -> None:
    path = tmp_path / "answers.jsonl"
    with kind(path) as temporary:
        (temporary / "a" if kind is atomic_folder else temporary).write_text("old")
    with pytest.raises(LunarError, match=r"answers\.jsonl: cannot be written, the disk is full .* Make room") as error:
        with kind(path) as temporary:
            write(temporary / "a" if kind is atomic_folder else temporary)
    assert error.value.__cause__ is not None
    assert list(tmp_path.iterdir()) == [path]
    assert (path / "a" if kind is atomic_folder else path).read_text() == "old"


def test_another_error_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), atomic_write(tmp_path / "a"):
        raise PermissionError(13, "Permission denied")


def test_what_a_killed_job_left_is_removed_by_the_next(tmp_path: Path) -> None:
    left = [tmp_path / ".a.txt.k2j4h6g8.txt", tmp_path / ".model.abcd_123"]
    left[0].write_text("half")
    (left[1] / "new").mkdir(parents=True)
    others = [tmp_path / ".b.txt.k2j4h6g8.txt", tmp_path / ".model.csv.k2j4h6g8.csv", tmp_path / ".a.txt.notes"]
    for other in others:
        other.touch()
    write_text(tmp_path / "a.txt", "done")
    with atomic_folder(tmp_path / "model"):
        pass
    assert set(tmp_path.iterdir()) == {tmp_path / "a.txt", tmp_path / "model", *others}
