"""`[instruct]` of a recipe: the conversations of an instruct run."""

from __future__ import annotations

from pydantic import Field

from codekiln.recipe import Settings


class InstructSettings(Settings):
    """Which conversations, and what is put before them.

    How much of them beside the corpus, whose code keeps the model able to infill:
    `tokens.shares = { conversation = 0.7 }`. Source: DeepSeek-Coder §3.7; V2 §4 (FIM is kept).
    """

    conversations: list[str] = Field(
        default_factory=list,
        description="JSONL files, or patterns: rows with messages [{role, content}], or Alpaca's "
        "instruction, input and output",
    )
    system: str = Field("", description="system text of conversations that bring none")
    held_out_rate: float = Field(
        0.02, ge=0, lt=1, description="share of the rows kept out of training, by hash"
    )
