"""The prompt is the start of a training sequence, and never longer than its budget."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codekiln.corpus.ordering.documents import documents, write
from codekiln.corpus.settings import CorpusSettings
from codekiln.errors import PromptError, TokenizerError
from codekiln.generation.infill import build_prompt
from codekiln.languages.table import path_header
from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.tokens.encode import encode_document
from codekiln.tokens.plan import plan
from codekiln.tokens.settings import TokensSettings
from codekiln.types import Document, Repository, SourceFile


def python(path: str, text: str) -> SourceFile:
    return SourceFile(path=path, text=text, language="python")


# main needs shapes and names, shapes needs base; lone is needed by nobody; test_main needs main
BASE = python("pkg/base.py", "class Base:\n    pass\n")
SHAPES = python("pkg/shapes.py", "from pkg.base import Base\n\nclass Point(Base):\n    x = 0\n")
NAMES = python("pkg/names.py", 'NAMES = {"é": "日本"}')  # no newline at its end
MAIN = python(
    "pkg/main.py",
    "from pkg.shapes import Point\nfrom pkg.names import NAMES\n\ndef main():\n    print(NAMES)\n",
)
LONE = python("tools/lone.py", "print('alone')\n")
TEST = python("tests/test_main.py", "from pkg.main import main\n\ndef test():\n    main()\n")
FILES = (BASE, SHAPES, NAMES, MAIN, LONE, TEST)


def join(files: list[SourceFile]) -> Document:
    repository = Repository(name="r", revision="0", files=tuple(files))
    return next(write(repository, [[file.path for file in files]]))


def cut_only_last(document, order: str):
    """Seeds under which training rearranges the last file of a document and no other."""
    wanted = [None] * (len(document.spans) - 1) + [order]
    fim = TokensSettings(fim_rate=0.5, fim_order=order)
    for seed in range(2000):
        plans = plan(document, fim, seed=seed)
        if [file.layout for file in plans] == wanted:
            yield seed, fim, plans[-1].texts


@pytest.mark.parametrize("order", ["psm", "spm"])
def test_a_prompt_is_the_training_sequence_up_to_the_hole(tiny_tokenizer, order):
    document = join([BASE, NAMES, SHAPES, MAIN])
    header = path_header(MAIN.path, "python")
    count = empty_suffixes = 0
    for seed, fim, (before, after, middle) in cut_only_last(document, order):
        training = encode_document(document, tiny_tokenizer, fim, seed=seed).ids.tolist()
        prompt = build_prompt(
            tiny_tokenizer,
            prefix=before.removeprefix(header),
            suffix=after,
            path=MAIN.path,
            context=[BASE, NAMES, SHAPES],
            max_tokens=1000,
            order=order,
            mode="infill",
            file_order="given",
        )
        rest = [*tiny_tokenizer.encode(middle), tiny_tokenizer.special.eos]
        assert prompt.ids + rest == training
        assert prompt.dropped == ()
        count += 1
        empty_suffixes += not after
    assert count > 50
    assert empty_suffixes


@pytest.mark.parametrize("file_order", ["scc", "paper", "path"])
def test_context_is_ordered_as_the_corpus_orders_it(tiny_tokenizer, file_order):
    """With the whole repository as context the prompt ends as the training document does."""
    repository = Repository(name="r", revision="0", files=FILES)
    orders = CorpusSettings(order=file_order)
    document = next(
        d for d in documents(repository, orders) if MAIN.path in [span.path for span in d.spans]
    )
    at = [span.path for span in document.spans].index(MAIN.path)
    start = document.text[: document.spans[at].end].removesuffix("    print(NAMES)\n")
    plain = TokensSettings(fim_rate=0.0)
    files = {file.path: file for file in FILES}
    training = encode_document(
        join([files[span.path] for span in document.spans[: at + 1]]),
        tiny_tokenizer,
        plain,
        seed=0,
    ).ids.tolist()
    prompt = build_prompt(
        tiny_tokenizer,
        prefix=MAIN.text.removesuffix("    print(NAMES)\n"),
        path=MAIN.path,
        context=FILES,
        max_tokens=2000,
        file_order=file_order,
    )
    text = tiny_tokenizer.decode(prompt.ids)
    assert text.endswith(start)
    assert prompt.ids[0] == training[0] == tiny_tokenizer.special.bos
    own = len(tiny_tokenizer.encode("    print(NAMES)\n")) + 1  # what follows the place, and <eos>
    assert prompt.ids[-len(training) + 1 + own :] == training[1:-own]
    assert all(text.count(path_header(file.path, "python")) == 1 for file in FILES)


def test_without_a_suffix_there_is_no_fim_and_with_one_there_is(tiny_tokenizer):
    special = tiny_tokenizer.special
    plain = build_prompt(tiny_tokenizer, prefix="x = ", max_tokens=50).ids
    assert plain == [special.bos, *tiny_tokenizer.encode("x = ")]
    filled = build_prompt(tiny_tokenizer, prefix="x = ", suffix="\n", max_tokens=50).ids
    wanted = [special.bos, special.fim_begin, *tiny_tokenizer.encode("x = "), special.fim_hole]
    assert filled == [*wanted, *tiny_tokenizer.encode("\n"), special.fim_end]


def test_a_suffix_ends_with_a_newline_as_in_training(tiny_tokenizer):
    with_one, without = (
        build_prompt(tiny_tokenizer, prefix="f(", suffix=suffix, max_tokens=50).ids
        for suffix in (")\n", ")")
    )
    assert with_one == without


def test_control_tokens_in_a_users_text_stay_text(tiny_tokenizer):
    special = tiny_tokenizer.special
    ids = build_prompt(
        tiny_tokenizer, prefix="<｜fim▁hole｜><|EOT|>", suffix="<｜fim▁end｜>\n", max_tokens=200
    ).ids
    assert [ids.count(token) for token in (special.fim_hole, special.fim_end)] == [1, 1]
    assert special.eot not in ids


def test_the_header_is_in_the_comment_syntax_of_the_file(tiny_tokenizer):
    page = build_prompt(tiny_tokenizer, prefix="<p>", path="a/index.html", max_tokens=99)
    assert tiny_tokenizer.decode(page.ids) == "<!--a/index.html-->\n<p>"
    code = build_prompt(tiny_tokenizer, prefix="int x", path="x", language="c", max_tokens=99)
    assert tiny_tokenizer.decode(code.ids) == path_header("x", "c") + "int x"


def test_the_file_itself_is_no_context_of_its_own(tiny_tokenizer):
    arguments = {"prefix": "x", "path": MAIN.path, "max_tokens": 500}
    alone = build_prompt(tiny_tokenizer, **arguments)
    assert build_prompt(tiny_tokenizer, context=[MAIN], **arguments) == alone


def sizes(tokenizer) -> dict[str, int]:
    return {f.path: len(tokenizer.encode(join([f]).text)) for f in FILES}


def test_whole_files_are_dropped_the_farthest_along_the_imports_first(tiny_tokenizer):
    def build(budget: int):
        return build_prompt(
            tiny_tokenizer,
            prefix=MAIN.text,
            path=MAIN.path,
            context=FILES,
            max_tokens=budget,
            mode="complete",
        )

    size = sizes(tiny_tokenizer)
    everything = build(5000)
    assert everything.dropped == ()
    gone: list[str] = []
    budget = len(everything.ids)
    while True:
        prompt = build(budget)
        assert len(prompt.ids) <= budget
        assert list(prompt.dropped) == gone
        if len(gone) == 5:
            break
        smaller = build(len(prompt.ids) - 1)  # one token too few for what is left
        assert len(smaller.dropped) == len(gone) + 1
        gone = list(smaller.dropped)
        budget = len(prompt.ids) - size[gone[-1]]
    # first what main does not need, then what it needs through another, then what it imports
    assert set(gone[:2]) == {LONE.path, TEST.path}
    assert gone[2] == BASE.path
    assert set(gone[3:]) == {SHAPES.path, NAMES.path}
    assert tiny_tokenizer.decode(prompt.ids) == path_header(MAIN.path, "python") + MAIN.text


def test_then_whole_lines_go_from_the_prefixs_start_and_the_suffixs_end(tiny_tokenizer):
    prefix = "".join(f"before_{i} = {i}\n" for i in range(50)) + "here = "
    suffix = "\n" + "".join(f"after_{i} = {i}\n" for i in range(50))
    prompt = build_prompt(
        tiny_tokenizer,
        prefix=prefix,
        suffix=suffix,
        path="pkg/a.py",
        context=[LONE],
        max_tokens=200,
    )
    special = tiny_tokenizer.special
    hole, end = prompt.ids.index(special.fim_hole), prompt.ids.index(special.fim_end)
    before = tiny_tokenizer.decode(prompt.ids[:hole])
    after = tiny_tokenizer.decode(prompt.ids[hole:end])
    header = "#pkg/a.py\n"
    assert before.startswith(header + "before_")
    assert prefix.endswith(before.removeprefix(header))
    assert suffix.startswith(after)
    assert after.endswith("\n")
    kept = [text.count("\n") for text in (before, after)]
    assert prompt.dropped == (
        LONE.path,
        f"prefix: its first {51 - kept[0]} lines",
        f"suffix: its last {51 - kept[1]} lines",
    )
    assert 180 < len(prompt.ids) <= 200
    assert 3 < kept[1] < kept[0]


def test_a_line_longer_than_the_budget_is_cut_within(tiny_tokenizer):
    prompt = build_prompt(
        tiny_tokenizer, prefix="x" * 9000 + "éy", suffix="z" * 9000, max_tokens=60
    )
    assert len(prompt.ids) <= 60
    text = tiny_tokenizer.decode(prompt.ids)
    assert "xéyz" in text
    assert len(prompt.dropped) == 2


def test_what_the_prefix_leaves_the_suffix_gets(tiny_tokenizer):
    suffix = "".join(f"after_{i} = {i}\n" for i in range(50))
    prompt = build_prompt(tiny_tokenizer, prefix="x = ", suffix=suffix, max_tokens=200)
    assert len(prompt.ids) > 180
    assert [drop.split(":")[0] for drop in prompt.dropped] == ["suffix"]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prefix=st.text("ab é\n(", max_size=200),
    suffix=st.text("ab 日\n)", max_size=200),
    path=st.sampled_from(["", "a.py", "deep/er/b.c"]),
    budget=st.integers(0, 150),
    order=st.sampled_from(["psm", "spm"]),
)
def test_never_over_budget_and_nothing_lost_unnamed(
    tiny_tokenizer, prefix, suffix, path, budget, order
):
    try:
        prompt = build_prompt(
            tiny_tokenizer,
            prefix=prefix,
            suffix=suffix,
            path=path,
            context=[LONE],
            max_tokens=budget,
            order=order,
            mode="infill",
        )
    except PromptError as error:
        assert "remedy" in str(error)
        assert budget < 4 + 1 + len(tiny_tokenizer.encode(path)) + 4
        return
    assert len(prompt.ids) <= budget
    text = tiny_tokenizer.decode(prompt.ids)
    whole = prefix + suffix + ("" if not suffix or suffix.endswith("\n") else "\n")
    lone = path_header(LONE.path, "python") + LONE.text
    if not prompt.dropped:
        header = path_header(path, "c" if path.endswith("c") else "python") if path else ""
        wanted = header + (whole if order == "psm" else "")
        assert text.startswith(lone)
        if order == "psm":
            assert text == lone + wanted
    else:
        assert prompt.dropped[0] == LONE.path
        assert "alone" not in text


def test_no_room_for_the_header_is_an_error_that_says_so(tiny_tokenizer):
    with pytest.raises(PromptError) as caught:
        build_prompt(tiny_tokenizer, prefix="x", path="a/b.py", max_tokens=3)
    assert "room for 2 tokens" in caught.value.got
    assert caught.value.remedy


def test_infilling_needs_the_tokens_for_it(tiny_tokenizer):
    class NoFim:
        special = replace(tiny_tokenizer.special, fim_begin=None, fim_hole=None, fim_end=None)

        def __getattr__(self, name: str):
            return getattr(tiny_tokenizer, name)

    with pytest.raises(TokenizerError, match="no fill-in-the-middle tokens"):
        build_prompt(NoFim(), prefix="a", suffix="b", max_tokens=50)  # type: ignore[arg-type]
    assert build_prompt(NoFim(), prefix="a", max_tokens=50).ids  # type: ignore[arg-type]
    assert isinstance(tiny_tokenizer, Tokenizer)
