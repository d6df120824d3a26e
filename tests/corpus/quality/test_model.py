"""The model: what codekiln brings, and one trained anew on small data."""

from __future__ import annotations

import json
import random
import re
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codekiln.corpus.quality import model as models
from codekiln.corpus.quality import weak
from codekiln.corpus.quality.features import BUCKETS, USED, gram_features
from codekiln.corpus.quality.labels import read
from codekiln.corpus.quality.model import MODEL, load
from codekiln.corpus.quality.signals import measure
from codekiln.corpus.quality.train import auc, calibration_error, train
from codekiln.corpus.quality.weak import SPOILERS, weak_labels, without_comments, write
from codekiln.errors import SourceError

STDLIB = Path(sysconfig.get_paths()["stdlib"])


def score(data: bytes, language: str = "python", folder: Path | None = None) -> float:
    return load(folder).score(data, language, measure(data, language))


def good_files(count: int) -> list[bytes]:
    paths = sorted(p for p in STDLIB.glob("*.py") if 2000 < p.stat().st_size < 60_000)
    return [p.read_bytes() for p in random.Random(2).sample(paths, count)]


def test_the_model_that_comes_along_tells_the_standard_library_from_its_spoils():
    """None of it was trained on; lines in any order are the hardest to see."""
    good = good_files(50)
    common = frozenset(b"def class return import self for not and None True False".split())
    above = [score(data) for data in good]
    for name, spoil in SPOILERS.items():
        draw = random.Random(name)
        below = [score(spoil(data, "python", common, draw)) for data in good]
        labels = np.array([1.0] * len(above) + [0.0] * len(below))
        least = 0.6 if name == "shuffled" else 0.85
        assert auc(np.array(above + below), labels) > least, name


def test_the_model_that_comes_along_is_small_and_says_what_it_is():
    path = Path(models.__file__).with_name(models.SHIPPED)
    assert path.stat().st_size < 300_000
    about = load().about
    assert about["test"]["auc"] > 0.9 and about["test"]["calibration_error"] < 0.1
    assert about["rows"] > 5000 and len(about["languages"]) >= 15


@given(st.binary(max_size=2000), st.sampled_from(["python", "c", "json", "nothing"]))
def test_any_bytes_have_a_score(data, language):
    assert 0 <= score(data, language) <= 1


def slow_grams(text: str, width: int) -> np.ndarray:
    """Counted one by one, with Python's numbers."""
    counts = [0] * BUCKETS
    places = range(len(text) - width + 1)
    for at in places:
        key = int.from_bytes(text[at : at + width].encode("latin-1"), "little")
        counts[(key * 0x9E3779B97F4A7C15) % 2**64 >> 53] += 1
    return np.sqrt(np.float32([count / max(1, len(places)) for count in counts]))


@given(st.one_of(st.binary(max_size=60), st.text("aB9_ \n", max_size=60).map(str.encode)))
def test_grams_equal_those_counted_one_by_one(data):
    text = "".join(chr(min(code, 128)) for code in data)
    folded = re.sub("[0-9]", "0", text.lower())
    shaped = re.sub("[A-Z]", "A", re.sub("[a-z\x80]", "a", re.sub("[0-9]", "0", text)))
    wanted = np.concatenate((slow_grams(folded, 4), slow_grams(shaped, 6)))
    assert (gram_features(data) == wanted).all()


def test_grams_see_what_changes_and_not_what_is_folded():
    assert (
        gram_features(b"Value = 12\n")[:BUCKETS] == gram_features(b"value = 98\n")[:BUCKETS]
    ).all()
    assert (gram_features(b"value = 12\n") != gram_features(b"other = 12\n")).any()


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.5, 1.0]), st.booleans()), max_size=30))
def test_auc_is_the_share_of_pairs_in_order(rows):
    good = [value for value, label in rows if label]
    bad = [value for value, label in rows if not label]
    pairs = [(a > b) + (a == b) / 2 for a in good for b in bad]
    wanted = sum(pairs) / len(pairs) if pairs else 0.5
    found = auc(np.array([v for v, _ in rows]), np.array([float(label) for _, label in rows]))
    assert found == pytest.approx(wanted)


def test_calibration_error_of_known_scores():
    scores = np.array([0.95] * 4 + [0.25] * 4)
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 1.0])
    assert calibration_error(scores, labels, np.ones(8)) == pytest.approx((0.2 + 0.0) / 2)


def test_spoilers_change_the_text_and_keep_to_themselves():
    data = b'"""Doc."""\n\nimport os\n\n\ndef first(value):  # why\n    return os.sep + value\n' * 5
    for name, spoil in SPOILERS.items():
        found = spoil(data, "python", frozenset({b"def", b"return"}), random.Random(1))
        assert found and found != data, name
        assert found == spoil(data, "python", frozenset({b"def", b"return"}), random.Random(1))
    assert b"why" not in without_comments(data, "python")
    assert b"'#'" in without_comments(b"x = '#'  # a\n", "python")


