from bisect import bisect_right
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codekiln.errors import ShardError
from codekiln.tokens.cursor import Cursor
from codekiln.tokens.loader import Loader
from codekiln.tokens.permutation import permuted
from codekiln.tokens.sampling import Documents, Sampling
from codekiln.tokens.settings import TokensSettings
from codekiln.tokens.shards import Shard, ShardWriter
from codekiln.tokens.sources import Source

VOCAB = 500
TENSORS = ("tokens", "targets", "positions", "document_ids")


def shards_of(folder, shards, sha="a"):
    """`shards`: for each shard, for each document, its ids."""
    made = []
    for number, documents in enumerate(shards):
        prefix = folder / f"train-{number:05d}"
        with ShardWriter(prefix, vocab_size=VOCAB, facts={"tokenizer_sha256": sha}) as writer:
            for ids in documents:
                writer.add(ids, text_bytes=len(ids))
        made.append(Shard(prefix))
    return made


@pytest.fixture(scope="module")
def stream():
    random = np.random.default_rng(0)
    lengths = random.integers(1, 30, size=(3, 40))
    return [[random.integers(0, VOCAB, n).tolist() for n in row] for row in lengths]


@pytest.fixture(scope="module")
def shards(stream, tmp_path_factory):
    return shards_of(tmp_path_factory.mktemp("shards"), stream)


def by_hand(stream, number, length, restart):
    """Sequence `number` from the plain lists, one id at a time."""
    flat = [
        (i, d, j) for d, ids in enumerate(x for s in stream for x in s) for j, i in enumerate(ids)
    ]
    window = flat[number * length : number * length + length + 1]
    tokens = [i for i, _, _ in window[:-1]]
    targets = [-100 if place == 0 else i for i, _, place in window[1:]]
    numbers, positions = [], []
    for at, (_, document, _) in enumerate(window[:-1]):
        new = at > 0 and document != window[at - 1][1]
        numbers.append(numbers[-1] + new if at else 0)
        positions.append(0 if new or at == 0 else positions[-1] + 1)
    return tokens, targets, positions if restart else list(range(length)), numbers


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("length", [1, 2, 7, 64, 200])
def test_sequences_equal_those_cut_by_hand(stream, shards, length, restart):
    loader = Loader(shards, sequence_length=length, batch_size=1, seed=0, restart_positions=restart)
    total = sum(len(d) for s in stream for d in s)
    assert loader.epoch_sequences == (total - 1) // length
    numbers = np.arange(loader.epoch_sequences)
    batch = loader.sequences_at(numbers, Cursor())
    for row in numbers:
        wanted = by_hand(stream, row, length, restart)
        for name, values in zip(TENSORS, wanted, strict=True):
            assert getattr(batch, name)[row].tolist() == values, (name, row)
    for name in TENSORS:
        tensor = getattr(batch, name)
        assert tensor.dtype == torch.int64 and tensor.is_contiguous()


def test_each_sequence_comes_once_an_epoch_in_another_order(shards):
    loader = Loader(shards, sequence_length=8, batch_size=1, seed=3)
    cursor, epochs = Cursor(), []
    for _ in range(2):
        rows = []
        for _ in range(loader.batches_per_epoch):
            batch, cursor = loader.batch(cursor)
            rows.append(tuple(batch.tokens[0].tolist()))
        epochs.append(rows)
    every = loader.sequences_at(np.arange(loader.epoch_sequences), Cursor()).tokens.tolist()
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(map(tuple, every))
    assert epochs[0] != epochs[1]
    assert epochs[0] != list(map(tuple, every))


