"""Which texts are held out, and which of their tokens count for what."""

from pathlib import Path

import numpy as np
import pytest

from codekiln.tokenizer.settings import TokenizerSettings
from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.tokenizer.train import train as train_tokenizer
from codekiln.tokens.pack import open_shards, pack
from codekiln.tokens.settings import TokensSettings
from codekiln.tokens.shards import Shard
from codekiln.training.held_out import FIM_MIDDLE, UNCOUNTED, Group, choose_documents, held_out_of
from codekiln.types import Document, Kind, Span

FILES = (
    ("a.py", "python", "def größe(x):\n    return x + 1\n" * 3),
    ("b.go", "go", "func f() int { return 41 }\n" * 4),
    ("c.py", "python", "value = 'été'\n" * 90),  # longer than a sequence
    ("empty.go", "go", ""),
)


def code(name: str) -> Document:
    text, spans = "", []
    for path, language, body in FILES:
        header = f"#{path}\n"
        start, text = len(text), text + header + body
        spans.append(
            Span(
                path=path,
                language=language,
                start=start,
                body=start + len(header),
                end=len(text),
            )
        )
    return Document(id=name, text=text, source="made up", spans=tuple(spans))


def prose(name: str, kind: Kind, text: str) -> Document:
    return Document(id=name, text=text, kind=kind, source="a book")


DOCUMENTS = (
    code("one"),
    prose("two", "english", "It was a dark night. " * 5),
    prose("three", "chinese", "从前有座山。" * 6),
    code("four"),
)


def read(path: Path, split: str) -> tuple[Document, ...]:
    return DOCUMENTS if split == "held_out" else DOCUMENTS[:1]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Shard], Tokenizer]:
    folder = tmp_path_factory.mktemp("held-out")
    tokenizer = train_tokenizer([d.text for d in DOCUMENTS], TokenizerSettings(vocab_size=300))
    tokenizer.save(folder / "tokenizer")
    (folder / "source").write_text("made up")
    settings = TokensSettings(sequence_length=64, fim_rate=1.0)
    pack([folder / "source"], read, folder / "tokenizer", settings, folder / "tokens", seed=0)
    assert len(open_shards(folder / "tokens", "train")[0].files) == 0
    return open_shards(folder / "tokens", "held_out"), Tokenizer.load(folder / "tokenizer")


def test_middles_are_the_same_in_whatever_documents_their_files_stand(tmp_path: Path) -> None:
    whole, found = code("one"), []
    files = [
        Document(
            id=f"file {number}",
            text=whole.text[span.start : span.end],
            source="made up",
            spans=(
                Span(
                    path=span.path,
                    language=span.language,
                    start=0,
                    body=span.body - span.start,
                    end=span.end - span.start,
                ),
            ),
        )
        for number, span in enumerate(whole.spans)
    ]
    tokenizer = train_tokenizer([whole.text], TokenizerSettings(vocab_size=300))
    tokenizer.save(tmp_path / "tokenizer")
    (tmp_path / "source").write_text("made up")
    for number, documents in enumerate(([whole], files[::-1])):
        out = tmp_path / f"tokens-{number}"
        pack(
            [tmp_path / "source"],
            lambda path, split, given=documents: given,  # type: ignore[misc]
            tmp_path / "tokenizer",
            TokensSettings(sequence_length=64),
            out,
            seed=0,
        )
        shards = open_shards(out, "held_out")
        held_out = held_out_of(shards, tokenizer, tokens=10**6, fim_tokens=150, sequence_length=64)
        found.append([text.ids.tolist() for text in held_out.texts[held_out.documents :]])
    assert len(found[0]) >= 2
    assert found[0] == found[1]


