"""DeepSeek-LLM's scaling law: which learning rate, batch, model and data suit a compute budget.

Its C counts M D, with M the FLOPs of a token without embeddings and with attention as here.

Source: DeepSeek-LLM (arXiv 2401.02954) §3.1 (hyper-parameters), §3.2 (model and data). Fitted on
their data and up to 3e20 FLOPs; DeepSeek-Coder's own runs do not follow it to the letter.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """What the law says of a compute budget in FLOPs; `batch_tokens` of a step."""

    learning_rate: float
    batch_tokens: float
    flops_per_token: float
    tokens: float


def suggest(compute: float) -> Suggestion:
    """The law's optimum for a compute budget."""
    return Suggestion(
        learning_rate=0.3118 * compute**-0.1250,
        batch_tokens=0.2920 * compute**0.3271,
        flops_per_token=0.1715 * compute**0.5243,
        tokens=5.8316 * compute**0.4757,
    )
