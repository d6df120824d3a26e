"""The rule for changed names against a slow definition, and planted solutions of every kind."""

from __future__ import annotations

import ast
import builtins
import gzip
import io
import json
import keyword
import random
import re
import sys
import sysconfig
import tokenize
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.corpus.contamination import renamed
from codekiln.corpus.contamination.by_problem import hits_by_problem, merge
from codekiln.corpus.contamination.decontaminate import Decontaminator, Hit
from codekiln.corpus.contamination.renamed import Renamed, token_blocks
from codekiln.corpus.contamination.settings import ContaminationSettings
from codekiln.corpus.duplicates.grams import blocks

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "benchmarks"
KEYWORDS = set(renamed._KEYWORDS.split())


def find(test_data: Decontaminator, texts: list[str]) -> dict[int, Hit]:
    hits = {}
    for numbers, found in blocks(t.encode() for t in texts):
        for hit in test_data.check([texts[n] for n in numbers], found):
            hits[numbers[hit.text]] = hit
    return hits


# ---- the definition, slowly ----


def slow_tokens(text: str) -> list[tuple[str, bool]]:
    """(token, whether it is a name)."""
    blank = re.sub(
        r'"""(?:.|\n)*?(?:"""|\Z)|/\*(?:.|\n)*?(?:\*/|\Z)|#[^\n]*|//[^\n]*|"(?:[^"\\\n]|\\.)*"',
        lambda m: '"' if m[0][0] == '"' else " ",
        text,
    )
    out = []
    for match in re.finditer(r"(?:\w|[^\x00-\x7f])+|[!-~]", blank):
        token = "".join(c.lower() if c.isascii() else c for c in match[0])
        word = re.match(r"\w|[^\x00-\x7f]", token) is not None
        kept = token in KEYWORDS or token[0].isdigit() or blank[: match.start()].endswith(".")
        out.append((token, word and not kept))
    return out


def slow_runs(text: str, length: int) -> list[tuple[object, ...]]:
    parts = slow_tokens(text)
    runs = []
    for start in range(len(parts) - length + 1):
        numbers: dict[str, int] = {}
        runs.append(
            tuple(
                numbers.setdefault(token, len(numbers)) if name else token
                for token, name in parts[start : start + length]
            )
        )
    return runs


def slow_worth(run: tuple[object, ...]) -> bool:
    names = [part for part in run if isinstance(part, int)]
    signs = [p for p in run if isinstance(p, str) and re.fullmatch(r"[!-/:-@\[-^`{-~]", p)]
    kept = len(run) - len(names) - len(signs)
    return (
        kept >= 0.2 * len(run)
        and 0.25 * len(run) <= len(signs) <= 0.75 * len(run)
        and 2 <= len(set(names)) < len(names)
    )


code = st.lists(
    st.sampled_from(
        ["a", "b", "C", "é", "for", "if", "1", ".x", ". y", "(", ")", "=", "\n", " ", "# n\n",
         "// q\n", "/*r*/", '"s t"', '""" u\n"v """', "[", ","]
    ),
    max_size=40,
).map(" ".join)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(code, max_size=3), st.lists(code, max_size=3), st.integers(4, 12))
def test_the_same_texts_as_by_definition(tests: list[str], texts: list[str], length: int) -> None:
    raw = [text.encode() for text in tests]
    test_data = Renamed.from_texts(raw, np.arange(len(raw)), length)
    wanted = {run for text in tests for run in slow_runs(text, length) if slow_worth(run)}
    found = {
        numbers[text]
        for numbers, each in token_blocks([t.encode() for t in texts])
        for text in test_data.find(each)
    }
    assert found == {n for n, text in enumerate(texts) if wanted & set(slow_runs(text, length))}


SOLUTION = """
def most_common(items):
    counts = {}
    for item in items:
        counts[item] = counts.get(item, 0) + 1
    return max(counts, key=counts.get)
"""


def test_other_names_another_layout_and_comments_hide_nothing() -> None:
    test_data = Decontaminator.from_strings([("other", "x"), ("p", SOLUTION)], renamed=20)
    changed = re.sub(r"\bcounts\b", "seen", SOLUTION).replace("items", "values")
    changed = re.sub(r"\bitem\b", "v", changed).replace("most_common", "mode")
    changed = changed.replace("    ", "\t").replace("{}", "{ }  # how often", 1)
    mixed_up = changed.replace("in values", "in seen").replace("seen.get(v", "v.get(seen")
    mixed_up = mixed_up.replace("max(seen", "max(v")
    hits = find(test_data, [changed, "y = 1\n" * 50, mixed_up])
    assert list(hits) == [0]
    assert (hits[0].problem, hits[0].rule) == ("p", "renamed")
    assert "{ } for v in values: seen[v] = seen.get(v, 0" in hits[0].shared
    without = Decontaminator.from_strings([("p", SOLUTION)])
    assert find(without, [changed]) == {}
    assert find(test_data, [SOLUTION])[0].rule == "10-gram"


