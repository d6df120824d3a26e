"""Conversations as DeepSeek-Coder's instruct models read them: one layout, for training and chat.

Alpaca-like turns; `<|EOT|>` ends each answer. The released template puts in a system text that
names its makers when the caller gives none; ours adds nothing that was not said.

Source: DeepSeek-Coder §3.7.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

# the same as Jinja, for tokenizer_config.json
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\\n' }}"
    "{% elif message['role'] == 'user' %}"
    "{{ '### Instruction:\\n' + message['content'] + '\\n' }}"
    "{% else %}{{ '### Response:\\n' + message['content'] + '\\n<|EOT|>\\n' }}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Response:\\n' }}{% endif %}"
)
SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
_RESPONSE = "### Response:\n"


def turns(messages: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, str | None]]:
    """What is given and what is answered, turn by turn; control tokens are left out.

    Behind each answer stands `<|EOT|>`, before the first prompt `<bos>`. The last answer is None
    where the model is to speak next.

    Args:
        messages: each with a `role` (system, user or assistant) and its `content`.
    """
    prompt, answered = "", False
    for message in messages:
        role, content = message["role"], message["content"]
        if role == ASSISTANT:
            yield prompt + _RESPONSE, content + "\n"
            prompt, answered = "\n", True
        else:
            answered = False
            prompt += f"{content}\n" if role == SYSTEM else f"### Instruction:\n{content}\n"
    if not answered:
        yield prompt + _RESPONSE, None
