"""Recipes: what is wrong is named, with the nearest right thing; what is right survives."""

from pathlib import Path

import pytest

from codekiln.errors import RecipeError
from codekiln.recipe import Recipe, RunSettings
from codekiln.training.settings import OptimizerSettings, TrainingSettings

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))


def write(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, text: str, *overrides: str) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        Recipe.load(write(folder, text), overrides)
    return caught.value


@pytest.mark.parametrize(
    ("text", "place", "suggestion"),
    [
        ("[optimizer]\nlearning_rat = 1e-3", "[optimizer] learning_rat", "'learning_rate'"),
        ("[training]\nbatchsize = 4", "[training] batchsize", "'batch_size'"),
        ("[optimiser]\nlearning_rate = 1e-3", "[optimiser]", "'optimizer'"),
        ("[tokens]\nfim_rat = 0.5", "[tokens] fim_rat", "'fim_rate'"),
    ],
)
def test_unknown_names_come_with_the_nearest(
    tmp_path: Path, text: str, place: str, suggestion: str
) -> None:
    error = refused(tmp_path, text)
    assert error.where == f"{tmp_path / 'run.toml'} {place}"
    assert error.got in ("unknown key", "unknown table")
    assert error.remedy == f"did you mean {suggestion}?"


@pytest.mark.parametrize(
    ("text", "key", "got"),
    [
        ('[optimizer]\nlearning_rate = "fast"', "[optimizer] learning_rate", "'fast'"),
        ("[optimizer]\nlearning_rate = 0", "[optimizer] learning_rate", "0"),
        ("[optimizer]\nbetas = [0.9]", "[optimizer] betas.1", "[0.9]"),
        ("[optimizer]\nbetas = [0.9, 1.0]", "[optimizer] betas.1", "1.0"),
        ('[optimizer]\nschedule = "stairs"', "[optimizer] schedule", "'stairs'"),
        ("[training]\nsteps = -1", "[training] steps", "-1"),
        ("[training]\nsteps = 1.5", "[training] steps", "1.5"),
        ("[training]\nbatch_size = [4]", "[training] batch_size", "[4]"),
        ('[training]\ndtype = "float8"', "[training] dtype", "'float8'"),
        ("[run]\nseed = -1", "[run] seed", "-1"),
    ],
)
def test_impossible_values_name_the_key_and_what_stood_there(
    tmp_path: Path, text: str, key: str, got: str
) -> None:
    error = refused(tmp_path, text)
    assert error.where.endswith(key)
    assert error.got == got
    assert error.wanted


def test_stages_must_rise(tmp_path: Path) -> None:
    error = refused(tmp_path, "[optimizer]\nstage_borders = [0.9, 0.8]")
    assert "stage_borders must rise" in error.wanted


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_numbers_that_are_none_are_refused(tmp_path: Path, number: str) -> None:
    for key in ("learning_rate", "weight_decay", "gradient_clip", "eps"):
        assert refused(tmp_path, f"[optimizer]\n{key} = {number}").where.endswith(key)
    assert refused(tmp_path, f"[training]\nmax_minutes = {number}").where.endswith("max_minutes")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("learning_rate=1", "not of the form"),
        ("optimizer.learning_rate", "not of the form"),
        ("=3", "not of the form"),
        ("optimizer.=3", "not of the form"),
        ("optimizer.learning_rat=1e-3", "unknown key"),
        ("optimiser.learning_rate=1e-3", "unknown table"),
        ("optimizer.learning_rate=fast", "'fast'"),
        ("training.steps=1e3x", "'1e3x'"),
    ],
)
def test_bad_overrides(tmp_path: Path, override: str, message: str) -> None:
    assert message in refused(tmp_path, "", override).got


def test_overrides_take_numbers_lists_and_bare_words(tmp_path: Path) -> None:
    path = write(tmp_path, "[optimizer]\nlearning_rate = 1e-3\nweight_decay = 0.2\n")
    recipe = Recipe.load(
        path,
        (
            "optimizer.learning_rate=3e-4",
            "optimizer.schedule=cosine",
            "optimizer.betas=[0.8, 0.9]",
            "training.compile=true",
            "run.directory=somewhere/else",
        ),
    )
    optimizer = recipe.table(OptimizerSettings)
    assert (optimizer.learning_rate, optimizer.schedule) == (3e-4, "cosine")
    assert optimizer.betas == (0.8, 0.9)
    assert optimizer.weight_decay == 0.2
    assert recipe.table(TrainingSettings).compile is True
    assert recipe.table(RunSettings).directory == Path("somewhere/else")


@pytest.mark.parametrize(
    ("content", "got"),
    [(b"[optimizer\n", "not TOML"), (b"\xff\xfe\x00", "not TOML"), (b"optimizer = 3", "a value")],
)
def test_files_that_are_no_recipe(tmp_path: Path, content: bytes, got: str) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=got):
        Recipe.load(path)
    with pytest.raises(RecipeError, match="a folder"):
        Recipe.load(tmp_path)
    with pytest.raises(RecipeError, match="no such file"):
        Recipe.load(tmp_path / "absent.toml")


