"""What a build read, kept and dropped, and why: a value, and its JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from codekiln.corpus.contamination.by_problem import merge
from codekiln.corpus.steps.compose import DUPLICATE
from codekiln.errors import SourceError
from codekiln.storage import read_json, write_json

REPORT = "report.json"
NEAR_DUPLICATE = DUPLICATE["repository"]
EXAMPLES = 3
TOP = 20
MOST_PROBLEMS = 2000
MOST_KIN = 1000

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """One corpus in numbers; sizes in bytes of UTF-8.

    Args:
        repositories: given, built, failed, near_duplicates, empty (built, but no file was kept).
        failures: location and problem of each that failed.
        row_drops: rows of files that came into no repository, by reason: rows, examples.
        files: seen, kept, dropped.
        bytes: read (decoded text of known languages), kept, documents (headers included).
        dropped: by reason: files, bytes, languages (files of each, where it was known), examples
            (up to three paths).
        languages: by language: files, bytes; of the code that was kept, before the mixture.
        licences: by SPDX expression: files in the corpus; "unknown" where none was found.
        lengths: documents by length: {"10": n} are n documents of 2^9 to 2^10 - 1 bytes.
        documents: by split: documents, bytes; natural language and copies included, as they are
            read.
        held_out: names of the repositories kept out of training.
        near_duplicates: name, kept (in favour of which), similarity, exact, kind of copy.
        kin: repositories that share most of their files with others, dropped or not: name, other,
            kind (version, fork, vendored, widespread), share (of its bytes), others (how many).
        texts: natural language beside the repositories: documents, bytes, near_duplicates, kinds
            (bytes of each), sources (documents by name), dropped (as above), test_data (by
            problem: documents).
        mixture: components, caps, limited_by, unwanted, as `mixture.mix.Mixture` has them; empty
            where every document is taken once.
        privacy: opted_out (repositories), redacted (by placeholder), by_rule, examples (masked).
        contamination: files, problems (by problem: files), exact (by short string: files),
            examples, by_problem (files, rules, examples of each).
        order: kind, edges, violations (share of edges whose dependency comes later), cut_edges
            (between samples, because these have a limit), documents, single_file (documents of one
            file), unscanned (files whose references could not be read).
        run: seconds, cpu_seconds (all of them, earlier parts of a resumed build included),
            megabytes_per_cpu_second (of bytes read), peak_memory_bytes (of one process),
            processes.
        nothing_to_do: this run found the corpus finished.
    """

    repositories: dict[str, int]
    failures: list[Row]
    row_drops: dict[str, Row]
    files: dict[str, int]
    bytes: dict[str, int]
    dropped: dict[str, Row]
    languages: dict[str, dict[str, int]]
    licences: dict[str, int]
    lengths: dict[str, int]
    documents: dict[str, dict[str, int]]
    held_out: list[str]
    near_duplicates: list[Row]
    kin: list[Row]
    texts: Row
    mixture: Row
    privacy: Row
    contamination: Row
    order: Row
    run: Row
    nothing_to_do: bool = False

    def save(self, folder: Path) -> None:
        """Write `report.json`."""
        values = asdict(self)
        del values["nothing_to_do"]
        write_json(folder / REPORT, values)

    @classmethod
    def load(cls, folder: Path, *, nothing_to_do: bool = False) -> Self:
        """Read a corpus's `report.json`.

        Raises:
            SourceError: there is none, or it is not a report of this version.
        """
        path = Path(folder) / REPORT
        if not path.exists():
            raise SourceError(
                folder,
                got=f"no {REPORT}",
                wanted="the folder of a finished corpus",
                remedy="codekiln corpus build RECIPE",
            )
        values = read_json(path)
        wanted = {field.name for field in fields(cls)} - {"nothing_to_do"}
        if not isinstance(values, dict) or set(values) != wanted:
            raise SourceError(path, got="another layout", wanted=", ".join(sorted(wanted)))
        return cls(**values, nothing_to_do=nothing_to_do)


def summarise(
    read: Sequence[Row],
    composed: Mapping[str, Row],
    *,
    failures: Sequence[Row],
    row_drops: Mapping[str, Row],
    duplicates: Sequence[Row],
    kin: Sequence[Row],
    texts: Iterable[Row],
    text_duplicates: int,
    mixture: Row,
    documents: dict[str, dict[str, int]],
    held_out: Iterable[str],
    order: str,
    run: Row,
) -> BuildReport:
    """Add up the facts of all repositories.

    Args:
        read: facts as `steps.read` leaves them, in order of the plan.
        composed: facts as `steps.compose` leaves them, of those that had files, by name.
        failures: of repositories that could not even be opened.
        row_drops: rows of files that came into no repository, by reason: rows, examples.
        duplicates: name, kept, similarity, exact, kind of dropped units.
        kin: repositories that share most of their files, as `duplicates.kin` tells.
        texts: facts as `steps.texts` leaves them.
        text_duplicates: documents of these that are dropped as duplicates.
        mixture: as `steps.mix` decided; empty where all is taken as it is.
        documents: by split, as `steps.mix` counted them.
    """
    lost = {row["location"] for row in failures}
    built = [f for f in read if "failed" not in f and f["name"] not in lost]
    failed = [*failures, *({"location": f["location"], "problem": f["failed"]}
                           for f in read if "failed" in f)]  # fmt: skip
    kept = [composed[f["name"]] for f in built if f["name"] in composed]
    dropped = _dropped(built, composed, {row["name"]: row["kept"] for row in duplicates})
    size = {
        "read": sum(f["bytes_read"] for f in built),
        "kept": sum(row["bytes"] for f in kept for row in f["languages"].values()),
        "documents": sum(row["bytes"] for row in documents.values()),
    }
    return BuildReport(
        repositories=_repositories(built, failed, dropped),
        failures=failed,
        row_drops=dict(row_drops),
        files=_files(built, kept, dropped),
        bytes=size,
        dropped=dropped,
        languages=_languages(kept),
        licences=_counts(kept, "licences"),
        lengths=dict(sorted(_counts(kept, "lengths").items(), key=lambda item: int(item[0]))),
        documents=documents,
        held_out=sorted(held_out),
        near_duplicates=list(duplicates),
        kin=list(kin[:MOST_KIN]),
        texts=_texts(texts, text_duplicates),
        mixture=mixture,
        privacy=_privacy(built),
        contamination=_contamination(built),
        order=_order(built, kept, order),
        run={**run, "megabytes_per_cpu_second": _rate(size["read"], run["cpu_seconds"])},
    )


def _repositories(
    built: Sequence[Row], failed: Sequence[Row], dropped: Mapping[str, Row]
) -> dict[str, int]:
    return {
        "given": len(built) + len(failed),
        "built": len(built),
        "failed": len(failed),
        "near_duplicates": dropped.get(NEAR_DUPLICATE, {}).get("repositories", 0),
        "empty": sum(not facts["kept"] for facts in built),
    }


def _files(built: Sequence[Row], kept: Sequence[Row], dropped: Mapping[str, Row]) -> dict[str, int]:
    return {
        "seen": sum(facts["files_seen"] for facts in built),
        "kept": sum(row["files"] for facts in kept for row in facts["languages"].values()),
        "dropped": sum(row["files"] for row in dropped.values()),
    }


def _rate(size: int, seconds: float) -> float:
    return round(size / 1e6 / seconds, 2) if seconds else 0.0


def _dropped(
    built: list[Row], composed: Mapping[str, Row], kept_instead: Mapping[str, str]
) -> dict[str, Row]:
    total: dict[str, Row] = {}
    for facts in built:
        name = facts["name"]
        parts = [facts, *([composed[name]] if name in composed else [])]
        for reason, row in (item for part in parts for item in part["dropped"].items()):
            empty = {"files": 0, "bytes": 0, "languages": {}, "examples": []}
            mine = total.setdefault(reason, empty)
            for language, count in row["languages"].items():
                mine["languages"][language] = mine["languages"].get(language, 0) + count
            mine["files"] += row["files"]
            mine["bytes"] += row["bytes"]
            examples = [f"{name}/{path}" for path in row["examples"]]
            if reason == NEAR_DUPLICATE:
                mine["repositories"] = mine.get("repositories", 0) + 1
                examples = [f"{name} (a copy of {kept_instead.get(name, 'another')})"]
            mine["examples"] += examples[: EXAMPLES - len(mine["examples"])]
    return dict(sorted(total.items(), key=lambda item: (-item[1]["files"], item[0])))


def _languages(kept: list[Row]) -> dict[str, dict[str, int]]:
    total: dict[str, dict[str, int]] = {}
    for facts in kept:
        for name, row in facts["languages"].items():
            mine = total.setdefault(name, {"files": 0, "bytes": 0})
            mine["files"] += row["files"]
            mine["bytes"] += row["bytes"]
    return dict(sorted(total.items(), key=lambda item: (-item[1]["bytes"], item[0])))


def _texts(texts: Iterable[Row], duplicates: int) -> Row:
    every = list(texts)
    dropped: dict[str, Row] = {}
    sources: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    problems: Counter[str] = Counter()
    for facts in every:
        sources[facts["name"]] += facts["documents"]
        kinds.update(facts["kinds"])
        problems.update(facts["problems"])
        for reason, row in facts["dropped"].items():
            mine = dropped.setdefault(reason, {"files": 0, "bytes": 0, "examples": []})
            mine["files"] += row["files"]
            mine["bytes"] += row["bytes"]
            mine["examples"] += row["examples"][: EXAMPLES - len(mine["examples"])]
    return {
        "documents": sum(facts["documents"] for facts in every),
        "bytes": sum(facts["bytes_read"] for facts in every),
        "near_duplicates": duplicates,
        "kinds": dict(sorted(kinds.items())),
        "sources": dict(sources.most_common(TOP)),
        "dropped": dict(sorted(dropped.items(), key=lambda item: -item[1]["files"])),
        "test_data": dict(problems.most_common(TOP)),
    }


def _contamination(built: list[Row]) -> Row:
    problems: Counter[str] = Counter()
    exact: Counter[str] = Counter()
    examples: list[Row] = []
    for facts in built:
        problems.update(facts["problems"])
        exact.update(facts["exact"])
        hits = facts["hits"][: TOP - len(examples)]
        examples += [{"repository": facts["name"], **hit} for hit in hits]
    merged = merge((facts["name"], facts["by_problem"]) for facts in built)
    return {
        "files": problems.total(),
        "problems": dict(problems.most_common(TOP)),
        "exact": dict(exact.most_common(TOP)),
        "examples": examples,
        "by_problem": dict(list(merged.items())[:MOST_PROBLEMS]),
    }


def _privacy(built: list[Row]) -> Row:
    kinds: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    examples: list[Row] = []
    for facts in built:
        kinds.update(facts["redacted"])
        rules.update(facts["redacted_by"])
        shown = facts["redactions"][: TOP - len(examples)]
        examples += [{"repository": facts["name"], **one} for one in shown]
    return {
        "opted_out": [facts["name"] for facts in built if facts.get("opted_out")],
        "redacted": dict(kinds.most_common()),
        "by_rule": dict(rules.most_common()),
        "examples": examples,
    }


def _counts(kept: list[Row], name: str) -> dict[str, int]:
    """Sums over all repositories, the largest first."""
    total: Counter[str] = Counter()
    for facts in kept:
        total.update(facts[name])
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _order(built: list[Row], kept: list[Row], kind: str) -> Row:
    edges = sum(facts["edges"] for facts in kept)
    backwards = sum(facts["edges"] * facts["violations"] for facts in kept)
    return {
        "kind": kind,
        "edges": edges,
        "violations": round(backwards / edges, 6) if edges else 0.0,
        "cut_edges": sum(facts["cut_edges"] for facts in kept),
        "unscanned": sum(facts["unscanned"] for facts in built),
        "documents": sum(row["documents"] for f in kept for row in f["splits"].values()),
        "single_file": sum(row["single_file"] for f in kept for row in f["splits"].values()),
    }
