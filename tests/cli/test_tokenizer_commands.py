"""`codekiln tokenizer train` and `codekiln tokens pack` on a run folder with a small corpus."""

import json
from dataclasses import dataclass

import pytest
from click.testing import CliRunner

from codekiln.cli.tokenizer import tokenizer
from codekiln.cli.tokens import tokens
from codekiln.corpus.store import DOCUMENTS, DocumentWriter, write_index
from codekiln.errors import RecipeError, SourceError, TokenizerError
from codekiln.tokenizer.settings import TokenizerSettings
from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.tokenizer.train import train
from codekiln.tokens.pack import open_shards
from codekiln.types import Document, Span


@dataclass
class Run:
    directory: object
    recipe: object

    def __call__(self, command, *arguments):
        return CliRunner().invoke(
            command, [*arguments[:1], str(self.recipe), *arguments[1:]], catch_exceptions=False
        )


@pytest.fixture
def run(tmp_path):
    recipe = tmp_path / "recipe.toml"
    directory = tmp_path / "run"
    recipe.write_text(
        f"[run]\ndirectory = '{directory}'\nprocesses = 1\n[tokenizer]\nvocab_size = 275\n"
    )
    return Run(directory, recipe)


@pytest.fixture
def bytes_folder(tmp_path):
    """The folder of a tokenizer of nothing but bytes."""
    train(["x"], TokenizerSettings(vocab_size=265)).save(tmp_path / "bytes")
    return tmp_path / "bytes"


def write_corpus(directory, shards=2):
    folder = directory / "corpus" / DOCUMENTS
    folder.mkdir(parents=True)
    rows = {}
    for number in range(shards):
        name = f"{number:05d}.parquet"
        with DocumentWriter(folder / name) as writer:
            for i in range(10):
                header = f"#pkg{i}/a.py\n"
                text = f"{header}def f{i}(x):\n    return x + {number}\n"
                text += "zz zz zz zz\n" * 9 * (i == 9)
                span = Span(
                    path=header[1:-1], language="python", start=0, body=len(header), end=len(text)
                )
                document = Document(id=f"{number}.{i}", text=text, source=f"pkg{i}", spans=(span,))
                writer.add(document, "held_out" if i == 9 else "train")
        rows[name] = 10
    write_index(folder, rows)


def test_from_corpus_to_shards(run):
    write_corpus(run.directory)
    result = run(tokenizer, "train")
    assert result.exit_code == 0 and "275 ids" in result.output
    trained = Tokenizer.load(run.directory / "tokenizer")
    assert "nothing to do" in run(tokenizer, "train").output
    result = run(tokens, "pack")
    assert result.exit_code == 0
    assert "train: 18 documents, 18 files" in result.output
    assert "held_out: 2 documents, 2 files (0.0% FIM)" in result.output
    shards = open_shards(run.directory / "tokens", "held_out", trained.sha256)
    texts = [trained.decode(shard[i]) for shard in shards for i in range(len(shard))]
    assert texts == [
        f"#pkg9/a.py\ndef f9(x):\n    return x + {n}\n" + "zz zz zz zz\n" * 9 for n in range(2)
    ]
    assert "nothing to do" in run(tokens, "pack").output
    assert "nothing to do" not in run(tokens, "pack", "--set", "tokens.fim_rate=1.0").output
    report = json.loads((run.directory / "tokens" / "report.json").read_text())
    assert report["train"]["fim_share"] == 1.0


def test_pack_says_what_packing_and_weights_come_to(run):
    write_corpus(run.directory)
    run(tokenizer, "train")
    settings = ("tokens.sequence_length=64", "tokens.weights={ code = 1.5 }")
    arguments = [part for setting in settings for part in ("--set", setting)]
    lines = run(tokens, "pack", *arguments).output.splitlines()
    assert "sequences of 64: 0 of 18 documents are longer" in lines
    [row] = [line.split() for line in lines if line.startswith("concatenate (this recipe)")]
    report = json.loads((run.directory / "tokens" / "report.json").read_text())["sequences"]
    assert row[3] == str(report["packings"]["concatenate"]["sequences"])
    [row] = [line.split() for line in lines if line.startswith("python")]
    assert row == ["python", "18", f"{report['sources']['python']['tokens']:,}", "1.50", "100.0%"]


def test_held_out_text_does_not_shape_the_tokenizer(run):
    write_corpus(run.directory)
    run(tokenizer, "train")
    trained = Tokenizer.load(run.directory / "tokenizer")
    merged = {trained.token_bytes(i) for i in range(trained.vocab_size)}
    assert b"zz" not in merged and b"de" in merged


def test_steps_out_of_order_name_the_one_that_is_missing(run):
    with pytest.raises(SourceError, match="codekiln corpus build"):
        run(tokenizer, "train")
    write_corpus(run.directory)
    with pytest.raises(TokenizerError, match="codekiln tokenizer train"):
        run(tokens, "pack")


