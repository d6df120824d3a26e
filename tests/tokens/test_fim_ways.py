"""Every way of rearranging files: nothing is lost, and each id is accounted for."""

import ast
import sys
from contextlib import closing
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from codekiln.tokens.cuts import SyntaxCutter, TokenBorders, cut_by_syntax
from codekiln.tokens.encode import encode_document, encode_documents
from codekiln.tokens.layout import lay_out
from codekiln.tokens.plan import plan
from codekiln.tokens.settings import TokensSettings
from codekiln.types import Document

from .conftest import make_document

BODIES = st.lists(st.text(st.sampled_from("ab(): \n\té中🧑"), max_size=60), max_size=4)
CONTEXT = {"fim_level": "context", "packing": "best_fit", "fim_cut": "token"}
CHARACTERS = {**CONTEXT, "fim_cut": "character"}
WAYS = [
    {},
    {"fim_order": "spm"},
    {"fim_order": "mixed"},
    {"fim_order": "msp"},
    {"fim_order": "msp", "msp_spans": 7},
    {"fim_cut": "token"},
    {"fim_cut": "token", "fim_order": "msp"},
    {**CONTEXT, "sequence_length": 16},
    {**CONTEXT, "sequence_length": 7, "fim_order": "mixed"},
    {**CONTEXT, "sequence_length": 24, "fim_order": "msp"},
    {**CHARACTERS, "sequence_length": 30},
    {**CHARACTERS, "sequence_length": 16, "fim_order": "mixed"},
    {**CHARACTERS, "sequence_length": 50, "fim_order": "msp"},
]
PYTHON = """import os

def area(width, height):
    # größe
    if width < 0:
        raise ValueError("negative")
    return width * height

class Box:
    def __init__(self, side):
        self.side = side
"""


def filled_in(ids, special):
    """The ids of the text, from the control tokens alone; (first, middle, end) of each layout."""
    text, layouts, at = [], [], 1
    assert ids[0] == special.bos and ids[-1] == special.eos
    while at < len(ids):
        if ids[at] == special.eos:
            assert at == len(ids) - 1
            at += 1
        elif ids[at] != special.fim_begin:
            text.append(ids[at])
            at += 1
        else:
            end = ids.index(special.fim_end, at)
            stop = ids.index(special.eos, end)
            kept, answer = parts(ids[at + 1 : end], special), parts(ids[end + 1 : stop], special)
            assert len(kept) == len(answer) + 1
            for before, masked in zip(kept, answer, strict=False):
                text += before + masked
            text += kept[-1]
            layouts.append((at, end + 1, stop + 1))
            at = stop + 1
    return text, layouts


def parts(ids, special):
    holes = [i for i, token in enumerate(ids) if token == special.fim_hole]
    edges = [-1, *holes, len(ids)]
    return [ids[a + 1 : b] for a, b in pairwise(edges)]


