"""The chat template of DeepSeek-Coder's instruct models, as Jinja for tokenizer_config.json."""

from __future__ import annotations

# Alpaca-like turns; <|EOT|> ends each answer. The released template puts in a system text that
# names its makers when the caller gives none; ours adds nothing that was not said.
# Source: DeepSeek-Coder §3.7.
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
