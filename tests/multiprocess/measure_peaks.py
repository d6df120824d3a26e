"""Run by torchrun: peaks of real training steps in several layouts, and what is said of them."""

import json
import sys
from pathlib import Path

import torch
from tests.training.peaks import peak

from codekiln.models.settings import ModelSettings
from codekiln.parallel.checks import Degrees
from codekiln.parallel.world import joined
from codekiln.training.memory import Workload, memory


def main() -> None:
    cases, out = json.loads(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    found = []
    with joined(torch.device("cpu"), timeout_minutes=2.0) as ranks:
        for model, vocabulary, degrees, work in cases:
            config = ModelSettings.model_validate(model).config(vocab_size=vocabulary)
            layout, load = Degrees(**degrees), Workload(device="cpu", **work)
            measured = peak(config, load, layout, ranks)
            found.append((measured, memory(config, layout, load).total))
            if ranks.first:
                out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
