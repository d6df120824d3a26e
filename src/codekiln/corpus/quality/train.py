"""Train a quality model on labelled files, and say how good it is on groups it has not seen.

Groups (repositories) are split by a hash of their names: 64% train, 16% choose and calibrate,
20% test. A row's weight makes each language count by the square root of its rows, and the two
labels equally within it: the score of a file means the same in every language. Logistic
regression by Adam on whole vectors in memory (17 KB a row), plain numpy.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codekiln.corpus.quality.features import USED, Vector, gram_features, signal_features
from codekiln.corpus.quality.labels import Row, read
from codekiln.corpus.quality.model import FARTHEST, QualityModel, probabilities
from codekiln.corpus.quality.sample import sample
from codekiln.corpus.quality.signals import measure
from codekiln.errors import SourceError

Floats = npt.NDArray[np.float64]

FEW_ROWS = 20
FEW_OF_LANGUAGE = 30  # fewer good files do not say what is usual in a language
EPOCHS, BATCH = 24, 256
RATE = 0.03
PENALTIES = (1e-5, 1e-4, 1e-3)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """Rows as numbers."""

    signals: Vector  # [rows, signals]
    grams: Vector  # [rows, n-grams]
    labels: Floats
    languages: npt.NDArray[np.str_]
    groups: npt.NDArray[np.str_]
    kinds: npt.NDArray[np.str_]

    def part(self, chosen: npt.NDArray[np.bool_]) -> Table:
        """The chosen rows."""
        return Table(
            signals=self.signals[chosen],
            grams=self.grams[chosen],
            labels=self.labels[chosen],
            languages=self.languages[chosen],
            groups=self.groups[chosen],
            kinds=self.kinds[chosen],
        )


def tabulate(rows: Iterable[Row], each: Callable[[], None] | None = None) -> Table:
    """Measure rows; `each` is called after every one."""
    signals, grams, others = [], [], []
    for row in rows:
        signals.append(signal_features(measure(row.data, row.language)))
        grams.append(gram_features(sample(row.data)))
        others.append((row.label, row.language, row.group, row.kind))
        if each:
            each()
    labels, languages, groups, kinds = zip(*others, strict=True) if others else ([],) * 4
    return Table(
        signals=np.array(signals, np.float32).reshape(-1, len(USED)),
        grams=np.array(grams, np.float32),
        labels=np.array(labels, np.float64),
        languages=np.array(languages, np.str_),
        groups=np.array(groups, np.str_),
        kinds=np.array(kinds, np.str_),
    )


def train(labels: Path, folder: Path, each: Callable[[], None] | None = None) -> dict[str, Any]:
    """Train on a file of labels and write the model; returns how good it is.

    Raises:
        SourceError: the labels cannot be read, or are too few or all the same.
    """
    table = tabulate(read(labels), each)
    model = fit(table, where=str(labels))
    model.save(folder)
    return dict(model.about)


def fit(table: Table, *, where: str = "labels", seed: int = 0) -> QualityModel:
    """A calibrated model; its `about` holds the measures on the test groups.

    Raises:
        SourceError: fewer than 20 rows, or only one kind of label.
    """
    _check(table, where)
    training, choosing, test = _splits(table)
    model, penalty = _best(table.part(training), table.part(choosing), seed)
    model = _calibrated(model, table.part(choosing))
    about = {
        "rows": len(table.labels),
        "groups": len(set(table.groups.tolist())),
        "penalty": penalty,
        "languages": dict(sorted(Counter(table.languages.tolist()).items())),
        "test": measures(model, table.part(test)),
    }
    return replace(model, about=about)


def _check(table: Table, where: str) -> None:
    good = int((table.labels > 0.5).sum())
    if len(table.labels) < FEW_ROWS or good in (0, len(table.labels)):
        raise SourceError(
            where,
            got=f"{len(table.labels)} rows, {good} of them good",
            wanted=f"at least {FEW_ROWS} rows, good ones (label 1) and bad ones (label 0)",
        )


def _splits(table: Table) -> tuple[npt.NDArray[np.bool_], ...]:
    """Training, choosing and test rows; by rows where the groups are too few to be split."""
    place = np.array([_place(group) for group in table.groups.tolist()])
    parts = place < 0.64, (place >= 0.64) & (place < 0.8), place >= 0.8
    if all(_has_both(table.labels[part]) for part in parts):
        return parts
    number = np.arange(len(place)) % 25
    parts = number < 16, (number >= 16) & (number < 20), number >= 20
    if all(_has_both(table.labels[part]) for part in parts):
        return parts
    return (np.ones(len(place), np.bool_),) * 3


def _place(group: str) -> float:
    digest = hashlib.blake2b(group.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2**64


def _has_both(labels: Floats) -> bool:
    return bool((labels > 0.5).any() and (labels <= 0.5).any())


def _best(training: Table, choosing: Table, seed: int) -> tuple[QualityModel, float]:
    """The model of the penalty that does best on the choosing rows."""
    usual = _usual(training)
    found = []
    for penalty in PENALTIES:
        model = _fit(usual, training, penalty, seed)
        found.append((auc(_margins(model, choosing), choosing.labels), penalty, model))
    _, penalty, model = max(found, key=lambda each: each[:2])
    return model, penalty


def _usual(table: Table) -> QualityModel:
    """A model without weights that knows what is usual: by good files, language by language."""
    good = table.labels > 0.5
    counts = Counter(table.languages[good].tolist())
    names = tuple(sorted(name for name, count in counts.items() if count >= FEW_OF_LANGUAGE))
    rows = [table.signals[good & (table.languages == name)] for name in names]
    rows.append(table.signals[good])
    deviations = [np.maximum(row.std(axis=0), 1e-3) for row in rows]
    return QualityModel(
        weights=np.zeros(len(USED) + table.grams.shape[1], np.float32),
        bias=0.0,
        languages=names,
        means=np.array([row.mean(axis=0) for row in rows], np.float32),
        deviations=np.array(deviations, np.float32),
    )


def _distances(model: QualityModel, table: Table) -> Vector:
    places = {name: place for place, name in enumerate(model.languages)}
    rows = [places.get(name, len(places)) for name in table.languages.tolist()]
    scaled = (table.signals - model.means[rows]) / model.deviations[rows]
    return np.clip(scaled, -FARTHEST, FARTHEST)


def _fit(model: QualityModel, table: Table, penalty: float, seed: int) -> QualityModel:
    inputs = np.concatenate((_distances(model, table), table.grams), axis=1)
    importance = _importance(table).astype(np.float32)
    labels = table.labels.astype(np.float32)
    draw = np.random.default_rng(seed)
    weights = np.zeros(inputs.shape[1] + 1, np.float32)  # the last is the bias
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    step = 0
    batch = min(BATCH, max(8, len(labels) // 8))
    for epoch in range(EPOCHS):
        order = draw.permutation(len(labels))
        rate = RATE * (1 - epoch / EPOCHS)
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            given = inputs[rows]
            guess = 0.5 * (1 + np.tanh((given @ weights[:-1] + weights[-1]) / 2))
            error = (guess - labels[rows]) * importance[rows] / len(rows)
            slope = np.append(given.T @ error + penalty * weights[:-1], error.sum())
            step += 1
            first += 0.1 * (slope - first)
            second += 0.01 * (slope * slope - second)
            scale = rate * np.sqrt(1 - 0.99**step) / (1 - 0.9**step)
            weights -= scale * first / (np.sqrt(second) + 1e-8)
    return replace(model, weights=weights[:-1].copy(), bias=float(weights[-1]))


def _importance(table: Table) -> Floats:
    """Weights with mean 1: languages by the square root of their rows, labels equally."""
    good = table.labels > 0.5
    found = np.ones(len(good))
    for name in set(table.languages.tolist()):
        own = table.languages == name
        for side in (own & good, own & ~good):
            if side.any():
                found[side] = np.sqrt(own.sum()) / side.sum()
    return found / found.mean()


def _margins(model: QualityModel, table: Table) -> Floats:
    inputs = np.concatenate((_distances(model, table), table.grams), axis=1)
    return (inputs @ model.weights).astype(np.float64) + model.bias


def _calibrated(model: QualityModel, table: Table) -> QualityModel:
    """Platt's scaling: slope and shift that suit the choosing rows best, by Newton's method."""
    margins, importance = _margins(model, table), _importance(table)
    columns = np.stack((margins, np.ones_like(margins)))
    found = np.array([1.0, 0.0])
    for _ in range(50):
        guess = probabilities(found @ columns)
        slope = columns @ (importance * (guess - table.labels)) + 1e-3 * (found - [1.0, 0.0])
        curve = (columns * (importance * guess * (1 - guess))) @ columns.T + 1e-3 * np.eye(2)
        found -= np.clip(np.linalg.solve(curve, slope), -1, 1)
    return replace(model, slope=float(found[0]), shift=float(found[1]))


def measures(model: QualityModel, table: Table) -> dict[str, Any]:
    """How good a model is on rows: AUC, calibration error, by language and by kind."""
    scores = probabilities(model.slope * _margins(model, table) + model.shift)
    good = table.labels > 0.5
    by_language, by_kind = {}, {}
    for name in sorted(set(table.languages.tolist())):
        own = table.languages == name
        if _has_both(table.labels[own]):
            by_language[name] = round(auc(scores[own], table.labels[own]), 4)
    for kind in sorted(set(table.kinds[~good].tolist()) - {""}):
        own = good | (table.kinds == kind)
        by_kind[kind] = round(auc(scores[own], table.labels[own]), 4)
    return {
        "rows": len(scores),
        "groups": len(set(table.groups.tolist())),
        "auc": round(auc(scores, table.labels), 4),
        "calibration_error": round(calibration_error(scores, table.labels, _importance(table)), 4),
        "auc_by_language": by_language,
        "auc_by_kind": by_kind,
    }


def auc(scores: Floats, labels: Floats) -> float:
    """Chance that a good row scores above a bad one; ties count half; 0.5 without one of them."""
    good = labels > 0.5
    if not _has_both(labels):
        return 0.5
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    wins = ranks[good].sum() - good.sum() * (good.sum() + 1) / 2
    return float(wins / (good.sum() * (~good).sum()))


def calibration_error(scores: Floats, labels: Floats, importance: Floats) -> float:
    """Mean distance of score and share of good rows, in ten equal bins of the score."""
    bins = np.minimum((scores * 10).astype(int), 9)
    total = importance.sum()
    error = 0.0
    for each in range(10):
        own = bins == each
        weight = importance[own].sum()
        if weight:
            gap = np.average(scores[own] - labels[own], weights=importance[own])
            error += abs(float(gap)) * float(weight / total)
    return error
