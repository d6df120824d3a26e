"""GGUF files that are cut short, damaged, or of models that this is not: one message each."""

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from codekiln.errors import CheckpointError, TokenizerError, UserError
from codekiln.models.dense import LlamaForCausalLM
from codekiln.models.dense_config import LlamaConfig
from codekiln.models.gguf.format import GGUFFile
from codekiln.models.gguf.read import import_gguf
from codekiln.models.gguf.write import export_gguf
from codekiln.models.weights import load_model, save_model

gguf = pytest.importorskip("gguf")


@pytest.fixture
def whole(tiny_tokenizer, tmp_path: Path) -> Path:
    shape = {"vocab_size": 350, "hidden_size": 32, "intermediate_size": 64}
    shape |= {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    tiny_tokenizer.save(tmp_path / "tokenizer")
    model = LlamaForCausalLM(LlamaConfig(**shape))
    save_model(model, tmp_path / "tokenizer", tmp_path / "model")
    export_gguf(tmp_path / "model", tmp_path / "whole.gguf")
    return tmp_path / "whole.gguf"


@pytest.fixture
def changed(whole: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes the file anew with other values (None: without that key) and other tensors."""

    def written(
        values: dict[str, Any] | None = None, tensors: dict[str, Any] | None = None
    ) -> Path:
        reader = gguf.GGUFReader(whole)
        fields = {key: f.contents() for key, f in reader.fields.items() if key[:5] != "GGUF."}
        fields |= values or {}
        writer = gguf.GGUFWriter(tmp_path / "changed.gguf", fields.pop("general.architecture"))
        adders = {str: writer.add_string, bool: writer.add_bool, int: writer.add_uint32}
        adders |= {float: writer.add_float32, list: writer.add_array}
        for key, value in fields.items():
            if value is not None:
                adders[type(value)](key, value)
        found = {t.name: np.array(t.data) for t in reader.tensors} | (tensors or {})
        for name, array in found.items():
            if array is not None:
                writer.add_tensor(name, array)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return tmp_path / "changed.gguf"

    return written


def _refused(
    file: Path, tmp_path: Path, said: str, kind: type[UserError] = CheckpointError
) -> None:
    with pytest.raises(kind, match=said) as caught:
        import_gguf(file, tmp_path / "out")
    assert str(file) in str(caught.value)
    assert "wanted: " in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


def test_the_unchanged_copy_is_accepted(changed, whole: Path, tmp_path: Path) -> None:
    """Or the tests below would show nothing."""
    import_gguf(changed(), tmp_path / "out")
    state = load_model(tmp_path / "out").state_dict()
    for name, tensor in load_model(tmp_path / "model").state_dict().items():
        assert torch.equal(state[name], tensor)


def test_a_file_cut_anywhere_is_truncated(whole: Path, tmp_path: Path) -> None:
    data = whole.read_bytes()
    draw = random.Random(2)
    cuts = [0, 3, 4, 7, 8, 23, 24, len(data) - 1, *(draw.randrange(len(data)) for _ in range(150))]
    file = tmp_path / "cut.gguf"
    for cut in cuts:
        file.write_bytes(data[:cut])
        _refused(file, tmp_path, "truncated|damaged" if cut >= 4 else "truncated|no GGUF")


def test_bytes_that_changed_are_never_a_crash(whole: Path, tmp_path: Path) -> None:
    data = whole.read_bytes()
    end = min(place.start for place in GGUFFile(whole).tensors.values())
    draw, file = random.Random(3), tmp_path / "flipped.gguf"
    refused = 0
    for _ in range(400):
        spoilt = bytearray(data)
        for _ in range(draw.randrange(1, 4)):
            spoilt[draw.randrange(end)] = draw.choice((0, 255, draw.randrange(256)))
        file.write_bytes(spoilt)
        try:
            import_gguf(file, tmp_path / "out", verify=False)
        except UserError:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize(
    ("at", "layout", "value", "said"),
    [
        (0, "<I", 0x12345678, "no GGUF file"),
        (4, "<I", 1, "version 1"),
        (4, ">I", 3, "big-endian"),
        (4, "<I", 9, "version 9"),
        (8, "<Q", 2**60, "more entries"),
        (16, "<Q", 2**60, "more entries"),
        (24, "<Q", 2**62, "truncated"),
    ],
)
def test_a_damaged_beginning(
    whole: Path, tmp_path: Path, at: int, layout: str, value: int, said: str
) -> None:
    data = bytearray(whole.read_bytes())
    struct.pack_into(layout, data, at, value)
    whole.write_bytes(data)
    _refused(whole, tmp_path, said)


def test_a_list_of_endless_length_is_no_endless_loop(whole: Path, tmp_path: Path) -> None:
    data = bytearray(whole.read_bytes())
    key = b"tokenizer.ggml.token_type"
    struct.pack_into("<Q", data, data.index(key) + len(key) + 8, 2**61)
    whole.write_bytes(data)
    _refused(whole, tmp_path, "more entries")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"general.architecture": "qwen2"}, "another architecture \\(qwen2\\)"),
        ({"general.architecture": "deepseek2"}, "dense models only"),
        ({"llama.expert_count": 8}, "expert_count: 8"),
        ({"llama.block_count": None}, "block_count: missing"),
        ({"llama.context_length": None}, "context_length: missing"),
        ({"llama.attention.layer_norm_rms_epsilon": None}, "rms_epsilon: missing"),
        ({"llama.attention.head_count": "two"}, "head_count: 'two'"),
        ({"llama.feed_forward_length": [64, 32]}, "the same for all layers"),
        ({"llama.attention.head_count": 3}, "multiple|width of a head"),
        ({"llama.rope.dimension_count": 8}, "rope.dimension_count: 8"),
        ({"llama.rope.scaling.type": "yarn"}, "'yarn'"),
        ({"llama.rope.freq_base": 0.0}, "rope_theta"),
        ({"llama.block_count": 2**31}, "at most 12, by its tensors"),
        ({"llama.feed_forward_length": 2**32 - 1}, "at most 350, by its tensors"),
        ({"llama.context_length": 2**32 - 1}, "at most 2,147,483,647"),
        ({"llama.block_count": 2}, "9 tensors missing: blk.1.attn_k.weight"),
        ({"llama.feed_forward_length": 65}, r"shape \[32, 64\]|shape \[64, 32\]"),
        ({"tokenizer.ggml.eos_token_id": 999}, "eos_token_id"),
        ({"codekiln.config": "{"}, "codekiln.config: damaged"),
        ({"split.count": 3}, "one of 3 parts"),
    ],
)
def test_metadata_of_another_model(
    changed, tmp_path: Path, values: dict[str, Any], said: str
) -> None:
    _refused(changed(values), tmp_path, said, UserError)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"tokenizer.ggml.model": "llama"}, "vocabulary of kind 'llama'"),
        ({"tokenizer.ggml.model": None}, "vocabulary of kind None"),
        ({"tokenizer.ggml.pre": "tekken"}, "'tekken'"),
        ({"tokenizer.ggml.pre": None}, "None"),
        ({"tokenizer.ggml.tokens": ["a", "b"]}, "one type for each token"),
        ({"tokenizer.ggml.merges": ["q q"]}, "'q q'"),
        ({"tokenizer.ggml.merges": ["nospace"]}, "'nospace'"),
        ({"tokenizer.ggml.merges": [1, 2]}, "not a list of strings"),
    ],
)
def test_tokenizers_that_cannot_be_read(
    changed, tmp_path: Path, values: dict[str, Any], said: str
) -> None:
    _refused(changed(values), tmp_path, said, TokenizerError)


def test_a_spelling_that_two_ids_share(changed, whole: Path, tmp_path: Path) -> None:
    tokens = gguf.GGUFReader(whole).fields["tokenizer.ggml.tokens"].contents()
    _refused(
        changed({"tokenizer.ggml.tokens": [*tokens[:-1], tokens[0]]}),
        tmp_path,
        "two ids with one spelling",
        TokenizerError,
    )


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"blk.0.attn_q.bias": np.zeros(32, np.float32)}, "biases"),
        ({"blk.0.attn_k.weight": None}, "1 tensors missing: blk.0.attn_k.weight"),
        ({"blk.0.ffn_up.weight": np.zeros((64, 16), np.float32)}, r"shape \[64, 16\]"),
        ({"output_norm.weight": np.zeros((1, 32), np.float32)}, r"shape \[1, 32\]"),
        ({"token_embd.weight": np.zeros((200, 32), np.float32)}, "350|no id of"),
        ({"rope_freqs.weight": np.ones(8, np.float32)}, "Llama 3.1"),
        ({"blk.0.attn_norm.weight": np.full(32, np.nan, np.float32)}, "32 of 32 values are NaN"),
        ({"blk.0.attn_norm.weight": np.ones(32, np.int32)}, "numbers of type I32"),
    ],
)
def test_tensors_of_another_model(
    changed, tmp_path: Path, tensors: dict[str, Any], said: str
) -> None:
    _refused(changed(tensors=tensors), tmp_path, said)


def test_a_number_format_that_nobody_knows(whole: Path, tmp_path: Path) -> None:
    data = bytearray(whole.read_bytes())
    name = b"token_embd.weight"
    struct.pack_into("<I", data, data.index(name) + len(name) + 4 + 2 * 8, 999)
    whole.write_bytes(data)
    _refused(whole, tmp_path, "type 999, which is unknown")


def test_values_that_a_narrow_dtype_cannot_hold(changed, tmp_path: Path) -> None:
    large = np.full(32, 1e6, np.float32)
    file = changed(tensors={"output_norm.weight": large})
    with pytest.raises(CheckpointError, match="as float16"):
        import_gguf(file, tmp_path / "out", dtype=torch.float16)
    import_gguf(file, tmp_path / "out")


def test_a_file_without_own_keys_takes_the_tokenizers_ids(
    changed, tiny_tokenizer, tmp_path: Path
) -> None:
    """As files of other programs are; linear scaling without a type, as llama.cpp reads it."""
    values = {"codekiln.config": None, "llama.rope.scaling.factor": 4.0}
    values |= {"llama.attention.key_length": None, "llama.attention.value_length": None}
    config = import_gguf(changed(values), tmp_path / "out").config
    special = tiny_tokenizer.special
    ids = (config.bos_token_id, config.eos_token_id, config.pad_token_id)
    assert ids == (special.bos, special.eos, special.pad)
    assert config.rope_scaling is not None
    assert config.rope_scaling.factor == 4.0
    assert config.head_dim == 16


def test_a_folder_with_other_things_is_never_replaced(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("years of work")
    with pytest.raises(CheckpointError, match=r"thesis\.tex"):
        import_gguf(whole, tmp_path / "out")


KINDS = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "BF16", "F16"]


@pytest.mark.parametrize("kind", KINDS)
def test_packed_tensors_read_as_the_package_reads_them(tmp_path: Path, kind: str) -> None:
    values = torch.randn(6, 64, generator=torch.Generator().manual_seed(1)).numpy()
    number = gguf.GGMLQuantizationType[kind]
    packed = gguf.quants.quantize(values, number)
    writer = gguf.GGUFWriter(tmp_path / "t.gguf", "llama")
    writer.add_tensor("first", values)
    writer.add_tensor("packed", packed, raw_dtype=number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = GGUFFile(tmp_path / "t.gguf")
    assert file.tensors["packed"].shape == (6, 64)
    assert torch.equal(file.read("first"), torch.from_numpy(values))
    wanted = torch.from_numpy(gguf.quants.dequantize(packed, number))
    assert torch.equal(file.read("packed").float(), wanted)
    assert (wanted - torch.from_numpy(values)).abs().max() < 0.5
