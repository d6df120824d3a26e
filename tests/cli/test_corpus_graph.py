"""`codekiln corpus graph` on a small repository, in all three formats."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

FILES = {
    "src/p/__init__.py": "VERSION = 1\n",
    "src/p/a.py": "from p import b\n",
    "src/p/b.py": "def f():\n    from p import a\n",
    "src/p/<i>.py": "import p.a\n",
    "tests/test_p.py": "import p.a, p\n",
    "README.md": "# p\n",
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("graph") / "project"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "codekiln.cli.main", "corpus", "graph", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_json_has_files_edges_sequences_and_violations(repository: Path) -> None:
    done = run(repository, "--format", "json")
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert list(value) == ["files", "edges", "sequences", "violations"]
    assert value["files"] == sorted(FILES)
    assert value["edges"] == [
        {"from": "src/p/<i>.py", "to": "src/p/a.py", "kind": "import"},
        {"from": "src/p/a.py", "to": "src/p/b.py", "kind": "import"},
        {"from": "src/p/b.py", "to": "src/p/a.py", "kind": "local"},
        {"from": "tests/test_p.py", "to": "src/p/__init__.py", "kind": "import"},
        {"from": "tests/test_p.py", "to": "src/p/a.py", "kind": "import"},
    ]
    assert value["sequences"][0] == ["README.md"]
    long = value["sequences"][1]
    assert long.index("src/p/b.py") < long.index("src/p/a.py") < long.index("tests/test_p.py")
    assert value["violations"] == 0.2


def test_an_empty_init_makes_a_package_but_is_not_shown(tmp_path: Path) -> None:
    package = tmp_path / "inner" / "pack"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "a.py").write_text("import pack.b\n")
    (package / "b.py").write_text("B = 1\n")
    value = json.loads(run(tmp_path, "--format", "json").stdout)
    assert value["files"] == ["inner/pack/a.py", "inner/pack/b.py"]
    assert [(e["from"], e["to"]) for e in value["edges"]] == [tuple(value["files"])]


def test_the_order_and_its_seed_are_heeded(repository: Path) -> None:
    def ordered(*options: str) -> list[list[str]]:
        return json.loads(run(repository, "--format", "json", *options).stdout)["sequences"]

    assert ordered("--order", "path")[1] == sorted(set(FILES) - {"README.md"})
    assert ordered("--order", "random", "--seed", "1") != ordered(
        "--order", "random", "--seed", "2"
    )


def test_text_names_counts_and_cycles(repository: Path) -> None:
    text = run(repository).stdout
    assert re.search(r"files +6 \(python 5, markdown 1\)", text)
    assert re.search(r"edges +5 \(import 4, local 1\)", text)
    assert re.search(r"cycles +1, the largest of 2 files\n +src/p/a.py, src/p/b.py\n", text)
    assert "20.00%" in text


class Page(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_is_one_page_with_names_escaped(repository: Path) -> None:
    done = run(repository, "--format", "html")
    page = Page()
    page.feed(done.stdout)
    assert page.links == []  # nothing is fetched
    assert "i" not in page.tags
    assert "src/p/<i>.py" in page.text
    assert page.tags.count("rect") == 5
    assert "2 files that need each other" in page.text
    assert "local, comes later" in page.text
    assert "1 single files" in page.text


def test_what_is_no_repository_is_one_message(tmp_path: Path) -> None:
    done = run(tmp_path / "nowhere")
    assert done.returncode == 2
    assert "no such file or folder" in done.stderr
    assert "Traceback" not in done.stderr
