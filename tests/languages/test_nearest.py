"""The nearest of several paths, against a comparison of all of them."""

from hypothesis import given
from hypothesis import strategies as st

from codekiln.languages.nearest import Nearest
from codekiln.languages.resolve import parent, shared_depth

FOLDERS = st.lists(st.sampled_from("ab"), max_size=4).map("/".join)


@given(st.sets(FOLDERS, max_size=6), FOLDERS)
def test_the_nearest_shares_most_folders(folders: set[str], own: str) -> None:
    paths = [f"{folder}/x".lstrip("/") for folder in sorted(folders)]
    depths = [shared_depth(parent(path), own) for path in paths]
    best = [path for path, depth in zip(paths, depths, strict=True) if depth == max(depths)]
    assert Nearest(paths).to(own) == (best[0] if len(best) == 1 else None)
