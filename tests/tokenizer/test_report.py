"""The library's own token counts, and sums made by hand, are the oracles."""

import inspect
import json

import pytest
import tokenizers

from codekiln.tokenizer.report import measure
from codekiln.tokenizer.settings import TokenizerSettings
from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.tokenizer.train import train

TEXTS = {
    "python": [inspect.getsource(json.decoder), "x = 'größer'\n"],
    "english": ["The quick brown fox isn't here.\n"],
    "chinese": ["中文, 汉字 abc\n"],
}


@pytest.fixture(scope="module")
def bytes_only():
    return train(["a"], TokenizerSettings(vocab_size=265))


def test_tokens_are_those_of_the_library(trained, bytes_only, tmp_path):
    trained.save(tmp_path)
    library = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    report = measure({"trained": trained, "bytes": bytes_only}, TEXTS)
    first, second = report.tokenizers
    for name, texts in TEXTS.items():
        ids = [i for t in texts for i in library.encode(t, add_special_tokens=False).ids]
        size = sum(len(t.encode()) for t in texts)
        assert first.tokens[name] == len(ids)
        assert second.tokens[name] == size == report.texts[name].bytes
        assert report.bytes_per_token(first, name) == size / len(ids)
    used = {i for own in TEXTS.values() for t in own for i in library.encode(t).ids}
    assert (first.used, first.usable) == (len(used), trained.vocab_size - 9)
    assert second.usable == 256
    assert {t.failed_texts for t in report.tokenizers} == {0}
    facts = report.to_json()["tokenizers"]
    assert facts[1]["tokens_per_english_word"] == 32 / 7  # isn't: two runs of letters
    assert facts[1]["tokens_per_ideograph"] == len(TEXTS["chinese"][0].encode()) / 4
    assert facts[0]["ratio_to_first"] == 1
    assert facts[1]["ratio_to_first"] == pytest.approx(1 / report.bytes_per_token(first))


def test_all_weighs_languages_by_how_much_there_is(trained):
    alone = measure({"t": trained}, TEXTS)
    report = measure({"t": trained}, TEXTS, {"python": 10**6, "english": 10, "chinese": 0})
    (tokenizer,) = report.tokenizers
    english, python = (alone.bytes_per_token(tokenizer, n) for n in ("english", "python"))
    wanted = (10**6 + 10) / (10**6 / python + 10 / english)
    assert report.bytes_per_token(tokenizer) == pytest.approx(wanted)
    total = sum(t.bytes for t in alone.texts.values())
    assert alone.bytes_per_token(tokenizer) == pytest.approx(total / sum(tokenizer.tokens.values()))


def test_what_does_not_come_back_is_counted(released_folder):
    path = released_folder / "tokenizer.json"
    description = json.loads(path.read_text())
    description["normalizer"] = {"type": "Lowercase"}
    path.write_text(json.dumps(description))
    lossy = Tokenizer.load(released_folder)
    report = measure({"t": lossy}, {"python": ["abc\n", "ABC\n", "x\ud800"], "c": ["int\n"]})
    (found,) = report.tokenizers
    assert (found.failed_texts, found.failed_bytes) == (1, 4)  # the surrogate is spelt in bytes
    assert found.missing_bytes >= 13  # and the capitals, which it makes small
    facts = report.to_json()["tokenizers"][0]
    assert (facts["round_trip_failures"], facts["round_trip_failure_bytes"]) == (1, 4)


def test_texts_that_cannot_be_written_are_counted(tmp_path, released_folder):
    path = released_folder / "tokenizer.json"
    description = json.loads(path.read_text())
    # the last byte of the surrogate U+D800, ED A0 80, has no entry
    del description["model"]["vocab"]["\u0142"]
    kept = [m for m in description["model"]["merges"] if "\u0142" not in "".join(m)]
    description["model"]["merges"] = kept
    path.write_text(json.dumps(description))
    t = Tokenizer.load(released_folder)
    report = measure({"t": t}, {"c": ["a\n", "x\ud800"]})
    assert report.tokenizers[0].failed_texts == 1
    assert report.tokenizers[0].tokens["c"] == len(t.encode("a\n"))


def test_nothing_to_measure():
    report = measure({}, {})
    assert report.to_json() == {"languages": {}, "tokenizers": []}
