import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.errors import ShardError, TokenizerError
from codekiln.tokens import encode as encode_module
from codekiln.tokens.encode import encode_document, encode_documents
from codekiln.tokens.plan import plan
from codekiln.tokens.settings import TokensSettings
from codekiln.types import Document, Span

from .conftest import make_document

BODIES = st.lists(st.text(st.sampled_from("ab(): \n\té中🧑"), max_size=40), max_size=5)
ORDERS = st.sampled_from(["psm", "spm", "mixed"])
ALWAYS = TokensSettings(fim_rate=1.0)
NEVER = TokensSettings(fim_rate=0.0)


def read_back(ids, tokenizer):
    """The document's text from its ids, and its FIM files: knows the control tokens only."""
    s = tokenizer.special
    assert ids[0] == s.bos and ids[-1] == s.eos
    assert s.bos not in ids[1:]
    text, infilled, at = "", 0, 1
    while at < len(ids):
        if ids[at] == s.fim_begin:
            hole, end = ids.index(s.fim_hole, at), ids.index(s.fim_end, at)
            stop = ids.index(s.eos, end)
            assert at < hole < end < stop
            parts = ids[at + 1 : hole], ids[end + 1 : stop], ids[hole + 1 : end]
            text += "".join(tokenizer.decode(part) for part in parts)
            infilled, at = infilled + 1, stop + 1
        elif ids[at] == s.eos:
            assert at == len(ids) - 1
            at += 1
        else:
            stop = min(ids.index(c, at) for c in (s.fim_begin, s.eos) if c in ids[at:])
            text, at = text + tokenizer.decode(ids[at:stop]), stop
    return text, infilled


@given(bodies=BODIES, order=ORDERS, rate=st.sampled_from([0.0, 0.5, 1.0]), seed=st.integers(0, 99))
@settings(max_examples=300, deadline=None)
def test_joined_parts_give_the_document_back(tokenizer, bodies, order, rate, seed):
    document = make_document("repo", bodies)
    chosen = TokensSettings(fim_rate=rate, fim_order=order)
    encoded = encode_document(document, tokenizer, chosen, seed=seed)
    text, infilled = read_back(encoded.ids.tolist(), tokenizer)
    assert text == document.text
    assert infilled == encoded.account.fim_files
    assert encoded.text_bytes == len(document.text.encode())
    assert encoded.account.files == max(len(bodies), 1)
    if rate == 1.0:
        assert infilled == sum(map(bool, bodies))


@given(bodies=BODIES)
@settings(deadline=None)
def test_without_fim_it_is_bos_files_eos(tokenizer, bodies):
    document = make_document("repo", bodies)
    files = [document.text[s.start : s.end] for s in document.spans]
    wanted = [i for file in files for i in tokenizer.encode(file)]
    ids = encode_document(document, tokenizer, NEVER, seed=0).ids.tolist()
    assert ids == [tokenizer.special.bos, *wanted, tokenizer.special.eos]


@given(body=st.text(st.sampled_from("ab\né"), min_size=1, max_size=30), seed=st.integers(0, 50))
@settings(deadline=None)
def test_the_header_is_never_cut(tokenizer, body, seed):
    document = make_document("repo", [body])
    [file] = plan(document, ALWAYS, seed=seed)
    prefix, suffix, middle = file.texts
    assert prefix.startswith("#repo/file0.py\n")
    assert prefix + middle + suffix == document.text


def test_a_fim_file_equals_what_a_server_would_ask(tokenizer):
    """Parts encoded apart, header in the prefix: the prompt of training is the prompt of use."""
    s = tokenizer.special
    document = make_document("repo", ["import os\n", "def f(x):\n    return x\n"])
    chosen = next(
        seed
        for seed in range(100)
        if [f.layout for f in plan(document, TokensSettings(), seed=seed)] == [None, "psm"]
    )
    prefix, suffix, middle = plan(document, TokensSettings(), seed=chosen)[1].texts
    context = document.text[: document.spans[0].end]
    asked = [s.bos, *tokenizer.encode(context), s.fim_begin, *tokenizer.encode(prefix)]
    asked += [s.fim_hole, *tokenizer.encode(suffix), s.fim_end]
    ids = encode_document(document, tokenizer, TokensSettings(), seed=chosen).ids.tolist()
    assert ids == [*asked, *tokenizer.encode(middle), s.eos]  # one <eos> ends both


