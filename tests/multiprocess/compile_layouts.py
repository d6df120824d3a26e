"""One step of a small model on these ranks, plain and compiled; rank 0 prints both as JSON."""

import json
import sys

import torch

from codekiln.models.causal import first_weights
from codekiln.models.config import ModelConfig
from codekiln.models.settings import ModelSettings
from codekiln.parallel.checks import Degrees
from codekiln.parallel.model import ParallelModel
from codekiln.parallel.settings import ParallelSettings
from codekiln.parallel.world import Meshes, Ranks, joined
from codekiln.tokens.batch import Batch
from codekiln.tokens.cursor import Cursor

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


def step(ranks: Ranks, config: ModelConfig, degrees: Degrees, *, compiled: bool) -> list[float]:
    model = ParallelModel(
        config,
        first_weights(config, torch.Generator().manual_seed(0)),
        Meshes(ranks, degrees),
        ParallelSettings(),
        dtype="float32",
        compiled=compiled,
    )
    model.train()
    rows = model.rows(2)
    tokens = torch.randint(0, 64, (2, 32), generator=torch.Generator().manual_seed(1))
    batch = Batch(
        tokens=tokens[rows],
        targets=tokens[rows].roll(-1, 1),
        positions=torch.arange(32).expand(2, 32)[rows],
        document_ids=torch.zeros(2, 32, dtype=torch.int64)[rows],
        cursor=Cursor(),
    )
    loss = model.backward([batch], model.targets([batch]))
    return [*ranks.sums(float(loss)), model.clip(1.0)]


preset, degrees = sys.argv[1], Degrees(**json.loads(sys.argv[2]))
shape = {"preset": preset, "max_position_embeddings": 64}
if preset == "tiny-1m":
    shape |= SMALL | {"num_key_value_heads": 2, "intermediate_size": 64}
config = ModelSettings(**shape).config(vocab_size=64)
with joined(torch.device("cpu"), timeout_minutes=5) as ranks:
    found = [step(ranks, config, degrees, compiled=compiled) for compiled in (False, True)]
    if ranks.first:
        print("result", json.dumps(found), flush=True)