@given(
    stops=st.lists(st.integers(0, 60), max_size=4),
    batch_size=st.integers(1, 9),
    seed=st.integers(0, 9),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_resumed_anywhere_it_gives_the_same(shards, stops, batch_size, seed):
    def new():
        return Loader(shards, sequence_length=16, batch_size=batch_size, seed=seed)

    def walk(stops):
        loader, cursor, seen = new(), Cursor(), []
        for step in range(60):
            if step in stops:  # all that outlives the stop is two numbers
                loader, cursor = new(), Cursor(epoch=int(cursor.epoch), index=int(cursor.index))
            batch, cursor = loader.batch(cursor)
            seen.append([getattr(batch, name).tolist() for name in TENSORS])
        return seen

    assert walk(set(stops)) == walk(set())


def test_batch_is_pure(shards):
    loader = Loader(shards, sequence_length=16, batch_size=3, seed=0)
    cursor = Cursor(epoch=1, index=6)
    first, after = loader.batch(cursor)
    loader.batch(Cursor())
    second, again = loader.batch(cursor)
    assert torch.equal(first.tokens, second.tokens) and after == again
    assert after == Cursor(epoch=1, index=9) and first.cursor == cursor


def test_what_is_less_than_a_batch_is_passed_over(shards):
    loader = Loader(shards, sequence_length=16, batch_size=7, seed=0)
    assert loader.epoch_sequences % 7
    cursor = Cursor()
    for _ in range(loader.batches_per_epoch):
        _, cursor = loader.batch(cursor)
    batch, after = loader.batch(cursor)
    assert batch.cursor == Cursor(epoch=1, index=0) and after == Cursor(epoch=1, index=7)


def test_an_epoch_shorter_than_a_batch_is_an_error(shards, tmp_path):
    tokens = sum(len(s.tokens) for s in shards)
    for length, size in ((tokens, 1), (16, tokens)):
        with pytest.raises(ShardError, match="at least one batch"):
            Loader(shards, sequence_length=length, batch_size=size, seed=0)
    Loader(shards, sequence_length=tokens - 1, batch_size=1, seed=0).batch(Cursor())
    with pytest.raises(ShardError):
        Loader([], sequence_length=1, batch_size=1, seed=0)


def test_shards_of_two_tokenizers_are_an_error(shards, tmp_path):
    other = shards_of(tmp_path, [[[1, 2, 3]]], sha="b")
    with pytest.raises(ShardError, match="another tokenizer"):
        Loader([*shards, *other], sequence_length=2, batch_size=1, seed=0)


def test_ids_beyond_the_vocabulary_are_an_error(tmp_path):
    [shard] = shards_of(tmp_path, [[[1, 2, 3, 4]]])
    data = tmp_path / "train-00000.bin"
    data.write_bytes(np.array([1, 2, VOCAB, 4], np.uint16).tobytes())
    with pytest.raises(ShardError, match=f"token id {VOCAB}"):
        Loader([shard], sequence_length=3, batch_size=1, seed=0).batch(Cursor())


def test_nothing_is_written_to_the_shards(shards):
    batch, _ = Loader(shards, sequence_length=16, batch_size=2, seed=0).batch(Cursor())
    before = shards[0].tokens.tolist()
    batch.tokens.fill_(0)
    assert shards[0].tokens.tolist() == before


# the shuffle


@given(size=st.integers(1, 700), seed=st.integers(0, 2**40), epoch=st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_the_shuffle_is_a_permutation(size, seed, epoch):
    places = np.arange(size)
    values = permuted(places, size, seed=seed, epoch=epoch)
    assert sorted(values.tolist()) == places.tolist()
    one = [int(permuted(np.array([p]), size, seed=seed, epoch=epoch)[0]) for p in (0, size - 1)]
    assert one == [values[0], values[-1]]


def test_the_shuffle_of_a_huge_range_costs_nothing():
    values = permuted(np.arange(1000), 10**12, seed=0, epoch=0)
    assert len(set(values.tolist())) == 1000
    assert values.min() >= 0 and values.max() < 10**12
    assert abs(values.mean() / 10**12 - 0.5) < 0.04


def test_the_shuffle_has_no_grain():
    """Place and value are unrelated, neighbours too, and each value is as likely everywhere."""
    size = 6000
    values = permuted(np.arange(size), size, seed=7, epoch=0)
    for other in (
        np.arange(size),
        np.roll(values, 1),
        permuted(np.arange(size), size, seed=7, epoch=1),
    ):
        assert abs(np.corrcoef(values, other)[0, 1]) < 0.05
    counts = np.zeros((5, 5))
    for seed in range(2000):
        counts[np.arange(5), permuted(np.arange(5), 5, seed=seed, epoch=0)] += 1
    assert ((counts - 400) ** 2 / 400).sum() < 39.3  # 16 degrees of freedom, one in a thousand


# best fit and sampling: each id is its own place in the stream, so that targets can be traced

SOURCES = (
    Source(kind="code", language="python"),
    Source(kind="code", language="go"),
    Source(kind="english", location="posts"),
)
PAD = 499


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("traced"), np.random.default_rng(1)
    lengths = random.integers(1, 30, 28)
    assert lengths.sum() < PAD
    starts, made = np.cumsum(lengths) - lengths, []
    for number in range(3):
        prefix, facts = folder / f"train-{number}", {"tokenizer_sha256": "a"}
        with ShardWriter(prefix, vocab_size=VOCAB, facts=facts) as writer:
            for i in range(number * 10, min(number * 10 + 10, 28)):
                ids = np.arange(starts[i], starts[i] + lengths[i])
                writer.add(ids, text_bytes=1, source=SOURCES[i % 3])
        made.append(Shard(prefix))
    return made, starts.tolist(), lengths.tolist()


def traced_loader(traced, packing, seed=0, batch_size=1, length=16, **values):
    sampling = Sampling(Documents.of(traced[0]), TokensSettings.model_validate(values), seed=seed)
    return Loader(
        traced[0],
        sequence_length=length,
        batch_size=batch_size,
        seed=seed,
        packing=packing,
        pad_id=PAD,
        sampling=sampling,
    )


def learnt(batch):
    return batch.targets[batch.targets != -100].tolist()


@pytest.mark.parametrize("length", [1, 5, 16, 29, 200])
@pytest.mark.parametrize("restart", [True, False])
def test_best_fit_sequences_are_whole_pieces_and_padding(traced, length, restart):
    shards, starts, lengths = traced
    loader = Loader(
        shards,
        sequence_length=length,
        batch_size=1,
        seed=0,
        packing="best_fit",
        pad_id=PAD,
        restart_positions=restart,
    )
    every, padding = [], 0
    batch = loader.sequences_at(np.arange(loader.epoch_sequences), Cursor())
    for row in range(loader.epoch_sequences):
        tokens, targets, positions, documents = (
            getattr(batch, name)[row].tolist() for name in TENSORS
        )
        numbers = []
        for at, (id, target) in enumerate(zip(tokens, targets, strict=True)):
            follows = at > 0 and (id == tokens[at - 1] + 1 or id == tokens[at - 1] == PAD)
            same = follows and (id not in starts)
            numbers.append(0 if at == 0 else numbers[-1] + (not same))
            assert target in (-100, id + 1) and (target == -100 or target not in starts)
            assert id != PAD or target == -100
            place = positions[at - 1] + 1 if at and (same or not restart) else 0
            assert positions[at] == place
        assert documents == numbers
        every += [t for t in targets if t != -100]
        padding += tokens.count(PAD)
        held = [t for t in tokens if t != PAD]
        assert tokens == held + [PAD] * (length - len(held))  # padding is at the end
    firsts = set(starts)
    assert sorted(every) == [i for i in range(sum(lengths)) if i not in firsts]
    assert padding == loader.layout(0).padding


@pytest.mark.parametrize("packing", ["concatenate", "best_fit"])
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"weights": {"python": 2.0, "english": 0.0}},
        {"weights": {"python": 1.3, "go": 0.7, "english": 0.5}},
        {"shares": {"english": 0.6}, "long_documents": {"min_tokens": 20, "factor": 3.0}},
    ],
)
def test_passes_by_source_equal_counting_every_batch(traced, packing, batch_size, values):
    _, starts, lengths = traced
    loader = traced_loader(traced, packing, batch_size=batch_size, **values)
    available, read = Counter(), Counter()
    for i, size in enumerate(lengths):
        available[SOURCES[i % 3].label] += size - 1
    cursor = Cursor()
    while cursor.epoch < 4:
        batch, cursor = loader.batch(cursor)
        for id in learnt(batch):
            read[SOURCES[(bisect_right(starts, id) - 1) % 3].label] += 1
        wanted = {label: read[label] / size for label, size in available.items()}
        assert traced_loader(traced, packing, batch_size=batch_size, **values).passes(cursor) == (
            pytest.approx(wanted, abs=1e-12)
        )


