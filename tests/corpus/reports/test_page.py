"""The report's page: every reason and language on it, nothing fetched, names escaped."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from codekiln.corpus.build import build
from codekiln.corpus.reports.page import page
from codekiln.corpus.settings import CorpusSettings

LEAK = "one two three four five six seven eight nine ten eleven twelve"


class Parsed(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "br"}:
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("rich", [True, False])
def test_a_page_of_a_build(tmp_path: Path, rich: bool) -> None:
    for name in ("alpha", "b<i>eta"):
        place = tmp_path / "sources" / name
        place.mkdir(parents=True)
        (place / "a.py").write_text("import b\n" + f"x_{name[0]} = 1\n" * 30)
        (place / "b.py").write_text(f"y_{name[0]} = 2\n")
    if rich:
        (tmp_path / "sources" / "alpha" / "wide.js").write_text("x" * 2000)
        (tmp_path / "sources" / "alpha" / "leak.py").write_text(f"# {LEAK}\n")
    (tmp_path / "tests.txt").write_text(LEAK)
    chosen = CorpusSettings(
        repositories=[str(tmp_path / "sources" / "*")], decontaminate=[str(tmp_path / "tests.txt")]
    )
    report = build(chosen, tmp_path / "out", processes=1)
    made = page("my <corpus>", report)
    parsed = Parsed()
    parsed.feed(made)
    assert parsed.open == []
    assert parsed.links == []
    assert "my <corpus>" in parsed.text
    for reason in report.dropped:
        assert reason in parsed.text
    for language in report.languages:
        assert language in parsed.text
    assert "<script" not in made
    if rich:
        assert "alpha/wide.js" in parsed.text
        assert "tests.txt" in parsed.text
    assert report.held_out[0] in parsed.text
