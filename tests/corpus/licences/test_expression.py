"""Licence expressions against Python's own and, or."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.licenses import canonicalize_license_expression

from codekiln.corpus.licences import expression
from codekiln.corpus.licences.expression import canonical, evaluate, ids, is_permissive, join

LICENCES = ["MIT", "Apache-2.0", "GPL-2.0-only", "MPL-2.0", "LicenseRef-x"]
trees = st.recursive(
    st.sampled_from(LICENCES),
    lambda inner: st.tuples(inner, st.sampled_from([" AND ", " OR "]), inner).map(
        lambda parts: f"({parts[0]}{parts[1]}{parts[2]})"
    ),
    max_leaves=8,
)
flat = st.lists(st.sampled_from(LICENCES), min_size=1, max_size=5).flatmap(
    lambda names: st.lists(
        st.sampled_from([" AND ", " OR "]), min_size=len(names) - 1, max_size=len(names) - 1
    ).map(lambda ops: "".join(a + b for a, b in zip(names, [*ops, ""], strict=True)))
)


@given(st.one_of(trees, flat), st.sets(st.sampled_from(LICENCES)))
def test_the_same_truth_as_python_s(text: str, true: set[str]) -> None:
    words = re.findall(r"[()]|[^\s()]+", text)
    python = {"(": "(", ")": ")", "AND": "and", "OR": "or"}
    wanted = eval(" ".join(python.get(word, str(word in true)) for word in words))
    assert evaluate(text, true.__contains__) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("mit", True),
        ("GPL-3.0-or-later", False),
        ("GPL-3.0-or-later OR MIT", True),
        ("GPL-3.0-or-later AND MIT", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-or-later WITH Classpath-exception-2.0", False),
        ("Apache-2.0+", True),
        ("MPL-2.0", False),
        ("NOASSERTION", False),
        ("no licence at all", False),
        ("", False),
        ("(" * 5000, False),
        ("MIT OR " * 5000 + "MIT", False),
    ],
)
def test_permissive(text: str, wanted: bool) -> None:
    assert is_permissive(text) == wanted


def test_every_name_of_the_table_is_spdx_s() -> None:
    table = expression.table()
    names = [
        *expression.permissive_ids(),
        *table["names"].values(),
        *(t["id"] for t in table["text"]),
    ]
    assert [name for name in names if canonicalize_license_expression(name) != name] == []


def test_the_parts_of_an_expression() -> None:
    text = "(MIT OR GPL-2.0-only WITH Classpath-exception-2.0) AND 0BSD"
    assert ids(text) == {"MIT", "GPL-2.0-only", "0BSD"}
    assert join(["MIT", "0BSD OR ISC", "MIT"], "AND") == "(0BSD OR ISC) AND MIT"
    assert canonical("mit or isc") == "MIT OR ISC"
