"""Documents to ids: each file on its own, some of them rearranged for infilling.

    <bos> file file … file <eos>

A plain file is the ids of its header and text, encoded as one. A file chosen for infilling is a
layout of `fim.py`; the header stays at the front of the prefix. The paper speaks of the file, and
its path comment is part of the file: so a model is asked to infill with the header where it
was in training. A layout ends with an `<eos>` of its own, for the middle; at the end of the
document that one serves both.

Each file, and each part of a cut file, is encoded by itself, as a server does that gets prefix and
suffix apart. Source: DeepSeek-Coder §3.1.2 (FIM at document level, before packing).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codekiln.errors import ShardError
from codekiln.tokenizer.special import SpecialTokens
from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.tokens.fim import Draw, Order, Part, layout_parts
from codekiln.tokens.settings import TokensSettings
from codekiln.types import Document

_GROUP_CHARACTERS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A document as ids.

    Args:
        ids: `<bos>` to `<eos>`, int32 [tokens].
        text_bytes: UTF-8 bytes of the document's text, headers included.
        files: files in the document; `fim_files` of them rearranged.
    """

    ids: NDArray[np.int32]
    text_bytes: int
    files: int
    fim_files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePlan:
    """How one file is encoded: its text whole (`order` None), or prefix, suffix and middle."""

    texts: tuple[str, ...]
    order: Order | None


def encode_document(
    document: Document, tokenizer: Tokenizer, settings: TokensSettings, *, seed: int
) -> Encoded:
    """The ids of one document.

    Raises:
        ShardError: when its spans do not cover its text.
        TokenizerError: when FIM is asked of a tokenizer that lacks its tokens.
    """
    return next(encode_documents([document], tokenizer, settings, seed=seed))


def encode_documents(
    documents: Iterable[Document], tokenizer: Tokenizer, settings: TokensSettings, *, seed: int
) -> Iterator[Encoded]:
    """The ids of each document, in order; texts go to the tokenizer many at a time.

    Raises:
        ShardError: when a document's spans do not cover its text.
        TokenizerError: when FIM is asked of a tokenizer that lacks its tokens.
    """
    group: list[Document] = []
    held = 0
    for document in documents:
        group.append(document)
        held += len(document.text)
        if held >= _GROUP_CHARACTERS:
            yield from _encode_group(group, tokenizer, settings, seed)
            group, held = [], 0
    yield from _encode_group(group, tokenizer, settings, seed)


def plan(document: Document, settings: TokensSettings, *, seed: int) -> list[FilePlan]:
    """Which files of a document are cut, where, and in which order they are laid out."""
    plans = []
    for number, (start, body, end) in enumerate(_files(document)):
        draw = Draw.of(seed, document.id, number)
        whole = document.text[start:end]
        # an empty file has no middle to learn; prose is not infilled
        if document.kind != "code" or body == end or draw.chosen >= settings.fim_rate:
            plans.append(FilePlan(texts=(whole,), order=None))
            continue
        first, second = (body - start + cut for cut in draw.cuts(end - body))
        parts = (whole[:first], whole[second:], whole[first:second])
        order = draw.layout_order(settings.fim_order, settings.spm_rate)
        plans.append(FilePlan(texts=parts, order=order))
    return plans


def _files(document: Document) -> list[tuple[int, int, int]]:
    """(start, body, end) of each file; a document without spans is one file without header."""
    if not document.spans:
        return [(0, 0, len(document.text))]
    at = 0
    for span in document.spans:
        if span.start != at or not span.start <= span.body <= span.end:
            break
        at = span.end
    if at != len(document.text):
        raise ShardError(
            f"document {document.id}",
            got=f"file spans that break off at character {at} of {len(document.text)}",
            wanted="spans that touch and cover the text",
            remedy="build the corpus again",
        )
    return [(span.start, span.body, span.end) for span in document.spans]


def _encode_group(
    group: Sequence[Document], tokenizer: Tokenizer, settings: TokensSettings, seed: int
) -> Iterator[Encoded]:
    plans = [plan(document, settings, seed=seed) for document in group]
    texts = [text for files in plans for file in files for text in file.texts]
    encoded = iter(tokenizer.encode_arrays(texts))
    for document, files in zip(group, plans, strict=True):
        parts: list[Part] = [(tokenizer.special.bos,)]
        for file in files:
            parts += _laid_out(file, [next(encoded) for _ in file.texts], tokenizer.special)
        if not files or files[-1].order is None:
            parts.append((tokenizer.special.eos,))
        yield Encoded(
            ids=np.concatenate([np.asarray(part, dtype=np.int32) for part in parts]),
            text_bytes=_utf8_bytes(document.text),
            files=len(files),
            fim_files=sum(file.order is not None for file in files),
        )


def _laid_out(file: FilePlan, ids: Sequence[Part], special: SpecialTokens) -> list[Part]:
    if file.order is None:
        return list(ids)
    prefix, suffix, middle = ids
    return layout_parts(prefix, suffix, middle, special, file.order)


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
