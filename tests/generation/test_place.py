from __future__ import annotations

from pathlib import Path

import pytest

from codekiln.errors import PromptError, SourceError
from codekiln.generation.place import find_root, offset, read_context, read_place, relative_path

TEXT = "ab\r\nçé\n\nlast"


@pytest.mark.parametrize(
    ("line", "column", "before"),
    [
        (1, 1, ""),
        (1, 3, "ab"),
        (2, 1, "ab\r\n"),
        (2, 3, "ab\r\nçé"),
        (3, 1, "ab\r\nçé\n"),
        (4, 5, TEXT),
    ],
)
def test_line_and_column_count_from_one_in_characters(line, column, before):
    assert TEXT[: offset(TEXT, line, column)] == before


def test_the_line_after_a_final_newline_is_a_place():
    assert offset("a\n", 2, 1) == 2
    assert offset("", 1, 1) == 0


@pytest.mark.parametrize(
    ("line", "column", "wanted"),
    [
        (0, 1, "a line from 1 to 4"),
        (5, 1, "a line from 1 to 4"),
        (1, 0, "a column from 1 to 3: line 1 has 2 characters"),
        (1, 4, "a column from 1 to 3"),  # between carriage return and line feed is no place
        (3, 2, "a column from 1 to 1"),
    ],
)
def test_places_that_do_not_exist_are_refused_with_those_that_do(line, column, wanted):
    with pytest.raises(PromptError) as caught:
        offset(TEXT, line, column, "f.py")
    assert wanted in caught.value.wanted
    assert f"f.py --at {line}:{column}" in str(caught.value)


def write(root: Path, path: str, text: str | bytes) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_a_place_has_its_path_in_the_repository(tmp_path):
    write(tmp_path, "pyproject.toml", "")
    file = write(tmp_path, "src/pkg/a.py", "x = 1\ny = 2\n")
    assert find_root(file) == tmp_path.resolve()
    place = read_place(file, 2, 5, find_root(file))
    assert (place.path, place.language) == ("src/pkg/a.py", "python")
    assert (place.prefix, place.suffix) == ("x = 1\ny = ", "2\n")


def test_without_a_mark_the_context_folder_is_the_root_or_the_files_own(tmp_path):
    file = write(tmp_path, "repo/pkg/a.py", "")
    assert find_root(file, [tmp_path / "other", tmp_path / "repo"]) == (tmp_path / "repo").resolve()
    assert find_root(file) == file.parent.resolve()
    assert relative_path(file, tmp_path / "elsewhere") == "a.py"


@pytest.mark.parametrize(
    ("data", "got"),
    [(b"\xff\xfe\x00", "binary"), (b"a\0b", "binary"), (b"caf\xe9", "not UTF-8")],
)
def test_a_file_that_is_no_text_is_refused(tmp_path, data, got):
    with pytest.raises(SourceError, match=got):
        read_place(write(tmp_path, "a.py", data), 1, 1, tmp_path)


def test_a_file_that_is_missing_or_a_folder_is_refused(tmp_path):
    for path in (tmp_path / "no.py", tmp_path):
        with pytest.raises(SourceError, match="cannot be read"):
            read_place(path, 1, 1, tmp_path)


def test_context_is_read_from_files_and_folders_each_file_once(tmp_path):
    write(tmp_path, "src/a.py", "import b\n")
    b = write(tmp_path, "src/b.py", "b = 1\n")
    write(tmp_path, "src/node_modules/x.js", "foreign\n")
    notes = write(tmp_path, "notes.md", "# Notes\n")
    files = read_context([b, tmp_path / "src", notes], tmp_path, leave_out="src/a.py")
    assert [(file.path, file.language) for file in files] == [
        ("src/b.py", "python"),
        ("notes.md", "markdown"),
    ]


def test_context_that_is_missing_is_refused(tmp_path):
    with pytest.raises(SourceError, match="no such file or folder"):
        read_context([tmp_path / "nowhere"], tmp_path)
