import json
import pickle
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.errors import TokenizerError
from codekiln.tokenizer.special import SPELLINGS
from codekiln.tokenizer.tokenizer import Tokenizer

# what code is made of, and what breaks tokenizers: every class the pre-tokenizer tells apart
CODE_LIKE = st.text(
    st.sampled_from(
        list("ab Z_09(){}.,;'\"$+<=>^`|~#\t\n\r\x00\x0b\x0c\x1c\x7f\x85\xa0é中ー가ö𝕏½²①_、」ª")
    )
)
ODD = [
    "",
    "\x00",
    "\r\n\r\r\n",
    "a" * 5000,
    " " * 3000,
    "=" * 3000 + "\n",
    "\ufeff#",
    "e\u0301",
    "🧑‍🚀",
]


@pytest.fixture(scope="session")
def library(trained: Tokenizer) -> tokenizers.Tokenizer:
    """The library's own reading of the saved file: the oracle."""
    library = tokenizers.Tokenizer.from_str(trained._model)
    library.encode_special_tokens = True  # hypothesis does find their spellings
    return library


@given(data=st.binary(max_size=200))
@settings(max_examples=500, deadline=None)
def test_every_byte_string_comes_back(trained, data):
    assert trained.decode_bytes(trained.encode_bytes(data)) == data


def test_each_single_byte_and_all_pairs_come_back(trained):
    for data in [bytes([b]) for b in range(256)] + [bytes([a, 255 - a]) for a in range(256)]:
        assert trained.decode_bytes(trained.encode_bytes(data)) == data


@given(text=st.text() | CODE_LIKE)
@settings(max_examples=500, deadline=None)
def test_every_text_comes_back(trained, text):
    assert trained.decode(trained.encode(text)) == text
    assert trained.encode_bytes(text.encode()) == trained.encode(text)


@pytest.mark.parametrize("text", ODD)
def test_odd_texts_come_back(trained, text):
    assert trained.decode(trained.encode(text)) == text


@given(text=st.text(st.characters(categories=["L", "Cs", "Zs", "Cc"])))
@settings(max_examples=200, deadline=None)
def test_lone_surrogates_come_back_as_bytes(trained, text):
    data = trained.decode_bytes(trained.encode(text))
    assert data.decode("utf-8", "surrogatepass") == text
    trained.decode(trained.encode(text)).encode("utf-8")  # valid text whatever happens


@given(text=CODE_LIKE | st.text())
@settings(max_examples=1000, deadline=None)
def test_the_table_of_pieces_gives_the_librarys_ids(trained, library, text):
    assert trained._fast
    assert trained.encode(text) == library.encode(text, add_special_tokens=False).ids


def test_every_ascii_pair_and_triple_is_cut_as_the_library_cuts(trained, library):
    kinds = "aZ_.$= \t\x0b\x0c\x1c\x00\x7f\r\n7"
    texts = [chr(a) + chr(b) for a in range(128) for b in range(128)]
    texts += [a + b + c for a in kinds for b in kinds for c in kinds]
    wanted = library.encode_batch(texts, add_special_tokens=False)
    assert trained.encode_batch(texts) == [encoding.ids for encoding in wanted]


def test_a_batch_equals_its_texts(trained):
    texts = [*ODD, "def f(x):\n    return x\n", "def f(x):\n    return x\n", "ö\n = 1\n"]
    assert trained.encode_batch(texts) == [trained.encode(text) for text in texts]
    assert trained.encode_batch([]) == []


def test_groups_of_any_size_give_the_same(trained, monkeypatch):
    texts = [*ODD, "", "x = 1\n", "", "y"]
    wanted = trained.encode_batch(texts)
    for size in (1, 3, 10_000):
        monkeypatch.setattr("codekiln.tokenizer.tokenizer._GROUP_CHARACTERS", size)
        assert trained.encode_batch(texts) == wanted


def test_batch_with_a_surrogate_encodes_the_others_too(trained):
    assert trained.encode_batch(["a", "\ud800", "b"])[::2] == [
        trained.encode("a"),
        trained.encode("b"),
    ]


