"""Folders laid out as the released models ship them, ids included: nothing is lost or mended.

The ids of the first models stand in paper-facts; those of the second (hole 100002, begin 100003,
end 100004) are what llama.cpp prints when it loads DeepSeek-Coder-V2-Lite. The vocabularies are
small ones, filled up with entries that no merge makes.
"""

import json
import shutil

import pytest
import tokenizers

from codekiln.errors import TokenizerError
from codekiln.tokenizer.special import BOS, EOS, EOT, FIM_BEGIN, FIM_END, FIM_HOLE, SPELLINGS
from codekiln.tokenizer.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers")
ACCENTS = "õ÷ÁýÀÿøúþüùöû"
TEXTS = [
    "def f(x):\n    return x + 1\n",
    "größer 中文 12345 \x00 \x1c\x85\xa0",
    "a\r\n\tb\r\rc don't  ..  ,a ",
    ACCENTS,
    "xõy ÷ z",
    "🧑‍🚀 e\u0301 \ufeff",
    "",
]
# as the second models split: other classes of characters, a step for blanks at the end
V2_EXPRESSIONS = (
    "[\r\n]",
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺ]+",
    "\\s?[!-/:-~！-／：-～‘-‟　-。]+",
    "\\s+$",
    "[一-龥ࠀ-一가-퟿]+",
)


def read(folder, name="tokenizer.json"):
    return json.loads((folder / name).read_text(encoding="utf-8"))


def write(folder, description, name="tokenizer.json"):
    text = json.dumps(description, ensure_ascii=False)
    (folder / name).write_text(text, encoding="utf-8")


def filled(vocabulary, size):
    return vocabulary | {f"unused{i}": i for i in range(len(vocabulary), size)}


def renumbered(description, ids):
    """The description with the added tokens at other ids."""
    for token in description["added_tokens"]:
        token["id"] = ids[token["content"]]
    bos = description["post_processor"]["special_tokens"][BOS]
    bos["ids"] = [ids[BOS]]


@pytest.fixture
def first(released_folder):
    """The first models: 32000 entries, 13 accented characters, nine control tokens."""
    description = read(released_folder)
    vocabulary = description["model"]["vocab"]
    description["model"]["vocab"] = filled(vocabulary, 32000)
    contents = [token["content"] for token in description["added_tokens"]]
    renumbered(description, {content: 32000 + i for i, content in enumerate(contents)})
    write(released_folder, description)
    return released_folder


@pytest.fixture
def second(released_folder):
    """The second models: 100000 entries, begin and end of a text, the three FIM tokens."""
    description = read(released_folder)
    description["model"]["vocab"] = filled(description["model"]["vocab"], 100000)
    spellings = (BOS, EOS, FIM_HOLE, FIM_BEGIN, FIM_END)
    added = {t["content"]: t for t in description["added_tokens"]}
    description["added_tokens"] = [added[s] for s in spellings]
    steps = description["pre_tokenizer"]["pretokenizers"]
    isolated = {"type": "Split", "behavior": "Isolated", "invert": False}
    description["pre_tokenizer"]["pretokenizers"] = [
        *({**isolated, "pattern": {"Regex": e}} for e in V2_EXPRESSIONS),
        *steps[-2:],
    ]
    renumbered(description, {s: 100000 + i for i, s in enumerate(spellings)})
    write(released_folder, description)
    return released_folder


@pytest.fixture(params=["first", "second"])
def folder(request):
    return request.getfixturevalue(request.param)


def test_ids_of_the_first_models(first):
    t = Tokenizer.load(first)
    s = t.special
    assert (s.bos, s.eos, s.pad) == (32013, 32014, 32014)
    assert s.fim() == (32016, 32015, 32017)
    assert (s.user, s.assistant, s.eot) == (32019, 32020, 32021)
    assert t.vocab_size == 32022
    assert [t.encode(c) for c in ACCENTS] == [[32000 + i] for i in range(13)]
    assert [t.token_bytes(32000 + i).decode() for i in range(13)] == list(ACCENTS)


def test_ids_of_the_second_models(second):
    t = Tokenizer.load(second)
    assert (t.special.bos, t.special.eos, t.special.pad) == (100000, 100001, 100001)
    assert t.special.fim() == (100003, 100002, 100004)
    assert t.special.eot is None
    assert t.vocab_size == 100005  # the models pad their embedding to 102400


