"""Stages of a schedule read their own documents; middle-only loss leaves prompts out."""

import numpy as np
import pytest

from codekiln.errors import ShardError
from codekiln.tokens.batch import IGNORED
from codekiln.tokens.cursor import Cursor
from codekiln.tokens.loader import Loader
from codekiln.tokens.settings import TokensSettings
from codekiln.tokens.shards import Shard, ShardWriter
from codekiln.tokens.stages import StagedLoader

VOCAB = 500


def shard_of(folder, documents, stages=None, layouts=None):
    with ShardWriter(folder / "s", vocab_size=VOCAB, facts={"tokenizer_sha256": "a"}) as writer:
        for i, ids in enumerate(documents):
            writer.add(
                ids,
                text_bytes=len(ids),
                stage=stages[i] if stages else 0,
                layouts=np.array(layouts[i], dtype=np.int64).reshape(-1, 3) if layouts else None,
            )
    return Shard(folder / "s")


@pytest.fixture
def staged(tmp_path):
    random = np.random.default_rng(1)
    stages = random.integers(0, 3, 90).tolist()
    # a document's ids tell its stage
    documents = [
        (100 * stage + random.integers(0, 100, random.integers(2, 30))).tolist() for stage in stages
    ]
    return shard_of(tmp_path, documents, stages), stages


def loader_of(shard, **changes):
    chosen = TokensSettings(
        fim_schedule=((0.0, 0.1), (0.4, 0.5), (0.7, 0.9)), sequence_length=16, **changes
    )
    return StagedLoader([shard], chosen, batch_size=2, seed=5, pad_id=400)


@pytest.mark.parametrize("packing", ["concatenate", "best_fit"])
def test_each_stage_reads_its_own_documents_from_its_start(staged, packing):
    shard, _ = staged
    loader = loader_of(shard, packing=packing)
    cursor, steps = Cursor(), 40
    for step in range(steps):
        cursor = loader.advance(cursor, step / steps)
        wanted = 0 if step < 16 else 1 if step < 28 else 2
        assert cursor.stage == wanted
        batch, cursor = loader.batch(cursor)
        ids = batch.tokens[batch.tokens != 400]
        assert set((ids // 100).tolist()) == {wanted}
    assert Cursor.from_json({**cursor.to_json(), "earlier": [list(e) for e in cursor.earlier]}) == (
        cursor
    )


def test_passes_are_the_sum_over_stages(staged):
    shard, _ = staged
    loader = loader_of(shard, packing="best_fit")
    cursor = Cursor()
    given = 0
    for step in range(40):
        cursor = loader.advance(cursor, step / 40)
        batch, cursor = loader.batch(cursor)
        given += int((batch.targets != IGNORED).sum())
    every = int((np.diff(shard.starts) - 1).sum())
    assert loader.passes(cursor)["code"] == pytest.approx(given / every)


def test_stages_that_a_run_skips_are_skipped(staged):
    loader = loader_of(staged[0])
    cursor = loader.advance(Cursor(), 0.9)
    assert cursor == Cursor(earlier=((0, 0), (0, 0)))
    assert loader.advance(cursor, 0.95) == cursor


def test_a_stage_without_documents_is_named(tmp_path):
    shard = shard_of(tmp_path, [[1] * 50] * 8, [0] * 8)
    with pytest.raises(ShardError, match=r"stage 2 of tokens\.fim_schedule: 0 tokens"):
        loader_of(shard)


def test_stages_far_from_their_share_are_named(tmp_path, caplog):
    documents = [[i] * (400 if i == 1 else 100) for i in range(3)]  # 17%, 67%, 17% of the tokens
    loader_of(shard_of(tmp_path, documents, [0, 1, 2]))
    assert "stage 2 of tokens.fim_schedule has" in caplog.text
    assert "read 0.4" in caplog.text


def test_a_shard_without_schedule_is_read_whole(staged):
    whole = StagedLoader(
        [staged[0]], TokensSettings(sequence_length=16), batch_size=2, seed=5, pad_id=400
    )
    plain = Loader([staged[0]], sequence_length=16, batch_size=2, seed=5)
    assert whole.epoch_sequences == plain.epoch_sequences
    first, second = whole.batch(Cursor())[0], plain.batch(Cursor())[0]
    assert first.tokens.equal(second.tokens) and first.targets.equal(second.targets)


@pytest.mark.parametrize("packing", ["concatenate", "best_fit"])
@pytest.mark.parametrize("length", [5, 16, 64])
def test_middle_only_loss_against_a_list_of_what_is_learnt(tmp_path, packing, length):
    random = np.random.default_rng(2)
    documents, layouts, learnt, at = [], [], {}, 0
    for _ in range(60):
        size = int(random.integers(4, 40))
        places = np.sort(random.integers(0, size + 1, (2, 3)).ravel())
        places = places.reshape(2, 3)[: random.integers(0, 3)]
        asked = {p for begin, middle, _ in places.tolist() for p in range(begin, middle)}
        documents.append(list(range(at, at + size)))  # an id is its place
        layouts.append(places)
        learnt |= {at + p: p not in asked and p > 0 for p in range(size)}
        at += size
    shards = []
    for number, part in enumerate((slice(0, 25), slice(25, 60))):
        folder = tmp_path / str(number)
        folder.mkdir()
        with ShardWriter(folder / "s", vocab_size=at + 1, facts={"tokenizer_sha256": "a"}) as w:
            for ids, places in zip(documents[part], layouts[part], strict=True):
                w.add(ids, text_bytes=1, layouts=places)
        shards.append(Shard(folder / "s"))
    loader = Loader(
        shards,
        sequence_length=length,
        batch_size=1,
        seed=0,
        packing=packing,
        pad_id=at,
        middle_only=True,
    )
    batch = loader.sequences_at(np.arange(loader.epoch_sequences), Cursor())
    got = set(batch.targets[batch.targets != IGNORED].tolist())
    # documents one behind the other leave over what fills no sequence
    read = at if packing == "best_fit" else loader.epoch_sequences * length + 1
    assert got == {place for place, wanted in learnt.items() if wanted and place < read}
    assert len(got) < sum(p > 0 for p in learnt)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda a: a + 10**6,
        lambda a: a[:, ::-1],
        lambda a: a[:, :2],
        lambda a: a.astype(np.int32),
    ],
)
def test_damaged_layouts_are_an_error(tmp_path, spoil):
    shard_of(tmp_path, [[1] * 50] * 2, layouts=[[(1, 5, 9)], [(0, 4, 50)]])
    path = tmp_path / "s.fim.npy"
    np.save(path, spoil(np.load(path)))
    with pytest.raises(ShardError, match=r"s\.fim\.npy"):
        Shard(tmp_path / "s")
