"""Natural language beside the repositories: one piece of a source becomes a shard of documents.

    stages/t<key>/documents.parquet    every text that passes its rules and holds no test data
    stages/t<key>/units.parquet, signatures.bin    of each document, for near-duplicates
    stages/t<key>/facts.json

The rest happens where it happens to code: duplicates are decided over all pieces, and what is
dropped for them gets no copy when the corpus is finished.

Source: DeepSeek-Coder §2 (10% English, 3% Chinese).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from codekiln.corpus.duplicates.grams import blocks
from codekiln.corpus.duplicates.sketch import Sketches
from codekiln.corpus.duplicates.units import Unit, UnitWriter
from codekiln.corpus.ordering.documents import digest
from codekiln.corpus.plan import chance
from codekiln.corpus.privacy.redact import redact
from codekiln.corpus.settings import CorpusSettings
from codekiln.corpus.sources.intake import Tally
from codekiln.corpus.sources.text import TextBatch, expand_text, read_documents, split_batches
from codekiln.corpus.sources.text_settings import TextSource
from codekiln.corpus.steps.context import Context, Facts, store_facts
from codekiln.corpus.store import DocumentWriter, Split
from codekiln.processes import cpu_seconds
from codekiln.storage import atomic_path, fingerprint
from codekiln.types import Document

TEST_DATA = "test data"
AT_ONCE = 512  # documents that are compared and written together


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPiece:
    """A piece of work: one batch of one source, written to the folder `key`."""

    key: str
    source: TextSource
    batch: TextBatch


def text_pieces(settings: CorpusSettings) -> list[TextPiece]:
    """The pieces of all sources of natural language.

    Raises:
        SourceError: a location matches nothing, or cannot be read.
    """
    places = [(source, place) for source in settings.text for place in expand_text(source)]
    pieces: list[TextPiece] = []
    seen: Counter[str] = Counter()
    for source, place in places:
        batches = split_batches(source, place)
        if batches:
            seen[batches[0].name] += 1
        for batch in batches:
            number = seen[batch.name]
            name = batch.name if number == 1 else f"{batch.name}#{number}"
            pieces.append(_piece(settings, source, replace(batch, name=name)))
    return pieces


def _piece(settings: CorpusSettings, source: TextSource, batch: TextBatch) -> TextPiece:
    made_from = [batch.key, source.model_dump(mode="json"), settings.held_out_rate]
    return TextPiece(key="t" + fingerprint(made_from)[:20], source=source, batch=batch)


def read_texts(
    context: Context, piece: TextPiece, each: Callable[[Facts], None] | None = None
) -> Facts:
    """Read one piece; its folder is in place when this returns its facts.

    Raises:
        SourceError: the source is damaged: natural language is not passed over in silence.
    """
    started = cpu_seconds()
    made = _Texts(context, piece)
    with atomic_path(context.stages / piece.key) as folder:
        folder.mkdir()
        units = UnitWriter(folder, context.settings.dedup_permutations)
        with DocumentWriter(folder / "documents.parquet") as writer:
            made.write(writer, units)
        units.close()
        if each:
            each(made.facts())
        return store_facts(folder, piece.key, [made.facts()], started)


class _Texts:
    """One piece being read and written."""

    def __init__(self, context: Context, piece: TextPiece) -> None:
        self.context, self.piece = context, piece
        self.tally = Tally()
        self.problems: Counter[str] = Counter()
        self.exact: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.redacted: Counter[str] = Counter()

    def write(self, writer: DocumentWriter, units: UnitWriter) -> None:
        """Write the documents, and what duplicates are found by."""
        settings = self.context.settings
        for documents in _chunks(read_documents(self.piece.source, self.piece.batch, self.tally)):
            if settings.privacy.redacts:
                documents = [self._redacted(document) for document in documents]
            sketches = Sketches(settings.dedup_permutations, settings.dedup_shingle, each=True)
            encoded = [document.text.encode() for document in documents]
            bad = self._compare(documents, encoded, sketches)
            for number, document in enumerate(documents):
                if number not in bad:
                    writer.add(document, self._split(document))
                    self.kinds[document.kind] += len(encoded[number])
                    unit = Unit(
                        name=document.id,
                        paths=(document.id,),
                        digest=digest(encoded[number]),
                        bytes=len(encoded[number]),
                    )
                    units.add(0, unit, sketches.signature([str(number)]))

    def _redacted(self, document: Document) -> Document:
        found = redact(document.text, self.context.settings.privacy)
        self.redacted.update(hit.kind for hit in found.hits)
        return replace(document, text=found.text) if found.hits else document

    def _compare(
        self, documents: list[Document], encoded: list[bytes], sketches: Sketches
    ) -> set[int]:
        """Sketch all documents; numbers of those that hold test data."""
        bad: set[int] = set()
        for numbers, found in blocks(encoded):
            texts = [documents[n].text for n in numbers]
            for hit in self.context.test_data.check(texts, found):
                number = numbers[hit.text]
                bad.add(number)
                self.problems[hit.problem] += 1
                self.exact[hit.shared] += hit.rule == "exact"
                self.tally.kept -= 1
                self.tally.kept_bytes -= len(encoded[number])
                self.tally.drop(TEST_DATA, documents[number].id, len(encoded[number]))
            sketches.add([str(n) for n in numbers], found)
        return bad

    def _split(self, document: Document) -> Split:
        apart = chance(self.context.seed, document.id) < self.context.settings.held_out_rate
        return "held_out" if apart else "train"

    def facts(self) -> Facts:
        """What the report wants to know of it."""
        tally = self.tally
        return {
            "name": self.piece.batch.name,
            "location": self.piece.batch.location,
            "component": self.piece.source.component,
            "documents": tally.kept,
            "bytes_read": tally.kept_bytes,
            "kinds": dict(self.kinds),
            "redacted": dict(self.redacted),
            "dropped": {
                reason: {
                    "files": count,
                    "bytes": tally.dropped_bytes[reason],
                    "examples": tally.examples[reason],
                }
                for reason, count in sorted(tally.dropped.items())
            },
            "problems": dict(self.problems),
            "exact": dict(+self.exact),
        }


def _chunks(documents: Iterator[Document]) -> Iterator[list[Document]]:
    while chunk := list(itertools.islice(documents, AT_ONCE)):
        yield chunk
