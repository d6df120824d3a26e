"""Model folders: whole ones round-trip; damaged ones are refused by name and leave nothing."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from codekiln.errors import CheckpointError
from codekiln.models.dense import LlamaForCausalLM
from codekiln.models.dense_config import LlamaConfig
from codekiln.models.positions import LinearScaling
from codekiln.models.weights import export_hf, import_hf, load_model, save_model

TOKENIZER = {"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": [{"id": 2, "content": "<s>"}]}


def _model(**changes: object) -> LlamaForCausalLM:
    values = {"vocab_size": 31, "hidden_size": 16, "intermediate_size": 24}
    values |= {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    return LlamaForCausalLM(LlamaConfig(**values | changes))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    tokenizer = tmp_path / "tokenizer"
    tokenizer.mkdir()
    (tokenizer / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    (tokenizer / "tokenizer_config.json").write_text('{"eos_token": "<s>"}')
    (tokenizer / "notes.md").write_text("stays at home")
    save_model(_model(), tokenizer, tmp_path / "model")
    return tmp_path / "model"


def _same(first: LlamaForCausalLM, second: LlamaForCausalLM) -> None:
    ours, theirs = first.state_dict(), second.state_dict()
    assert list(ours) == list(theirs)
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name
    assert first.config == second.config


def _change_config(folder: Path, **changes: object) -> None:
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | changes))


def _change_tensors(folder: Path, changes: dict[str, torch.Tensor | None]) -> None:
    tensors = load_file(folder / "model.safetensors") | changes
    save_file({k: v for k, v in tensors.items() if v is not None}, folder / "model.safetensors")


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("shard", [10**9, 3000])
@pytest.mark.parametrize("scaling", [None, LinearScaling(factor=4.0)])
def test_a_saved_model_comes_back_bit_for_bit(
    tmp_path: Path, tied: bool, shard: int, scaling: LinearScaling | None
) -> None:
    model = _model(tie_word_embeddings=tied, rope_scaling=scaling, eos_token_id=(2, 3))
    save_model(model, None, tmp_path / "m", max_shard_bytes=shard)
    loaded = load_model(tmp_path / "m")
    _same(model, loaded)
    assert (loaded.lm_head.weight is loaded.model.embed_tokens.weight) == tied
    assert all(p.requires_grad for p in loaded.parameters())
    assert (tmp_path / "m/model.safetensors.index.json").exists() == (shard == 3000)
    for file in (tmp_path / "m").glob("model-*"):
        assert sum(t.nbytes for t in load_file(file).values()) <= 3000


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_weights_round_once(tmp_path: Path, dtype: torch.dtype) -> None:
    model = _model()
    save_model(model, None, tmp_path / "m", dtype=dtype)
    kept = load_model(tmp_path / "m", dtype=None)
    assert kept.lm_head.weight.dtype == dtype
    assert torch.equal(kept.lm_head.weight, model.lm_head.weight.to(dtype))
    wide = load_model(tmp_path / "m")
    assert wide.lm_head.weight.dtype == torch.float32
    assert torch.equal(wide.lm_head.weight, kept.lm_head.weight.float())


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
@pytest.mark.parametrize("shard", [10**9, 3000])
def test_weights_are_as_readable_as_the_user_wants(
    saved: Path, tmp_path: Path, shard: int, umask: int, mode: int
) -> None:
    before = os.umask(umask)
    try:
        import_hf(saved, tmp_path / "out", max_shard_bytes=shard)
    finally:
        os.umask(before)
    files = list((tmp_path / "out").glob("*.safetensors"))
    assert {file.stat().st_mode & 0o777 for file in files} == {mode}


def test_tokenizer_files_travel_and_others_do_not(saved: Path) -> None:
    names = {p.name for p in saved.iterdir()}
    assert names == {
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    }


def test_a_run_folder_means_its_model(saved: Path) -> None:
    _same(load_model(saved.parent), load_model(saved))


def test_saving_again_replaces_the_model_whole(saved: Path) -> None:
    save_model(_model(), None, saved, max_shard_bytes=3000)
    assert not (saved / "model.safetensors").exists()
    assert not (saved / "tokenizer.json").exists()
    load_model(saved)


def test_a_folder_with_other_things_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(CheckpointError, match=r"thesis\.tex"):
        save_model(_model(), None, tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_import_and_export_keep_everything(saved: Path, tmp_path: Path) -> None:
    first = import_hf(saved, tmp_path / "in", max_shard_bytes=3000)
    export_hf(tmp_path / "in", tmp_path / "out")
    _same(load_model(saved), load_model(tmp_path / "out"))
    assert first.parameters == sum(p.numel() for p in load_model(saved).parameters())
    assert first.weight_bytes == 4 * first.parameters
    assert first.tokenizer
    assert (tmp_path / "out/tokenizer.json").read_bytes() == (saved / "tokenizer.json").read_bytes()


def test_import_converts(saved: Path, tmp_path: Path) -> None:
    report = import_hf(saved, tmp_path / "in", dtype=torch.bfloat16)
    assert report.dtype == "bfloat16"
    assert json.loads((tmp_path / "in/config.json").read_text())["dtype"] == "bfloat16"


def test_derived_and_doubled_tensors_are_left_out(tmp_path: Path) -> None:
    save_model(_model(tie_word_embeddings=True), None, tmp_path / "m")
    extra: dict[str, torch.Tensor | None] = {
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4),
        "lm_head.weight": load_file(tmp_path / "m/model.safetensors")["model.embed_tokens.weight"],
    }
    _change_tensors(tmp_path / "m", extra)
    assert set(import_hf(tmp_path / "m", tmp_path / "in").ignored) == set(extra)
    assert not set(extra) & set(load_file(tmp_path / "in/model.safetensors"))


def _nothing(folder: Path) -> None:
    (folder / "config.json").unlink()


def _truncated(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _empty(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")


def _pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _index(folder: Path, text: str) -> None:
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    (folder / "model.safetensors.index.json").write_text(text)


def _weight_map(folder: Path, **changes: str) -> str:
    names = load_file(folder / "model.safetensors")
    return json.dumps({"weight_map": dict.fromkeys(names, "a.safetensors") | changes})


Q = "model.layers.0.self_attn.q_proj.weight"
DAMAGE = {
    "no config": (_nothing, "no config.json"),
    "config not JSON": (lambda f: (f / "config.json").write_text("{"), "not JSON"),
    "config a list": (lambda f: (f / "config.json").write_text("[]"), "JSON list"),
    "config lacks a key": (lambda f: _change_config(f, vocab_size=None), "lacks vocab_size"),
    "other architecture": (lambda f: _change_config(f, architectures=["OPTForCausalLM"]), "OPT"),
    "truncated": (_truncated, "truncated"),
    "empty": (_empty, "truncated"),
    "pickle only": (_pickle, r"pytorch_model\.bin"),
    "no weights": (_no_weights, "no weights"),
    "missing tensor": (lambda f: _change_tensors(f, {Q: None}), f"missing: {Q}"),
    "extra tensor": (lambda f: _change_tensors(f, {"vision.w": torch.ones(2)}), r"vision\.w"),
    "bias": (
        lambda f: _change_tensors(f, {Q.replace("weight", "bias"): torch.ones(16)}),
        r"q_proj\.bias[\s\S]*biases",
    ),
    "wrong shape": (lambda f: _change_tensors(f, {Q: torch.ones(16, 17)}), r"\[16, 17\]"),
    "more layers": (lambda f: _change_config(f, num_hidden_layers=3), r"layers\.2"),
    "fewer layers": (lambda f: _change_config(f, num_hidden_layers=1), r"layers\.1"),
    "integers": (
        lambda f: _change_tensors(f, {Q: torch.ones(16, 16, dtype=torch.int8)}),
        "type I8",
    ),
    "index not JSON": (lambda f: _index(f, "{"), "not JSON"),
    "index empty": (lambda f: _index(f, "{}"), "no weight_map"),
    "index to nowhere": (lambda f: _index(f, _weight_map(f, x="b.safetensors")), "b.safetensors"),
    "index outside": (lambda f: _index(f, _weight_map(f, x="../a.safetensors")), r"\.\./a"),
    "index lies": (lambda f: _index(f, _weight_map(f, ghost="a.safetensors")), "lacks ghost"),
    "untied head": (lambda f: _change_config(f, tie_word_embeddings=True), "differs"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_named_and_leaves_nothing(
    saved: Path, tmp_path: Path, damage: object, message: str
) -> None:
    damage(saved)  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=message):
        load_model(saved)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match=message):
        import_hf(saved, tmp_path / "in")
    assert sorted(tmp_path.iterdir()) == before


def test_values_that_are_no_numbers_are_refused(saved: Path, tmp_path: Path) -> None:
    _change_tensors(saved, {Q: torch.full((16, 16), torch.nan)})
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match=r"q_proj.*\n?.*256 of 256 values are NaN"):
        import_hf(saved, tmp_path / "in")
    assert sorted(tmp_path.iterdir()) == before


def test_values_too_large_for_the_new_dtype_are_refused(saved: Path, tmp_path: Path) -> None:
    _change_tensors(saved, {Q: torch.full((16, 16), 1e6)})
    with pytest.raises(CheckpointError, match=r"256 of 256.*float16"):
        import_hf(saved, tmp_path / "in", dtype=torch.float16)
    assert not (tmp_path / "in").exists()


def test_a_tokenizer_larger_than_the_model_is_refused(saved: Path, tmp_path: Path) -> None:
    big = TOKENIZER | {"added_tokens": [{"id": 31, "content": "x"}]}
    (saved / "tokenizer.json").write_text(json.dumps(big))
    with pytest.raises(CheckpointError, match="token id 31"):
        import_hf(saved, tmp_path / "in")


@pytest.mark.parametrize("text", ["{", "[]", '{"model": 3}'])
def test_a_damaged_tokenizer_is_refused(saved: Path, tmp_path: Path, text: str) -> None:
    (saved / "tokenizer.json").write_text(text)
    with pytest.raises(CheckpointError, match="not a tokenizer"):
        import_hf(saved, tmp_path / "in")


def test_source_and_target_must_differ(saved: Path) -> None:
    with pytest.raises(CheckpointError, match="one folder"):
        import_hf(saved, saved)
    load_model(saved)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        load_model(tmp_path / "nowhere")


def test_loaded_weights_are_not_the_file(saved: Path) -> None:
    """Training in place must not reach through to the file that was mapped."""
    before = (saved / "model.safetensors").read_bytes()
    model = load_model(saved)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    assert (saved / "model.safetensors").read_bytes() == before
    assert load_model(saved).lm_head.weight.any()