def test_a_full_table_starts_over_with_the_same_ids(trained, monkeypatch):
    before = trained.encode("def read(path): return 1")
    monkeypatch.setattr("codekiln.tokenizer.tokenizer._TABLE_BYTES", 0)
    assert trained.encode("def read(path): return 1") == before
    assert trained.encode("other words") and trained.encode("def read(path): return 1") == before


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_control_tokens_in_text_are_text(trained, spelling):
    control = set(range(trained.vocab_size - len(SPELLINGS), trained.vocab_size))
    for text in (spelling, f"x = '{spelling}'\n", spelling * 3):
        ids = trained.encode(text)
        assert not control & set(ids)
        assert trained.decode(ids) == text


def test_control_tokens_stand_behind_the_text_tokens_in_the_released_order(trained):
    s = trained.special
    order = [s.bos, s.eos, s.fim_hole, s.fim_begin, s.fim_end, s.pad, s.user, s.assistant, s.eot]
    assert order == list(range(trained.vocab_size - 9, trained.vocab_size))
    assert all(trained.token_bytes(i) == b"" for i in order)
    assert all(trained.token_bytes(i) for i in range(trained.vocab_size - 9))


def test_decode_can_show_control_tokens(trained):
    ids = [trained.special.bos, *trained.encode("é"), trained.special.eot]
    assert trained.decode(ids) == "é"
    assert trained.decode(ids, skip_special=False) == "<｜begin▁of▁sentence｜>é<|EOT|>"


@pytest.mark.parametrize("token", [-1, 10**6])
def test_ids_that_do_not_exist_are_refused(trained, token):
    with pytest.raises(IndexError):
        trained.decode([token])


def test_saved_and_loaded_it_is_the_same(trained, tmp_path: Path):
    trained.save(tmp_path)
    loaded = Tokenizer.load(tmp_path)
    text = "class A:\n    größe = '中文'  # 1\r\n"
    assert loaded.encode(text) == trained.encode(text)
    assert (loaded.special, loaded.vocab_size, loaded.sha256) == (
        trained.special,
        trained.vocab_size,
        trained.sha256,
    )
    loaded.save(tmp_path / "again")
    names = ["special_tokens_map.json", "tokenizer.json", "tokenizer_config.json"]
    assert sorted(p.name for p in (tmp_path / "again").iterdir()) == names
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()


def test_pickled_it_is_the_same(trained):
    assert pickle.loads(pickle.dumps(trained)).sha256 == trained.sha256


# the released models' format


def test_released_format_keeps_accents_and_hides_controls(released_folder):
    t = Tokenizer.load(released_folder)
    base = t.vocab_size - 22
    assert t.encode("õ") == [base]  # an added token that stands for text
    assert t.encode("û") == [base + 12]
    assert t.token_bytes(base) == "õ".encode()
    assert t.decode(t.encode("aõb ö\n")) == "aõb ö\n"
    assert t.special.bos == base + 13
    assert t.special.pad == t.special.eos == base + 14
    assert t.special.fim() == (base + 16, base + 15, base + 17)
    assert (t.special.user, t.special.assistant, t.special.eot) == (base + 19, base + 20, base + 21)
    for spelling in SPELLINGS:
        assert max(t.encode(f"a{spelling}õ")) < base + 13
        assert t.decode(t.encode(spelling)) == spelling


def test_released_format_gives_the_librarys_ids(released_folder):
    t = Tokenizer.load(released_folder)
    library = tokenizers.Tokenizer.from_file(str(released_folder / "tokenizer.json"))
    for text in ["def f():\n\treturn 'õ÷Á'\r\n", "größer 中文 12", "ÿ", "xøy\n"]:
        assert t.encode(text) == library.encode(text, add_special_tokens=False).ids


def test_released_format_has_no_token_for_bytes_outside_utf8(released_folder):
    with pytest.raises(TokenizerError, match="0xFF"):
        Tokenizer.load(released_folder).encode_bytes(b"a\xff")


def test_gaps_between_added_ids_stay(released_folder):
    path = released_folder / "tokenizer.json"
    description = json.loads(path.read_text())
    for token in description["added_tokens"]:
        token["id"] += 100 if token["content"] in ("ö", "<｜fim▁hole｜>") else 0
    path.write_text(json.dumps(description))
    t = Tokenizer.load(released_folder)
    ids = {token["content"]: token["id"] for token in description["added_tokens"]}
    assert t.special.fim_hole == ids["<｜fim▁hole｜>"]
    assert t.vocab_size == ids["<｜fim▁hole｜>"] + 1  # the highest id, gaps counted
    assert t.encode("ö") == [ids["ö"]]
    assert t.encode("aûb") == [*t.encode("a"), ids["û"], *t.encode("b")]
    assert t.decode(t.encode("öû x")) == "öû x"
    assert t.token_bytes(ids["ö"] - 1) == b""


