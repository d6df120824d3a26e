"""transformers as the oracle: the saved folder is a Hugging Face tokenizer with the same ids."""

import inspect
import json
import subprocess
import sys

import pytest

from codekiln.tokenizer.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers")
TEXTS = [
    "def f(x):\n    return x + 1\n",
    " leading, trailing ",
    "größer 中文 12345 \x00 \x1c\x85\xa0",
    "a\r\n\tb\r\rc",
    "",
    "don't can't  ..  ,a , b!?\n\n\n",
    "#src/a.py\n",
    "🧑‍🚀 e\u0301 \ufeff",
]


def auto(folder):
    return transformers.AutoTokenizer.from_pretrained(str(folder))


@pytest.mark.parametrize("model_type", [None, "llama"])
def test_auto_tokenizer_gives_the_same_ids(trained, tmp_path, model_type):
    trained.save(tmp_path)
    if model_type:  # as in a model folder: the configuration may choose the class
        config = {"model_type": model_type, "architectures": ["LlamaForCausalLM"]}
        (tmp_path / "config.json").write_text(json.dumps(config))
    theirs = auto(tmp_path)
    sources = [inspect.getsource(m) for m in (json, json.decoder, pytest)]
    for text in TEXTS + sources:
        assert theirs(text)["input_ids"] == trained.encode(text), text
        assert theirs.decode(trained.encode(text)) == text
    assert len(theirs) == trained.vocab_size
    s = trained.special
    assert (theirs.bos_token_id, theirs.eos_token_id, theirs.pad_token_id) == (s.bos, s.eos, s.pad)


def test_control_tokens_are_found_by_spelling(trained, tmp_path):
    trained.save(tmp_path)
    theirs, s = auto(tmp_path), trained.special
    assert theirs.convert_tokens_to_ids("<｜fim▁begin｜>") == s.fim_begin
    assert theirs("<｜fim▁begin｜>a<｜fim▁hole｜>")["input_ids"] == [
        s.fim_begin,
        *trained.encode("a"),
        s.fim_hole,
    ]


def test_chat_template(trained, tmp_path):
    trained.save(tmp_path)
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Sort."},
        {"role": "assistant", "content": "sorted(x)"},
        {"role": "user", "content": "Why?"},
    ]
    text = auto(tmp_path).apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<｜begin▁of▁sentence｜>Be brief.\n"
        "### Instruction:\nSort.\n### Response:\nsorted(x)\n<|EOT|>\n"
        "### Instruction:\nWhy?\n### Response:\n"
    )


def test_released_format_gives_their_ids(released_folder):
    config = json.loads((released_folder / "tokenizer_config.json").read_text())
    config["tokenizer_class"] = (
        "PreTrainedTokenizerFast"  # the released class rewrites the splitting
    )
    (released_folder / "tokenizer_config.json").write_text(json.dumps(config))
    ours, theirs = Tokenizer.load(released_folder), auto(released_folder)
    for text in [*TEXTS, "õ÷ÁýÀÿøúþüùöû", "xõy"]:
        assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"], text
    assert theirs("a")["input_ids"] == [ours.special.bos, *ours.encode("a")]


def test_tokenizer_imports_neither_torch_nor_transformers():
    code = (
        "import sys, codekiln.tokenizer.train;print({'torch', 'transformers'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
