"""Conversations as ids: those of transformers' chat template, with the answers alone to learn."""

import json
from pathlib import Path

import numpy as np
import pytest
import transformers

from codekiln.corpus.conversations.read import documents
from codekiln.corpus.conversations.settings import InstructSettings
from codekiln.errors import TokenizerError
from codekiln.tokenizer.settings import TokenizerSettings
from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.tokenizer.train import train
from codekiln.tokens.batch import IGNORED
from codekiln.tokens.cursor import Cursor
from codekiln.tokens.encode import encode_document
from codekiln.tokens.loader import Loader
from codekiln.tokens.settings import TokensSettings
from codekiln.tokens.shards import Shard, ShardWriter
from codekiln.tokens.sources import Source

TALKS = [
    [("user", "Add a and b."), ("assistant", "def add(a, b):\n    return a + b")],
    [
        ("system", "Be brief."),
        ("user", "What is 2 + 3?"),
        ("assistant", "5"),
        ("user", "And 5 + 6?\n\nShow how."),
        ("assistant", "11: 5 + 6 = 11 <|EOT|>"),
    ],
]
SETTINGS = TokensSettings(fim_rate=0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer")
    texts = ["### Instruction:\n### Response:\ndef add(a, b):\n    return a + b\n" * 3] * 9
    train(texts, TokenizerSettings(vocab_size=320)).save(path)
    return path


def rows(tmp_path: Path) -> Path:
    path = tmp_path / "talks.jsonl"
    lines = [
        json.dumps({"messages": [{"role": role, "content": text} for role, text in talk]})
        for talk in TALKS
    ]
    path.write_text("\n".join(lines))
    return path


def test_ids_are_those_of_the_chat_template(folder: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    found = documents(rows(tmp_path), "train", InstructSettings(held_out_rate=0.0))
    for document, talk in zip(found, TALKS, strict=True):
        encoded = encode_document(document, tokenizer, SETTINGS, seed=0)
        talk = [(role, text.replace("<|EOT|>", "")) for role, text in talk]
        if "<|EOT|>" in document.text:
            # the library takes a control token for one wherever it is spelt, we only our own
            assert encoded.ids.tolist().count(tokenizer.special.eot) == 2
            continue
        messages = [{"role": role, "content": text} for role, text in talk]
        wanted = theirs.apply_chat_template(messages, tokenize=False)
        ids = theirs(wanted.removesuffix("\n"), add_special_tokens=False)["input_ids"]
        assert encoded.ids.tolist() == ids


@pytest.mark.parametrize("middle_only", [False, True])
def test_answers_alone_are_learnt(folder: Path, tmp_path: Path, middle_only: bool) -> None:
    tokenizer = Tokenizer.load(folder)
    facts = {"tokenizer_sha256": tokenizer.sha256}
    found = list(documents(rows(tmp_path), "train", InstructSettings(held_out_rate=0.0)))
    code = np.array([tokenizer.special.bos, *tokenizer.encode("def add(a, b):\n"), 1])
    with ShardWriter(tmp_path / "train", vocab_size=tokenizer.vocab_size, facts=facts) as writer:
        writer.add(code, text_bytes=16)
        for document in found:
            encoded = encode_document(document, tokenizer, SETTINGS, seed=0)
            writer.add(
                encoded.ids,
                text_bytes=encoded.text_bytes,
                source=Source.of(document),
                layouts=encoded.layouts,
            )
    length = 400
    shards = [Shard(tmp_path / "train")]
    loader = Loader(
        shards,
        sequence_length=length,
        batch_size=1,
        seed=0,
        packing="best_fit",
        middle_only=middle_only,
    )
    batch, _ = loader.batch(Cursor())
    learnt = batch.targets[0][batch.targets[0] != IGNORED].tolist()
    eot = tokenizer.special.eot
    answers = [
        [*tokenizer.encode(document.text[span.body : span.end]), eot]
        for document in found
        for span in document.spans
    ]
    # best fit puts long documents first; code is learnt whole but for its first id
    parts = [*answers[1:], *answers[:1], code[1:].tolist()]
    assert sorted(learnt) == sorted(token for part in parts for token in part)
    text = "".join(map(str, learnt))
    assert all("".join(map(str, answer)) in text for answer in answers)


def test_a_tokenizer_without_an_end_of_turn_is_refused(folder: Path, tmp_path: Path) -> None:
    model = json.loads((folder / "tokenizer.json").read_text())
    model["added_tokens"] = [t for t in model["added_tokens"] if t["content"] != "<|EOT|>"]
    without = Tokenizer(json.dumps(model), {}, "there")
    (document, _) = documents(rows(tmp_path), "train", InstructSettings(held_out_rate=0.0))
    with pytest.raises(TokenizerError, match="ends an answer"):
        encode_document(document, without, SETTINGS, seed=0)
