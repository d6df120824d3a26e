"""Weights, shares and long documents against counting what is read, pass by pass."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from codekiln.errors import RecipeError
from codekiln.tokens.sampling import Documents, Sampling
from codekiln.tokens.settings import TokensSettings
from codekiln.tokens.shards import Shard, ShardWriter
from codekiln.tokens.sources import Source

PYTHON, JSX = (Source(kind="code", language=name) for name in ("python", "jsx"))
POSTS = Source(kind="english", location="posts.7z")
WIKI = Source(kind="chinese", location="wiki")
SOURCES = tuple(sorted((PYTHON, JSX, POSTS, WIKI)))


def documents_of(lengths, sources):
    return Documents(
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        codes=np.array([SOURCES.index(s) for s in sources], dtype=np.int32),
        sources=SOURCES,
    )


@pytest.fixture(scope="module")
def many():
    random = np.random.default_rng(0)
    sources = [SOURCES[i] for i in random.integers(0, 4, 2000)]
    return documents_of(random.integers(2, 300, 2000), sources)


def read_in(sampling, number, count):
    """How often each document is in pass `number`, counted one by one."""
    rounds = sampling.rounds(number)
    if rounds is None:
        return np.ones(count, dtype=np.int64)
    for documents in rounds:
        assert len(set(documents.tolist())) == len(documents)  # once a round
    return np.bincount(np.concatenate(rounds), minlength=count)


def sampling_of(documents, seed=0, **values):
    return Sampling(documents, TokensSettings.model_validate(values), seed=seed)


def test_without_settings_each_pass_reads_each_document_once(many):
    sampling = sampling_of(many)
    assert sampling.same and sampling.rounds(0) is None and sampling.rounds(7) is None
    assert sampling_of(many, weights={"code": 1.0}).rounds(3) is None


RATES = st.one_of(
    st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5, 0.7, 1.0, 1.3, 2.0, 3.5, 4.0]),
    st.floats(0, 5, allow_nan=False),
)


@given(weights=st.tuples(RATES, RATES), factor=RATES, seed=st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_rates_are_kept_over_any_number_of_passes(many, weights, factor, seed):
    values = dict(zip(("python", "english"), weights, strict=True))
    sampling = sampling_of(
        many, seed, weights=values, long_documents={"min_tokens": 200, "factor": factor}
    )
    lengths = np.diff(many.starts)
    named = np.array([{PYTHON: values["python"], POSTS: values["english"]}.get(s, 1.0)
                      for s in SOURCES])  # fmt: skip
    rates = named[many.codes] * np.where(lengths >= 200, factor, 1.0)
    total = np.zeros(len(many), dtype=np.int64)
    for number in range(7):
        times = read_in(sampling, number, len(many))
        assert ((times >= np.floor(rates)) & (times <= np.ceil(rates))).all()
        total += times
        # a document is as often read, so far, as its rate says, give or take once
        assert (np.abs(total - rates * (number + 1)) < 1 + 1e-6).all()
        # and so are the tokens of each source in each pass, give or take a document at either end
        for code in range(4):
            for long in (True, False):
                of_it = (many.codes == code) & ((lengths >= 200) == long)
                wanted = (rates * lengths)[of_it].sum()
                got = (times * lengths)[of_it].sum()
                assert abs(got - wanted) <= 2 * lengths[of_it].max(initial=0)
    assert (sampling.times(7) == total).all()


def test_halves_are_other_halves_and_make_a_whole(many):
    sampling = sampling_of(many, weights={"code": 0.5, "english": 0.5, "wiki": 0.5})
    one, two, three, four = (read_in(sampling, number, len(many)) for number in range(4))
    assert (one + two == 1).all() and (three + four == 1).all()
    # hashed: neither a stretch of the stream nor every other one
    half = len(many) // 2
    assert abs(one[:half].mean() - 0.5) < 0.05 and abs(one[::2].mean() - 0.5) < 0.05
    assert abs((one[1:] == one[:-1]).mean() - 0.5) < 0.05
    other = sampling_of(many, seed=1, weights={"code": 0.5, "english": 0.5, "wiki": 0.5})
    assert 0.4 < (read_in(other, 0, len(many)) == one).mean() < 0.6


def test_a_tenth_thirty_times_is_three_times(many):
    weights = dict.fromkeys(("code", "english", "chinese"), 0.1)
    assert (sampling_of(many, weights=weights).times(30) == 3).all()


def test_nothing_of_weight_zero_is_ever_read(many):
    sampling = sampling_of(many, weights={"chinese": 0, "jsx": 0.3})
    for number in range(5):
        assert not read_in(sampling, number, len(many))[many.codes == SOURCES.index(WIKI)].any()


def test_the_most_exact_name_counts(many):
    names = {"code": 2.0, "javascript": 3.0, "english": 4.0, "posts.7z": 5.0}
    found = dict(zip(SOURCES, sampling_of(many, weights=names).rates[:, 0], strict=True))
    assert found == {PYTHON: 2.0, JSX: 3.0, POSTS: 5.0, WIKI: 1.0}


def test_copies_lie_far_apart_and_the_rest_between_them(many):
    sampling = sampling_of(many, long_documents={"min_tokens": 250, "factor": 4.0})
    rounds = sampling.rounds(0)
    long = np.diff(many.starts) >= 250
    assert len(rounds) == 4 and sampling.same
    for documents in rounds:
        assert long[documents].sum() == long.sum()
        assert abs((~long[documents]).sum() / (~long).sum() - 0.25) < 0.05


SHARES = st.dictionaries(
    st.sampled_from(["python", "javascript", "english", "wiki"]), st.floats(0.01, 0.24), min_size=1
)


@given(shares=SHARES, factor=st.sampled_from([1.0, 2.5]))
@settings(max_examples=40, deadline=None)
def test_shares_of_a_pass_are_those_asked_for(many, shares, factor):
    long = {"min_tokens": 200, "factor": factor}
    lengths = np.diff(many.starts)
    natural = lengths * np.where(lengths >= 200, factor, 1.0)
    if len(shares) == 4:  # nothing is left to take the rest
        shares = {name: share / math.fsum(shares.values()) for name, share in shares.items()}
    sampling = sampling_of(many, shares=shares, long_documents=long)
    read = read_in(sampling, 0, len(many)) * lengths
    slack = 16 * lengths.max()  # a document at either end of each source's stretch
    assert abs(read.sum() - natural.sum()) <= slack
    bearers = {"python": PYTHON, "javascript": JSX, "english": POSTS, "wiki": WIKI}
    left = [SOURCES.index(s) for name, s in bearers.items() if name not in shares]
    for name, share in shares.items():
        of_it = many.codes == SOURCES.index(bearers[name])
        assert abs(read[of_it].sum() - share * natural.sum()) <= slack
    others = natural[np.isin(many.codes, left)].sum()
    for code in left:  # in their natural proportion
        part = natural[many.codes == code].sum() / others * (1 - sum(shares.values()))
        assert abs(read[many.codes == code].sum() - part * natural.sum()) <= slack


def test_weights_divide_a_share(many):
    found = sampling_of(many, shares={"code": 0.4}, weights={"python": 3.0}).rates[:, 0]
    rates = dict(zip(SOURCES, found, strict=True))
    assert rates[PYTHON] == pytest.approx(3 * rates[JSX])
    assert rates[POSTS] == pytest.approx(rates[WIKI])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"weights": {"pyton": 2}}, ["weights] pyton", "did you mean 'python'"]),
        ({"shares": {"post.7z": 0.2}}, ["shares] post.7z", "did you mean 'posts.7z'"]),
        ({"weights": {"code": 0, "english": 0, "chinese": 0}}, ["ever read", "raise a weight"]),
        ({"shares": {"english": 0.5}, "weights": {"posts.7z": 0}}, ["no documents to fill"]),
        ({"shares": {"code": 0.5, "english": 0.2, "wiki": 0.2}}, ["leave 0.1"]),
    ],
)
def test_what_cannot_be_had_is_an_error(many, values, words):
    with pytest.raises(RecipeError) as caught:
        sampling_of(many, **values)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.wanted and caught.value.remedy


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"shares": {"a": 0.7, "b": 0.4}}, "add up to 1.1"),
        ({"shares": {"a": -0.1}}, "from 0 to 1"),
        ({"weights": {"a": math.nan}}, "from 0 to 1000"),
        ({"weights": {"a": -1}}, "from 0 to 1000"),
        ({"weights": {"a": 1}, "shares": {"a": 0.5}}, "has both"),
        ({"long_documents": {"factor": 2.0}}, "min_tokens"),
        ({"packing": "best-fit"}, "best_fit"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values, words):
    with pytest.raises(ValidationError, match=words):
        TokensSettings.model_validate(values)


def test_the_spread_over_shards_does_not_matter(tmp_path):
    rows = [([1] * (2 + i % 5), SOURCES[i % 3]) for i in range(30)]

    def documents(name, cuts):
        shards = []
        for number, (a, b) in enumerate(zip([0, *cuts], [*cuts, 30], strict=True)):
            prefix = tmp_path / f"{name}-{number}"
            facts = {"tokenizer_sha256": "a"}
            with ShardWriter(prefix, vocab_size=9, facts=facts) as writer:
                for ids, source in rows[a:b]:
                    writer.add(ids, text_bytes=1, source=source)
            shards.append(Shard(prefix))
        return Documents.of(shards)

    one, three = documents("one", []), documents("three", [4, 19])
    assert one.sources == three.sources == tuple(sorted(SOURCES[:3]))
    assert (one.starts == three.starts).all() and (one.codes == three.codes).all()
