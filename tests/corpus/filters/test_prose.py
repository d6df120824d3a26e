"""The rules for natural language, at their borders and on texts made for the test."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.corpus.filters import prose
from codekiln.corpus.filters.prose import ProseSettings, kind_of, plain, reason

ENGLISH = (
    "This library reads the files of a project and writes them in the order in which they depend "
    "on each other. It is small, and you can use it from the command line or as a module. If a "
    "file cannot be read, it is left out, and the reason is printed at the end of the run.\n"
)
CHINESE = (
    "这个程序读取一个项目中的所有文件,并按照它们之间的依赖关系把它们写出来。"
    "它很小,可以在命令行中使用,也可以作为模块使用。如果某个文件无法读取,"
    "它就会被跳过,并在运行结束时打印出原因。我们希望它对你有用,也欢迎提出意见和改进的建议。\n"
)
JAPANESE = (
    "このプログラムはプロジェクトのすべてのファイルを読み込み、依存関係の順に書き出します。"
    "小さくて、コマンドラインからもモジュールとしても使うことができます。"
    "読み込めないファイルは飛ばされ、その理由が最後に表示されます。\n"
)
GERMAN = (
    "Diese Bibliothek liest alle Dateien eines Projekts und schreibt sie in der Reihenfolge, in "
    "der sie voneinander abhängen. Sie ist klein und lässt sich von der Befehlszeile oder als "
    "Modul benutzen. Wenn eine Datei nicht lesbar ist, wird sie übersprungen.\n"
)


@pytest.mark.parametrize(
    ("text", "kind", "why"),
    [
        (ENGLISH, "english", None),
        (CHINESE, "chinese", None),
        (ENGLISH, "chinese", prose.NOT_CHINESE),
        (CHINESE, "english", prose.NOT_ENGLISH),
        (JAPANESE, "chinese", prose.NOT_CHINESE),
        (GERMAN, "english", prose.NOT_ENGLISH),
        (GERMAN, "code", None),  # no language is asked for
        ("Too short.\n", "english", prose.TOO_SHORT),
        ("1 + 2 = 3; " * 40, "english", prose.FEW_LETTERS),
        (ENGLISH * 3, "english", prose.REPEATED_LINES),
        (ENGLISH[:60].strip() * 100, "english", prose.REPEATED),
        ("# Usage\n\n```\n" + "x = f(1) + g[2];\n" * 50 + "```\n\n" + ENGLISH, "english", None),
    ],
)
def test_reasons(text: str, kind: str, why: str | None) -> None:
    assert reason(text, kind) == why


def test_lengths_at_their_borders() -> None:
    loose = ProseSettings(min_characters=len(ENGLISH), max_characters=len(ENGLISH))
    assert reason(ENGLISH, "english", loose) is None
    assert reason(ENGLISH[:-1], "english", loose) == prose.TOO_SHORT
    assert reason(ENGLISH + "x", "english", loose) == prose.TOO_LONG
    with pytest.raises(ValueError, match="min_characters"):
        ProseSettings(min_characters=5, max_characters=4)


def test_kind_goes_by_the_share_of_han_characters() -> None:
    assert kind_of(ENGLISH) == "english"
    assert kind_of(CHINESE) == "chinese"
    assert kind_of("a" * 70 + "字" * 30) == "chinese"
    assert kind_of("a" * 71 + "字" * 29) == "english"
    assert kind_of("") == "english"
    assert kind_of("```\n" + "code();\n" * 99 + "```\n中文说明") == "chinese"


def test_fences_are_left_out() -> None:
    assert plain("a\n```py\nx\n```\nb\n") == "a\nb\n"
    assert plain("a\n~~~\nx\n```\n~~~\nb\n") == "a\nb\n"
    assert plain("a\n```\nnever closed\n") == "a\n```\nnever closed\n"
    assert plain("```\nonly code\n```\n") == "```\nonly code\n```\n"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["a", "bb", "", "ccc "]), max_size=12))
def test_repeated_lines_against_a_count(lines: list[str]) -> None:
    bare = [line.strip() for line in lines]
    again = sum(len(line) for n, line in enumerate(bare) if line in bare[:n])
    total = sum(map(len, bare))
    assert prose.repeated_lines("\n".join(lines)) == (again / total if total else 0)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300), st.sampled_from(["english", "chinese", "code"]))
def test_any_text_is_judged(text: str, kind: str) -> None:
    assert reason(text, kind, ProseSettings(min_characters=0)) in {None, *prose.REASONS}


@pytest.mark.timeout(60)  # quadratic time would take far longer
@pytest.mark.parametrize("unit", ["```\n", "`", "~~~ `", "a ", "\n", "字", "```" + "`" * 50 + "\n"])
def test_hostile_texts_take_linear_time(unit: str) -> None:
    reason(unit * 1_000_000, "english", ProseSettings(max_characters=10**9))


def test_random_letters_are_no_language() -> None:
    rng = random.Random(1)
    text = " ".join("".join(rng.choices("abcdefgh", k=6)) for _ in range(100))
    assert reason(text, "english") == prose.NOT_ENGLISH