@given(
    packing=st.sampled_from(["concatenate", "best_fit"]),
    weight=st.sampled_from([0.4, 1.0, 2.0, 2.6]),
    stops=st.sets(st.integers(0, 50), max_size=4),
    batch_size=st.integers(1, 4),
    seed=st.integers(0, 3),
)
@settings(max_examples=30, deadline=None)
def test_resumed_anywhere_any_packing_and_weight_give_the_same(
    traced, packing, weight, stops, batch_size, seed
):
    def walk(stops):
        cursor, seen = Cursor(), []
        loader = traced_loader(traced, packing, seed, batch_size, weights={"python": weight})
        for step in range(50):
            if step in stops:
                loader = traced_loader(
                    traced, packing, seed, batch_size, weights={"python": weight}
                )
            batch, cursor = loader.batch(cursor)
            seen.append([getattr(batch, name).tolist() for name in TENSORS])
        return seen

    assert walk(stops) == walk(set())


def test_at_half_weight_two_passes_read_each_document_once(traced):
    _, starts, _ = traced
    half = dict.fromkeys(("code", "english"), 0.5)
    loader = traced_loader(traced, "best_fit", weights=half)
    cursor, passes = Cursor(), [[], []]
    while cursor.epoch < 2:
        batch, after = loader.batch(cursor)
        if batch.cursor.epoch < 2:
            passes[batch.cursor.epoch] += learnt(batch)
        cursor = after
    assert sorted(passes[0] + passes[1]) == [i for i in range(sum(traced[2])) if i not in starts]
    assert 0.3 < len(passes[0]) / len(passes[1]) < 3


