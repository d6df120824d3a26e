import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codekiln.corpus.draw import survey
from codekiln.corpus.store import DocumentWriter
from codekiln.corpus.tokenizer_sample import count_words, draw_texts, shares
from codekiln.errors import RecipeError, TokenizerError
from codekiln.tokenizer.settings import TokenizerSettings
from codekiln.tokenizer.words import WordCounter
from codekiln.types import Document, Span

FILES = {"python": 300, "java": 100, "ocaml": 20}  # files of 20 lines, a word of their own each


@pytest.fixture
def corpus(tmp_path):
    """The survey of a corpus with a file a document; Chinese text; a tenth is held out."""
    path = tmp_path / "00000.parquet"
    with DocumentWriter(path, row_group_bytes=20_000) as writer:
        for language, count in FILES.items():
            for i in range(count):
                text = f"{language} {i}\n" * 20
                span = Span(path=f"{i}", language=language, start=0, body=0, end=len(text))
                document = Document(id=f"{language}{i}", text=text, source="s", spans=(span,))
                writer.add(document, "held_out" if i % 10 == 9 else "train")
        for i in range(30):
            writer.add(Document(id=f"z{i}", text="中文 ñ\n" * 20, source="z", kind="chinese"))
    return survey([path], 1)


def settings(**values):
    return TokenizerSettings(**values)


def counts_of(words):
    return {name: words.get(name.encode(), 0) // 20 for name in FILES}


def test_a_sample_that_covers_the_corpus_has_all_its_words(corpus):
    found = count_words(corpus, settings(), 1)
    counter = WordCounter()
    for language, count in FILES.items():
        for i in range(count):
            if i % 10 != 9:
                counter.add(f"{language} {i}\n" * 20)
    for _ in range(30):
        counter.add("中文 ñ\n" * 20)
    assert found == counter.words()


def test_natural_shares_lifted_ones_and_weights(corpus):
    available = corpus.bytes("train")
    limit = sum(available.values()) // 4
    natural = count_words(corpus, settings(sample_bytes=limit, weights={"chinese": 0}), 1)
    alike = settings(sample_bytes=limit, sample_alpha=0.0, weights={"chinese": 0})
    lifted = count_words(corpus, alike, 1)
    double = settings(sample_bytes=limit, weights={"java": 4.0, "chinese": 0})
    weighted = count_words(corpus, double, 1)
    assert "中文".encode() not in natural
    ratio = counts_of(natural)["python"] / counts_of(natural)["java"]
    assert 2.2 < ratio < 4.2  # 270 files against 90, of nearly the same size
    assert counts_of(lifted)["ocaml"] == 18  # all there is
    assert 0.7 < counts_of(lifted)["python"] / counts_of(lifted)["java"] < 1.4
    assert counts_of(weighted)["java"] > 1.1 * counts_of(weighted)["python"]


def test_several_processes_count_the_same(corpus):
    chosen = settings(sample_bytes=20_000)
    assert count_words(corpus, chosen, 2) == count_words(corpus, chosen, 1)


def test_the_report_draws_from_what_is_held_out(corpus):
    texts = draw_texts(corpus, "held_out", 1000)
    assert list(texts) == ["java", "ocaml", "python"]
    assert all(0 < sum(len(t) for t in own) <= 1000 for own in texts.values())
    assert all(int(t.split()[1]) % 10 == 9 for own in texts.values() for t in own)


@given(
    available=st.dictionaries(
        st.sampled_from(["python", "java", "c", "go", "english"]), st.integers(0, 10**6), min_size=1
    ),
    alpha=st.floats(0, 1),
    limit=st.integers(1, 2 * 10**6),
    weights=st.dictionaries(
        st.sampled_from(["python", "java", "c"]), st.just(0.0) | st.floats(1e-3, 5)
    ),
)
def test_shares_fill_the_sample_in_proportion(available, alpha, limit, weights):
    chosen = settings(sample_alpha=alpha, sample_bytes=limit, weights=weights)
    factors = {n: b**alpha * weights.get(n, 1.0) if b else 0.0 for n, b in available.items()}
    if not any(factors.values()):
        with pytest.raises(TokenizerError):
            shares(available, chosen)
        return
    found = shares(available, chosen)
    reachable = sum(b for n, b in available.items() if factors[n])
    assert sum(found.values()) == pytest.approx(min(limit, reachable))
    units = []
    for name, wanted in found.items():
        assert 0 <= wanted <= available[name] * (1 + 1e-9)
        if 0 < wanted < available[name] * (1 - 1e-9):
            units.append(wanted / factors[name])
    assert all(unit == pytest.approx(units[0]) for unit in units)
    for name, wanted in found.items():  # who gives all is asked for no more than the others
        if units and wanted and wanted >= available[name]:
            assert available[name] / factors[name] <= units[0] * (1 + 1e-9)


def test_a_weight_for_no_language_names_the_nearest(corpus):
    with pytest.raises(RecipeError, match=r"weights\.pyhton.*no such language(.|\n)*'python'"):
        count_words(corpus, settings(weights={"pyhton": 2.0}), 1)
    with pytest.raises(RecipeError, match=r"dialect of javascript(.|\n)*give javascript"):
        count_words(corpus, settings(weights={"jsx": 2.0}), 1)


def test_weights_for_languages_that_are_not_there_are_counted(corpus, caplog):
    with caplog.at_level(logging.WARNING, logger="codekiln"):
        count_words(corpus, settings(weights={"rust": 2.0, "english": 2.0, "java": 1.0}), 1)
    assert "2 of 3 weights" in caplog.text and "rust, english" in caplog.text


def test_weights_that_change_nothing_are_told(corpus, caplog):
    with caplog.at_level(logging.WARNING, logger="codekiln"):
        count_words(corpus, settings(weights={"java": 2.0}), 1)
    assert "change nothing" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="codekiln"):
        count_words(corpus, settings(weights={"java": 2.0}, sample_bytes=9000), 1)
        count_words(corpus, settings(), 1)
    assert not caplog.text


def test_weights_of_0_for_everything(corpus):
    weights = dict.fromkeys([*FILES, "chinese"], 0.0)
    with pytest.raises(TokenizerError, match="0 for every language of the corpus"):
        count_words(corpus, settings(weights=weights), 1)


def test_an_empty_corpus(tmp_path):
    with DocumentWriter(tmp_path / "00000.parquet"):
        pass
    with pytest.raises(TokenizerError, match="no text"):
        count_words(survey([tmp_path / "00000.parquet"], 1), settings(), 1)