def test_short_runs_are_refused() -> None:
    assert ContaminationSettings().renamed == 0
    with pytest.raises(ValueError, match="at least 15"):
        ContaminationSettings(renamed=5)


def test_hits_are_told_by_problem() -> None:
    hits = [
        ("a.py", Hit(text=0, problem="p", rule="exact", shared="x")),
        ("b.py", Hit(text=1, problem="q", rule="10-gram", shared="y")),
        *((f"c{n}.py", Hit(text=2, problem="p", rule="10-gram", shared="z")) for n in range(4)),
    ]
    rows = hits_by_problem(hits)
    assert rows["p"]["files"] == 5
    assert rows["p"]["rules"] == {"exact": 1, "10-gram": 4}
    assert [e["path"] for e in rows["p"]["examples"]] == ["a.py", "c0.py", "c1.py"]
    both = merge([("one", hits_by_problem(hits[1:2])), ("two", json.loads(json.dumps(rows)))])
    assert list(both) == ["p", "q"]
    assert both["q"]["files"] == 2
    assert [e["path"] for e in both["q"]["examples"]] == ["one/b.py", "two/b.py"]


# ---- planted in real code ----


def humaneval() -> list[dict[str, str]]:
    path = SHARED / "humaneval" / "HumanEval.jsonl.gz"
    if not path.exists():
        pytest.skip("HumanEval.jsonl.gz is not at hand")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def without_docstrings(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree) + "\n"


def with_other_names(source: str) -> str:
    tree = ast.parse(source)
    names = {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    names |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    names |= {
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    names -= {*keyword.kwlist, *dir(builtins)}
    new = {name: f"value_{number}" for number, name in enumerate(sorted(names))}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return tokenize.untokenize(
        (t.type, new.get(t.string, t.string) if t.type == tokenize.NAME else t.string)
        for t in tokens
    )


def over_lines(source: str) -> str:
    return re.sub(r"([,(\[])(?=[^\n]*[)\]])", r"\1\n        ", source)


KINDS = {
    "verbatim": lambda s: s,
    "reformatted": lambda s: s.replace("    ", "\t").replace("'", '"').replace(" = ", "="),
    "split over lines": over_lines,
    "in comments": lambda s: "".join(f"# {line}\n" for line in s.splitlines()),
    "renamed": with_other_names,
}


@pytest.mark.shared
def test_planted_solutions_of_every_kind() -> None:
    """The shares that the documentation quotes; the solution alone, without its docstring."""
    problems = humaneval()
    bodies = ["def helper():\n" + row["canonical_solution"] for row in problems]
    whole = [without_docstrings(row["prompt"] + row["canonical_solution"]) for row in problems]
    folder = Path(sysconfig.get_paths()["stdlib"])
    hosts = [p.read_text(encoding="utf-8", errors="replace") for p in sorted(folder.glob("*.py"))]
    chance = random.Random(0)
    where = [str(SHARED / "humaneval")]
    shares: dict[str, dict[str, float]] = {}
    clean: dict[str, int] = {}
    for rule, run in (("paper", 0), ("with renamed", 20)):
        test_data = Decontaminator.load(where, renamed=run)
        hit = find(test_data, hosts)
        clean[rule] = len(hit)
        untouched = [text for number, text in enumerate(hosts) if number not in hit]
        for kind, change in KINDS.items():
            sources = whole if kind == "renamed" else bodies
            planted = [chance.choice(untouched) + "\n" + change(source) for source in sources]
            shares.setdefault(kind, {})[rule] = len(find(test_data, planted)) / len(planted)
    print(f"{shares}; of {len(hosts)} clean files hit: {clean}", file=sys.stderr)
    assert shares["verbatim"]["paper"] == 1
    for kind in ("reformatted", "split over lines", "in comments"):
        assert shares[kind]["paper"] >= 0.9, kind  # below 10 words, layout within a line counts
    assert shares["renamed"]["with renamed"] >= shares["renamed"]["paper"] + 0.15
    assert shares["renamed"]["with renamed"] >= 0.68
    assert clean["with renamed"] - clean["paper"] <= 0.01 * len(hosts)
