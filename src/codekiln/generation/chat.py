"""The prompt of a conversation: the same ids that training has seen before an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codekiln.tokenizer.chat import turns
from codekiln.tokenizer.tokenizer import Tokenizer


def chat_prompt(messages: Sequence[Mapping[str, str]], tokenizer: Tokenizer) -> list[int]:
    """Ids up to where the model's next answer begins.

    Args:
        messages: each with a `role` (system, user or assistant) and its `content`; the last one
            is the user's.

    Raises:
        TokenizerError: a tokenizer without a token that ends an answer.
    """
    ends = tokenizer.special.end_of_turn()
    ids = [tokenizer.special.bos]
    for prompt, answer in turns(messages):
        ids += tokenizer.encode(prompt)
        if answer is not None:
            ids += [*tokenizer.encode(answer), ends]
    return ids
