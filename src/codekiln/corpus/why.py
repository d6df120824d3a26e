"""Why a file is in a corpus, or is not: the decisions of a build, asked one by one.

    codekiln corpus why CORPUS REPOSITORY            a repository: kept, or a duplicate of which
    codekiln corpus why CORPUS REPOSITORY/PATH       a file: in which document, or why dropped
    codekiln corpus why CORPUS DOCUMENT-ID           a document: its files, copies, split

All of it stands in the corpus's folder; nothing is computed anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.compute as compute
import pyarrow.parquet as parquet

from codekiln.corpus.steps.compose import DROPPED
from codekiln.corpus.steps.decide import COMPARED, DUPLICATES
from codekiln.corpus.steps.files import FILES
from codekiln.corpus.store import shards
from codekiln.errors import SourceError, UserError
from codekiln.storage import read_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of one thing.

    Args:
        subject: what was asked for.
        kept: whether it is in the corpus.
        reason: why not, or where it is.
        facts: what else is known: licence, signals, duplicates, pairs compared.
    """

    subject: str
    kept: bool
    reason: str
    facts: dict[str, Any] = field(default_factory=dict)


def why(corpus: Path, subject: str) -> Answer:
    """What became of a document, a repository or a file.

    Raises:
        SourceError: no corpus there, or its `stages/` were removed.
        UserError: the corpus never saw such a thing.
    """
    for row in _documents(corpus, compute.field("id") == subject):
        return Answer(subject=subject, kept=True, reason="a document", facts=_document(row))
    for key, number, facts in _repositories(corpus):
        name = facts["name"]
        if subject == name:
            return _of_repository(corpus, facts)
        if subject.startswith(f"{name}/"):
            found = _of_file(corpus, key, number, name, subject.removeprefix(f"{name}/"))
            if found is not None:
                return found
    if copy := _duplicate(corpus / "texts", subject):
        return Answer(subject=subject, kept=False, reason=_copy_of(copy))
    raise UserError(
        subject,
        got="neither a document's id, nor a repository, nor REPOSITORY/PATH of this corpus",
        wanted="one of these; files that were never read as text (too large, binary, empty, a "
        "link, of no known language) are only counted, with examples: codekiln corpus report",
    )


def _repositories(corpus: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """(key of the batch, number within it, facts) of every repository that was read."""
    stages = corpus / "stages"
    if not stages.is_dir():
        raise SourceError(
            corpus,
            got="no folder stages/",
            wanted="the folder of a corpus, with what its build left there",
            remedy="build the corpus anew: codekiln corpus build RECIPE",
        )
    for path in sorted(stages.glob("*/facts.json")):
        if "-" not in path.parent.name and not path.parent.name.startswith("t"):
            for number, facts in enumerate(read_json(path)["repositories"]):
                yield path.parent.name, number, facts


def _of_repository(corpus: Path, facts: dict[str, Any]) -> Answer:
    name = facts["name"]
    if "failed" in facts:
        return Answer(subject=name, kept=False, reason=f"could not be read: {facts['failed']}")
    known = {k: facts[k] for k in ("location", "revision", "files_seen", "kept", "dropped")}
    known |= _compared(corpus, name)
    if copy := _duplicate(corpus, name):
        return Answer(subject=name, kept=False, reason=_copy_of(copy), facts=known)
    ids = [row["id"] for row in _documents(corpus, compute.field("source") == name)]
    reason = f"in {len(ids)} documents" if ids else "no file of it was kept"
    return Answer(
        subject=name, kept=bool(ids), reason=reason, facts=known | {"documents": ids[:20]}
    )


def _of_file(corpus: Path, key: str, number: int, name: str, path: str) -> Answer | None:
    subject = f"{name}/{path}"
    table = corpus / "stages" / key / FILES
    columns = [column for column in parquet.read_schema(table).names if column != "text"]
    chosen = (compute.field("repository") == number) & (compute.field("path") == path)
    rows = parquet.read_table(table, columns=columns, filters=chosen).to_pylist()
    if not rows:
        return None
    row = {k: v for k, v in rows[0].items() if v is not None and k not in {"repository", "path"}}
    row["digest"] = row["digest"].hex() if "digest" in row else None
    row |= _compared(corpus, subject)
    if "reason" in row:
        return Answer(subject=subject, kept=False, reason=row.pop("reason"), facts=row)
    if dropped := _dropped(corpus, key, name, path):
        facts = row | ({"detail": dropped["detail"]} if dropped["detail"] else {})
        copy = _duplicate(corpus, name) or _duplicate(corpus, subject)
        reason = _copy_of(copy) if copy else dropped["reason"]
        return Answer(subject=subject, kept=False, reason=reason, facts=facts)
    if copy := _duplicate(corpus, name):
        return Answer(subject=subject, kept=False, reason=_copy_of(copy), facts=row)
    for document in _documents(corpus, compute.field("source") == name):
        if any(span["path"] == path for span in document["spans"]):
            reason = f"in document {document['id']}"
            return Answer(subject=subject, kept=True, reason=reason, facts=row)
    return Answer(subject=subject, kept=False, reason="left out by the mixture", facts=row)


def _dropped(corpus: Path, key: str, name: str, path: str) -> dict[str, str] | None:
    chosen = (compute.field("repository") == name) & (compute.field("path") == path)
    for table in (corpus / "stages").glob(f"{key}-*/{DROPPED}"):
        for row in parquet.read_table(table, filters=chosen).to_pylist():
            found: dict[str, str] = row
            return found
    return None


def _duplicate(corpus: Path, name: str) -> dict[str, Any] | None:
    if not (corpus / DUPLICATES).exists():
        return None
    rows = parquet.read_table(corpus / DUPLICATES, filters=compute.field("name") == name)
    return next(iter(rows.to_pylist()), None)


def _copy_of(row: dict[str, Any]) -> str:
    how = "an exact copy" if row["exact"] else f"a near-duplicate (Jaccard {row['similarity']:.2f})"
    named = not row["exact"] and row["kind"] in ("fork", "version")
    kind = f", a {row['kind']} of it" if named else ""
    return f"{how} of {row['kept']}{kind}"


def _compared(corpus: Path, name: str) -> dict[str, Any]:
    """Pairs that this unit was compared in."""
    if not (corpus / COMPARED).exists():
        return {}
    chosen = (compute.field("left") == name) | (compute.field("right") == name)
    rows = parquet.read_table(corpus / COMPARED, filters=chosen).to_pylist()
    pairs = {
        row["right"] if row["left"] == name else row["left"]: round(row["similarity"], 3)
        for row in rows
    }
    return {"compared_with": pairs} if pairs else {}


def _documents(corpus: Path, chosen: compute.Expression) -> Iterator[dict[str, Any]]:
    columns = ["id", "kind", "source", "spans", "split", "language", "bytes", "copies"]
    for path in shards(corpus):
        yield from parquet.read_table(path, columns=columns, filters=chosen).to_pylist()


def _document(row: dict[str, Any]) -> dict[str, Any]:
    facts = {k: row[k] for k in ("source", "kind", "language", "bytes", "split", "copies")}
    return facts | {"files": [span["path"] for span in row["spans"]]}
