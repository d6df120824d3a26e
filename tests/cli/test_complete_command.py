from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest

from codekiln.cli.main import main
from codekiln.generation.engine import Engine
from codekiln.generation.infill import build_prompt
from codekiln.generation.sample import Sampling
from codekiln.models.weights import save_model
from codekiln.types import SourceFile

TEXT = "import helper\n\n\ndef main():\n    return helper.run()\n"


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "src").mkdir()
    (tmp_path / "src/main.py").write_text(TEXT)
    (tmp_path / "src/helper.py").write_text("def run():\n    return 1\n")
    return tmp_path


def codekiln(capsys, *arguments: object) -> tuple[int, str, str]:
    try:
        main([str(argument) for argument in arguments])
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_it_prints_what_the_engine_gives_for_the_training_prompt(
    capsys, repository, tiny_model_folder, tiny_tokenizer
):
    file = repository / "src/main.py"
    code, out, _ = codekiln(
        capsys, "complete", tiny_model_folder, file, "--at", "5:12",
        "--context", repository / "src", "--max-tokens", 20, "--raw", "--json",
    )  # fmt: skip
    assert code == 0
    facts = json.loads(out)
    at = TEXT.index("helper.run")
    helper = SourceFile(path="src/helper.py", text="def run():\n    return 1\n", language="python")
    prompt = build_prompt(
        tiny_tokenizer,
        prefix=TEXT[:at],
        suffix=TEXT[at:],
        path="src/main.py",
        context=[helper],
        max_tokens=236,
    )
    engine = Engine.load(tiny_model_folder, device="cpu")
    wanted = engine.complete(prompt.ids, Sampling(max_new_tokens=20))
    assert facts["completion"] == facts["raw"] == wanted.text
    assert facts["tokens"] == wanted.tokens
    assert facts["prompt_tokens"] == len(prompt.ids)
    assert facts["path"] == "src/main.py"
    assert facts["dropped"] == []


def test_prompts_are_laid_out_as_the_model_was_trained(
    capsys, repository, tiny_model, tiny_model_folder, tiny_tokenizer, tmp_path_factory, monkeypatch
):
    model = tmp_path_factory.mktemp("spm") / "model"
    style = {"fim_order": "spm", "file_order": "scc"}
    save_model(tiny_model, tiny_model_folder, model, style=style)
    prompts = []

    def watched(self, ids, sampling):
        prompts.append(list(ids))
        return complete(self, ids, sampling)

    complete = Engine.complete
    monkeypatch.setattr(Engine, "complete", watched)
    place = (repository / "src/main.py", "--at", "5:12", "--max-tokens", 1)
    for options in ((), ("--order", "psm")):
        assert codekiln(capsys, "complete", model, *place, *options)[0] == 0
    at, special = TEXT.index("helper.run"), tiny_tokenizer.special
    before = tiny_tokenizer.encode("#src/main.py\n" + TEXT[:at])
    after = tiny_tokenizer.encode(TEXT[at:])
    begin, hole, end = special.fim_begin, special.fim_hole, special.fim_end
    assert prompts == [
        [special.bos, begin, hole, *after, end, *before],
        [special.bos, begin, *before, hole, *after, end],
    ]


def test_a_model_that_cannot_infill_says_where_it_can_write_on(
    capsys, repository, tiny_model_folder, monkeypatch
):
    load = Engine.load.__func__

    def without_fim(cls, folder, **options):
        engine = load(cls, folder, **options)
        special = engine.tokenizer.special
        engine.tokenizer.special = replace(special, fim_begin=None, fim_hole=None, fim_end=None)
        return engine

    monkeypatch.setattr(Engine, "load", classmethod(without_fim))
    file = repository / "src/main.py"
    code, _, err = codekiln(capsys, "complete", tiny_model_folder, file, "--at", "5:12")
    assert code == 2
    assert "`--at 6:1` is the end" in err
    command = ("complete", tiny_model_folder, file, "--at", "6:1", "--max-tokens", 3)
    assert codekiln(capsys, *command)[0] == 0


def test_plain_output_is_the_text_and_line_keeps_one_line(capsys, repository, tiny_model_folder):
    file = repository / "src/main.py"
    place = ("complete", tiny_model_folder, file, "--at", "4:1", "--temperature", 1.5, "--seed", 1)
    _, facts, _ = codekiln(capsys, *place, "--json")
    _, plain, _ = codekiln(capsys, *place)
    text = json.loads(facts)["completion"]
    assert plain == text + ("" if text.endswith("\n") else "\n")
    _, line, _ = codekiln(capsys, *place, "--line")
    assert line == json.loads(facts)["raw"].split("\n")[0] + "\n"


def test_context_that_does_not_fit_is_named(capsys, repository, tiny_model_folder):
    (repository / "src/huge.py").write_text("x = 1\n" * 500)
    file = repository / "src/main.py"
    code, _, err = codekiln(
        capsys, "complete", tiny_model_folder, file, "--at", "5:1", "--context", repository
    )
    assert code == 0
    assert "left out" in err
    assert "src/huge.py" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("src/main.py", "--at", "99:1"), "a line from 1 to 6"),
        (("src/main.py", "--at", "1:99"), "a column from 1 to 14"),
        (("src/main.py", "--at", "five"), "is not LINE:COLUMN"),
        (("src/none.py", "--at", "1:1"), "cannot be read"),
        (("src/main.py", "--at", "1:1", "--context", "nowhere"), "no such file or folder"),
        (("src/main.py",), "Missing option '--at'"),
    ],
)
def test_bad_places_and_files_are_one_message_and_exit_2(
    capsys, repository, tiny_model_folder, monkeypatch, arguments, message
):
    monkeypatch.chdir(repository)
    code, out, err = codekiln(capsys, "complete", tiny_model_folder, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_a_folder_without_a_model_is_one_message(capsys, repository):
    code, _, err = codekiln(
        capsys, "complete", repository, repository / "src/main.py", "--at", "1:1"
    )
    assert code == 2
    assert "no config.json here or in model/" in err


def test_serving_without_the_extra_says_how_to_get_it(capsys, monkeypatch, tiny_model_folder):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    code, _, err = codekiln(capsys, "serve", tiny_model_folder)
    assert code == 2
    assert "pip install 'codekiln[serve]'" in err


def test_serving_on_a_port_that_is_taken_is_one_message(capsys, tiny_model_folder):
    pytest.importorskip("fastapi", reason="needs the extra `serve`")
    from codekiln.serving.server import bind

    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        code, _, err = codekiln(capsys, "serve", tiny_model_folder, "--port", port)
    assert code == 2
    assert "cannot listen there" in err