def test_every_token_counts_for_the_file_that_it_spells(
    packed: tuple[list[Shard], Tokenizer],
) -> None:
    shards, tokenizer = packed
    held_out = held_out_of(shards, tokenizer, tokens=10**6, fim_tokens=0, sequence_length=64)
    assert held_out.documents == len(held_out.texts) == 4
    spelt: dict[Group, bytes] = dict.fromkeys(held_out.groups, b"")
    for text in held_out.texts:
        assert text.groups[-1] == text.groups[-2]  # <eos> counts for the last file
        for id_, group in zip(text.ids[1:-1].tolist(), text.groups, strict=False):
            spelt[held_out.groups[group]] += tokenizer.token_bytes(id_)
    wanted: dict[Group, bytes] = {}
    for document in DOCUMENTS:
        for span in document.spans:
            group = Group("code", span.language)
            text = document.text[span.start : span.end]
            wanted[group] = wanted.get(group, b"") + text.encode()
        if not document.spans:
            wanted[Group(document.kind)] = document.text.encode()
    assert spelt == wanted
    sizes = dict(zip(held_out.groups, held_out.bytes, strict=True))
    assert sizes == {group: len(text) for group, text in wanted.items()}


@pytest.mark.parametrize("order", ["psm", "spm"])
def test_of_rearranged_files_the_middle_alone_counts(
    packed: tuple[list[Shard], Tokenizer], order: str
) -> None:
    shards, tokenizer = packed
    held_out = held_out_of(
        shards,
        tokenizer,
        tokens=10**6,
        fim_tokens=10**6,
        sequence_length=64,
        order=order,  # type: ignore[arg-type]
    )
    special = tokenizer.special
    begin, hole, end = special.fim()
    middles = held_out.texts[held_out.documents :]
    assert len(middles) >= 6  # three files with a body in each of two documents
    size = 0
    for text in middles:
        ids = text.ids.tolist()
        assert len(ids) <= 65 and ids[0] == special.bos and ids[-1] == special.eos
        at = ids.index(end)
        if order == "psm":
            prefix, suffix = ids[2 : ids.index(hole)], ids[ids.index(hole) + 1 : at]
            middle = ids[at + 1 : -1]
        else:
            assert ids[1:3] == [begin, hole]
            suffix = ids[3:at]
            counted = int((text.groups == UNCOUNTED).sum())
            prefix, middle = ids[at + 1 : counted + 1], ids[counted + 1 : -1]
        whole = tokenizer.decode([*prefix, *middle, *suffix])
        bodies = {f"#{path}\n{body}" for path, _, body in FILES}
        assert any(body.startswith(whole) for body in bodies)
        assert whole in bodies or len(ids) > 64 - 20  # or it is as long as fits
        numbers = set(text.groups[-len(middle) - 1 :].tolist())
        assert [held_out.groups[number] for number in numbers] == [FIM_MIDDLE]
        assert (text.groups[: -len(middle) - 1] == UNCOUNTED).all()
        size += len(tokenizer.decode_bytes(middle))
    assert dict(zip(held_out.groups, held_out.bytes, strict=True))[FIM_MIDDLE] == size
    again = held_out_of(
        shards,
        tokenizer,
        tokens=10**6,
        fim_tokens=150,
        sequence_length=64,
        order=order,  # type: ignore[arg-type]
    )
    fewer = again.texts[again.documents :]
    assert 0 < sum(len(text.ids) for text in fewer) <= 150
    assert all(np.array_equal(a.ids, b.ids) for a, b in zip(fewer, middles, strict=False))


def test_whole_documents_up_to_the_limit() -> None:
    lengths = [100, 20, 30, 40, 500, 10]
    for limit in (10, 60, 110, 699, 700):
        chosen = choose_documents(lengths, limit)
        assert sum(lengths[i] for i in chosen) <= limit
        left = limit - sum(lengths[i] for i in chosen)
        assert all(lengths[i] > left for i in range(6) if i not in chosen)  # no more would fit
    assert choose_documents(lengths, 700) == [0, 1, 2, 3, 4, 5]
    assert choose_documents(lengths, 3) == [5]  # the shortest stands in
    assert choose_documents([], 100) == []


def test_the_choice_is_fixed_but_not_the_first_ones() -> None:
    lengths = [10] * 1000
    chosen = choose_documents(lengths, 100)
    assert chosen == choose_documents(lengths, 100)
    assert len(chosen) == 10
    assert chosen != list(range(10))
