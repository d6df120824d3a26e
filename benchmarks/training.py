"""The training loop against the plainest loop around transformers' LlamaForCausalLM.

Same shards, batches, first weights, AdamW groups, clipping, threads and dtype; steps in turn in
one process. Ours is all that a step of `codekiln train` does: loader, micro-batch, clip, update,
schedule, a row of metrics.jsonl. Then what the loader and a checkpoint cost of it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.rows import Row, paired

PRESET, VOCABULARY, LENGTH, BATCH = "tiny-3m", 4096, 512, 4
DOCUMENTS, DOCUMENT_TOKENS = 400, 700
PEER = "transformers"
CHECKPOINT_STEPS = 20


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        loader = shard_loader(Path(name))
        rows = [_against_peer(loader, dtype, Path(name)) for dtype in ("float32", "bfloat16")]
        return rows + _shares(loader, Path(name))


def _against_peer(loader: Any, dtype: str, folder: Path) -> Row:
    import torch

    what = f"training loop 3.4M, {dtype}"
    note = f"batch {BATCH} x {LENGTH}, {torch.get_num_threads()} threads, one packed attention"
    _, ours = our_step(loader, dtype, folder, across_documents=True)
    try:
        import transformers  # noqa: F401
    except ImportError:
        ours()
        started = time.perf_counter()
        ours()
        rate = BATCH * LENGTH / (time.perf_counter() - started)
        note = "peer not installed: pip install 'codekiln[bench]'"
        return Row(what=what, ours=rate, unit="tokens/s", note=note)
    seconds = paired(ours, _peer_step(loader, dtype), rounds=9, warmup=2)
    return Row(
        what=what,
        ours=BATCH * LENGTH / seconds[0],
        unit="tokens/s",
        peer=BATCH * LENGTH / seconds[1],
        peer_name=PEER,
        target=">= 1.0x",
        note=note,
    )


def _shares(loader: Any, folder: Path) -> list[Row]:
    """The loader's and a checkpoint's time, in shares of a step of a real run's kind."""
    from codekiln.tokens.cursor import Cursor

    stepper, step = our_step(loader, "bfloat16", folder, across_documents=False)
    load = paired(step, lambda: loader.batch(Cursor(index=BATCH)), rounds=9, warmup=2)
    return [
        Row(
            what="training loop 3.4M, bfloat16, attention inside documents",
            ours=BATCH * LENGTH / load[0],
            unit="tokens/s",
            note=f"documents of {DOCUMENT_TOKENS} tokens",
        ),
        Row(
            what="loader's share of a step",
            ours=100 * load[1] / load[0],
            unit="%",
            target="<= 2 %",
            note=f"{1e3 * load[1]:.2f} ms of {1e3 * load[0]:.0f} ms; less is better",
        ),
        *_checkpoints(stepper, step, folder / "checkpoints"),
    ]


def _checkpoints(stepper: Any, step: Callable[[], None], root: Path) -> list[Row]:
    """Saving in a thread while training goes on, against waiting until all is written."""
    from codekiln.parallel.world import ALONE
    from codekiln.training.checkpoint import TrainingState
    from codekiln.training.saving import Saver

    numbers = iter(range(1, 1000))
    saver = Saver(root, ALONE, keep=1)
    parameters = dict(stepper.model.named_parameters())
    stalls: dict[bool, list[float]] = {True: [], False: []}
    written: list[float] = []

    def steps(save: bool = False, wait: bool = False) -> None:
        if save:
            started = time.perf_counter()
            state = TrainingState(step=next(numbers), cursor={"epoch": 0, "index": 0}, tokens=0)
            seconds = saver.save(state, parameters, stepper.optimizer)
            seconds = saver.wait() if wait else seconds
            stalls[wait].append(time.perf_counter() - started)
            written.append(seconds)
        for _ in range(CHECKPOINT_STEPS):
            step()

    shares = []
    for wait in (False, True):
        alone, saving = paired(steps, partial(steps, save=True, wait=wait), rounds=7, warmup=1)
        shares.append(100 * (saving / alone - 1))
        saver.wait()
    saver.close()
    size = sum(p.stat().st_size for p in root.rglob("*") if p.is_file())
    ours, blocking = (1e3 * statistics.median(stalls[wait][1:]) for wait in (False, True))
    rate = size / statistics.median(w for w in written if w) / 1e6
    peer = "waiting until it is written"
    return [
        Row(
            what=f"a checkpoint every {CHECKPOINT_STEPS} steps: share of their time",
            ours=shares[0],
            unit="%",
            peer=shares[1],
            peer_name=peer,
            target="<= 5 %",
            note=f"{size / 1e6:.0f} MB, synced and hashed in a thread; less is better",
        ),
        Row(
            what="a checkpoint's stall",
            ours=ours,
            unit="ms",
            peer=blocking,
            peer_name=peer,
            note=f"written, synced and hashed at {rate:.0f} MB/s; less is better",
        ),
    ]


