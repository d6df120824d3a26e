"""The command line as a whole: fast help, errors as messages, examples everywhere."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from codekiln.cli import main as command_line


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "codekiln.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_help_imports_neither_torch_nor_numpy() -> None:
    program = (
        "import sys\nfrom codekiln.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'numpy', 'pydantic', 'rich') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"
    for name in command_line.COMMANDS:
        assert name in done.stdout


def every_command(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        return [path]
    context = click.Context(command)
    found = [path] if path else []
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None, name
        found += every_command(child, (*path, name))
    return found


@pytest.mark.parametrize("path", every_command(command_line.cli), ids=" ".join)
def test_every_command_has_an_example_in_its_help(path: tuple[str, ...]) -> None:
    done = CliRunner().invoke(command_line.cli, [*path, "--help"])
    assert done.exit_code == 0, done.output
    assert "Example" in done.output
    assert f"codekiln {path[0]}" in done.output.partition("Example")[2]


def test_help_of_commands_does_not_import_torch() -> None:
    program = (
        "import sys, click\nfrom codekiln.cli import main as m\n"
        "for name in m.COMMANDS:\n"
        "    command = m.cli.get_command(click.Context(m.cli), name)\n"
        "    command.get_help(click.Context(command))\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"


def test_errors_a_user_can_mend_exit_2_without_a_traceback() -> None:
    done = run("show", "no-such-recipe.toml")
    assert done.returncode == 2
    assert "no such file" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_command_exits_2() -> None:
    assert run("brew-coffee").returncode == 2


def test_a_place_that_cannot_be_written_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("x = 1\n" * 30)
    done = run("quickstart", str(tmp_path / "src"), "--out", str(tmp_path / "file" / "x"))
    assert done.returncode == 2
    assert "Not a directory" in done.stderr
    assert "Traceback" not in done.stderr
