"""Everything in one: what a build asks of each file."""

from __future__ import annotations

import logging
import math
import shutil

import pytest

from codekiln.corpus.quality import screen as screening
from codekiln.corpus.quality.compiler import CompilerVerdict
from codekiln.corpus.quality.screen import Screen
from codekiln.corpus.quality.settings import QualitySettings
from codekiln.corpus.settings import CorpusSettings
from codekiln.errors import RecipeError, SourceError
from codekiln.recipe import Recipe
from codekiln.types import SourceFile

GOOD = b'"""Doc."""\n\n\ndef first(value):\n    """One."""\n    return value + 1\n'


def test_a_good_and_a_broken_file():
    pytest.importorskip("tree_sitter_python")
    with Screen(QualitySettings()) as screen:
        found = screen.assess(GOOD, "python", "a.py")
        assert found.syntax.errors == 0 and 0 < found.quality < 1
        assert screen.judge(found, "python", "a.py") is None
        broken = screen.assess(GOOD + b"x = (\n", "python", "a.py")
        assert screen.judge(broken, "python", "a.py") == "syntax errors"


def test_many_files_are_as_each_on_its_own():
    pytest.importorskip("tree_sitter_python")
    texts = [GOOD.decode(), "x = (\n", "", "lone \ud800 surrogate", 'print "a"\n', "é = 1\n" * 999]
    files = [
        SourceFile(path=f"{n}.py", text=text, language=language)
        for n, text in enumerate(texts * 20)
        for language in ("python", "nothing")
    ]
    with Screen(QualitySettings()) as screen:
        found = screen.assess_files(files)
        assert screen.assess_files([]) == []
        for file, each in zip(files, found, strict=True):
            data = file.text.encode("utf-8", "surrogatepass")
            assert each == screen.assess(data, file.language, file.path)
    assert len({each.syntax for each in found}) >= 4


def test_without_a_syntax_check():
    with Screen(QualitySettings(syntax="off")) as screen:
        found = screen.assess(GOOD + b"x = (\n", "python", "a.py")
        assert found.syntax.errors is None and not math.isnan(found.quality)
        assert screen.judge(found, "python", "a.py") is None


def test_the_compiler_has_the_last_word_where_it_has_one():
    pytest.importorskip("tree_sitter_python")
    with Screen(QualitySettings(syntax="compiler")) as screen:
        for answer, errors in (("ok", 0.0), ("syntax error", 1.0), ("cannot tell", 0.0)):
            found = screen.assess(GOOD, "python", "a.py", CompilerVerdict(answer))
            assert found.syntax.errors == errors
        old = screen.assess(b'print "a"\n', "python", "a.py", CompilerVerdict("syntax error"))
        assert screen.judge(old, "python", "a.py") == "Python 2"


@pytest.mark.skipif(not shutil.which("bwrap"), reason="needs bwrap (bubblewrap)")
def test_many_files_by_the_compiler():
    texts = [GOOD.decode(), "x = (\n", "lone \ud800 surrogate"]
    files = [
        SourceFile(path=f"{n}.py", text=text, language="python") for n, text in enumerate(texts)
    ]
    with Screen(QualitySettings(syntax="compiler")) as screen:
        found = screen.assess_files(files)
        notes = [(each.syntax.errors, each.syntax.note) for each in found[:2]]
        assert notes == [(0.0, "compiler"), (1.0, "compiler")]
        assert len(found) == 3


def test_what_is_missing_is_said(monkeypatch, tmp_path, caplog):
    with pytest.raises(SourceError, match="quality model"):
        Screen(QualitySettings(model=tmp_path))
    monkeypatch.setattr(screening, "versions", dict)
    with caplog.at_level(logging.WARNING, logger="codekiln"):
        Screen(QualitySettings(syntax="off")).close()
        assert not caplog.records
        Screen(QualitySettings()).close()
    assert "codekiln[quality]" in caplog.text


def test_settings_are_a_table_of_the_corpus():
    values = {"corpus": {"quality": {"syntax": "off", "min_quality": 0.2}}}
    found = Recipe.from_values(values).table(CorpusSettings).quality
    assert found == QualitySettings(syntax="off", min_quality=0.2)
    with pytest.raises(RecipeError, match="min_quality"):
        Recipe.from_values({"corpus": {"quality": {"min_qality": 0.2}}})
