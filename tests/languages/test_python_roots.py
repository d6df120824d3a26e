"""Source roots that build files declare: read by hand-made examples, and used by the resolver."""

import pytest

from codekiln.languages.python import PythonResolver
from codekiln.languages.python_roots import declared_roots
from codekiln.languages.resolve import PathIndex


@pytest.mark.parametrize(
    ("path", "text", "folders", "packages"),
    [
        ("pyproject.toml", '[tool.setuptools]\npackage-dir = {"" = "code"}', ["code"], {}),
        (
            "pyproject.toml",
            '[tool.setuptools.packages.find]\nwhere = ["a", "b/c"]',
            ["a", "b/c"],
            {},
        ),
        ("pyproject.toml", '[tool.setuptools.package-dir]\np = "x/y"', [], {"p": "x/y"}),
        ("pyproject.toml", '[tool.setuptools.package-dir]\np = "x/p"', ["x"], {}),
        (
            "pyproject.toml",
            '[[tool.poetry.packages]]\ninclude = "p"\nfrom = "lib"\n'
            '[[tool.poetry.packages]]\ninclude = "q"',
            ["lib", ""],
            {},
        ),
        (
            "pyproject.toml",
            '[tool.hatch.build.targets.wheel]\npackages = ["code/p", "q"]',
            ["code", ""],
            {},
        ),
        ("pyproject.toml", '[tool.hatch.build]\nsources = ["code"]', ["code"], {}),
        ("pyproject.toml", '[tool.hatch.build.sources]\n"code/x" = "p"', [], {"p": "code/x"}),
        ("pyproject.toml", '[tool.pdm.build]\npackage-dir = "code"', ["code"], {}),
        ("pyproject.toml", '[tool.uv.build-backend]\nmodule-root = "code"', ["code"], {}),
        ("pyproject.toml", '[tool.maturin]\npython-source = "py"', ["py"], {}),
        ("pyproject.toml", '[tool.scikit-build.wheel]\npackages = ["py/p"]', ["py"], {}),
        ("pyproject.toml", '[tool.pytest.ini_options]\npythonpath = "a b"', ["a", "b"], {}),
        ("sub/pyproject.toml", '[tool.uv.build-backend]\nmodule-root = ""', ["sub"], {}),
        ("setup.cfg", "[options]\npackage_dir =\n    = code\n    p = x", ["code"], {"p": "x"}),
        ("setup.cfg", "[options.packages.find]\nwhere = code", ["code"], {}),
        ("setup.py", "setup(package_dir={'': 'code', \"p\": 'x'})", ["code"], {"p": "x"}),
        ("sub/setup.py", "setup(packages=find_packages('code'))", ["sub/code"], {}),
        ("setup.py", 'find_namespace_packages(where="code", include=["p"])', ["code"], {}),
        ("setup.py", "package_dir = {'p': '../x', 'q': '/etc'}", [], {}),
        ("pyproject.toml", "not toml [", [], {}),
        ("pyproject.toml", "tool = 3", [], {}),
        ("pyproject.toml", "[tool]\npoetry = 3\nhatch = []", [], {}),
        ("pyproject.toml", "[tool.hatch.build]\nsources = 3", [], {}),
        ("pyproject.toml", "[tool.pytest.ini_options]\npythonpath = [3]", [], {}),
        ("setup.cfg", "no section", [], {}),
        ("setup.cfg", "[options]\npackage_dir", [], {}),
        ("setup.py", "package_dir={" * 10_000, [], {}),
    ],
)
def test_what_build_files_declare(
    path: str, text: str, folders: list[str], packages: dict[str, str]
) -> None:
    found = declared_roots({path: text})
    assert sorted(found.folders) == sorted(folders)
    assert found.packages == packages


def needed(paths: str, source: str, statement: str, **build: str) -> list[str]:
    texts = {name.replace("__", "."): text for name, text in build.items()}
    resolver = PythonResolver(PathIndex(paths.split(), texts))
    (reference,) = resolver.imports(statement)
    return list(resolver.resolve(reference, source))


def test_declared_folders_are_searched_elsewhere_and_before_others() -> None:
    paths = "tests/t.py code/util.py lib/util.py"
    build = {"pyproject__toml": '[tool.setuptools]\npackage-dir = {"" = "code"}'}
    assert needed(paths, "tests/t.py", "import util") == ["lib/util.py"]
    assert needed(paths, "tests/t.py", "import util", **build) == ["code/util.py"]
    near = "lib/x/t.py lib/util.py code/util.py"
    assert needed(near, "lib/x/t.py", "import util", **build) == ["lib/util.py"]  # nearer


def test_a_package_may_have_a_folder_of_another_name() -> None:
    paths = "src/__init__.py src/a.py src/sub/__init__.py src/sub/b.py t/test.py"
    build = {"setup__py": "setup(package_dir={'pkg': 'src'})"}
    assert needed(paths, "t/test.py", "import pkg.sub.b", **build) == ["src/sub/b.py"]
    assert needed(paths, "t/test.py", "from pkg import a", **build) == ["src/a.py"]
    assert needed(paths, "src/a.py", "import pkg", **build) == ["src/__init__.py"]
    assert needed(paths, "t/test.py", "import pkg.sub.b") == []
    gone = {"setup__py": "setup(package_dir={'pkg': 'build/lib'})"}
    assert needed(paths + " pkg/a.py", "t/test.py", "import pkg.a", **gone) == ["pkg/a.py"]
