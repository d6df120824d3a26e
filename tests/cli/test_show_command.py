"""`codekiln show`."""

from pathlib import Path

import pytest

from codekiln.cli.main import main
from codekiln.recipe import Recipe


def test_it_prints_a_recipe_with_all_defaults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codekiln.log.setup", lambda **_: None)
    path = tmp_path / "run.toml"
    path.write_text("[optimizer]\nlearning_rate = 1e-3\n")
    main(["show", str(path), "--set", "optimizer.schedule=cosine"])
    printed = capsys.readouterr().out
    assert "learning_rate = 0.001\n" in printed
    assert "betas = [0.9, 0.95]\n" in printed
    again = tmp_path / "again.toml"
    again.write_text(printed)
    expected = Recipe.load(path, ["optimizer.schedule=cosine"])
    assert Recipe.load(again).fingerprint() == expected.fingerprint()


def test_a_wrong_key_is_a_message_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codekiln.log.setup", lambda **_: None)
    path = tmp_path / "run.toml"
    path.write_text("[optimizer]\nlearning_rat = 1e-3\n")
    with pytest.raises(SystemExit) as stop:
        main(["show", str(path)])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert "[optimizer] learning_rat: unknown key" in error
    assert "did you mean 'learning_rate'?" in error
