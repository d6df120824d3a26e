"""What held-out evaluation reads: texts, and of each token to predict the group that it counts for.

A group is a kind of text and a language. All ids of a file count for its language; the `<eos>`
behind the last file for that file's. Nothing counts twice: the groups add up to the whole.

Beside the documents stand files that are rearranged for infilling, of which the middle alone
counts, with the `<eos>` behind it: a group of its own, no part of the whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.tokens.fim import Draw, Order, control_tokens, layout_parts
from codekiln.tokens.sequence import FilePlace
from codekiln.tokens.shards import Shard

CHOICE_SEED = 0  # the same documents and cuts at every evaluation of every run
SLACK_TOKENS = 8  # a beginning of a file that is cut and encoded anew may be so much longer
UNCOUNTED = -1


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """What tokens have in common: the kind of their text, the language of code."""

    kind: str
    language: str = ""


FIM_MIDDLE = Group("fim_middle")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutText:
    """One text.

    Args:
        ids: of `<bos>` and what follows.
        groups: int64 [len(ids) - 1], of each id but the first its group's number, or UNCOUNTED.
    """

    ids: NDArray[Any]
    groups: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """All texts of an evaluation.

    Args:
        groups: by number.
        bytes: UTF-8 bytes of what counts for each group.
        documents: how many of the texts are documents; the others are there for FIM_MIDDLE.
    """

    texts: tuple[HeldOutText, ...] = ()
    groups: tuple[Group, ...] = ()
    bytes: tuple[int, ...] = ()
    documents: int = 0


@dataclass(slots=True)
class _Groups:
    """Groups as they are met."""

    numbers: dict[Group, int] = field(default_factory=dict)
    bytes: list[int] = field(default_factory=list)

    def add(self, group: Group, text_bytes: int) -> int:
        """The group's number; its text is so much longer."""
        number = self.numbers.setdefault(group, len(self.numbers))
        if number == len(self.bytes):
            self.bytes.append(0)
        self.bytes[number] += text_bytes
        return number


def held_out_of(
    shards: Sequence[Shard],
    tokenizer: Tokenizer,
    *,
    tokens: int,
    fim_tokens: int,
    sequence_length: int,
    order: Order = "psm",
) -> HeldOut:
    """Choose what an evaluation reads, the same at every call.

    Args:
        shards: of held-out documents.
        tokens: ids of whole documents, at most.
        fim_tokens: ids of rearranged files, at most; 0: none.
        sequence_length: a rearranged file fits into one sequence; of a longer one its beginning
            is taken.
        order: how files are rearranged.

    Raises:
        TokenizerError: when files are to be rearranged and the tokenizer lacks the tokens.
    """
    places = [(shard, i) for shard in shards for i in range(len(shard))]
    chosen = choose_documents([len(shard[i]) for shard, i in places], tokens)
    groups = _Groups()
    texts = [_document(*places[number], groups) for number in chosen]
    if fim_tokens:
        files = _files_of_code(shards)
        texts += _infillings(files, tokenizer, fim_tokens, sequence_length, order, groups)
    return HeldOut(
        texts=tuple(texts),
        groups=tuple(groups.numbers),
        bytes=tuple(groups.bytes),
        documents=len(chosen),
    )


def choose_documents(lengths: Sequence[int], limit: int) -> list[int]:
    """Whole documents of at most `limit` tokens together: indices, the same at every call.

    In a fixed random order, so that one large repository does not stand for all; a document
    that would go over the limit is passed over. If every document is longer, the shortest.
    """
    order = np.random.default_rng(CHOICE_SEED).permutation(len(lengths))
    chosen, total = [], 0
    for index in order.tolist():
        if total + lengths[index] <= limit:
            chosen.append(index)
            total += lengths[index]
    if not chosen and len(lengths):
        chosen = [int(np.argmin(lengths))]
    return sorted(chosen)


def _document(shard: Shard, index: int, groups: _Groups) -> HeldOutText:
    kind = shard.sources[shard.source_codes[index]].kind
    ids = shard[index]
    of_each = np.empty(len(ids) - 1, dtype=np.int64)
    start = 1
    for file in shard.files_in(index):
        of_each[start - 1 : file.end - 1] = groups.add(Group(kind, file.language), file.bytes)
        start = file.end
    last = of_each[start - 2] if start > 1 else groups.add(Group(kind), 0)
    of_each[start - 1 :] = last
    return HeldOutText(ids=ids, groups=of_each)


def _files_of_code(shards: Sequence[Shard]) -> list[tuple[Shard, int, int, FilePlace]]:
    """(shard, document, number of the file, file) of all files that can be infilled."""
    return [
        (shard, i, number, file)
        for shard in shards
        for i in range(len(shard))
        if shard.sources[shard.source_codes[i]].kind == "code"
        for number, file in enumerate(shard.files_in(i))
        if file.bytes > file.header_bytes
    ]


def _infillings(
    files: Sequence[tuple[Shard, int, int, FilePlace]],
    tokenizer: Tokenizer,
    limit: int,
    length: int,
    order: Order,
    groups: _Groups,
) -> Iterator[HeldOutText]:
    """Files that fit, rearranged, in an order by their content: what is chosen, and how it is cut,
    does not depend on the documents that they stand in."""
    left = limit
    for key, file_ids, file in sorted(map(_keyed, files), key=lambda one: one[0]):
        if min(len(file_ids), length) > left:
            continue
        parts = _parts(file_ids, file, tokenizer, length, key)
        if parts is None:
            continue
        prefix, middle, suffix = parts
        kept, masked = tokenizer.encode_arrays([prefix, suffix]), tokenizer.encode_arrays([middle])
        asked, answer = layout_parts(kept, masked, tokenizer.special, order)
        given = sum(map(len, asked))
        ids = np.array([tokenizer.special.bos, *chain(*asked), *chain(*answer)], dtype=np.int64)
        if len(ids) > length + 1 or len(ids) > left:
            continue
        left -= len(ids)
        of_each = np.full(len(ids) - 1, UNCOUNTED, dtype=np.int64)
        of_each[given:] = groups.add(FIM_MIDDLE, len(middle.encode()))
        yield HeldOutText(ids=ids, groups=of_each)


def _keyed(place: tuple[Shard, int, int, FilePlace]) -> tuple[str, NDArray[Any], FilePlace]:
    """(a hash of the content, the ids, the file)."""
    shard, document, number, file = place
    start = 1 if number == 0 else shard.files_in(document)[number - 1].end
    ids = shard[document][start : file.end]
    return hashlib.blake2b(ids.astype("<i8").tobytes(), digest_size=16).hexdigest(), ids, file


def _parts(
    ids: NDArray[Any], file: FilePlace, tokenizer: Tokenizer, length: int, key: str
) -> tuple[str, str, str] | None:
    """A file, or its beginning, cut at characters; None where there is nothing to cut."""
    room = length - control_tokens(1) - SLACK_TOKENS
    if len(tokenizer.decode_bytes(ids.tolist())) != file.bytes:
        return None  # a tokenizer that does not keep all bytes: where would the header end?
    content = tokenizer.decode_bytes(ids[: max(room, 0)].tolist())
    header, body = content[: file.header_bytes], content[file.header_bytes :]
    text = body.decode("utf-8", "ignore")  # the last character may be cut
    if not text:
        return None
    first, second = Draw.of(CHOICE_SEED, key, 0).cuts(len(text))
    return header.decode("utf-8", "ignore") + text[:first], text[first:second], text[second:]
