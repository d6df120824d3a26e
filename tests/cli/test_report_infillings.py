"""Which infillings are shown as examples, and how they read."""

from __future__ import annotations

from codekiln.cli.report.infillings import chosen, shown


def row(source: str, path: str, line: int = 1) -> dict[str, object]:
    return {
        "source": source,
        "path": path,
        "line": line,
        "status": "passed",
        "truth": "    a = 1",
        "written": "    a = 1",
    }


def test_an_example_names_repository_file_and_line() -> None:
    text = shown(row("matplotlib", "_layout.py", 211))
    assert text.splitlines() == [
        "  matplotlib: _layout.py:211",
        "    truth    a = 1",
        "  = written  a = 1",
    ]


def test_files_of_one_name_in_two_repositories_are_two_files() -> None:
    rows = [row("a", "setup.py"), row("a", "setup.py", 2), row("b", "setup.py")]
    assert chosen(rows) == [rows[0], rows[2], rows[1]]
