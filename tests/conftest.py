"""A tokenizer and models of a few kilobytes, for all rooms; made once a session."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what downloads real projects, unless it is asked for."""
    if not os.environ.get("CODEKILN_ORACLES"):
        for item in items:
            if item.get_closest_marker("oracle"):
                item.add_marker(pytest.mark.skip(reason="downloads real projects: make oracles"))


SNIPPETS = [
    "def add(left, right):\n    total = left + right\n    return total\n",
    "def square(number):\n    return number * number\n",
    "class Point:\n    def __init__(self, x, y):\n        self.x = x\n        self.y = y\n",
    'NAMES = {"é": "日本", "smile": "😀", "dash": "–"}\n',
    "for name in names:\n    print(name, sep='\\t')\n",
]


@pytest.fixture(scope="session")
def tiny_tokenizer():
    """A tokenizer of 350 ids, trained on a few snippets; every byte round-trips."""
    from codekiln.tokenizer.settings import TokenizerSettings
    from codekiln.tokenizer.train import train

    return train(iter(SNIPPETS * 20), TokenizerSettings(vocab_size=350))


@pytest.fixture(scope="session")
def tiny_model(tiny_tokenizer):
    """A random model that is far from uniform, so that its greedy texts wander; context 256."""
    import torch

    from codekiln.models.dense import LlamaForCausalLM
    from codekiln.models.dense_config import LlamaConfig

    special = tiny_tokenizer.special
    config = LlamaConfig(
        vocab_size=tiny_tokenizer.vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.3,
        bos_token_id=special.bos,
        eos_token_id=special.eos,
    )
    model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():  # one after another: tests know what this model says
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.fill_(1.0)
            else:
                parameter.normal_(0.0, config.initializer_range, generator=generator)
    return model.eval()


@pytest.fixture(scope="session")
def tiny_model_folder(tiny_model, tiny_tokenizer, tmp_path_factory) -> Path:
    """The model and its tokenizer as a model folder."""
    from codekiln.models.weights import save_model

    folder = tmp_path_factory.mktemp("tiny")
    tiny_tokenizer.save(folder / "tokenizer")
    save_model(tiny_model, folder / "tokenizer", folder / "model")
    return folder / "model"


@pytest.fixture(scope="session")
def tiny_engine(tiny_model, tiny_tokenizer):
    """An engine with the random model."""
    from codekiln.generation.engine import Engine

    return Engine(tiny_model, tiny_tokenizer)
