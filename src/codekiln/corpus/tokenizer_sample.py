"""The text that a tokenizer is trained on: so much of each language, counted by several processes.

A language gives what it has at most; what it lacks goes to the others in proportion. Workers send
back counted words, never text: memory is bounded by the distinct words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from codekiln.corpus.draw import Survey, Task, drawn
from codekiln.corpus.store import Split
from codekiln.errors import RecipeError, TokenizerError
from codekiln.languages.table import family, languages
from codekiln.log import Progress, human_count, logger
from codekiln.processes import run_all
from codekiln.registry import suggestion
from codekiln.tokenizer.settings import TokenizerSettings
from codekiln.tokenizer.words import WordCounter

_KINDS = ("english", "chinese")


def count_words(survey: Survey, settings: TokenizerSettings, processes: int) -> dict[bytes, int]:
    """Count the words of a sample of the training documents, drawn by language.

    Args:
        processes: workers; 0 means one a core.

    Raises:
        TokenizerError: when the corpus has no text, or no language has a weight.
        RecipeError: a weight for something that is no language.
    """
    available = survey.bytes("train")
    budgets = shares(available, settings)
    bars = survey.bars("train", budgets)
    _tell(available, budgets, settings)
    counter = WordCounter()
    with Progress("tokenizer: words", total=survey.below("train", bars), unit="bytes") as progress:
        tasks = [(task, bars) for task in survey.tasks]
        for words, size in run_all(_count_part, None, tasks, processes):
            counter.merge(words)
            progress.advance(size)
    return counter.words()


def _count_part(_: object, work: tuple[Task, dict[str, int]]) -> tuple[dict[bytes, int], int]:
    task, bars = work
    counter, size = WordCounter(), 0
    for _group, text, copies in drawn(task, "train", bars):
        counter.add(text, copies)
        size += len(text.encode("utf-8", "replace")) * copies
    return counter.words(), size


def draw_texts(survey: Survey, split: Split, per_language_bytes: int) -> dict[str, list[str]]:
    """Up to so many bytes of each language, by name: for a report. Copies count once."""
    bars = survey.bars(split, dict.fromkeys(survey.bytes(split), per_language_bytes))
    found: dict[str, list[str]] = {}
    for task in survey.tasks:
        for group, text, _ in drawn(task, split, bars):
            found.setdefault(group, []).append(text)
    return dict(sorted(found.items()))


def shares(available: Mapping[str, int], settings: TokenizerSettings) -> dict[str, float]:
    """Bytes wanted of each language.

    Args:
        available: bytes of each language's text.

    Raises:
        TokenizerError: when no language with text has a weight above 0.
        RecipeError: a weight for something that is no language.
    """
    _check(settings.weights, available)
    factors = {
        name: size**settings.sample_alpha * settings.weights.get(name, 1.0)
        for name, size in available.items()
        if size
    }
    wanted = dict.fromkeys(available, 0.0)
    if not factors:
        raise TokenizerError(
            "tokenizer training", got="no text", wanted="a corpus with at least one document"
        )
    open_ = {name: factor for name, factor in factors.items() if factor}
    if not open_:
        raise TokenizerError(
            "[tokenizer] weights",
            got="0 for every language of the corpus: " + ", ".join(factors),
            wanted="a weight above 0 for one of them",
        )
    left = float(settings.sample_bytes)
    while open_:
        unit = left / math.fsum(open_.values())
        scarce = [name for name, factor in open_.items() if available[name] <= factor * unit]
        if not scarce:
            return wanted | {name: factor * unit for name, factor in open_.items()}
        for name in scarce:
            wanted[name] = float(available[name])
            left -= available[name]
            del open_[name]
    return wanted


def _check(weights: Mapping[str, float], available: Mapping[str, int]) -> None:
    strange = [name for name in weights if name not in available]
    for name in strange:
        where = f"[tokenizer] weights.{name}"
        if name not in languages() and name not in _KINDS:
            known = [*available, *languages(), *_KINDS]
            raise RecipeError(
                where,
                got="no such language",
                wanted="a language of the corpus: " + ", ".join(available),
                remedy=suggestion(name, available) or suggestion(name, known),
            )
        if name in languages() and family(name) != name:
            raise RecipeError(
                where,
                got=f"a dialect of {family(name)}",
                wanted="a family of languages",
                remedy=f"give {family(name)} a weight",
            )
    if strange:
        logger.warning(
            "tokenizer: %d of %d weights are for languages that the corpus has no text of: %s",
            len(strange),
            len(weights),
            ", ".join(strange),
        )


def _tell(
    available: Mapping[str, int], budgets: Mapping[str, float], settings: TokenizerSettings
) -> None:
    """Say what the sample is made of, and when the settings could not have their way."""
    total = sum(budgets.values())
    largest = sorted(budgets, key=lambda name: (-budgets[name], name))[:8]
    logger.info(
        "tokenizer: %s bytes of %s: %s%s",
        human_count(total),
        human_count(sum(available.values())),
        ", ".join(f"{name} {budgets[name] / total:.1%}" for name in largest),
        ", …" if len(budgets) > len(largest) else "",
    )
    whole = [name for name, size in available.items() if size and budgets[name] >= size]
    asked = settings.sample_alpha < 1 or settings.weights
    if asked and sum(available.values()) > total and whole:
        logger.info("tokenizer: all there is of %d languages is in the sample", len(whole))
    elif asked and len(whole) == sum(1 for name in available if budgets[name]):
        logger.warning(
            "tokenizer: sample_bytes (%s) covers all text, so that sample_alpha and weights other "
            "than 0 change nothing; make it smaller",
            human_count(settings.sample_bytes),
        )
