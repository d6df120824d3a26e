"""What the documents name exists; recipes are valid."""

import re
from pathlib import Path

import pytest

from codekiln.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]


def test_docs_paper_names_files_that_exist() -> None:
    text = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/]+\.(?:py|toml))`", text))
    assert len(named) > 40
    missing = [
        name
        for name in sorted(named)
        if not any((ROOT / base / name).exists() for base in ("src/codekiln", "tests"))
    ]
    assert not missing


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md", "docs/paper.md"])
def test_links_inside_the_project_lead_somewhere(document: str) -> None:
    path = ROOT / document
    links = re.findall(r"\]\((?!https?://)([^)#]+)", path.read_text(encoding="utf-8"))
    assert not [link for link in links if not (path.parent / link).exists()]


def test_architecture_names_every_room() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rooms = [p.name for p in (ROOT / "src" / "codekiln").iterdir() if (p / "__init__.py").exists()]
    assert len(rooms) >= 10
    assert not [room for room in rooms if f"  {room}/" not in text]


@pytest.mark.parametrize(
    "recipe", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda path: path.name
)
def test_recipes_are_valid(recipe: Path) -> None:
    assert Recipe.from_values({}).fingerprint() != Recipe.load(recipe).fingerprint()
