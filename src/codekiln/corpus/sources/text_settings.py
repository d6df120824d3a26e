"""Settings of one source of natural language: an entry of `[[corpus.text]]`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from codekiln.corpus.filters.prose import ProseSettings
from codekiln.recipe import Settings

TextFormat = Literal["auto", "files", "jsonl", "parquet", "stackexchange"]
TextKind = Literal["auto", "english", "chinese"]


class TextSource(Settings):
    """One source of natural language, and what of it is taken."""

    location: str = Field(
        min_length=1,
        description="a file, folder or archive; globs are expanded",
    )
    format: TextFormat = Field(
        "auto",
        description="files (.txt, .md, .rst), jsonl, parquet or stackexchange; auto goes by name",
    )
    kind: TextKind = Field(
        "auto", description="english or chinese; auto looks at each text's letters"
    )
    component: str = Field(
        "", description="component of the mixture it counts for; empty means its kind"
    )
    text_field: str = Field("text", min_length=1, description="jsonl, parquet: where the text is")
    id_field: str = Field(
        "", description="jsonl, parquet: where a name is; empty numbers the records"
    )
    date_field: str = Field("", description="jsonl, parquet: where a date is; empty means none")
    max_record_bytes: int = Field(
        16 << 20, gt=0, description="a larger text is dropped, and counted"
    )
    min_question_score: int = Field(0, description="stackexchange: votes up less votes down")
    min_answer_score: int = Field(
        1, description="stackexchange: of an answer that is not the accepted one"
    )
    max_answers: int = Field(5, ge=0, description="stackexchange: answers kept of one question")
    answered_only: bool = Field(
        True, description="stackexchange: drop questions without an answer good enough"
    )
    filters: ProseSettings = Field(
        default=ProseSettings(), description="rules that a text has to pass"
    )
