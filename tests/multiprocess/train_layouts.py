"""Run by torchrun: trains small models in several layouts, and writes each one's losses."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from codekiln.models.causal import first_weights
from codekiln.models.config import ModelConfig
from codekiln.models.dense_config import LlamaConfig
from codekiln.models.lora import first_adapters
from codekiln.models.lora_settings import LoraSettings
from codekiln.models.moe_config import DeepseekV2Config
from codekiln.parallel.checks import Degrees
from codekiln.parallel.model import ParallelModel
from codekiln.parallel.settings import ParallelSettings
from codekiln.parallel.world import Meshes, Ranks, joined
from codekiln.tokens.batch import IGNORED, Batch
from codekiln.tokens.cursor import Cursor
from codekiln.training.expert_load import shares
from codekiln.training.optim import build_optimizer
from codekiln.training.settings import OptimizerSettings

STEPS, ACCUMULATION, ROWS, LENGTH, VOCABULARY = 20, 2, 4, 32, 97
GROUPS = torch.arange(3 * 29).view(3, 29) % 3 // 2  # every third target apart from the others
DEGREES = ("pipeline", "replicate", "data", "context", "tensor", "expert")
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
EXPERTS: dict[str, Any] = {
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 8,
    "n_routed_experts": 8,
    "n_shared_experts": 2,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
    "aux_loss_alpha": 0.01,
}


def config(kind: str) -> ModelConfig:
    if kind == "dense":
        return LlamaConfig(**SHAPE, num_key_value_heads=2, initializer_range=0.1)
    return DeepseekV2Config(
        **SHAPE, **EXPERTS, initializer_range=0.1, seq_aux=kind != "experts-batch"
    )


def micro_batches(step: int) -> list[Batch]:
    """The same on every rank: rows of documents of uneven length, some targets left out."""
    generator = torch.Generator().manual_seed(step)
    made = []
    for _ in range(ACCUMULATION):
        tokens = torch.randint(0, VOCABULARY, (ROWS, LENGTH + 1), generator=generator)
        tokens[:, 1::2] = (tokens[:, 0:-1:2] * 7 + 3) % VOCABULARY  # something to learn
        first = torch.rand(ROWS, LENGTH, generator=generator) < 0.1
        first[:, 0] = False
        documents = first.long().cumsum(1)
        places = torch.arange(LENGTH).expand(ROWS, LENGTH)
        starts = torch.where(first, places, 0).cummax(1).values
        targets = tokens[:, 1:].clone()
        targets[:, :-1][first[:, 1:]] = IGNORED
        targets[0, LENGTH // 2 :] = IGNORED
        made.append(
            Batch(
                tokens=tokens[:, :-1].clone(),
                targets=targets,
                positions=places - starts,
                document_ids=documents,
                cursor=Cursor(),
            )
        )
    return made


def rows_of(batch: Batch, meshes: Meshes) -> Batch:
    ranks = meshes.degrees.replicate * meshes.degrees.data
    rank = meshes.place["replicate"] * meshes.degrees.data + meshes.place["data"]
    return Batch(
        tokens=batch.tokens.chunk(ranks)[rank],
        targets=batch.targets.chunk(ranks)[rank],
        positions=batch.positions.chunk(ranks)[rank],
        document_ids=batch.document_ids.chunk(ranks)[rank],
        cursor=batch.cursor,
    )


def train(kind: str, layout: dict[str, Any], ranks: Ranks) -> dict[str, Any]:
    """20 steps of AdamW: each one's loss and gradient norm, and a last evaluation's nats."""
    others = ("kind", "dtype", "optimizer", "lora", "z_loss")
    parallel = {k: v for k, v in layout.items() if k not in others}
    degrees = Degrees(**{name: parallel.get(name, 1) for name in DEGREES})
    meshes = Meshes(ranks, degrees)
    shape = config(kind)
    model = ParallelModel(
        shape,
        first_adapters(first_weights(shape, torch.Generator().manual_seed(3)), 4),
        meshes,
        ParallelSettings(**parallel),
        dtype=layout.get("dtype", "float32"),
        z_loss=layout.get("z_loss", 0.0),
        lora=LoraSettings(rank=layout.get("lora", 0)),
    )
    name = layout.get("optimizer", "adamw")
    settings = OptimizerSettings(name=name, learning_rate=2e-3, eps=1e-5)
    optimizer = build_optimizer(model, settings)
    losses, norms = [], []
    model.train()
    for step in range(STEPS):
        batches = [rows_of(batch, meshes) for batch in micro_batches(step)]
        targets = model.targets(batches)
        loss = model.backward(batches, targets)
        norms.append(model.clip(1.0))
        losses.extend(ranks.sums(float(loss)))
        optimizer.step()
        optimizer.zero_grad()
    load = model.expert_load()
    model.train(False)
    last = micro_batches(99)[0]
    nats = model.nats(last.tokens[:3, :29], last.targets[:3, :29], GROUPS, 2)
    return {
        "losses": losses,
        "norms": norms,
        "nats": nats,
        "whole": whole_nats(model, last),
        "load": [] if load is None else [one for row in shares(load) for one in row],
    }


def whole_nats(model: ParallelModel, batch: Batch) -> list[float] | None:
    """The same by the gathered model, in one piece on rank 0."""
    gathered = model.whole()
    if gathered is None:
        return None
    tokens, targets = batch.tokens[:3, :29], batch.targets[:3, :29]
    with torch.no_grad():
        logits = gathered.eval()(tokens).flatten(0, 1)
    nats = cross_entropy(logits, targets.flatten(), ignore_index=IGNORED, reduction="none")
    return [float(nats[(group == GROUPS).flatten()].sum()) for group in range(2)]


def main() -> None:
    layouts, out = json.loads(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    found = []
    with joined(torch.device("cpu"), timeout_minutes=2.0) as ranks:
        for layout in layouts:
            found.append(train(layout["kind"], layout, ranks))
            if ranks.first:
                print(layout, found[-1]["losses"][-1], flush=True)
                out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
