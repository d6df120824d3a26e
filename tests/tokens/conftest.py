"""A small tokenizer and documents made of files, as the corpus writes them."""

from pathlib import Path

import pytest

from codekiln.tokenizer.settings import TokenizerSettings
from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.tokenizer.train import train
from codekiln.types import Document, Span


def make_document(name: str, bodies: list[str], *, kind: str = "code") -> Document:
    text, spans = "", []
    for i, body in enumerate(bodies):
        header = f"#{name}/file{i}.py\n"
        start = len(text)
        text += header + body
        spans.append(
            Span(
                path=f"{name}/file{i}.py",
                language="python",
                start=start,
                body=start + len(header),
                end=len(text),
            )
        )
    return Document(id=name, text=text, kind=kind, source=name, spans=tuple(spans))


@pytest.fixture(scope="session")
def documents() -> list[Document]:
    return [
        make_document(
            f"repo{i}",
            [
                f"def f{i}_{j}(x):\n    return x + {i * j}  # größe 中文\n" * (1 + j)
                for j in range(i % 5)
            ],
        )
        for i in range(40)
    ]


@pytest.fixture(scope="session")
def tokenizer(documents) -> Tokenizer:
    return train([d.text for d in documents], TokenizerSettings(vocab_size=400))


@pytest.fixture(scope="session")
def tokenizer_folder(tokenizer, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(folder)
    return folder