def test_an_empty_recipe_is_all_defaults(tmp_path: Path) -> None:
    recipe = Recipe.load(write(tmp_path, ""))
    assert recipe.table(OptimizerSettings) == OptimizerSettings()
    assert recipe.table(TrainingSettings).steps == 0


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_resolved_recipe_reads_back_the_same(tmp_path: Path, path: Path) -> None:
    recipe = Recipe.load(path)
    recipe.save(tmp_path / "resolved.toml")
    again = Recipe.load(tmp_path / "resolved.toml")
    assert again.fingerprint() == recipe.fingerprint()
    assert again.to_toml() == recipe.to_toml()


def test_the_recipes_of_the_paper_and_the_laptop_are_there() -> None:
    assert {"deepseek-coder-1.3b", "pretrain-tiny"} <= {path.stem for path in RECIPES}


def test_the_recipe_of_the_paper_has_its_numbers() -> None:
    from codekiln.models.settings import ModelSettings
    from codekiln.tokens.settings import TokensSettings

    recipe = Recipe.load(next(path for path in RECIPES if path.stem == "deepseek-coder-1.3b"))
    optimizer, training = recipe.table(OptimizerSettings), recipe.table(TrainingSettings)
    assert (optimizer.learning_rate, optimizer.warmup_steps) == (5.3e-4, 2000)
    assert (optimizer.betas, optimizer.weight_decay) == ((0.9, 0.95), 0.1)
    assert optimizer.stage_factor**2 == pytest.approx(0.1)
    assert training.batch_size * training.gradient_accumulation == 1024
    assert recipe.table(TokensSettings).sequence_length == 4096
    config = recipe.table(ModelSettings).config(vocab_size=32009)
    assert (config.hidden_size, config.num_hidden_layers) == (2048, 24)
    assert (config.rope_theta, config.rope_scaling) == (10_000.0, None)


def test_a_value_where_a_table_belongs_is_refused_with_an_override_too(tmp_path: Path) -> None:
    for overrides in ((), ("corpus.order=path",)):
        error = refused(tmp_path, "corpus = 3", *overrides)
        assert error.where == f"{tmp_path / 'run.toml'} corpus"
        assert (error.got, error.wanted) == ("a value", "a table [corpus]")


@pytest.mark.parametrize(
    "text",
    [
        "[training]\nsteps = true",
        '[training]\nsteps = "10"',
        '[tokens]\nfim_rate = "0.5"',
        '[tokens]\nrestart_positions = "yes"',
        "[tokens]\nrestart_positions = 1",
        "[optimizer]\nbetas = [true, 0.9]",
        "[run]\ndirectory = 2026-01-01",
        '[run]\ndirectory = ""',
        '[corpus]\nlanguages = ["pyton"]',
    ],
)
def test_values_of_another_type_are_refused(tmp_path: Path, text: str) -> None:
    table, key = text.split("\n")
    where = refused(tmp_path, text).where
    assert where.startswith(f"{tmp_path / 'run.toml'} {table} {key.split(' ')[0]}")


def test_lists_paths_and_whole_numbers_stand_for_what_toml_lacks(tmp_path: Path) -> None:
    text = (
        '[run]\ndirectory = "a"\n[optimizer]\nbetas = [0, 0.9]\nlearning_rate = 1\n'
        '[training]\nsteps = 1e4\n[corpus]\nlanguages = ["python"]'
    )
    read = Recipe.load(write(tmp_path, text))
    assert read.table(RunSettings).directory == Path("a")
    assert read.table(OptimizerSettings).betas == (0.0, 0.9)
    assert read.table(TrainingSettings).steps == 10_000


def test_an_unknown_language_comes_with_the_nearest(tmp_path: Path) -> None:
    assert "'python'" in refused(tmp_path, '[corpus]\nlanguages = ["pyton"]').wanted


def test_a_path_through_a_file_is_an_error_of_the_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        Recipe.load(write(tmp_path, "") / "x")


def test_tables_within_tables_can_be_overridden_and_written(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text("[corpus.quality]\nmin_quality = 0.25\n")
    read = Recipe.load(path, ["corpus.quality.syntax=off", "corpus.mixture.preset=deepseek-coder"])
    assert "[corpus.quality]\n" in read.to_toml()
    read.save(tmp_path / "again.toml")
    assert Recipe.load(tmp_path / "again.toml").fingerprint() == read.fingerprint()
    assert 'syntax = "off"' in read.to_toml()
    with pytest.raises(RecipeError, match="min_quality: a value"):
        Recipe.load(path, ["corpus.quality.min_quality.is_no_table=1"])
    with pytest.raises(RecipeError, match="did you mean 'preset'"):
        Recipe.load(path, ["corpus.mixture.pre_set=none"])