def test_an_epoch_is_as_long_as_its_sequences(traced):
    loader = traced_loader(traced, "best_fit", weights={"python": 0.5})
    cursor, counts = Cursor(), Counter()
    while cursor.epoch < 6:
        batch, cursor = loader.batch(cursor)
        counts[batch.cursor.epoch] += 1
    assert [counts[e] for e in range(6)] == [loader.sequences_in(e) for e in range(6)]
    assert loader.epoch_sequences == loader.batches_per_epoch == counts[0]


def test_a_batch_of_best_fit_has_something_to_learn_in_each_row(traced):
    loader = traced_loader(traced, "best_fit", length=1)
    batch = loader.sequences_at(np.arange(loader.epoch_sequences), Cursor())
    assert (batch.targets != -100).any(dim=1).all()


def test_passes_without_a_batch_are_passed_over(tmp_path):
    """One document, read in every second pass, or in every hundredth."""
    with ShardWriter(tmp_path / "s", vocab_size=VOCAB, facts={"tokenizer_sha256": "a"}) as writer:
        writer.add(range(40), text_bytes=1, source=SOURCES[0])
    made = ([Shard(tmp_path / "s")], [], [])
    loader = traced_loader(made, "concatenate", weights={"python": 0.5})
    cursor, seen = Cursor(), []
    for _ in range(6):
        batch, cursor = loader.batch(cursor)
        seen.append((batch.cursor.epoch, batch.cursor.index))
    assert seen == [(e, i) for e in (0, 2, 4) for i in (0, 1)]
    assert loader.passes(cursor) == {"python": pytest.approx(3 * 32 / 39)}
    with pytest.raises(ShardError, match="at least one batch"):
        traced_loader(made, "concatenate", weights={"python": 0.01})
