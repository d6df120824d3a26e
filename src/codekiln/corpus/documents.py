"""A repository's files, in dependency order, as training samples.

One sequence of files is one sample; each file stands behind a comment with its path and ends
with a newline, so that the next header starts a line of its own.

Source: DeepSeek-Coder §2.2 (repository-level concatenation; Algorithm 1 in `order`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from codekiln.corpus.graph import build_graph
from codekiln.corpus.order import sequences, violations
from codekiln.corpus.settings import CorpusSettings
from codekiln.languages.table import languages, path_header
from codekiln.types import Document, Kind, Repository, SourceFile, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """How a repository's files are ordered.

    Args:
        samples: paths, sample by sample.
        edges: dependencies found among the files.
        violations: share of them whose dependency comes later than what needs it.
    """

    samples: tuple[tuple[str, ...], ...]
    edges: int
    violations: float


def arrange(repository: Repository, settings: CorpusSettings, *, seed: int = 0) -> Arrangement:
    """Order the files, by the imports between them."""
    graph = build_graph(repository.files)
    ordered = sequences(graph, settings.order, seed_of(seed, repository.name))
    share = violations(graph, ordered) if graph.edges else 0.0
    if settings.sample == "repository" and ordered:
        ordered = [[path for sequence in ordered for path in sequence]]
    return Arrangement(samples=tuple(map(tuple, ordered)), edges=len(graph.edges), violations=share)


def write(repository: Repository, samples: Iterable[Sequence[str]]) -> Iterator[Document]:
    """Documents, one a sample, made when asked for."""
    files = {file.path: file for file in repository.files}
    for sample in samples:
        yield join([files[path] for path in sample], source=repository.name)


def documents(repository: Repository, settings: CorpusSettings, *, seed: int = 0) -> list[Document]:
    """The training samples of one repository.

    Source: DeepSeek-Coder §2.2.
    """
    return list(write(repository, arrange(repository, settings, seed=seed).samples))


def join(files: Sequence[SourceFile], *, source: str) -> Document:
    """One document of `files` as they come; its id follows from `source` and the text alone."""
    parts: list[str] = []
    spans: list[Span] = []
    start = 0
    for file in files:
        header = path_header(file.path, file.language)
        text = file.text if file.text.endswith("\n") else file.text + "\n"
        body = start + len(header)
        end = body + len(text)
        spans.append(Span(path=file.path, language=file.language, start=start, body=body, end=end))
        parts += (header, text)
        start = end
    text = "".join(parts)
    return Document(
        id=_id(source, text), text=text, kind=_kind(files), source=source, spans=tuple(spans)
    )


def _id(source: str, text: str) -> str:
    digest = hashlib.blake2b(source.encode("utf-8", "surrogatepass") + b"\0", digest_size=16)
    digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _kind(files: Sequence[SourceFile]) -> Kind:
    """Prose alone (README and the like) counts as English; prose beside code counts as code."""
    table = languages()
    prose = all((known := table.get(f.language)) and known.kind == "prose" for f in files)
    return "english" if prose else "code"


def seed_of(seed: int, name: str) -> int:
    """A seed of its own for everything that has a name, so that nothing depends on order."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest())
