import inspect
import json
import logging
import random

import pytest
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from codekiln.errors import TokenizerError
from codekiln.recipe import Recipe
from codekiln.tokenizer.settings import SMALLEST_VOCABULARY, TokenizerSettings
from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.tokenizer.train import train, train_into
from codekiln.tokenizer.words import WordCounter

SOURCE = inspect.getsource(json.decoder)


def counted(text):
    counter = WordCounter()
    counter.add(text)
    return counter.words()


def test_merges_equal_those_of_the_library_splitting_by_itself():
    """The oracle: the library's trainer behind the pre-tokenizer as it is saved."""
    texts = [SOURCE, "größe = '中文 ab'  # 12\r\n\tcafé_x\n" * 20, "x\x1c\xa0y \x00\n"]
    ours = json.loads(train(texts, TokenizerSettings(vocab_size=1000))._model)
    library = tokenizers.Tokenizer(models.BPE())
    library.pre_tokenizer = tokenizers.Tokenizer.from_str(json.dumps(ours)).pre_tokenizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=991, min_frequency=2, initial_alphabet=alphabet, show_progress=False
    )
    library.train_from_iterator(texts, trainer)
    theirs = json.loads(library.to_str())["model"]
    assert ours["model"]["merges"] == theirs["merges"]
    assert ours["model"]["vocab"] == theirs["vocab"]


def test_vocab_size_counts_everything():
    for size in (SMALLEST_VOCABULARY, 300, 777):
        assert train([SOURCE], TokenizerSettings(vocab_size=size)).vocab_size == size


def test_smallest_vocabulary_is_bytes_and_controls():
    tokenizer = train([SOURCE], TokenizerSettings(vocab_size=SMALLEST_VOCABULARY))
    assert tokenizer.encode("abc ") == [tokenizer.encode(c)[0] for c in "abc "]
    assert {tokenizer.token_bytes(i) for i in range(256)} == {bytes([b]) for b in range(256)}


def test_too_small_a_vocabulary_is_refused():
    with pytest.raises(Exception, match="greater than or equal to 265"):
        Recipe.from_values({"tokenizer": {"vocab_size": 264}})


def test_too_little_text_warns_and_says_how_many(caplog):
    with caplog.at_level(logging.WARNING, logger="codekiln"):
        tokenizer = train(["ab ab ab\n"], TokenizerSettings(vocab_size=5000))
    assert tokenizer.vocab_size < 300
    assert str(tokenizer.vocab_size) in caplog.text and "5000" in caplog.text


def test_no_text_is_an_error():
    for texts in ([], [""]):
        with pytest.raises(TokenizerError, match="no text"):
            train(texts, TokenizerSettings())


def test_merges_are_learnt():
    tokenizer = train(["function value\n" * 50], TokenizerSettings(vocab_size=320))
    assert len(tokenizer.encode("function value")) == 2


def test_min_frequency_holds():
    settings = TokenizerSettings(vocab_size=320, min_frequency=10)
    tokenizer = train(["abc " * 9 + "xyz " * 11], settings)
    assert len(tokenizer.encode(" xyz")) < 4 == len(tokenizer.encode(" abc"))


def test_merges_never_cross_what_the_pre_tokenizer_splits():
    tokenizer = train(["a\n\nb\n\n12 12 x.y(\n" * 100], TokenizerSettings(vocab_size=400))
    assert len(tokenizer.encode("\n\n")) == 2
    assert len(tokenizer.encode("12")) == 2
    assert len(tokenizer.encode("x.")) == 2


def test_order_of_the_texts_does_not_matter():
    texts = [SOURCE[i : i + 900] for i in range(0, len(SOURCE), 900)]
    settings = TokenizerSettings(vocab_size=900)
    wanted = train(texts, settings).sha256
    random.Random(1).shuffle(texts)
    assert train(texts, settings).sha256 == wanted


def test_lone_surrogates_do_not_stop_training():
    assert train([SOURCE, "x\ud800y"], TokenizerSettings(vocab_size=300)).vocab_size == 300


def test_trained_folder_is_left_alone_until_inputs_change(tmp_path):
    settings = TokenizerSettings(vocab_size=300)
    first, now = train_into(tmp_path, lambda: counted(SOURCE), settings, inputs="a")
    assert now

    def must_not_open():
        raise AssertionError("opened")

    again, now = train_into(tmp_path, must_not_open, settings, inputs="a")
    assert not now and again.sha256 == first.sha256
    other, now = train_into(tmp_path, lambda: counted(SOURCE[:3000]), settings, inputs="b")
    assert now and other.sha256 != first.sha256
    assert Tokenizer.load(tmp_path).sha256 == other.sha256


def test_a_copied_tokenizer_is_never_overwritten(trained, tmp_path):
    trained.save(tmp_path)
    with pytest.raises(TokenizerError, match="not trained here"):
        train_into(tmp_path, lambda: counted(SOURCE), TokenizerSettings(vocab_size=300), inputs="a")
    assert Tokenizer.load(tmp_path).sha256 == trained.sha256


@pytest.mark.parametrize("name", ["tokenizer.json", "training.json"])
def test_a_damaged_tokenizer_is_trained_anew(tmp_path, name):
    settings = TokenizerSettings(vocab_size=300)
    first, _ = train_into(tmp_path, lambda: counted(SOURCE), settings, inputs="a")
    (tmp_path / name).write_text('{"made')
    again, now = train_into(tmp_path, lambda: counted(SOURCE), settings, inputs="a")
    assert now
    assert again.sha256 == first.sha256 == Tokenizer.load(tmp_path).sha256