def test_without_fim_tokens_only_infilling_fails(released_folder):
    path = released_folder / "tokenizer.json"
    description = json.loads(path.read_text())
    description["added_tokens"] = description["added_tokens"][:15]
    path.write_text(json.dumps(description))
    t = Tokenizer.load(released_folder)
    assert t.decode(t.encode("x = 1")) == "x = 1"
    assert t.special.fim_begin is None
    with pytest.raises(TokenizerError, match="no fill-in-the-middle tokens"):
        t.special.fim()


def llama_folder(folder: Path) -> Path:
    """An older Llama tokenizer: byte fallback, a space before every text."""
    entries = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{b:02X}>" for b in range(256)),
        "▁",
        "d",
        "e",
        "f",
        "de",
    ]
    entries += ["def", "▁def"]
    model = {
        "type": "BPE",
        "byte_fallback": True,
        "unk_token": "<unk>",
        "fuse_unk": True,
        "vocab": {e: i for i, e in enumerate(entries)},
        "merges": ["d e", "de f", "▁ def"],
    }
    description = {
        "version": "1.0",
        "added_tokens": [
            {
                "id": i,
                "content": c,
                "special": True,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
            }
            for i, c in enumerate(entries[:3])
        ],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "ByteFallback"},
        "model": model,
    }
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(description))
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<s>", "eos_token": "</s>"}')
    return folder


def test_older_llama_tokenizers_are_read(tmp_path):
    t = Tokenizer.load(llama_folder(tmp_path / "llama"))
    assert (t.special.bos, t.special.eos, t.special.pad) == (1, 2, 2)
    ids = t.encode("def é")
    assert [t.token_bytes(i) for i in ids] == [b" def", b" ", b"\xc3", b"\xa9"]
    assert t.decode(ids) == "def é"
    assert t.encode("</s>") != [2] and 2 not in t.encode("a</s>")
    with pytest.raises(TokenizerError):
        t.special.fim()


# damage


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", "{"),
        ("tokenizer.json", "[]"),
        ("tokenizer.json", '{"model": 3}'),
        ("tokenizer.json", '{"model": {"type": "BPE", "vocab": [1], "merges": []}}'),
        ("tokenizer.json", '{"model": {"type": "WordPiece", "vocab": {"a": 0}}}'),
        ("tokenizer.json", '{"model": {"type": "BPE", "vocab": {"a": "x"}, "merges": []}}'),
        ("tokenizer_config.json", "{"),
        ("tokenizer_config.json", "[]"),
    ],
)
def test_damaged_files_are_named(trained, tmp_path, name, content):
    trained.save(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(TokenizerError, match=r"tokenizer|pytest"):
        Tokenizer.load(tmp_path)


def test_a_truncated_file_is_an_error_at_every_length(trained, tmp_path):
    trained.save(tmp_path)
    whole = (tmp_path / "tokenizer.json").read_bytes()
    for length in range(0, len(whole) - 2, len(whole) // 20):
        (tmp_path / "tokenizer.json").write_bytes(whole[:length])
        with pytest.raises(TokenizerError):
            Tokenizer.load(tmp_path)


def test_merges_of_unknown_tokens_are_an_error(trained, tmp_path):
    trained.save(tmp_path)
    path = tmp_path / "tokenizer.json"
    description = json.loads(path.read_text())
    description["model"]["merges"].append(["nowhere", "found"])
    path.write_text(json.dumps(description))
    with pytest.raises(TokenizerError, match="damaged"):
        Tokenizer.load(tmp_path)


def test_missing_folder_and_missing_end_token(trained, tmp_path):
    with pytest.raises(TokenizerError, match=r"no tokenizer\.json"):
        Tokenizer.load(tmp_path / "nowhere")
    trained.save(tmp_path)
    path = tmp_path / "tokenizer.json"
    description = json.loads(path.read_text())
    description["added_tokens"] = []
    path.write_text(json.dumps(description))
    with pytest.raises(TokenizerError, match="ends a text"):
        Tokenizer.load(tmp_path)
