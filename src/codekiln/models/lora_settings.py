"""`[lora]`: train narrow additions to the matrices in place of the matrices. No torch here."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from codekiln.recipe import Settings

Target = Literal[
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
    "q_a_proj",
    "q_b_proj",
    "kv_a_proj_with_mqa",
    "kv_b_proj",
]


class LoraSettings(Settings):
    """Of each matrix W that is named, W + alpha / rank x up down is learnt, and W stays.

    Source: Hu et al. 2021 (LoRA). Not in the papers of DeepSeek-Coder.
    """

    rank: int = Field(default=0, ge=0, description="width of the additions; 0: none")
    alpha: float = Field(default=32.0, gt=0, allow_inf_nan=False, description="over rank: weight")
    targets: tuple[Target, ...] = Field(
        default=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        description="matrices of layers, by Hugging Face's names; routed experts have none",
    )
    embeddings: bool = Field(
        default=True, description="embeddings and head learn, too: added tokens have to"
    )