def shard_loader(folder: Path) -> Any:
    import numpy as np

    from codekiln.tokens.loader import Loader
    from codekiln.tokens.shards import Shard, ShardWriter

    random = np.random.default_rng(0)
    facts = {"tokenizer_sha256": "0" * 64}
    with ShardWriter(folder / "train-00000", vocab_size=VOCABULARY, facts=facts) as writer:
        for _ in range(DOCUMENTS):
            writer.add(random.integers(0, VOCABULARY, DOCUMENT_TOKENS), text_bytes=DOCUMENT_TOKENS)
    shards = [Shard(folder / "train-00000")]
    return Loader(shards, sequence_length=LENGTH, batch_size=BATCH, seed=0, restart_positions=False)


def our_step(
    loader: Any, dtype: str, folder: Path, *, across_documents: bool
) -> tuple[Any, Callable[[], None]]:
    import torch

    from codekiln.log import MetricsFile
    from codekiln.models.causal import first_weights
    from codekiln.models.settings import ModelSettings
    from codekiln.parallel.checks import Degrees
    from codekiln.parallel.model import ParallelModel
    from codekiln.parallel.settings import ParallelSettings
    from codekiln.parallel.world import ALONE, Meshes
    from codekiln.tokens.cursor import Cursor
    from codekiln.training.optim import build_optimizer
    from codekiln.training.schedule import learning_rate
    from codekiln.training.settings import OptimizerSettings
    from codekiln.training.step import Stepper

    settings = OptimizerSettings()
    config = ModelSettings(preset=PRESET).config(vocab_size=VOCABULARY)
    model = ParallelModel(
        config,
        first_weights(config, torch.Generator().manual_seed(0)),
        Meshes(ALONE, Degrees()),
        ParallelSettings(),
        dtype=dtype,
        across_documents=across_documents,
    )
    model.train()
    optimizer = build_optimizer(model, settings)
    stepper = Stepper(model, optimizer, gradient_clip=settings.gradient_clip)
    metrics = MetricsFile(folder / "metrics.jsonl")
    cursor, number = Cursor(), 0

    def one() -> None:
        nonlocal cursor, number
        started = time.perf_counter()
        batch, cursor = loader.batch(cursor)
        rate = learning_rate(settings, number, 10_000)
        result = stepper.step([batch], rate)
        number += 1
        seconds = time.perf_counter() - started
        metrics.write(step=number, loss_nats_per_token=result.loss_nats_per_token, rate=rate)
        metrics.write(gradient_norm=result.gradient_norm, step_seconds=seconds)

    return stepper, one


def _peer_step(loader: Any, dtype: str) -> Callable[[], None]:
    import torch
    import transformers

    from codekiln.models.settings import ModelSettings
    from codekiln.tokens.cursor import Cursor
    from codekiln.training.optim import build_optimizer
    from codekiln.training.settings import OptimizerSettings

    config = ModelSettings(preset=PRESET).config(vocab_size=VOCABULARY)
    keys = {k: v for k, v in config.to_hf().items() if k not in ("architectures", "model_type")}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**keys)).train()
    model.config.use_cache = False
    optimizer = build_optimizer(model, OptimizerSettings())
    cursor = Cursor()

    def one() -> None:
        nonlocal cursor
        batch, cursor = loader.batch(cursor)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == "bfloat16"):
            loss = model(
                input_ids=batch.tokens,
                shift_labels=batch.targets,
                labels=batch.targets,
            ).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        float(loss.detach())

    return one
