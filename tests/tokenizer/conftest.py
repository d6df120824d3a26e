"""A small tokenizer, trained once, and one in the released models' format, oddities included."""

import json
from pathlib import Path

import pytest

from codekiln.tokenizer.alphabet import BYTE_TO_CHARACTER
from codekiln.tokenizer.settings import TokenizerSettings
from codekiln.tokenizer.split import DESCRIPTION
from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.tokenizer.train import train

CODE = [
    "import os\n\n\ndef read(path):\n    with open(path) as file:\n        return file.read()\n",
    "class Reader:\n    def __init__(self, path):\n        self.path = path  # größer, 中文 12\n",
    'int main(void) {\r\n\tprintf("%d\\n", 42);\r\n\treturn 0;\r\n}\r\n',
] * 3
# bytes that UTF-8 never uses: the released vocabulary lacks them and has these characters instead
NEVER_IN_UTF8 = [0xC0, 0xC1, *range(0xF5, 0x100)]
RELEASED_CONTROLS = [  # (spelling, flagged special in the released file)
    ("<｜begin▁of▁sentence｜>", True),
    ("<｜end▁of▁sentence｜>", True),
    ("<｜fim▁hole｜>", False),
    ("<｜fim▁begin｜>", False),
    ("<｜fim▁end｜>", False),
    ("<pad>", False),
    ("<|User|>", False),
    ("<|Assistant|>", False),
    ("<|EOT|>", True),
]


@pytest.fixture(scope="session")
def trained() -> Tokenizer:
    return train(CODE, TokenizerSettings(vocab_size=600))


@pytest.fixture
def released_folder(tmp_path: Path, trained: Tokenizer) -> Path:
    """A folder as the released models ship it, with a small vocabulary."""
    trained.save(tmp_path / "source")
    own = json.loads((tmp_path / "source" / "tokenizer.json").read_text())
    missing = {BYTE_TO_CHARACTER[byte] for byte in NEVER_IN_UTF8}
    controls = {token["content"] for token in own["added_tokens"]}
    entries = [e for e in own["model"]["vocab"] if e not in missing and e not in controls]
    added = [(character, False, True) for character in "õ÷ÁýÀÿøúþüùöû"]
    added += [(spelling, special, False) for spelling, special in RELEASED_CONTROLS]
    description = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": len(entries) + i,
                "content": content,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": normalized,
                "special": special,
            }
            for i, (content, special, normalized) in enumerate(added)
        ],
        "normalizer": {"type": "Sequence", "normalizers": []},
        "pre_tokenizer": DESCRIPTION,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "<｜begin▁of▁sentence｜>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
            ],
            "pair": [
                {"Sequence": {"id": "A", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {
                "<｜begin▁of▁sentence｜>": {
                    "id": "<｜begin▁of▁sentence｜>",
                    "ids": [len(entries) + 13],
                    "tokens": ["<｜begin▁of▁sentence｜>"],
                }
            },
        },
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": True,
            "use_regex": True,
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {entry: i for i, entry in enumerate(entries)},
            "merges": own["model"]["merges"],
        },
    }
    config = {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": {"__type": "AddedToken", "content": "<｜begin▁of▁sentence｜>"},
        "eos_token": {"__type": "AddedToken", "content": "<｜end▁of▁sentence｜>"},
        "pad_token": {"__type": "AddedToken", "content": "<｜end▁of▁sentence｜>"},
        "unk_token": None,
        "tokenizer_class": "LlamaTokenizerFast",
    }
    folder = tmp_path / "released"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(description), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