@pytest.mark.parametrize(("body", "infilled"), [("", 0), ("x", 1), ("\n", 1)])
def test_empty_and_one_character_files(tokenizer, body, infilled):
    for seed in range(20):
        encoded = encode_document(make_document("r", [body]), tokenizer, ALWAYS, seed=seed)
        assert encoded.account.fim_files == infilled
        assert read_back(encoded.ids.tolist(), tokenizer)[0] == f"#r/file0.py\n{body}"


def test_rate_lies_within_binomial_bounds(tokenizer):
    documents = [make_document(f"r{i}", ["x = 1\n"] * 10) for i in range(300)]
    for rate in (0.1, 0.5, 0.9):
        chosen = TokensSettings(fim_rate=rate)
        found = sum(
            e.account.fim_files for e in encode_documents(documents, tokenizer, chosen, seed=5)
        )
        spread = (3000 * rate * (1 - rate)) ** 0.5
        assert abs(found - 3000 * rate) < 4 * spread
        assert found != 3000 * rate or rate == 0.5


def test_order_and_grouping_of_documents_do_not_matter(tokenizer, documents, monkeypatch):
    def by_id(given):
        encoded = encode_documents(given, tokenizer, TokensSettings(), seed=1)
        return {d.id: e.ids.tolist() for d, e in zip(given, encoded, strict=True)}

    wanted = by_id(documents)
    assert by_id(documents[::-1]) == wanted
    monkeypatch.setattr(encode_module, "_GROUP_CHARACTERS", 1)
    assert by_id(documents) == wanted
    assert {
        d.id: encode_document(d, tokenizer, TokensSettings(), seed=1).ids.tolist()
        for d in documents
    } == wanted


def test_another_seed_cuts_elsewhere(tokenizer, documents):
    first, second = (
        [e.ids.tolist() for e in encode_documents(documents, tokenizer, ALWAYS, seed=seed)]
        for seed in (1, 2)
    )
    assert first != second


def test_prose_is_not_infilled_and_text_without_spans_is_one_file(tokenizer):
    prose = Document(id="p", text="Some words.\n", kind="english", source="s")
    encoded = encode_document(prose, tokenizer, ALWAYS, seed=0)
    assert (encoded.account.files, encoded.account.fim_files) == (1, 0)
    code = Document(id="c", text="x = 1\n", source="s")
    encoded = encode_document(code, tokenizer, ALWAYS, seed=0)
    assert (encoded.account.files, encoded.account.fim_files) == (1, 1)


def test_control_tokens_in_the_text_stay_text(tokenizer):
    text = "<｜fim▁begin｜><｜end▁of▁sentence｜><|EOT|>\n"
    document = make_document("r", [text])
    ids = encode_document(document, tokenizer, ALWAYS, seed=0).ids.tolist()
    assert read_back(ids, tokenizer)[0] == document.text
    assert ids.count(tokenizer.special.eos) == ids.count(tokenizer.special.fim_begin) == 1


@pytest.mark.parametrize(
    "spans",
    [[(0, 2, 5)], [(0, 2, 5), (6, 7, 10)], [(0, 6, 5), (5, 6, 10)], [(1, 2, 10)], [(0, 2, 11)]],
)
def test_spans_that_do_not_cover_the_text_are_an_error(tokenizer, spans):
    rows = tuple(Span(path="a", language="c", start=s, body=b, end=e) for s, b, e in spans)
    document = Document(id="d", text="0123456789", source="s", spans=rows)
    with pytest.raises(ShardError, match="document d"):
        encode_document(document, tokenizer, NEVER, seed=0)


def test_fim_without_its_tokens_is_an_error(tokenizer, monkeypatch):
    from dataclasses import replace

    bare = replace(tokenizer.special, fim_begin=None)
    monkeypatch.setattr(tokenizer, "special", bare)
    with pytest.raises(TokenizerError, match="no fill-in-the-middle tokens"):
        encode_document(make_document("r", ["x\n"]), tokenizer, ALWAYS, seed=0)
    encode_document(make_document("r", ["x\n"]), tokenizer, NEVER, seed=0)