@pytest.mark.parametrize("way", WAYS, ids=str)
@given(bodies=BODIES, rate=st.sampled_from([0.0, 0.5, 1.0]), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_filling_the_holes_gives_the_document_back(tokenizer, way, bodies, rate, seed):
    document = make_document("repo", bodies)
    encoded = encode_document(document, tokenizer, TokensSettings(fim_rate=rate, **way), seed=seed)
    ids, special = encoded.ids.tolist(), tokenizer.special
    text, layouts = filled_in(ids, special)
    assert tokenizer.decode_bytes(text) == document.text.encode()
    account = encoded.account
    # an SPM says where its middle starts; the control tokens alone do not
    got = encoded.layouts.tolist()
    assert [(a, c) for a, _, c in got] == [(a, c) for a, _, c in layouts]
    for (_, middle, end), (_, answer, _) in zip(got, layouts, strict=True):
        assert middle >= answer if way.get("fim_order") in ("spm", "mixed") else middle == answer
        assert middle < end
    control = {special.bos, special.eos, special.fim_begin, special.fim_hole, special.fim_end}
    inside = sum(i not in control for a, _, c in got for i in ids[a:c])
    assert account.fim_tokens == inside
    assert account.control_tokens == sum(i in control for i in ids)
    assert account.text_tokens + account.fim_tokens + account.control_tokens == len(ids)
    if rate == 0.0:
        assert not layouts and account.fim_files == account.fim_short == 0
    if rate == 1.0 and way.get("fim_level") != "context":
        assert account.fim_files + account.fim_short == account.files


@given(bodies=BODIES, seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_cuts_between_tokens_change_no_token(tokenizer, bodies, seed):
    """The ids of a file, holes filled, are those of the whole file; its header stays in front."""
    document = make_document("repo", bodies)
    chosen = TokensSettings(fim_rate=1.0, fim_cut="token", fim_order="msp")
    ids = encode_document(document, tokenizer, chosen, seed=seed).ids.tolist()
    text, layouts = filled_in(ids, tokenizer.special)
    files = [document.text[s.start : s.end] for s in document.spans]
    assert text == [i for file in files for i in tokenizer.encode(file)]
    for begin, _, _ in layouts:
        first = ids[begin + 1 : ids.index(tokenizer.special.fim_hole, begin)]
        assert tokenizer.decode_bytes(first).startswith(b"#repo/file")
        assert b".py\n" in tokenizer.decode_bytes(first)


@given(
    bodies=st.lists(st.text(st.sampled_from("ab(): \n"), max_size=400), min_size=1, max_size=4),
    length=st.integers(1, 60),
    order=st.sampled_from(["psm", "mixed", "msp"]),
    seed=st.integers(0, 99),
    way=st.sampled_from([CONTEXT, CHARACTERS]),
)
@settings(max_examples=120, deadline=None)
def test_no_sequence_cuts_a_layout_of_its_context(tokenizer, bodies, length, order, seed, way):
    chosen = TokensSettings(fim_rate=0.9, sequence_length=length, fim_order=order, **way)
    encoded = encode_document(make_document("r", bodies), tokenizer, chosen, seed=seed)
    starts = np.array([0, len(encoded.ids)])
    layout = lay_out("best_fit", starts, length)
    pieces = [piece for i in range(layout.sequences) for piece in layout.row(i)[0]]
    for begin, _, end in encoded.layouts.tolist():
        assert any(start <= begin and end <= start + size for start, size in pieces)


def test_contexts_are_cut_inside_tokens_where_a_cursor_stands(tokenizer):
    """Of cuts at characters as many lie inside tokens as characters do; of the others none."""
    document = make_document("r", [PYTHON * 60])
    inside = {}
    for way in (CONTEXT, CHARACTERS):
        chosen = TokensSettings(fim_rate=1.0, sequence_length=128, **(way))
        encoded = encode_document(document, tokenizer, chosen, seed=1)
        inside[way["fim_cut"]] = _cuts_inside_tokens(encoded, document, tokenizer)
    borders = len(tokenizer.encode(document.text)) / len(document.text)
    assert inside["token"] == 0
    assert inside["character"] == pytest.approx(1 - borders, abs=0.12)


def _cuts_inside_tokens(encoded, document, tokenizer):
    """Share of the middles' first places that are inside a token of the text's own encoding."""
    text, special = document.text, tokenizer.special
    ends = np.cumsum([len(tokenizer.token_bytes(i)) for i in tokenizer.encode(text)]).tolist()
    borders, at, inside = {0, *ends}, 0, []
    ids = encoded.ids.tolist()
    place = 1
    for begin, _, end in encoded.layouts.tolist():
        at += len(tokenizer.decode_bytes(ids[place:begin]))
        hole = ids.index(special.fim_hole, begin)
        inside.append(at + len(tokenizer.decode_bytes(ids[begin:hole])) not in borders)
        at += len(tokenizer.decode_bytes(ids[begin:end]))
        place = end
    assert len(inside) > 30
    return sum(inside) / len(inside)


@pytest.mark.parametrize("way", [CONTEXT, CHARACTERS], ids=["token", "character"])
def test_contexts_are_mostly_rearranged_and_pieces_have_chances_of_their_own(tokenizer, way):
    document = make_document("r", [PYTHON * 40])
    half = TokensSettings(fim_rate=0.5, sequence_length=64, **way)
    encoded = encode_document(document, tokenizer, half, seed=1)
    contexts = len(encoded.ids) / 64
    assert 0.3 * contexts < len(encoded.layouts) < 0.7 * contexts
    assert encoded.account.fim_files == 1
    whole = half.model_copy(update={"fim_rate": 1.0})
    encoded = encode_document(document, tokenizer, whole, seed=1)
    share = encoded.account.fim_tokens / (len(encoded.ids) - encoded.account.control_tokens)
    assert share > (0.97 if way is CONTEXT else 0.9)  # room for what the cuts cost
    assert encoded.account.fim_short <= 1


def test_masked_spans_are_one_to_the_most_each_alike(tokenizer):
    documents = [make_document(f"r{i}", [PYTHON]) for i in range(900)]
    chosen = TokensSettings(fim_rate=1.0, fim_order="msp", msp_spans=3)
    counts = [file.count for d in documents for file in plan(d, chosen, seed=2)]
    seen = np.bincount(counts, minlength=4)
    assert seen[0] == 0 and len(seen) == 4
    assert np.abs(seen[1:] - 300).max() < 60  # four standard deviations of 14


def test_one_masked_span_is_a_psm(tokenizer, documents):
    one, psm = (
        [e.ids.tolist() for e in encode_documents(documents, tokenizer, chosen, seed=3)]
        for chosen in (
            TokensSettings(fim_rate=1.0, fim_order="msp", msp_spans=1),
            TokensSettings(fim_rate=1.0),
        )
    )
    assert one == psm


def _python_nodes(text):
    """(start, end) in characters of every node that Python's own parser finds."""
    lines = [0]
    for line in text.encode().splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    found = set()
    for node in ast.walk(ast.parse(text)):
        if hasattr(node, "end_lineno"):
            start = lines[node.lineno - 1] + node.col_offset
            found.add((start, lines[node.end_lineno - 1] + node.end_col_offset))
    data = text.encode()
    return {(len(data[:a].decode()), len(data[:b].decode())) for a, b in found}


def test_cuts_by_syntax_fall_on_nodes_that_python_sees_too(tokenizer):
    pytest.importorskip("tree_sitter_python")
    chosen = TokensSettings(fim_rate=1.0, fim_cut="syntax")
    documents = [make_document(f"r{i}", [PYTHON]) for i in range(200)]
    encoded = list(encode_documents(documents, tokenizer, chosen, seed=0))
    assert sum(e.account.fim_fallbacks for e in encoded) == 0
    nodes = _python_nodes(PYTHON)
    starts, ends = ({pair[i] for pair in nodes} for i in (0, 1))
    at_nodes = 0
    middles = set()
    for document, one in zip(documents, encoded, strict=True):
        [(begin, middle, end)] = one.layouts.tolist()
        text = tokenizer.decode(one.ids[middle : end - 1].tolist())
        prefix_ids = one.ids[begin + 1 : one.ids.tolist().index(tokenizer.special.fim_hole)]
        start = len(tokenizer.decode(prefix_ids.tolist())) - document.spans[0].body
        assert PYTHON[start : start + len(text)] == text
        at_nodes += start in starts and start + len(text) in ends
        middles.add(text)
    assert at_nodes > 100  # the grammar also has comments, brackets, operators, blocks
    assert len(middles) > 40
    by_characters = TokensSettings(fim_rate=1.0)
    plans = [file for d in documents for file in plan(d, by_characters, seed=0)]
    spans = [(a - f.body, b - f.body) for f in plans for a, b in f.spans]
    assert sum(a in starts and b in ends for a, b in spans) < 30  # by chance


def test_what_no_grammar_reads_is_cut_at_characters_and_counted(tokenizer):
    chosen = TokensSettings(fim_rate=1.0, fim_cut="syntax")
    document = Document(id="d", text="no language at all\n", source="s")
    encoded = encode_document(document, tokenizer, chosen, seed=0)
    assert encoded.account.fim_files == encoded.account.fim_fallbacks == 1
    plain = encode_document(document, tokenizer, TokensSettings(fim_rate=1.0), seed=0)
    assert encoded.ids.tolist() == plain.ids.tolist()


def test_syntax_cuts_of_several_spans_never_overlap(tokenizer):
    pytest.importorskip("tree_sitter_python")
    chosen = TokensSettings(fim_rate=1.0, fim_cut="syntax", fim_order="msp", msp_spans=5)
    documents = [make_document(f"r{i}", [PYTHON, "größe = '中'\n"]) for i in range(60)]
    several = 0
    for document, one in zip(
        documents, encode_documents(documents, tokenizer, chosen, seed=0), strict=True
    ):
        text, _ = filled_in(one.ids.tolist(), tokenizer.special)
        assert tokenizer.decode_bytes(text) == document.text.encode()
        several += one.ids.tolist().count(tokenizer.special.fim_hole) > 2
    assert several > 20


def test_a_schedule_gives_each_stage_its_share_and_its_rate(tokenizer):
    chosen = TokensSettings(fim_schedule=((0.0, 0.0), (0.5, 0.5), (0.8, 1.0)))
    documents = [make_document(f"r{i}", ["x = 1\n"]) for i in range(2000)]
    stages = [[], [], []]
    for encoded in encode_documents(documents, tokenizer, chosen, seed=4):
        stages[encoded.stage].append(encoded.account.fim_files)
    for found, share, rate in zip(stages, (0.5, 0.3, 0.2), (0.0, 0.5, 1.0), strict=True):
        assert abs(len(found) - 2000 * share) < 4 * (2000 * share * (1 - share)) ** 0.5
        assert abs(sum(found) - len(found) * rate) <= 4 * (len(found) * rate * (1 - rate)) ** 0.5


ODD = [
    "x = 1\r\nif x:\r\n    x = 2\r\n",
    "\ufeffx = 1\n",
    "x = '\ud800'\n",
    "\x00\n",
    "((((",
    "é",
    " \n",
]


@pytest.mark.parametrize("order", ["psm", "spm", "msp"])
def test_odd_texts_cut_by_syntax_come_back_whole(tokenizer, order):
    pytest.importorskip("tree_sitter_python")
    chosen = TokensSettings(fim_rate=1.0, fim_cut="syntax", fim_order=order)
    documents = [make_document(f"r{i}", [text]) for i in range(12) for text in ODD]
    for document, one in zip(
        documents, encode_documents(documents, tokenizer, chosen, seed=0), strict=True
    ):
        text, _ = filled_in(one.ids.tolist(), tokenizer.special)
        assert tokenizer.decode_bytes(text) == document.text.encode("utf-8", "surrogatepass")
        assert one.account.fim_files == 1


def test_files_over_which_the_parser_dies_are_cut_at_characters(tokenizer):
    """A process that reads a question, and ends."""
    pytest.importorskip("tree_sitter_python")
    dies = "import sys; sys.stdout.write('R'); sys.stdout.flush(); sys.stdin.buffer.read(1)"
    chosen = TokensSettings(fim_rate=1.0, fim_cut="syntax")
    plans = [plan(make_document(f"r{i}", [PYTHON]), chosen, seed=0) for i in range(3)]
    with closing(SyntaxCutter((sys.executable, "-c", dies))) as cutter:
        cut, fallbacks = cut_by_syntax(plans, cutter)
    assert fallbacks == [1, 1, 1]
    assert [file.spans for [file] in cut] == [f.cut_at_characters().spans for [f] in plans]


def test_headers_of_a_tokenizer_that_adds_a_space(tokenizer):
    """Each id is a byte, and a space comes first, as in SentencePiece's vocabularies."""

    class Spaced:
        vocab_size = 256

        def token_bytes(self, token):
            return bytes([token])

        def encode(self, text):
            return list(b" " + text.encode())

    borders = TokenBorders(Spaced())
    for header in ("#a.py\n", "#größe.py\n"):
        ids = np.array(Spaced().encode(header + "x = 1\n"), dtype=np.int32)
        assert bytes(ids[: borders.header_ids(ids, header)].tolist()) == b" " + header.encode()
    assert borders.header_ids(ids, "") == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"fim_schedule": [[0.1, 0.5]]}, "must rise from 0.0"),
        ({"fim_schedule": [[0.0, 0.5], [0.0, 0.6]]}, "must rise"),
        ({"fim_schedule": [[0.0, 0.5], [1.0, 0.6]]}, "below 1.0"),
        ({"fim_schedule": [[0.0, 1.5]]}, "less than or equal to 1"),
        ({"fim_level": "context", "fim_cut": "syntax"}, "a piece of a file is no file"),
        ({"fim_level": "context"}, 'needs packing = "best_fit"'),
        ({"fim_level": "context", "fim_cut": "token"}, 'needs packing = "best_fit"'),
        ({"msp_spans": 0}, "greater than or equal to 1"),
        ({"fim_order": "smp"}, "psm"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(wrong, said):
    with pytest.raises(ValidationError, match=said):
        TokensSettings(**wrong)
