"""`codekiln import` and `codekiln export`: Hugging Face folders and GGUF files in and out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from codekiln.models.weights import Transfer

DTYPES = ("keep", "float32", "bfloat16", "float16")

_out = click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder to write: new, empty, or a model folder to replace.",
)
_dtype = click.option(
    "--dtype",
    type=click.Choice(DTYPES),
    default="keep",
    show_default=True,
    help="What the weights are stored as.",
)
_shard = click.option(
    "--max-shard-gb",
    type=click.FloatRange(min=0, min_open=True),
    default=2.0,
    show_default=True,
    help="Largest weights file, in 10^9 bytes.",
)
_verify = click.option(
    "--verify/--no-verify",
    default=True,
    show_default=True,
    help="Load the result and run it once, where memory holds the whole model.",
)


@click.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@_out
@_dtype
@_shard
@_verify
def import_(source: Path, out: Path, dtype: str, max_shard_gb: float, verify: bool) -> None:
    """Turn a Hugging Face model folder, or a GGUF file, into a codekiln model.

    Folders of LlamaForCausalLM (DeepSeek-Coder) and DeepseekV2ForCausalLM (DeepSeek-Coder-V2)
    are read, and GGUF files of dense Llama models.

    All tensors are checked against the configuration; the tokenizer comes along. Quantised
    weights become float32 unless --dtype says otherwise.

    \b
    Example:
      codekiln import ~/models/deepseek-coder-1.3b-base --out models/coder
      codekiln import ~/models/SmolLM2-135M-Instruct.Q4_1.gguf --out models/smol
    """
    options = _options(dtype, max_shard_gb, verify)
    if source.is_file():
        from codekiln.models.gguf.read import import_gguf as read
    else:
        from codekiln.models.weights import import_hf as read
    _report("imported", read(source, out, **options), out, verified=verify)


@click.command("export")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--to", "kind", type=click.Choice(["hf", "gguf"]), required=True, help="The format.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder to write, or the file for gguf: new, or one of its kind to replace.",
)
@click.option(
    "--dtype",
    type=click.Choice((*DTYPES, "q8_0")),
    default="keep",
    show_default=True,
    help="What the weights are stored as; q8_0 (8 bits a weight) for gguf alone.",
)
@_shard
@_verify
def export(
    model: Path, kind: str, out: Path, dtype: str, max_shard_gb: float, verify: bool
) -> None:
    """Write a model for transformers or for llama.cpp.

    MODEL is a model's folder, a run's, or a checkpoint of a run; training may go on meanwhile. Of
    a run that has not ended the newest whole checkpoint is taken.

    A GGUF file holds the tokenizer too and is always one file; --verify checks its header.

    \b
    Example:
      codekiln export runs/default --to hf --out exported --dtype bfloat16
      codekiln export runs/default --to gguf --out coder.gguf --dtype q8_0
      codekiln export runs/default/checkpoints/step-00000100 --to hf --out early
    """
    if kind == "gguf":
        _report("exported", _export_gguf(model, out, dtype), out, verified=False)
        return
    if dtype == "q8_0":
        raise click.BadParameter("q8_0 is a format of gguf", param_hint="--dtype")
    from codekiln.training.export import export_checkpoint, is_checkpoint

    if is_checkpoint(model):
        write = export_checkpoint
    else:
        from codekiln.models.weights import export_hf as write
    options = _options(dtype, max_shard_gb, verify)
    _report("exported", write(model, out, **options), out, verified=verify)


def _export_gguf(model: Path, out: Path, dtype: str) -> Transfer:
    from codekiln.models.gguf.write import export_gguf
    from codekiln.training.export import as_model_folder, is_checkpoint

    if not is_checkpoint(model):
        return export_gguf(model, out, dtype=dtype)
    with as_model_folder(model, out) as folder:
        return export_gguf(folder, out, dtype=dtype)


def _options(dtype: str, max_shard_gb: float, verify: bool) -> dict[str, Any]:
    import torch

    chosen = None if dtype == "keep" else getattr(torch, dtype)
    return {"dtype": chosen, "max_shard_bytes": int(max_shard_gb * 1e9), "verify": verify}


def _report(what: str, transfer: Transfer, out: Path, *, verified: bool) -> None:
    config = transfer.config
    click.echo(f"{what} to {out}")
    click.echo(f"  parameters  {transfer.parameters:,}")
    click.echo(f"  dtype       {transfer.dtype} ({transfer.weight_bytes / 1e6:,.1f} MB)")
    click.echo(f"  context     {config.max_position_embeddings:,} tokens")
    click.echo(f"  vocabulary  {config.vocab_size:,}")
    click.echo(f"  files       {', '.join(transfer.files)}")
    if transfer.ignored:
        click.echo(f"  left out    {len(transfer.ignored)} tensors that follow from others")
    if not transfer.tokenizer:
        click.echo("  warning     no tokenizer.json: the model cannot read text without one")
    if verified and not transfer.unverified:
        click.echo("  verified    loaded and run once")
    else:
        why = f" ({transfer.unverified})" if transfer.unverified else ""
        click.echo(f"  verified    headers and values only{why}")
