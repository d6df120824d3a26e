"""The quality model: a logistic regression over signals and hashed n-grams.

A score is the model's probability that a file is of the good kind of its training labels. The
model that codekiln brings was trained without labels by hand (`weak.py`): its good files are
documented, hand-written ones of released packages, its bad ones the same with their names
mangled, comments stripped, lines shuffled and so on, and minified or generated files. So a score
tells how written for readers a file looks, half of the files being bad by construction. It does
not tell whether the code is right, secure, useful or well designed: for that, train it on labels
of your own (`codekiln corpus quality train`).

A model is a folder with model.npz: `weights` float32 [signals + n-grams], `means` and
`deviations` float32 [languages + 1, signals] (the last row is for every other language), `about`
(JSON: languages, signals, bias, slope and shift of the calibration, what it was trained on).

Source: DeepSeek-Coder §2.4 ("a … quality model"; everything about it is open).
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codekiln.corpus.quality.features import BUCKETS, USED, Vector, gram_features, signal_features
from codekiln.corpus.quality.sample import sample
from codekiln.corpus.quality.signals import Signals
from codekiln.errors import SourceError
from codekiln.storage import atomic_path

MODEL = "model.npz"
SHIPPED = "default_model.npz"
FARTHEST = 5.0  # deviations; one wild signal must not drown the others


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QualityModel:
    """A trained model.

    Args:
        weights: of the signals in the order of `USED`, then of the n-grams.
        bias: added to the weighted sum.
        languages: rows of `means` and `deviations`.
        means: what is usual in a language; the last row for languages without one.
        deviations: standard deviations, the same way.
        slope: calibration: score = sigmoid(slope * sum + shift).
        shift: see `slope`.
        about: what it was trained on and how well it does.
    """

    weights: Vector
    bias: float
    languages: tuple[str, ...]
    means: Vector
    deviations: Vector
    slope: float = 1.0
    shift: float = 0.0
    about: Mapping[str, Any] = field(default_factory=dict)

    def score(self, data: bytes, language: str, signals: Signals) -> float:
        """Probability that a file is good, 0 to 1.

        Args:
            signals: of the same file.
        """
        return _sigmoid(self.slope * self.margin(data, language, signals) + self.shift)

    def margin(self, data: bytes, language: str, signals: Signals) -> float:
        """The weighted sum before calibration."""
        distances = self.distances(signal_features(signals), language)
        grams = gram_features(sample(data))
        near, far = self.weights[: len(USED)], self.weights[len(USED) :]
        return float(distances @ near) + float(grams @ far) + self.bias

    def distances(self, values: Vector, language: str) -> Vector:
        """Signals as deviations from what is usual in the language, at most FARTHEST."""
        row = self._row(language)
        scaled = (values - self.means[row]) / self.deviations[row]
        return np.clip(scaled, -FARTHEST, FARTHEST)

    def reasons(self, language: str, signals: Signals) -> list[tuple[str, float, float]]:
        """What each signal adds to the sum: (name, deviations from the usual, its part)."""
        distances = self.distances(signal_features(signals), language)
        parts = self.slope * distances * self.weights[: len(USED)]
        rows = zip(USED, map(float, distances), map(float, parts), strict=True)
        return sorted(rows, key=lambda row: -abs(row[2]))

    def _row(self, language: str) -> int:
        try:
            return self.languages.index(language)
        except ValueError:
            return len(self.languages)

    def save(self, folder: Path) -> None:
        """Write the model to a folder, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        about = {
            "signals": USED,
            "buckets": BUCKETS,
            "languages": self.languages,
            "bias": self.bias,
            "slope": self.slope,
            "shift": self.shift,
            "about": dict(self.about),
        }
        with atomic_path(folder / MODEL) as path, path.open("wb") as file:
            np.savez_compressed(
                file,
                weights=self.weights,
                means=self.means,
                deviations=self.deviations,
                about=np.frombuffer(json.dumps(about).encode(), np.uint8),
            )


def load(folder: Path | None = None) -> QualityModel:
    """A model from its folder, or the one that codekiln brings.

    Raises:
        SourceError: no model there, damaged, or made by another version's signals.
    """
    return _shipped() if folder is None else _read(folder)


@cache
def _shipped() -> QualityModel:
    content = resources.files(__package__).joinpath(SHIPPED).read_bytes()
    return _parse(content, SHIPPED)


def _read(folder: Path) -> QualityModel:
    path = folder / MODEL
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(
            path,
            got=error.strerror or str(error),
            wanted="a quality model",
            remedy="codekiln corpus quality train --labels FILE.jsonl --out DIR",
        ) from error
    return _parse(content, str(path))


def _parse(content: bytes, where: str) -> QualityModel:
    remedy = "train it again: codekiln corpus quality train --labels FILE.jsonl --out DIR"
    try:
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        about = json.loads(found["about"].tobytes())
        same = tuple(about["signals"]) == USED and about["buckets"] == BUCKETS
        model = QualityModel(
            weights=found["weights"],
            means=found["means"],
            deviations=found["deviations"],
            languages=tuple(about["languages"]),
            bias=float(about["bias"]),
            slope=float(about["slope"]),
            shift=float(about["shift"]),
            about=about["about"],
        )
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise SourceError(
            where, got=f"not a quality model: {error}", wanted="model.npz", remedy=remedy
        ) from error
    rows = (len(model.languages) + 1, len(USED))
    shapes = (model.weights.shape, model.means.shape, model.deviations.shape)
    if not same or shapes != ((len(USED) + 2 * BUCKETS,), rows, rows):
        raise SourceError(
            where, got="a model over other signals", wanted="those of today", remedy=remedy
        )
    return model


def _sigmoid(value: float) -> float:
    if value < 0:  # either way the exponential stays below 1
        return math.exp(value) / (1 + math.exp(value))
    return 1 / (1 + math.exp(-value))


def probabilities(margins: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The logistic function of many numbers."""
    return np.asarray(0.5 * (1 + np.tanh(margins / 2)), dtype=np.float64)
