"""The peak of real training steps, as the bytes of all live tensors."""

import torch

from codekiln.models.causal import first_weights
from codekiln.models.config import ModelConfig
from codekiln.models.lora import first_adapters
from codekiln.parallel.checks import Degrees
from codekiln.parallel.model import ParallelModel
from codekiln.parallel.settings import ParallelSettings
from codekiln.parallel.world import ALONE, Meshes, Ranks
from codekiln.tokens.batch import Batch
from codekiln.tokens.cursor import Cursor
from codekiln.training.memory import Workload
from codekiln.training.optim import build_optimizer
from codekiln.training.settings import OptimizerSettings

from .live_bytes import LiveBytes


def peak(
    config: ModelConfig, work: Workload, degrees: Degrees | None = None, ranks: Ranks = ALONE
) -> int:
    """Of the second step, on the rank that has most."""
    degrees = degrees or Degrees()
    settings = ParallelSettings(
        activation_checkpointing="layer" if work.checkpointing else "none",
        pipeline_schedule="interleaved" if work.chunks > 1 else "1f1b",
        pipeline_chunks=max(work.chunks, 2),
    )
    model = ParallelModel(
        config,
        first_adapters(first_weights(config, torch.Generator().manual_seed(0)), 0),
        Meshes(ranks, degrees),
        settings,
        dtype=work.dtype,
        lora=work.lora,
    )
    model.train()
    optimizer = build_optimizer(model, OptimizerSettings.model_validate({"name": work.optimizer}))
    batches = [_batch(config, work, degrees)] * work.micro_batches
    with LiveBytes() as live:
        for _, parameter in model.named_parameters():
            live.add(parameter.detach())
        for _ in range(2):
            live.peak = live.now
            model.backward(batches, model.targets(batches))
            model.clip(1.0)
            optimizer.step()
            optimizer.zero_grad()
    return max(ranks.gathered(live.peak))


def _batch(config: ModelConfig, work: Workload, degrees: Degrees) -> Batch:
    shape = (work.batch_size // degrees.rows, work.sequence_length)
    tokens = torch.randint(0, config.vocab_size, (shape[0], shape[1] + 1))
    return Batch(
        tokens=tokens[:, :-1],
        targets=tokens[:, 1:],
        positions=torch.arange(shape[1]).expand(shape),
        document_ids=torch.zeros(shape, dtype=torch.long),
        cursor=Cursor(),
    )
