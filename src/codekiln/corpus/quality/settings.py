"""Settings of the quality screening: the recipe's `[corpus.quality]` table."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from codekiln.recipe import Settings


class QualitySettings(Settings):
    """`[corpus.quality]`: which files are dropped for how they are made.

    The paper gives no thresholds; the defaults drop what hardly anybody would want to train on
    and leave the rest to the taste of the user. A share threshold of 1 drops nothing.

    Source: DeepSeek-Coder §2.4.
    """

    enabled: bool = Field(default=True, description="measure the signals, and drop files by them")
    syntax: Literal["off", "tree-sitter", "compiler"] = Field(
        default="tree-sitter",
        description="what checks the syntax; a compiler is asked in the sandbox where installed,"
        " and tree-sitter for the rest",
    )
    max_syntax_errors: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="share of a file in syntax errors; without it, each grammar's measured limit",
    )
    drop_python_2: bool = Field(default=True, description="drop files that only Python 2 reads")
    drop_unparsed: bool = Field(
        default=False, description="drop files at which the parser crashes or takes too many steps"
    )
    drop_generated: bool = Field(default=True, description="drop what a program wrote and says so")
    drop_vendored: bool = Field(
        default=False, description="drop what lies in folders such as vendor/"
    )
    drop_fixtures: bool = Field(
        default=False, description="drop what lies in folders for test data"
    )
    drop_minified: bool = Field(default=True, description="drop minified code")
    minified_long_lines: float = Field(
        default=0.5, ge=0, le=1, description="minified: share of bytes in lines of over 200 bytes"
    )
    minified_white: float = Field(
        default=0.08, ge=0, le=1, description="minified: share of white space, at most"
    )
    max_encoded: float = Field(
        default=0.2, ge=0, le=1, description="share in runs of base64 or hexadecimal digits"
    )
    max_number_lines: float = Field(
        default=0.6, ge=0, le=1, description="share of lines of numbers"
    )
    max_string_lines: float = Field(
        default=0.9, ge=0, le=1, description="share of lines that start with a quote"
    )
    data_lines: int = Field(
        default=50, ge=0, description="a file of fewer lines is no table of numbers or strings"
    )
    max_control: float = Field(
        default=0.01, ge=0, le=1, description="share of control characters, such as null bytes"
    )
    max_repeated_lines: float = Field(
        default=0.9, ge=0, le=1, description="share of lines that stood before"
    )
    max_one_letter: float = Field(
        default=0.7, ge=0, le=1, description="share of the words that are one letter"
    )
    min_comments: float = Field(default=0.0, ge=0, le=1, description="share of a file in comments")
    max_comments: float = Field(default=1.0, ge=0, le=1, description="share of a file in comments")
    min_quality: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="score of the quality model, 0 to 1; 0 keeps every file",
    )
    model: Path | None = Field(
        default=None,
        description="folder of a model of your own (codekiln corpus quality train); without it,"
        " the one that codekiln brings",
    )

    def measuring(self) -> dict[str, object]:
        """What the stored signals depend on; the other settings only judge them."""
        return {name: getattr(self, name) for name in ("enabled", "syntax", "model")}