def test_mistyped_settings_are_named(run):
    with pytest.raises(RecipeError, match="fim_rate"):
        run(tokens, "pack", "--set", "tokens.fim_rat=0.5")
    with pytest.raises(RecipeError, match="less than or equal to 1"):
        run(tokens, "pack", "--set", "tokens.fim_rate=2")


def test_training_reports_on_what_is_held_out(run):
    write_corpus(run.directory)
    output = run(tokenizer, "train").output
    assert "bytes a token" in output and "python" in output
    report = json.loads((run.directory / "tokenizer" / "report.json").read_text())
    trained = Tokenizer.load(run.directory / "tokenizer")
    texts = [f"#pkg9/a.py\ndef f9(x):\n    return x + {n}\n" + "zz zz zz zz\n" * 9 for n in (0, 1)]
    size = sum(map(len, texts))
    tokens = sum(len(trained.encode(text)) for text in texts)
    assert report["languages"]["python"]["all_bytes"] == size
    assert report["tokenizers"][0]["bytes_per_token_by_language"] == {"python": size / tokens}


def test_report_compares_tokenizers(run, bytes_folder):
    write_corpus(run.directory)
    run(tokenizer, "train")
    other = str(bytes_folder)
    arguments = ["report", str(run.directory), other, "--corpus", str(run.directory)]
    result = CliRunner().invoke(tokenizer, [*arguments, "--json"], catch_exceptions=False)
    first, second = json.loads(result.output)["tokenizers"]
    assert (first["name"], second["name"]) == (str(run.directory), other)
    assert first["ratio_to_first"] == 1 > second["ratio_to_first"]
    table = CliRunner().invoke(tokenizer, arguments, catch_exceptions=False).output
    assert f"{second['bytes_per_token']:.3f}" in table and "python" in table


def test_report_on_files(bytes_folder, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("x = 1\n")
    (tmp_path / "src" / "b.c").write_text("int x;\n")
    (tmp_path / "src" / "c.bin").write_bytes(b"\xff\x00")
    (tmp_path / "plain").write_bytes(b"text\n")
    arguments = ["report", str(bytes_folder), "--json"]
    arguments += ["--files", str(tmp_path / "src"), "--files", str(tmp_path / "plain")]
    result = CliRunner().invoke(tokenizer, arguments, catch_exceptions=False)
    languages = json.loads(result.output)["languages"]
    assert {name: row["measured_bytes"] for name, row in languages.items()} == {
        "python": 6,
        "c": 7,
        "other": 5,
    }


def test_report_names_what_is_missing(run, bytes_folder, tmp_path):
    def report(*arguments):
        return CliRunner().invoke(tokenizer, ["report", *map(str, arguments)])

    assert "either --corpus RUN or --files PATH" in report(bytes_folder).output
    missing = report(bytes_folder, "--files", tmp_path / "nowhere").exception
    assert isinstance(missing, SourceError) and "no such file" in str(missing)
    (tmp_path / "empty").mkdir()
    empty = report(bytes_folder, "--files", tmp_path / "empty").exception
    assert isinstance(empty, SourceError) and "no text" in str(empty)
    no_corpus = report(bytes_folder, "--corpus", run.directory).exception
    assert isinstance(no_corpus, SourceError) and "corpus build" in str(no_corpus)
    folder = run.directory / "corpus" / DOCUMENTS
    folder.mkdir(parents=True)
    with DocumentWriter(folder / "00000.parquet") as writer:
        writer.add(Document(id="1", text="x\n", source="s", kind="english"))
    write_index(folder, {"00000.parquet": 1})
    nothing = report(bytes_folder, "--corpus", run.directory).exception
    assert isinstance(nothing, SourceError) and "no held-out documents" in str(nothing)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "tokenizer.json").write_text("{")
    bad = report(damaged, "--files", run.recipe).exception
    assert isinstance(bad, TokenizerError) and "damaged" in str(bad)


def test_weights_shape_the_tokenizer(run):
    write_corpus(run.directory)
    with pytest.raises(RecipeError, match="did you mean 'python'"):
        run(tokenizer, "train", "--set", "tokenizer.weights.pyton=2.0")
    with pytest.raises(RecipeError, match="weights of 0 or more"):
        run(tokenizer, "train", "--set", "tokenizer.weights.python=-1.0")
    with pytest.raises(TokenizerError, match="0 for every language"):
        run(tokenizer, "train", "--set", "tokenizer.weights.python=0.0")
    assert not (run.directory / "tokenizer" / "tokenizer.json").exists()


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (group, [*name, "--help"])
        for group in (tokenizer, tokens)
        for name in ([], [*group.commands])
    ],
)
def test_help_shows_an_example(command, arguments):
    assert "Example:" in CliRunner().invoke(command, arguments).output