def test_fim_tokens_are_found_though_not_flagged(folder):
    flags = {t["content"]: t["special"] for t in read(folder)["added_tokens"]}
    t = Tokenizer.load(folder)
    assert not any(flags[s] for s in (FIM_BEGIN, FIM_HOLE, FIM_END))
    assert {t.token_bytes(i) for i in t.special.fim()} == {b""}
    for spelling in SPELLINGS:
        assert not set(t.encode(f"a{spelling}b")) & {*t.special.fim(), t.special.bos}


def test_the_librarys_ids(folder):
    """Each file as it stands, by the library; control tokens are in none of the texts."""
    t = Tokenizer.load(folder)
    library = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in TEXTS:
        assert t.encode(text) == library.encode(text, add_special_tokens=False).ids, text
        assert t.decode(t.encode(text)) == text


@pytest.mark.parametrize("kind", ["LlamaTokenizerFast", "PreTrainedTokenizerFast"])
def test_saved_by_codekiln_it_gives_transformers_the_same_ids(folder, tmp_path, kind):
    config = read(folder, "tokenizer_config.json") | {"tokenizer_class": kind}
    write(folder, config, "tokenizer_config.json")
    Tokenizer.load(folder).save(tmp_path / "saved")
    saved = tmp_path / "saved"
    assert (saved / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
    before, after = (transformers.AutoTokenizer.from_pretrained(str(f)) for f in (folder, saved))
    spelt = [f"{FIM_BEGIN}a{FIM_HOLE}b{FIM_END}", f"{BOS}x{EOS}"]
    for text in [*TEXTS, *spelt]:
        assert before(text)["input_ids"] == after(text)["input_ids"], text
    assert len(before) == len(after)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        assert getattr(before, name) == getattr(after, name)
    assert before.pad_token_id == before.eos_token_id == Tokenizer.load(folder).special.eos


def test_what_counts_as_special_when_decoding(first):
    """transformers goes by the flags, and shows FIM tokens; here every control token is hidden."""
    config = read(first, "tokenizer_config.json") | {"tokenizer_class": "PreTrainedTokenizerFast"}
    write(first, config, "tokenizer_config.json")
    ours = Tokenizer.load(first)
    theirs = transformers.AutoTokenizer.from_pretrained(str(first))
    s = ours.special
    ids = [s.bos, s.fim_begin, *ours.encode("a"), s.fim_hole, *ours.encode("b"), s.fim_end, s.eot]
    assert theirs.decode(ids, skip_special_tokens=True) == f"{FIM_BEGIN}a{FIM_HOLE}b{FIM_END}"
    assert ours.decode(ids) == "ab"
    shown = f"{BOS}{FIM_BEGIN}a{FIM_HOLE}b{FIM_END}{EOT}"
    assert ours.decode(ids, skip_special=False) == theirs.decode(ids) == shown


def test_bytes_that_cannot_be_spelt_are_named(first):
    t = Tokenizer.load(first)
    assert t.encode_bytes("õ".encode()) == [32000]
    for byte in (0xC0, 0xC1, *range(0xF5, 0x100)):
        with pytest.raises(TokenizerError, match=f"0x{byte:02X}.*(.|\n)*train a tokenizer"):
            t.encode_bytes(b"a" + bytes([byte]))
    t.encode_bytes(bytes([0x80]))  # half a character, but a byte of UTF-8


def test_import_and_export_keep_the_files_byte_for_byte(first, tmp_path):
    """Through a model folder and back, as `codekiln weights` does it."""
    torch = pytest.importorskip("torch")
    from codekiln.models.dense import LlamaForCausalLM
    from codekiln.models.dense_config import LlamaConfig
    from codekiln.models.weights import export_hf, import_hf, save_model

    config = LlamaConfig(
        vocab_size=32256,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=32,
        bos_token_id=32013,
        eos_token_id=32014,
    )
    model = LlamaForCausalLM(config)
    model.init_weights(torch.Generator().manual_seed(0))
    (first / "tokenizer_config.json").write_text(
        json.dumps(read(first, "tokenizer_config.json"), indent=1) + "\n\n"
    )
    save_model(model, None, tmp_path / "model")
    for file in first.iterdir():
        shutil.copy(file, tmp_path / "model")
    import_hf(tmp_path / "model", tmp_path / "in")
    export_hf(tmp_path / "in", tmp_path / "out")
    for file in first.iterdir():
        for copy in ("in", "out"):
            assert (tmp_path / copy / file.name).read_bytes() == file.read_bytes()
    assert Tokenizer.load(tmp_path / "out").sha256 == Tokenizer.load(first).sha256
