"""Documents to ids: each file on its own, some of them rearranged for infilling.

    <bos> file file … file <eos>

A plain file is the ids of its header and text, encoded as one. A file chosen for infilling is a
layout of `fim.py`; the header stays at the front of the prefix. The paper speaks of the file, and
its path comment is part of the file: so a model is asked to infill with the header where it
was in training. A layout ends with an `<eos>` of its own, for the middle; at the end of the
document that one serves both.

Each file, and each part of a file that is cut at characters or by syntax, is encoded by itself,
as a server does that gets prefix and suffix apart. At the level of contexts, pieces of files that
a sequence can hold are laid out in place of files: `contexts.py`.

A conversation is its turns, each what is given, what is answered, and `<|EOT|>`.

Source: DeepSeek-Coder §3.1.2 (FIM at document level, before packing), §3.7 (conversations).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing

from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.tokens.contexts import CharacterCuts, PieceCuts, TokenCuts, lay_out_pieces
from codekiln.tokens.cuts import SyntaxCutter, TokenBorders, cut_by_syntax
from codekiln.tokens.fim import Draw, split, stage_of
from codekiln.tokens.plan import FilePlan, plan
from codekiln.tokens.sequence import Account, Assembly, Encoded, FilePlace, Ids
from codekiln.tokens.settings import TokensSettings
from codekiln.types import Document

_GROUP_CHARACTERS = 1_000_000


def encode_document(
    document: Document, tokenizer: Tokenizer, settings: TokensSettings, *, seed: int
) -> Encoded:
    """The ids of one document.

    Raises:
        ShardError: when its spans do not cover its text.
        TokenizerError: when FIM is asked of a tokenizer that lacks its tokens.
    """
    [encoded] = encode_documents([document], tokenizer, settings, seed=seed)
    return encoded


def encode_documents(
    documents: Iterable[Document], tokenizer: Tokenizer, settings: TokensSettings, *, seed: int
) -> Iterator[Encoded]:
    """The ids of each document, in order; texts go to the tokenizer many at a time.

    Raises:
        ShardError: when a document's spans do not cover its text.
        TokenizerError: when FIM is asked of a tokenizer that lacks its tokens.
    """
    with ExitStack() as stack:
        cutter = None
        if settings.fim_cut == "syntax":
            cutter = stack.enter_context(closing(SyntaxCutter()))
        encoder = _Encoder(tokenizer, settings, seed, cutter)
        group: list[Document] = []
        held = 0
        for document in documents:
            group.append(document)
            held += len(document.text)
            if held >= _GROUP_CHARACTERS:
                yield from encoder.encode(group)
                group, held = [], 0
        yield from encoder.encode(group)


class _Encoder:
    def __init__(
        self,
        tokenizer: Tokenizer,
        settings: TokensSettings,
        seed: int,
        cutter: SyntaxCutter | None,
    ) -> None:
        self._tokenizer, self._settings, self._seed = tokenizer, settings, seed
        self._cutter = cutter
        self._starts = [start for start, _ in settings.stages]
        between_tokens = settings.fim_cut == "token" or settings.fim_level == "context"
        self._borders = TokenBorders(tokenizer) if between_tokens else None

    def encode(self, group: Sequence[Document]) -> Iterator[Encoded]:
        """The ids of each document of a group."""
        stages = [stage_of(self._seed, document.id, self._starts) for document in group]
        plans = [
            plan(document, self._settings, seed=self._seed, stage=stage)
            for document, stage in zip(group, stages, strict=True)
        ]
        fallbacks = [0] * len(group)
        if self._cutter is not None:
            plans, fallbacks = cut_by_syntax(plans, self._cutter)
        texts = [text for files in plans for file in files for text in file.texts]
        encoded = iter(self._tokenizer.encode_arrays(texts))
        for document, files, stage, fell_back in zip(group, plans, stages, fallbacks, strict=True):
            assembly = Assembly(self._tokenizer.special)
            count = sum(not file.turn for file in files)
            account = Account(files=count, fim_fallbacks=fell_back)
            places = []
            for number, file in enumerate(files):
                ids = [next(encoded) for _ in file.texts]
                account += self._add(assembly, document.id, number, file, ids, stage)
                language = document.spans[number].language if document.spans else ""
                places.append(_place(file, assembly.size, language))
            yield assembly.finish(account, files=tuple(places), stage=stage)

    def _add(
        self,
        assembly: Assembly,
        document_id: str,
        number: int,
        file: FilePlan,
        ids: Sequence[Ids],
        stage: int,
    ) -> Account:
        """Append one file, or one turn of a conversation."""
        if file.turn:
            assembly.add_turn(*ids)
            return Account()
        if self._settings.fim_level == "context" and file.infillable:
            pieces, short = lay_out_pieces(
                assembly,
                self._cuts(file, ids[0]),
                self._settings,
                self._settings.stages[stage][1],
                lambda piece: Draw.of(self._seed, document_id, number, piece),
            )
            return Account(fim_files=int(pieces > 0), fim_short=short)
        if file.layout is None:
            assembly.add_text(ids[0])
            return Account(fim_short=int(file.short))
        if not file.spans:
            return self._add_cut_between_tokens(assembly, file, ids[0])
        assembly.add_layout(ids[: file.count + 1], ids[file.count + 1 :], file.layout)
        return Account(fim_files=1)

    def _add_cut_between_tokens(self, assembly: Assembly, file: FilePlan, ids: Ids) -> Account:
        assert file.layout is not None
        header = self._header(file, ids)
        if header == len(ids):  # the body's only token begins in the header
            assembly.add_text(ids)
            return Account(fim_short=1)
        spans = file.draw.spans(len(ids) - header, file.count)
        kept, masked = split(ids, tuple((header + start, header + end) for start, end in spans))
        assembly.add_layout(kept, masked, file.layout)
        return Account(fim_files=1)

    def _cuts(self, file: FilePlan, ids: Ids) -> PieceCuts:
        tokens = TokenCuts(ids, self._header(file, ids))
        if self._settings.fim_cut == "token":
            return tokens
        return CharacterCuts(tokens, self._tokenizer, _utf8_bytes(file.text[: file.body]))

    def _header(self, file: FilePlan, ids: Ids) -> int:
        assert self._borders is not None
        return self._borders.header_ids(ids, file.text[: file.body])


def _place(file: FilePlan, end: int, language: str) -> FilePlace:
    return FilePlace(
        end=end,
        header_bytes=_utf8_bytes(file.text[: file.body]),
        bytes=_utf8_bytes(file.text),
        language=language,
    )


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