@pytest.fixture(scope="module")
def repositories(tmp_path_factory) -> list[str]:
    """Twelve small projects of standard library files."""
    folder = tmp_path_factory.mktemp("projects")
    for number, data in enumerate(good_files(96)):
        project = folder / f"project{number % 12}"
        project.mkdir(exist_ok=True)
        (project / f"m{number}.py").write_bytes(data)
    return sorted(map(str, folder.iterdir()))


def test_labels_and_a_model_of_ones_own(repositories, tmp_path, monkeypatch):
    rows = list(weak_labels(repositories))
    assert rows == list(weak_labels(repositories))
    good = sum(row.label == 1 for row in rows)
    assert good >= 60 and good <= len(rows) - good <= good + 20
    labels = tmp_path / "labels.jsonl"
    assert write(rows, labels) == len(rows)
    assert [row.group for row in read(labels)] == [row.group for row in rows]
    about = train(labels, tmp_path / "model")
    assert about["groups"] == 12 and about["test"]["groups"] < 12
    assert about["test"]["auc"] > 0.75
    own = load(tmp_path / "model")
    data = good_files(1)[0]
    signals = measure(data, "python")
    assert score(data, folder=tmp_path / "model") == own.score(data, "python", signals)
    assert {name for name, _, _ in own.reasons("python", signals)} == set(USED)
    assert train(labels, tmp_path / "again") == about
    assert (tmp_path / "again" / MODEL).stat().st_size < 300_000


def test_labels_of_ones_own_taste_are_learnt(tmp_path):
    """Labels that have nothing to do with ours: good is what has no digits."""
    draw = random.Random(0)
    rows = []
    for number in range(240):
        digits = number % 2
        words = [draw.choice(["alpha", "beta", "gamma", "delta"]) for _ in range(60)]
        if digits:
            words = [word + str(draw.randrange(100)) for word in words]
        path = tmp_path / f"f{number}.txt"
        path.write_text("\n".join(" ".join(words[i : i + 6]) for i in range(0, 60, 6)))
        group = f"g{number % 30}"
        rows.append({"path": path.name, "language": "c", "label": 1 - digits, "group": group})
    labels = tmp_path / "labels.jsonl"
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert train(labels, tmp_path / "model")["test"]["auc"] > 0.99


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1]", "list"),
        ("{", "not JSON"),
        ('{"text": "a", "language": "c"}', "label None"),
        ('{"text": "a", "language": "c", "label": 2}', "label 2"),
        ('{"text": "a", "label": 1}', "no language"),
        ('{"language": "c", "label": 1}', "neither text nor path"),
        ('{"path": "nowhere", "language": "c", "label": 1}', "nowhere"),
    ],
)
def test_bad_labels_are_named_by_their_line(tmp_path, line, message):
    labels = tmp_path / "labels.jsonl"
    labels.write_text('{"text": "a", "language": "c", "label": 1}\n' + line + "\n")
    with pytest.raises(SourceError, match=message) as error:
        list(read(labels))
    assert "labels.jsonl:2" in str(error.value)


def test_too_few_labels_and_missing_files(tmp_path):
    labels = tmp_path / "labels.jsonl"
    labels.write_text('{"text": "a", "language": "c", "label": 1}\n' * 30)
    with pytest.raises(SourceError, match="30 of them good"):
        train(labels, tmp_path / "model")
    with pytest.raises(SourceError, match="cannot be read"):
        train(tmp_path / "nowhere.jsonl", tmp_path / "model")


def test_damaged_models_are_refused(tmp_path):
    with pytest.raises(SourceError, match="quality model"):
        load(tmp_path)
    (tmp_path / MODEL).write_bytes(b"PK nonsense")
    with pytest.raises(SourceError, match="not a quality model"):
        load(tmp_path)
    load().save(tmp_path)
    content = (tmp_path / MODEL).read_bytes()
    (tmp_path / MODEL).write_bytes(content[: len(content) // 2])
    with pytest.raises(SourceError, match="not a quality model"):
        load(tmp_path)


def test_chosen_files_are_the_good_and_the_naturally_bad(tmp_path):
    project = tmp_path / "p"
    (project / "vendor").mkdir(parents=True)
    data = good_files(1)[0]
    (project / "good.py").write_bytes(data)
    (project / "vendor" / "other.py").write_bytes(data)
    (project / "test_it.py").write_bytes(data)
    (project / "made.py").write_bytes(b"# Generated by x. DO NOT EDIT.\n" + data)
    (project / "small.py").write_bytes(b"# a\nx = 1\n")
    found = {(row.kind, row.label) for row in weak.weak_labels([str(project)])}
    assert ("good", 1) in found and ("generated", 0) in found and len(found) == 3
