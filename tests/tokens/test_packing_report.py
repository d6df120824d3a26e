import numpy as np
import pytest

from codekiln.errors import RecipeError
from codekiln.tokens.packing_report import packing_report, passes_line
from codekiln.tokens.settings import TokensSettings
from codekiln.tokens.shards import Shard, ShardWriter
from codekiln.tokens.sources import Source

GO, POSTS = Source(kind="code", language="go"), Source(kind="english", location="posts")


@pytest.fixture
def shards(tmp_path):
    with ShardWriter(tmp_path / "s", vocab_size=9, facts={"tokenizer_sha256": "a"}) as writer:
        for size, source in ((6, GO), (12, GO), (4, POSTS), (3, POSTS)):
            writer.add(np.ones(size, int), text_bytes=size, source=source)
    return [Shard(tmp_path / "s")]


def test_the_figures_of_four_documents(shards):
    """Sequences of 8, rows of 9: 12 is 9 and a rest of 4 (the ninth id is in both)."""
    found = packing_report(shards, TokensSettings(sequence_length=8), seed=0)
    assert (found.documents, found.longer_documents, found.packing) == (4, 1, "concatenate")
    cut, whole = found.packings["concatenate"], found.packings["best_fit"]
    # 25 ids: [0, 9) [8, 17) [16, 25); documents at 0, 6, 18, 22: only the second is cut
    assert (cut.sequences, cut.cut_share, cut.padding_share) == (3, 0.25, 0.0)
    # 9 | 6 3 | 4 4: the last one has 8 inputs
    assert (whole.sequences, whole.cut_share, whole.padding_share) == (3, 0.25, 0.0)
    assert {name: (s.documents, s.tokens, s.passes) for name, s in found.sources.items()} == {
        "go": (2, 18, 1.0),
        "english: posts": (2, 7, 1.0),
    }
    assert found.sources["go"].share == pytest.approx(18 / 25)


def test_padding_is_counted_in_inputs(shards):
    found = packing_report(shards, TokensSettings(sequence_length=30), seed=0).packings
    assert found["best_fit"].padding_share == pytest.approx((30 - 25) / 30)
    assert found["concatenate"].sequences == 0 and found["concatenate"].cut_share == 1.0


def test_passes_follow_from_weights_and_long_documents(shards):
    settings = TokensSettings.model_validate(
        {
            "sequence_length": 8,
            "weights": {"posts": 3.0},
            "long_documents": {"min_tokens": 12, "factor": 2.0},
        }
    )
    found = packing_report(shards, settings, seed=0)
    assert found.sources["english: posts"].passes == 3.0
    assert found.sources["go"].passes == pytest.approx(30 / 18)
    assert found.sources["go"].share == pytest.approx(30 / 51)
    assert found.packings["concatenate"].sequences == 50 // 8


def test_unknown_names_are_an_error(shards):
    with pytest.raises(RecipeError, match="did you mean 'posts'"):
        packing_report(shards, TokensSettings(weights={"post": 1.0}), seed=0)


def test_passes_in_a_line():
    assert passes_line({"go": 1.304, "english: posts": 0.7}) == "go 1.30, english: posts 0.70"
    assert passes_line(dict.fromkeys("abcd", 1.0), most=2) == "a 1.00, b 1.00 and 2 more sources"
