"""Which files of a document are rearranged for infilling, how, and where they are cut."""

from __future__ import annotations

from dataclasses import dataclass, replace

from codekiln.errors import ShardError
from codekiln.tokens.fim import Draw, Layout, Spans, split
from codekiln.tokens.fim_settings import FimSettings
from codekiln.types import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePlan:
    """How one file is encoded.

    Args:
        text: header and body.
        body: where the body starts; a header is never cut.
        path: and `language`, as the corpus gives them; "" where it does not.
        infillable: code, and not empty: an empty file has no middle to learn.
        draw: the file's chances.
        layout: what it becomes; None: it stays as it is.
        count: how many spans are masked.
        spans: of a file that is cut before it is encoded, in characters of `text`.
        short: it was chosen, and is empty.
        turn: of a conversation: the body is an answer to what stands before it.
    """

    text: str
    body: int
    path: str = ""
    language: str = ""
    infillable: bool
    draw: Draw
    layout: Layout | None = None
    count: int = 1
    spans: Spans = ()
    short: bool = False
    turn: bool = False

    @property
    def texts(self) -> list[str]:
        """What goes to the tokenizer: the file, or what is kept of it and then what is masked."""
        if self.turn:  # as in a chat, which has the answer's ids from the model
            return [self.text[: self.body], self.text[self.body :]]
        if not self.spans:
            return [self.text]
        kept, masked = split(self.text, self.spans)
        return [*kept, *masked]

    def cut(self, spans: Spans) -> FilePlan:
        """The same, cut around these spans of its body."""
        moved = tuple((self.body + start, self.body + end) for start, end in spans)
        return replace(self, spans=moved, count=len(spans))

    def cut_at_characters(self) -> FilePlan:
        """The same, cut wherever its chances say."""
        return self.cut(self.draw.spans(len(self.text) - self.body, self.count))


def plan(document: Document, settings: FimSettings, *, seed: int, stage: int = 0) -> list[FilePlan]:
    """What becomes of each file of a document; files that are cut at characters are cut.

    Raises:
        ShardError: when the document's spans do not cover its text.
    """
    # of a context the pieces are drawn, once ids are known
    rate = 0.0 if settings.fim_level == "context" else settings.stages[stage][1]
    plans = []
    code = document.kind == "code"  # prose is not infilled
    for number, (start, body, end) in enumerate(_files(document)):
        draw = Draw.of(seed, document.id, number)
        chosen, infillable = code and draw.chosen < rate, code and body < end
        planned = FilePlan(
            text=document.text[start:end],
            body=body - start,
            infillable=infillable,
            draw=draw,
            short=chosen and not infillable,
            turn=document.kind == "conversation",
        )
        if chosen and infillable:
            planned = _chosen(planned, document, number, settings)
        plans.append(planned)
    return plans


def _chosen(planned: FilePlan, document: Document, number: int, settings: FimSettings) -> FilePlan:
    layout = planned.draw.layout_order(settings.fim_order, settings.spm_rate)
    span = document.spans[number] if document.spans else None
    planned = replace(
        planned,
        path=span.path if span else "",
        language=span.language if span else "",
        layout=layout,
        count=planned.draw.span_count(layout, settings.msp_spans),
    )
    return planned.cut_at_characters() if settings.fim_cut == "character" else planned


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
