"""Rows of conversations: which serve, which do not and why, and what they become."""

import json
from pathlib import Path
from typing import Any

import pytest

from codekiln.corpus.conversations.read import conversation_files, documents, inspect
from codekiln.corpus.conversations.settings import InstructSettings
from codekiln.errors import SourceError

GOOD: list[Any] = [
    {"instruction": "Add two numbers.", "input": "a, b", "output": "a + b"},
    {"instruction": "Say yes.", "output": "yes", "input": None},
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "1"},
            {"role": "user", "content": "Two?"},
            {"role": "assistant", "content": "2"},
        ]
    },
]
BAD: list[tuple[str, str]] = [
    ("{", "not JSON"),
    ("[1]", "not a JSON object"),
    ('{"instruction": "x"}', "neither messages nor instruction and output"),
    ('{"instruction": 1, "output": "x"}', "instruction, input or output is no text"),
    ('{"instruction": "x", "output": " "}', "an empty answer"),
    ('{"messages": []}', "messages is no list, or empty"),
    ('{"messages": [{"role": "user"}]}', "a message without text in content"),
    ('{"messages": [{"role": "tool", "content": "x"}]}', "a role other than"),
    ('{"messages": [{"role": "user", "content": "x"}]}', "it does not end with an answer"),
    ('{"messages": [{"role": "assistant", "content": "x"}]}', "an answer without a question"),
]
ALL = InstructSettings(held_out_rate=0.0)


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_rows_that_do_not_serve_are_counted_with_their_lines(tmp_path: Path) -> None:
    lines = [json.dumps(GOOD[0]), *(text for text, _ in BAD), "", BAD[0][0]]
    findings = inspect(write(tmp_path / "a.jsonl", lines))
    assert findings.rows == 1
    assert findings.dropped["not JSON"] == [2, 13]
    for number, (_, reason) in enumerate(BAD, 2):
        found = [lines for text, lines in findings.dropped.items() if text.startswith(reason)]
        assert [number in lines for lines in found] == [True], reason
    assert "2 rows dropped: not JSON (lines 2, 13)" in findings.lines()


def test_brackets_by_the_thousand_are_no_crash(tmp_path: Path) -> None:
    lines = [json.dumps(GOOD[0]), "[" * 100_000]
    assert inspect(write(tmp_path / "a.jsonl", lines)).dropped["not JSON"] == [2]


def test_a_file_without_any_conversation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"1 rows dropped: not JSON \(lines 1\)"):
        inspect(write(tmp_path / "a.jsonl", ["nothing"]))
    with pytest.raises(SourceError, match="an empty file"):
        inspect(write(tmp_path / "b.jsonl", [""]))


def test_text_and_spans_are_the_papers_template(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [json.dumps(row) for row in GOOD])
    first, _, third = documents(path, "train", ALL)
    assert first.text == ("### Instruction:\nAdd two numbers.\na, b\n### Response:\na + b\n")
    answers = [third.text[span.body : span.end] for span in third.spans]
    given = [third.text[span.start : span.body] for span in third.spans]
    assert answers == ["1\n", "2\n"]
    assert given == [
        "Be brief.\n### Instruction:\nOne?\n### Response:\n",
        "\n### Instruction:\nTwo?\n### Response:\n",
    ]


def test_a_system_text_is_put_before_those_without(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [json.dumps(row) for row in GOOD])
    settings = InstructSettings(system="You know Python.", held_out_rate=0.0)
    starts = [document.text.partition("\n")[0] for document in documents(path, "train", settings)]
    assert starts == ["You know Python.", "You know Python.", "Be brief."]


def test_held_out_rows_are_not_trained_on(tmp_path: Path) -> None:
    rows = [{"instruction": f"Say {n}.", "output": str(n)} for n in range(400)]
    path = write(tmp_path / "a.jsonl", [json.dumps(row) for row in rows])
    settings = InstructSettings(held_out_rate=0.25)
    train = {document.id for document in documents(path, "train", settings)}
    held_out = {document.id for document in documents(path, "held_out", settings)}
    assert not train & held_out
    assert len(train | held_out) == 400
    assert 60 < len(held_out) < 140


def test_patterns_name_files(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl"):
        write(tmp_path / name, [json.dumps(GOOD[0])])
    settings = InstructSettings(
        conversations=[str(tmp_path / "*.jsonl"), str(tmp_path / "a.jsonl")]
    )
    assert [path.name for path in conversation_files(settings)] == ["a.jsonl", "b.jsonl"]
    with pytest.raises(SourceError, match="no such file"):
        conversation_files(InstructSettings(conversations=[str(tmp_path / "c.jsonl")]))
    write(tmp_path / "a.csv", [])
    with pytest.raises(SourceError, match=r"a \.csv file"):
        conversation_files(InstructSettings(conversations=[str(tmp_path / "a.csv")]))
