"""The training loop against transformers' `Trainer`: model, data, batch, clipping, dtype alike.

After each of the Trainer's steps one of ours runs inside its callback, on a clock of its own, so
that both see the same machine. A step is all that lies between two of them: the loader, forward,
backward, clipping, update, schedule, bookkeeping. Ours writes a row of metrics for each step, as
`codekiln train` does; the Trainer logs every 500, its default.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.rows import Row
from benchmarks.training import BATCH, LENGTH, PRESET, VOCABULARY, our_step, shard_loader

STEPS, WARMUP = 30, 5


def run() -> list[Row]:
    try:
        import accelerate  # noqa: F401  (the Trainer needs it)
        import transformers  # noqa: F401
    except ImportError as error:
        raise SystemExit(f"{error}: pip install 'codekiln[bench]'") from error
    with tempfile.TemporaryDirectory() as name:
        return [_row(dtype, Path(name) / dtype) for dtype in ("float32", "bfloat16")]


def _row(dtype: str, folder: Path) -> Row:
    import torch

    loader = shard_loader(folder)
    _, ours = our_step(loader, dtype, folder, across_documents=True)
    clock = _Clock(ours)
    _trainer(loader, dtype, folder, clock).train()
    own, peer = (statistics.median(times[WARMUP:]) for times in (clock.own, clock.peer))
    return Row(
        what=f"training loop 3.4M, {dtype}",
        ours=BATCH * LENGTH / own,
        unit="tokens/s",
        peer=BATCH * LENGTH / peer,
        peer_name="transformers' Trainer",
        target=">= 1.1x",
        note=f"batch {BATCH} x {LENGTH}, {torch.get_num_threads()} threads, {STEPS} steps in turn",
    )


class _Clock:
    """Times the Trainer's steps, and ours between them."""

    def __init__(self, ours: Callable[[], None]) -> None:
        self.ours = ours
        self.own: list[float] = []
        self.peer: list[float] = []
        self.last: float | None = None

    def after_step(self) -> None:
        now = time.perf_counter()
        if self.last is not None:
            self.peer.append(now - self.last)
        started = time.perf_counter()
        self.ours()
        self.last = time.perf_counter()
        self.own.append(self.last - started)


def _trainer(loader: Any, dtype: str, folder: Path, clock: _Clock) -> Any:
    import transformers

    from codekiln.models.settings import ModelSettings
    from codekiln.training.settings import OptimizerSettings

    class After(transformers.TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.after_step()

    config = ModelSettings(preset=PRESET).config(vocab_size=VOCABULARY)
    keys = {k: v for k, v in config.to_hf().items() if k not in ("architectures", "model_type")}
    settings = OptimizerSettings()
    arguments = transformers.TrainingArguments(
        output_dir=str(folder / "trainer"),
        per_device_train_batch_size=BATCH,
        max_steps=STEPS,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        adam_beta1=settings.betas[0],
        adam_beta2=settings.betas[1],
        max_grad_norm=settings.gradient_clip,
        bf16=dtype == "bfloat16",
        use_cpu=True,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    trainer = transformers.Trainer(
        model=transformers.LlamaForCausalLM(transformers.LlamaConfig(**keys)),
        args=arguments,
        train_dataset=_sequences(loader),
        callbacks=[After()],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def _sequences(loader: Any) -> list[dict[str, Any]]:
    """What our loader gives, sequence by sequence; labels are shifted by the model."""
    from codekiln.tokens.cursor import Cursor

    cursor, found = Cursor(), []
    for _ in range(STEPS):
        batch, cursor = loader.batch(cursor)
        found += [{"input_ids": row, "labels": row} for row in batch.tokens]
    return found
