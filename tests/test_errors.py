"""Errors carry where, got, wanted, remedy, also between processes."""

import pickle

from codekiln.errors import CodekilnError, RecipeError, UserError


def test_message_has_all_four_parts() -> None:
    error = RecipeError("run.toml [model] layers", got="-1", wanted="at least 1", remedy="set 4")
    assert str(error).splitlines() == [
        "run.toml [model] layers: -1",
        "  wanted: at least 1",
        "  remedy: set 4",
    ]
    assert error.exit_code == 2
    assert CodekilnError.exit_code == 1


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(RecipeError("here", got="this", wanted="that")))
    assert type(error) is RecipeError
    assert isinstance(error, UserError)
    assert (error.where, error.got, error.wanted) == ("here", "this", "that")
