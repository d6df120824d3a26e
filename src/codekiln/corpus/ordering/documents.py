"""A repository's files, in dependency order, as training samples.

One sequence of files is one sample; each file stands behind a comment with its path and ends
with a newline, so that the next header starts a line of its own.

Source: DeepSeek-Coder §2.2 (repository-level concatenation; Algorithm 1 in `order`).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from codekiln.corpus.ordering.graph import Graph, build_graph
from codekiln.corpus.ordering.order import sequences, violations
from codekiln.corpus.ordering.split import cut_edges, estimated_tokens, split_all
from codekiln.corpus.settings import CorpusSettings, Order
from codekiln.languages.table import languages, path_header
from codekiln.types import Document, Kind, Repository, SourceFile, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """How a repository's files are ordered.

    Args:
        samples: paths, sample by sample.
        edges: dependencies found among the files.
        violations: share of them whose dependency comes later than what needs it.
        cut_edges: how many lead from one sample to another, because samples have a limit.
    """

    samples: tuple[tuple[str, ...], ...]
    edges: int
    violations: float
    cut_edges: int = 0


def arrange(
    graph: Graph,
    settings: CorpusSettings,
    *,
    name: str,
    seed: int = 0,
    sizes: Mapping[str, int] = MappingProxyType({}),
) -> Arrangement:
    """Order the files of a repository into samples, by the dependencies between them.

    Args:
        name: of the repository; the seed of its ties follows from it.
        sizes: bytes of each file; needed where samples have a limit.
    """
    own_seed = seed_of(seed, name)
    ordered = sequences(graph, settings.order, own_seed)
    if settings.sample == "repository" and ordered:
        ordered = [_whole(ordered, settings.order, own_seed)]
    share = violations(graph, ordered) if graph.edges else 0.0
    samples = list(map(tuple, ordered))
    if settings.max_sample_tokens:
        tokens = estimated_tokens(sizes, settings.bytes_per_token)
        samples = split_all(samples, tokens, graph, settings.max_sample_tokens)
    return Arrangement(
        samples=tuple(samples),
        edges=len(graph.edges),
        violations=share,
        cut_edges=cut_edges(graph, ordered, samples),
    )


def _whole(ordered: Sequence[Sequence[str]], order: Order, seed: int) -> list[str]:
    """All of a repository's files as one sample; connected files stay together in scc, paper."""
    paths = [path for sequence in ordered for path in sequence]
    if order in ("path", "random"):
        paths.sort()
    if order == "random":  # as DeepSeek-Coder-V2 did: across the subgraphs, whatever they are
        random.Random(seed).shuffle(paths)
    return paths


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A document whose text is still in pieces: headers and files, in turn.

    A build joins the pieces as bytes: a str takes four bytes a character as soon as one of them
    is an emoji, which for a sample of a large repository is most of the memory.
    """

    id: str
    parts: Sequence[str]
    kind: Kind
    source: str
    spans: tuple[Span, ...]

    def document(self) -> Document:
        """The document itself."""
        text = "".join(self.parts)
        return Document(id=self.id, text=text, kind=self.kind, source=self.source, spans=self.spans)


def drafts(
    repository: Repository,
    samples: Iterable[Sequence[str]],
    digests: Mapping[str, bytes] | None = None,
) -> Iterator[Draft]:
    """Documents in pieces, one a sample, made when asked for.

    Args:
        digests: by path, `digest` of each file's text, where that is known already.
    """
    files = {file.path: file for file in repository.files}
    digests = digests or {path: digest(file.text.encode()) for path, file in files.items()}
    for sample in samples:
        chosen = [files[path] for path in sample]
        yield draft(chosen, source=repository.name, digests=[digests[path] for path in sample])


def write(repository: Repository, samples: Iterable[Sequence[str]]) -> Iterator[Document]:
    """Documents, one a sample, made when asked for."""
    for made in drafts(repository, samples):
        yield made.document()


def documents(repository: Repository, settings: CorpusSettings, *, seed: int = 0) -> list[Document]:
    """The training samples of one repository.

    Source: DeepSeek-Coder §2.2.
    """
    graph = build_graph(repository.files)
    return list(
        write(repository, arrange(graph, settings, name=repository.name, seed=seed).samples)
    )


def draft(files: Sequence[SourceFile], *, source: str, digests: Sequence[bytes]) -> Draft:
    """One document of `files` as they come; its id follows from names, paths and texts."""
    parts: list[str] = []
    spans: list[Span] = []
    start = 0
    for file in files:
        header, *rest = pieces(file)
        body = start + len(header)
        end = body + sum(map(len, rest))
        parts += (header, *rest)
        spans.append(
            Span(
                path=file.path,
                language=file.language,
                start=start,
                body=body,
                end=end,
                licence=file.licence,
            )
        )
        start = end
    return Draft(
        id=_id(source, files, digests),
        parts=parts,
        kind=_kind(files),
        source=source,
        spans=tuple(spans),
    )


def pieces(file: SourceFile) -> tuple[str, ...]:
    """A file as it stands in a document: path header, text, a newline if the text ends in none."""
    header = path_header(file.path, file.language)
    return (header, file.text) if file.text.endswith("\n") else (header, file.text, "\n")


def digest(text: bytes) -> bytes:
    """A fingerprint (16 bytes) of one file's text in UTF-8."""
    return hashlib.blake2b(text, digest_size=16).digest()


def _id(source: str, files: Sequence[SourceFile], digests: Sequence[bytes]) -> str:
    parts = [source.encode(), b"\0"]
    for file, known in zip(files, digests, strict=True):
        parts += [file.path.encode(), b"\0", known]
    return digest(b"".join(parts)).hex()


def _kind(files: Sequence[SourceFile]) -> Kind:
    """Prose alone (README and the like) counts as English; prose beside code counts as code."""
    table = languages()
    prose = all((known := table.get(f.language)) and known.kind == "prose" for f in files)
    return "english" if prose else "code"


def seed_of(seed: int, name: str) -> int:
    """A seed of its own for everything that has a name, so that nothing depends on order."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest())
