"""Documents: headers, final newlines, spans that fit, ids that stay."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.corpus.ordering.documents import arrange, digest, documents, draft, seed_of
from codekiln.corpus.ordering.graph import build_graph
from codekiln.corpus.settings import CorpusSettings
from codekiln.languages.table import path_header
from codekiln.types import Repository, SourceFile

PYTHON = CorpusSettings()


def source(path: str, text: str, language: str = "python") -> SourceFile:
    return SourceFile(path=path, text=text, language=language)


def repository(*files: SourceFile, name: str = "repo", revision: str = "1") -> Repository:
    return Repository(name=name, revision=revision, files=tuple(files))


FILES = (
    source("app/main.py", "from app import core\n\nprint(core.x)"),
    source("app/core.py", "x = 1\n"),
    source("README.md", "# Title\n", "markdown"),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), min_size=1))
def test_spans_cut_the_text_into_headers_and_files(texts: list[str]) -> None:
    files = [source(f"f{n}.py", text) for n, text in enumerate(texts)]
    digests = [digest(text.encode()) for text in texts]
    made = draft(files, source="repo", digests=digests).document()
    place = 0
    for file, span in zip(files, made.spans, strict=True):
        assert span.start == place
        assert made.text[span.start : span.body] == path_header(file.path, "python")
        body = made.text[span.body : span.end]
        assert body.endswith("\n")
        assert body in (file.text, file.text + "\n")
        place = span.end
    assert place == len(made.text)


def test_a_dependency_stands_before_what_needs_it() -> None:
    made = documents(repository(*FILES), PYTHON)
    code = next(d for d in made if len(d.spans) == 2)
    assert [span.path for span in code.spans] == ["app/core.py", "app/main.py"]
    assert code.text == (
        "#app/core.py\nx = 1\n#app/main.py\nfrom app import core\n\nprint(core.x)\n"
    )
    assert code.kind == "code"
    assert code.source == "repo"


def test_prose_alone_is_english_and_prose_beside_code_is_code() -> None:
    made = documents(repository(*FILES), PYTHON)
    assert {d.kind for d in made if d.spans[0].path == "README.md"} == {"english"}
    whole = documents(repository(*FILES), CorpusSettings(sample="repository"))
    assert [(d.kind, len(d.spans)) for d in whole] == [("code", 3)]


@pytest.mark.parametrize("order", ["scc", "paper", "path", "random"])
def test_every_file_stands_in_one_document_once(order: str) -> None:
    chosen = CorpusSettings(order=order)  # type: ignore[arg-type]
    made = documents(repository(*FILES), chosen, seed=3)
    paths = sorted(span.path for d in made for span in d.spans)
    assert paths == sorted(file.path for file in FILES)


def test_ids_follow_from_name_and_content() -> None:
    def ids(*files: SourceFile, name: str = "repo", revision: str = "1") -> set[str]:
        return {d.id for d in documents(repository(*files, name=name, revision=revision), PYTHON)}

    once = ids(*FILES)
    assert once == ids(*reversed(FILES), revision="2")
    assert len(once) == 2
    assert not once & ids(*FILES, name="fork")
    changed = source("app/core.py", "x = 2\n")
    assert len(once & ids(FILES[0], changed, FILES[2])) == 1


def test_edges_and_violations_are_counted() -> None:
    ordered = arrange(build_graph(repository(*FILES).files), PYTHON, name="r")
    assert (ordered.edges, ordered.violations) == (1, 0.0)
    assert arrange(build_graph(repository(FILES[2]).files), PYTHON, name="r").edges == 0


def test_random_order_depends_on_seed_and_name_only() -> None:
    chosen = CorpusSettings(order="random", sample="repository")
    files = [source(f"m{n}.py", f"x = {n}\n") for n in range(12)]

    def order(name: str, seed: int) -> list[str]:
        (made,) = documents(repository(*files, name=name), chosen, seed=seed)
        return [span.path for span in made.spans]

    assert order("a", 0) == order("a", 0)
    assert order("a", 0) != order("a", 1)
    assert order("a", 0) != order("b", 0)
    assert seed_of(0, "a") != seed_of(1, "a")


def test_random_order_of_a_repository_knows_nothing_of_its_graph() -> None:
    """As in DeepSeek-Coder-V2: every permutation of all files, connected or not, may come."""
    chosen = CorpusSettings(order="random", sample="repository")
    names = ["a", "b", "c"]

    def order(texts: list[str], seed: int) -> tuple[str, ...]:
        files = [source(f"{n}.py", t) for n, t in zip(names, texts, strict=True)]
        graph = build_graph(repository(*files).files)
        (sample,) = arrange(graph, chosen, name="r", seed=seed).samples
        return sample

    apart, tied = ["x = 1\n"] * 3, ["import c\n", "x = 1\n", "import a\n"]
    drawn = [order(tied, seed) for seed in range(600)]
    assert drawn[:50] == [order(apart, seed) for seed in range(50)]
    counts = [drawn.count(one) for one in set(drawn)]
    assert len(counts) == 6
    assert 60 < min(counts) <= max(counts) < 145  # 100 each, within about four deviations


def test_long_samples_are_cut_and_the_lost_edges_counted() -> None:
    chain = [source(f"m{n}.py", f"import m{n + 1}\n" + "x = 1\n" * 100) for n in range(9)]
    graph = build_graph(repository(*chain).files)
    sizes = {file.path: len(file.text) for file in chain}
    limited = CorpusSettings(max_sample_tokens=500, bytes_per_token=3.0)
    whole = arrange(graph, CorpusSettings(), name="r", sizes=sizes)
    cut = arrange(graph, limited, name="r", sizes=sizes)
    assert [path for sample in cut.samples for path in sample] == list(whole.samples[0])
    assert sorted(len(sample) for sample in cut.samples) == [1, 2, 2, 2, 2]
    assert (whole.cut_edges, cut.cut_edges) == (0, 4)
