"""GGUF out and in: what goes out comes back bit for bit, under llama.cpp's names."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from codekiln.errors import CheckpointError, MissingToolError, TokenizerError
from codekiln.generation.engine import Engine
from codekiln.generation.sample import Sampling
from codekiln.models.causal import build_model
from codekiln.models.dense import LlamaForCausalLM
from codekiln.models.dense_config import LlamaConfig
from codekiln.models.folder import open_folder
from codekiln.models.gguf.read import import_gguf
from codekiln.models.gguf.write import export_gguf
from codekiln.models.moe_config import DeepseekV2Config
from codekiln.models.positions import LinearScaling, YarnScaling
from codekiln.models.weights import load_model, save_model
from codekiln.tokenizer.tokenizer import Tokenizer

gguf = pytest.importorskip("gguf")

STYLE = {"fim_order": "spm", "file_order": "scc"}


@pytest.fixture
def folder(tiny_tokenizer, tmp_path: Path):
    """Writes a random model; rows beyond the tokenizer, several ends, shards, a style."""

    def written(dtype: torch.dtype = torch.float32, **changes: object) -> Path:
        special = tiny_tokenizer.special
        values = {"vocab_size": 384, "hidden_size": 64, "intermediate_size": 96}
        values |= {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
        values |= {"max_position_embeddings": 256, "initializer_range": 0.3}
        values |= {"bos_token_id": special.bos, "eos_token_id": (special.eos, special.eot)}
        model = LlamaForCausalLM(LlamaConfig(**values | changes))
        model.init_weights(torch.Generator().manual_seed(5))
        with torch.no_grad():  # norms that are not all ones
            for name, parameter in model.named_parameters():
                if "norm" in name:
                    parameter.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(len(name)))
        tiny_tokenizer.save(tmp_path / "tokenizer")
        target = tmp_path / "model"
        arguments = {"dtype": dtype, "max_shard_bytes": 100_000, "style": STYLE}
        save_model(model, tmp_path / "tokenizer", target, **arguments)
        return target

    return written


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    return dict(open_folder(folder).read())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_word_embeddings": True, "num_key_value_heads": 4},
        {"rope_scaling": LinearScaling(factor=4.0), "rope_theta": 1e5, "rms_norm_eps": 1e-5},
        {"head_dim": 32, "pad_token_id": 5, "bos_token_id": None, "initializer_range": 0.02},
    ],
)
def test_out_and_in_again_is_the_same_model(
    folder, tmp_path: Path, dtype: torch.dtype, changes: dict[str, object]
) -> None:
    source = folder(dtype, **changes)
    out = export_gguf(source, tmp_path / "m.gguf")
    back = import_gguf(tmp_path / "m.gguf", tmp_path / "back")
    assert back.config == out.config == open_folder(source).config
    first, second = _tensors(source), _tensors(tmp_path / "back")
    assert list(first) == list(second)
    for name, tensor in first.items():
        assert second[name].dtype == dtype
        assert torch.equal(tensor, second[name]), name
    assert json.loads((tmp_path / "back/codekiln.json").read_text()) == STYLE


def test_tensors_have_the_names_of_llama_cpps_own_table(folder, tmp_path: Path) -> None:
    source = folder()
    export_gguf(source, tmp_path / "m.gguf")
    table = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    found = {t.name: t for t in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    ours = _tensors(source)
    named = {n: table.get_name(n, try_suffixes=(".weight",)) for n in ours}
    assert {*found} == {*named.values()}
    for name, tensor in ours.items():
        stored = torch.from_numpy(np.array(found[named[name]].data))
        if "q_proj" in name or "k_proj" in name:  # pairs (i, i + 8) of each head of 16 rows
            for head in range(len(tensor) // 16):
                for i in range(8):
                    row = tensor[16 * head + i], tensor[16 * head + i + 8]
                    assert torch.equal(stored[16 * head + 2 * i], row[0])
                    assert torch.equal(stored[16 * head + 2 * i + 1], row[1])
        else:
            assert torch.equal(stored, tensor), name


def test_the_metadata_is_what_llama_cpp_reads(folder, tiny_tokenizer, tmp_path: Path) -> None:
    source = folder(rope_scaling=LinearScaling(factor=4.0), rope_theta=1e5, rms_norm_eps=1e-5)
    export_gguf(source, tmp_path / "m.gguf", dtype="bfloat16")
    reader = gguf.GGUFReader(tmp_path / "m.gguf")
    found = {key: field.contents() for key, field in reader.fields.items()}
    wanted = {
        "general.architecture": "llama",
        "general.name": "model",
        "general.file_type": int(gguf.LlamaFileType.MOSTLY_BF16),
        "llama.context_length": 256,
        "llama.embedding_length": 64,
        "llama.block_count": 2,
        "llama.feed_forward_length": 96,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.attention.layer_norm_rms_epsilon": pytest.approx(1e-5, rel=1e-6),
        "llama.rope.freq_base": 1e5,
        "llama.rope.dimension_count": 16,
        "llama.rope.scaling.type": "linear",
        "llama.rope.scaling.factor": 4.0,
        "llama.vocab_size": 384,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "deepseek-coder",
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.bos_token_id": tiny_tokenizer.special.bos,
        "tokenizer.ggml.eos_token_id": tiny_tokenizer.special.eos,
        "tokenizer.ggml.padding_token_id": tiny_tokenizer.special.pad,
        "tokenizer.ggml.eot_token_id": tiny_tokenizer.special.eot,
        "tokenizer.ggml.fim_pre_token_id": tiny_tokenizer.special.fim_begin,
        "tokenizer.ggml.fim_suf_token_id": tiny_tokenizer.special.fim_hole,
        "tokenizer.ggml.fim_mid_token_id": tiny_tokenizer.special.fim_end,
    }
    assert {key: found.get(key) for key in wanted} == wanted
    tokens, types = (found[f"tokenizer.ggml.{key}"] for key in ("tokens", "token_type"))
    assert tokens[tiny_tokenizer.special.fim_hole] == "<｜fim▁hole｜>"
    assert tokens[350:] == [f"[PAD{i}]" for i in range(350, 384)]
    kinds = gguf.TokenType
    assert types == [kinds.NORMAL] * 341 + [kinds.CONTROL] * 9 + [kinds.UNUSED] * 34
    by_name = {t.name: t.tensor_type.name for t in reader.tensors}
    assert {kind for name, kind in by_name.items() if "norm" in name} == {"F32"}
    assert {kind for name, kind in by_name.items() if "norm" not in name} == {"BF16"}


def test_a_tied_model_has_no_output_tensor(folder, tmp_path: Path) -> None:
    export_gguf(folder(tie_word_embeddings=True), tmp_path / "m.gguf")
    names = [t.name for t in gguf.GGUFReader(tmp_path / "m.gguf").tensors]
    assert "token_embd.weight" in names
    assert "output.weight" not in names


def test_q8_0_is_as_near_as_its_format_can_be(folder, tmp_path: Path) -> None:
    """Blocks of 32 share a scale of 16 bits: the largest value / 127, half a step is lost."""
    source = folder()
    assert export_gguf(source, tmp_path / "m.gguf", dtype="q8_0").dtype == "q8_0"
    kinds = {t.name: t.tensor_type.name for t in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    assert {kind for name, kind in kinds.items() if "norm" not in name} == {"Q8_0"}
    assert import_gguf(tmp_path / "m.gguf", tmp_path / "back").dtype == "float32"
    first, second = _tensors(source), _tensors(tmp_path / "back")
    for name, tensor in first.items():
        if tensor.dim() == 1:
            assert torch.equal(tensor, second[name]), name
            continue
        largest = tensor.view(-1, 32).abs().amax(1, keepdim=True)
        lost = (tensor - second[name]).view(-1, 32).abs()
        assert (lost <= largest * (0.5 / 127 + 2**-11)).all(), name
        assert (lost > 0).any(), name


def test_quantised_weights_become_float32_unless_asked(folder, tmp_path: Path) -> None:
    export_gguf(folder(), tmp_path / "m.gguf", dtype="q8_0")
    import_gguf(tmp_path / "m.gguf", tmp_path / "wide")
    import_gguf(tmp_path / "m.gguf", tmp_path / "narrow", dtype=torch.bfloat16)
    wide, narrow = _tensors(tmp_path / "wide"), _tensors(tmp_path / "narrow")
    assert all(torch.equal(wide[name].bfloat16(), narrow[name]) for name in wide)


def test_norms_that_16_bits_cannot_hold_keep_a_model_in_float32(folder, tmp_path: Path) -> None:
    export_gguf(folder(), tmp_path / "m.gguf", dtype="float16")
    assert import_gguf(tmp_path / "m.gguf", tmp_path / "back").dtype == "float32"


def test_the_tokenizer_comes_back(folder, tiny_tokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    export_gguf(folder(), tmp_path / "m.gguf")
    import_gguf(tmp_path / "m.gguf", tmp_path / "back")
    back = Tokenizer.load(tmp_path / "back")
    assert back.special == tiny_tokenizer.special
    assert back.vocab_size == tiny_tokenizer.vocab_size
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "back")
    for text in ("def f(x):\n\treturn x + 12", "日本 é 😀 \r\n  ½", "<｜fim▁hole｜> a<pad>"):
        assert back.encode(text) == tiny_tokenizer.encode(text)
        assert back.decode(back.encode(text)) == text
        if "<" not in text:
            assert theirs.encode(text) == back.encode(text)
    assert theirs.eos_token_id == tiny_tokenizer.special.eos
    asked = [{"role": "user", "content": "hi"}]
    assert "### Instruction:" in theirs.apply_chat_template(asked, tokenize=False)


def test_the_imported_model_completes(folder, tmp_path: Path) -> None:
    source = folder()
    export_gguf(source, tmp_path / "m.gguf")
    import_gguf(tmp_path / "m.gguf", tmp_path / "back")
    first, second = Engine.load(source), Engine.load(tmp_path / "back")
    sampling = Sampling(max_new_tokens=20)
    ids = first.tokenizer.encode("def add(left")
    assert first.complete(ids, sampling) == second.complete(ids, sampling)
    assert second.fim_order == "spm"


def test_an_older_gguf_is_replaced_and_nothing_else(folder, tmp_path: Path) -> None:
    source, target = folder(), tmp_path / "m.gguf"
    export_gguf(source, target)
    before = target.read_bytes()
    export_gguf(source, target, dtype="float16")
    assert len(target.read_bytes()) < len(before)
    other = tmp_path / "thesis.tex"
    other.write_text("years of work")
    with pytest.raises(CheckpointError, match="another kind of file"):
        export_gguf(source, other)
    assert other.read_text() == "years of work"
    with pytest.raises(CheckpointError, match="no plain file"):
        export_gguf(source, source)
    load_model(source)


@pytest.mark.parametrize(
    ("dtype", "value", "said"),
    [("float16", 1e6, "as float16"), ("float32", float("nan"), "NaN"), ("q8_0", float("inf"), "")],
)
def test_values_that_cannot_be_stored_are_refused(
    folder, tmp_path: Path, dtype: str, value: float, said: str
) -> None:
    source = folder()
    model = load_model(source)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 4] = value
    save_model(model, tmp_path / "tokenizer", source)
    with pytest.raises(CheckpointError, match=r"layers\.1\.mlp\.up_proj.*\n*.*" + said):
        export_gguf(source, tmp_path / "m.gguf", dtype=dtype)
    assert not list(tmp_path.glob("*m.gguf*"))


def test_rows_that_q8_0_cannot_pack_are_refused(folder, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="rows of 100 numbers"):
        export_gguf(folder(intermediate_size=100), tmp_path / "m.gguf", dtype="q8_0")


def test_models_with_experts_are_refused(shape, tmp_path: Path) -> None:
    save_model(build_model(DeepseekV2Config(**shape)), None, tmp_path / "model")
    with pytest.raises(CheckpointError, match=r"DeepseekV2ForCausalLM.*\n.*dense models only"):
        export_gguf(tmp_path / "model", tmp_path / "m.gguf")
    assert not (tmp_path / "m.gguf").exists()


def test_positions_that_are_scaled_by_yarn_are_refused(folder, tmp_path: Path) -> None:
    yarn = YarnScaling(factor=4.0, original_max_position_embeddings=64)
    with pytest.raises(CheckpointError, match=r"rope_scaling: YaRN\n.*linear"):
        export_gguf(folder(rope_scaling=yarn), tmp_path / "m.gguf")
    assert not (tmp_path / "m.gguf").exists()


def test_a_model_without_a_tokenizer_is_refused(folder, tmp_path: Path) -> None:
    source = folder()
    (source / "tokenizer.json").unlink()
    with pytest.raises(TokenizerError, match="no tokenizer"):
        export_gguf(source, tmp_path / "m.gguf")
    assert not (tmp_path / "m.gguf").exists()


def test_without_the_package_the_extra_is_named(
    folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder()
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with pytest.raises(MissingToolError, match=r"codekiln\[gguf\]"):
        export_gguf(source, tmp_path / "m.gguf")


def test_memory_is_bounded_by_a_tensor(tiny_tokenizer, tmp_path: Path) -> None:
    """A model of 64 MB in a process that may use a quarter of that more than it does idle."""
    pytest.importorskip("resource")
    import subprocess
    import sys

    shape = {"vocab_size": 384, "hidden_size": 256, "intermediate_size": 1024}
    shape |= {"num_hidden_layers": 16, "num_attention_heads": 4}
    tiny_tokenizer.save(tmp_path / "tokenizer")
    model = LlamaForCausalLM(LlamaConfig(**shape))
    save_model(model, tmp_path / "tokenizer", tmp_path / "model", max_shard_bytes=2_000_000)
    assert model.config.parameters * 4 > 64_000_000
    program = (
        "import sys, resource, pathlib\n"
        "from codekiln.models.gguf.write import export_gguf\n"
        "from codekiln.models.gguf.read import import_gguf\n"
        "import gguf.quants\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "here = pathlib.Path(sys.argv[1]); idle = peak()\n"
        "export_gguf(here / 'model', here / 'm.gguf', dtype='float16'); print(peak() - idle)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) * 1024 < 20_000_000
