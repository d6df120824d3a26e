"""The table of compilers' command lines."""

from __future__ import annotations

from codekiln.languages import table
from codekiln.languages.checkers import FILE, FILES, checkers


def test_the_table_is_whole():
    for name, checker in checkers().items():
        assert (FILE in checker.command) != (FILES in checker.command), name
        groups = checker.error.groupindex
        assert {"line", "message"} <= set(groups) and ("file" in groups) == checker.takes_many
        assert name in table.languages()


def test_errors_are_read_off_what_programs_print():
    found = checkers()["java"].error.search("f00003.java:7: error: ';' expected\n        x\n")
    assert found and found.groupdict() == {
        "file": "f00003.java",
        "line": "7",
        "message": "';' expected",
    }
    found = checkers()["php"].error.search("Parse error: syntax error, x in f1.php on line 3\n")
    assert found and (found["line"], found["message"]) == ("3", "syntax error, x")
