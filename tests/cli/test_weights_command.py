"""`codekiln import` and `codekiln export` as a user calls them."""

from pathlib import Path

import pytest

from codekiln.cli.main import main

pytest.importorskip("transformers")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    import transformers

    shape = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24}
    shape |= {"num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 512}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**shape))
    model.save_pretrained(tmp_path / "hf")
    return tmp_path / "hf"


def test_import_then_export(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    import torch
    import transformers

    main(["import", str(checkpoint), "--out", str(tmp_path / "model")])
    said = capsys.readouterr().out
    assert "parameters  5,712" in said
    assert "float32" in said
    assert "512 tokens" in said
    assert "loaded and run once" in said
    assert "no tokenizer.json" in said
    target = str(tmp_path / "out")
    main(["export", str(tmp_path / "model"), "--to", "hf", "--out", target, "--dtype", "bfloat16"])
    first = transformers.AutoModelForCausalLM.from_pretrained(checkpoint)
    second = transformers.AutoModelForCausalLM.from_pretrained(target)
    assert second.dtype == torch.bfloat16
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor.bfloat16(), second.state_dict()[name]), name


def test_a_truncated_checkpoint_is_one_message_and_exit_2(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    file = checkpoint / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(SystemExit) as stop:
        main(["import", str(checkpoint), "--out", str(tmp_path / "model")])
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert "truncated" in said.err
    assert "Traceback" not in said.err
    assert not said.out
    assert not (tmp_path / "model").exists()


def test_export_to_gguf_then_import(
    tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("gguf")
    file, back = str(tmp_path / "m.gguf"), tmp_path / "back"
    main(["export", str(tiny_model_folder), "--to", "gguf", "--out", file])
    main(["import", file, "--out", str(back)])
    said = capsys.readouterr().out
    assert "headers and values only" in said
    assert "loaded and run once" in said
    weights = (folder / "model.safetensors" for folder in (tiny_model_folder, back))
    first, second = (file.read_bytes() for file in weights)
    assert first == second
    main(["export", str(back), "--to", "gguf", "--out", file, "--dtype", "q8_0"])
    assert "q8_0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"), [(["--to", "onnx"], "hf"), (["--to", "hf", "--dtype", "q8_0"], "gguf")]
)
def test_another_format_is_refused(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["export", str(tmp_path), *options, "--out", str(tmp_path / "x")])
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_what_was_not_run_for_want_of_memory_is_said(
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from codekiln.models import weights

    (tmp_path / "meminfo").write_text("MemAvailable:  2 kB\n")
    monkeypatch.setattr(weights, "MEMINFO", tmp_path / "meminfo")
    main(["import", str(checkpoint), "--out", str(tmp_path / "model")])
    said = capsys.readouterr().out
    assert "headers and values only (0.0 MB of free memory do not hold the model)" in said
    assert (tmp_path / "model" / "model.safetensors").is_file()
