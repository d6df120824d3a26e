"""A real server on a free port, with a model that has learnt a few holes by heart."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

import pytest

# prefix, suffix -> middle
HOLES = {
    ("def add(left, right):\n    ", "    return total\n"): "total = left + right\n",
    ("def square(number):\n    return ", "\n"): "number * number",
    (
        "class Point:\n    def __init__(self, x, y):\n",
        "        self.y = y\n",
    ): "        self.x = x\n",
    ('NAMES = {"é": "', '"}\n'): "日本😀",
}


@pytest.fixture(scope="session")
def infilling_model(tiny_tokenizer):
    """A model of 60 thousand parameters that infills HOLES, trained in a few seconds."""
    import torch

    from codekiln.generation.infill import build_prompt
    from codekiln.models.dense import LlamaForCausalLM
    from codekiln.models.dense_config import LlamaConfig

    config = LlamaConfig(
        vocab_size=tiny_tokenizer.vocab_size,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=512,
    )
    model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # one after another: tests know what this model says
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.fill_(1.0)
            else:
                parameter.normal_(0.0, config.initializer_range, generator=generator)
    rows, starts = [], []
    for (prefix, suffix), middle in HOLES.items():
        prompt = build_prompt(tiny_tokenizer, prefix=prefix, suffix=suffix, max_tokens=400).ids
        starts.append(len(prompt))
        rows.append([*prompt, *tiny_tokenizer.encode(middle), tiny_tokenizer.special.eos])
    longest = max(map(len, rows))
    tokens = torch.zeros(len(rows), longest, dtype=torch.int64)
    targets = torch.full((len(rows), longest), -100)
    for row, ids in enumerate(rows):
        tokens[row, : len(ids)] = torch.tensor(ids)
        targets[row, starts[row] - 1 : len(ids) - 1] = torch.tensor(ids[starts[row] :])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(300):
        loss = model.loss(tokens, targets)
        if loss.item() < 0.02:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    return model.eval()


@pytest.fixture(scope="session")
def engine(infilling_model, tiny_tokenizer):
    from codekiln.generation.engine import Engine

    return Engine(infilling_model, tiny_tokenizer)


@pytest.fixture(scope="session")
def any_engine(engine):
    """The quick-start's model where CODEKILN_QUICKSTART_RUN names its run, else the tiny one."""
    from codekiln.generation.engine import Engine

    run = os.environ.get("CODEKILN_QUICKSTART_RUN")
    return Engine.load(Path(run)) if run else engine


@pytest.fixture(scope="session")
def slow_engine(infilling_model, tiny_tokenizer):
    """An engine that takes 20 milliseconds a step."""
    from codekiln.generation.engine import Engine

    class SlowEngine(Engine):
        def _forward(self, *arguments, **options):
            time.sleep(0.02)
            return super()._forward(*arguments, **options)

    return SlowEngine(infilling_model, tiny_tokenizer)


@pytest.fixture(scope="session")
def serving():
    """`with serving(engine, …) as address:` runs a server in a thread."""
    pytest.importorskip("fastapi", reason="needs the extra `serve`")
    uvicorn = pytest.importorskip("uvicorn", reason="needs the extra `serve`")
    from codekiln.serving.app import create_app
    from codekiln.serving.server import bind

    @contextlib.contextmanager
    def run(engine, **options):
        with bind("127.0.0.1", 0) as listener:
            app = create_app(engine, name="tiny", **options)
            config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=2)
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, args=([listener],))
            thread.start()
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
                thread.join(timeout=20)
                assert not thread.is_alive()

    return run


@pytest.fixture(scope="session")
def address(serving, engine):
    with serving(engine) as address:
        yield address
