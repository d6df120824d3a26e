"""Both layouts against what lists of ids say, one id at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.tokens.layout import lay_out

CASES = {
    "lengths": st.lists(st.integers(1, 40), max_size=40),
    "length": st.integers(1, 30),
    "seed": st.integers(0, 3),
}


def starts_of(lengths):
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def rounds_of(lengths, seed):
    """Without sampling (seed 0), or some documents in some rounds."""
    if not seed:
        return None, [list(range(len(lengths)))]
    random = np.random.default_rng(seed)
    rounds = [np.flatnonzero(random.random(len(lengths)) < 0.5) for _ in range(seed)]
    return rounds, [r.tolist() for r in rounds]


def bins_needed(sizes, capacity):
    """Best-fit decreasing, one item at a time."""
    rooms = []
    for size in sorted(sizes, reverse=True):
        room = min((r for r in rooms if r >= size), default=None)
        if room is None:
            rooms.append(capacity - size)
        else:
            rooms[rooms.index(room)] -= size
    return len(rooms)


def rows_of(layout):
    """For each sequence its ids, as places in the stream, and where documents begin."""
    rows = []
    for number in range(layout.sequences):
        pieces, heads = layout.row(number)
        ids = [start + i for start, length in pieces for i in range(length)]
        rows.append((ids, heads.tolist()))
    return rows


def read_targets(rows):
    return sorted(
        id for ids, heads in rows for at, id in enumerate(ids) if at > 0 and at not in heads
    )


@given(**CASES)
@settings(max_examples=200, deadline=None)
def test_concatenated_equals_cutting_a_list(lengths, length, seed):
    starts = starts_of(lengths)
    rounds, read = rounds_of(lengths, seed)
    layout = lay_out("concatenate", starts, length, rounds)
    flat = [(int(starts[d]) + i, i) for r in read for d in r for i in range(lengths[d])]
    assert layout.sequences == max(len(flat) - 1, 0) // length
    for number, (ids, heads) in enumerate(rows_of(layout)):
        window = flat[number * length : number * length + length + 1]
        assert ids == [id for id, _ in window]
        assert heads == [at for at, (_, place) in enumerate(window) if place == 0]


@given(**CASES)
@settings(max_examples=200, deadline=None)
def test_best_fit_cuts_only_what_does_not_fit_and_loses_nothing(lengths, length, seed):
    starts = starts_of(lengths)
    rounds, read = rounds_of(lengths, seed)
    layout = lay_out("best_fit", starts, length, rounds)
    rows = rows_of(layout)
    # the number of sequences is that of the textbook's algorithm on the same pieces
    wanted = cut = 0
    for documents in read:
        rest = []
        for size in (lengths[d] for d in documents):
            cut += size > length + 1 or size == 1
            while size > length + 1:
                size, wanted = size - length, wanted + 1
            rest += [size] if size > 1 else []
        wanted += bins_needed(rest, length + 1)
    assert layout.sequences == wanted
    assert layout.cut == cut
    assert all(len(ids) <= length + 1 for ids, _ in rows)
    # each id but the first of a document is a target as often as the document is read
    assert read_targets(rows) == sorted(
        int(starts[d]) + i for r in read for d in r for i in range(1, lengths[d])
    )
    # a document that fits lies in one sequence, in one piece
    pieces = {p for number in range(layout.sequences) for p in layout.row(number)[0]}
    for d in {d for r in read for d in r}:
        if 1 < lengths[d] <= length + 1:
            assert (int(starts[d]), lengths[d]) in pieces
    assert layout.padding == sum(max(length - len(ids), 0) for ids, _ in rows)


@given(**CASES)
@settings(max_examples=100, deadline=None)
def test_copies_of_a_document_share_no_sequence(lengths, length, seed):
    _, read = rounds_of(lengths, 3)
    layout = lay_out("best_fit", starts_of(lengths), length, [np.array(r, int) for r in read])
    for ids, _ in rows_of(layout):
        assert len(ids) == len(set(ids))


@pytest.mark.parametrize("packing", ["concatenate", "best_fit"])
@given(**CASES)
@settings(max_examples=200, deadline=None)
def test_targets_by_document_equal_those_counted_one_by_one(packing, lengths, length, seed):
    starts = starts_of(lengths)
    layout = lay_out(packing, starts, length, rounds_of(lengths, seed)[0])
    times = np.random.default_rng(seed).integers(0, 4, layout.sequences)
    documents, counts = layout.targets(times)
    got = np.bincount(documents, weights=counts, minlength=len(lengths)).tolist()
    wanted = [0] * len(lengths)
    for number, row in enumerate(rows_of(layout)):
        for id in read_targets([row]):
            wanted[int(np.searchsorted(starts, id, side="right")) - 1] += int(times[number])
    assert got == wanted


@given(**CASES)
@settings(max_examples=100, deadline=None)
def test_documents_cut_by_concatenation(lengths, length, seed):
    starts = starts_of(lengths)
    layout = lay_out("concatenate", starts, length)
    rows = [set(ids) for ids, _ in rows_of(layout)]
    inputs = [set(ids[:-1]) for ids, _ in rows_of(layout)]
    whole = sum(
        any(set(range(a, b)) <= ids and a in own for ids, own in zip(rows, inputs, strict=True))
        for a, b in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
    )
    assert layout.cut == len(lengths) - whole


def test_any_sequence_length():
    """Longer than everything, and as short as can be."""
    starts = starts_of([5, 3, 1, 9])
    one = lay_out("best_fit", starts, 100)
    assert (one.sequences, one.padding, one.cut) == (1, 100 - 17, 1)
    tiny = lay_out("best_fit", starts, 1)
    assert (tiny.sequences, tiny.padding) == (14, 0)
    assert lay_out("concatenate", starts, 17).sequences == 1
    assert lay_out("concatenate", starts, 18).sequences == 0
