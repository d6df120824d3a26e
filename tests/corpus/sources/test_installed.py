"""The repositories that every machine has."""

import os
from pathlib import Path

from codekiln.corpus.sources.installed import installed_repositories


def test_the_standard_library_comes_first_and_packages_follow() -> None:
    found = installed_repositories()
    assert found[0] == str(Path(os.__file__).parent)
    names = [Path(location).name for location in found[1:]]
    assert {"numpy", "pydantic", "torch"} <= set(names)
    assert not [name for name in names if name.endswith(".dist-info") or name == "__pycache__"]
    assert len(set(found)) == len(found)
