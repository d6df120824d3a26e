"""A small run folder, as the tests of training have it."""

from tests.training.conftest import packed, recipe, run_folder

__all__ = ["packed", "recipe", "run_folder"]
