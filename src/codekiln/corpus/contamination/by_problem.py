"""Which problem of the test data was found where: the table that a report shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from codekiln.corpus.contamination.decontaminate import Hit

EXAMPLES = 3
Rows = dict[str, dict[str, Any]]


def hits_by_problem(hits: Iterable[tuple[str, Hit]]) -> Rows:
    """From (path, hit): for each problem the files hit, by rule, with the first as examples.

    A file counts once, for the first problem found in it. Rows are JSON.
    """
    rows: Rows = {}
    for path, hit in hits:
        row = rows.setdefault(hit.problem, {"files": 0, "rules": {}, "examples": []})
        row["files"] += 1
        row["rules"][hit.rule] = row["rules"].get(hit.rule, 0) + 1
        if len(row["examples"]) < EXAMPLES:
            row["examples"].append({"path": path, "rule": hit.rule, "shared": hit.shared})
    return rows


def merge(tables: Iterable[tuple[str, Mapping[str, Mapping[str, Any]]]]) -> Rows:
    """The tables of several repositories as one, most files first; paths get the name before them.

    Args:
        tables: (repository's name, its rows).
    """
    merged: Rows = {}
    for name, table in tables:
        for problem, row in table.items():
            into = merged.setdefault(problem, {"files": 0, "rules": {}, "examples": []})
            into["files"] += row["files"]
            into["rules"] = dict(sorted((Counter(into["rules"]) + Counter(row["rules"])).items()))
            room = EXAMPLES - len(into["examples"])
            into["examples"] += [
                {**example, "path": f"{name}/{example['path']}"}
                for example in row["examples"][:room]
            ]
    order = sorted(merged, key=lambda problem: (-merged[problem]["files"], problem))
    return {problem: merged[problem] for problem in order}
