"""Paths of rows: clean, or refused."""

from __future__ import annotations

import posixpath

from hypothesis import example, given
from hypothesis import strategies as st

from codekiln.corpus.sources.rows.tidy import clean_row_path

PARTS = st.sampled_from(["", ".", "..", "a", "b.py", "..a", "a..", "C:", "c:d", "\\", "x" * 300])


@given(st.lists(PARTS, min_size=1).map("/".join).filter(bool) | st.text(min_size=1))
@example("a/..")
@example("..")
@example("a/./b")
def test_a_path_stays_inside_and_is_the_one_that_posix_means(path: str) -> None:
    clean, problem = clean_row_path(path)
    assert bool(clean) != bool(problem)
    if clean:
        assert not clean.startswith("/") and "\\" not in clean
        assert clean == posixpath.normpath(clean)
        assert ".." not in clean.split("/")
        assert clean == posixpath.normpath("/" + path.replace("\\", "/")).lstrip("/")
        assert clean_row_path(clean) == (clean, "")
