"""Which documents go into the mixture, and how often.

What the papers leave open is decided here:

- A share is one of bytes in UTF-8: tokens are not known before there is a tokenizer.
- A cap counts a sample of code for its main language, the one with the most text in it (of two
  with as much, the first by name). Caps come first, shares are made of what they leave.
- A long document is repeated before both: its copies count for caps and shares.
- The component with the largest share is used once and sets the scale. The others are thinned,
  or repeated up to `max_repeats` times; where one is too scarce even so, all shrink to it.
- What is thinned keeps the documents of the smallest hashes, as many as fit: a document is in or
  out by its own id and by how much is wanted, never by the order of the others or by how they
  were batched, and what is kept at a lower rate is part of what is kept at a higher one. Caps and
  shares use hashes of their own, or a capped language would be favoured among the shares.

The sums are exact within one document (with its copies) for each component and capped language.

Sources: DeepSeek-Coder §2 (shares; Table 1, where about thirty languages have nearly the same
size, shows a cap), §5; DeepSeek-Coder-V2 §2, §3.4 (long documents upsampled).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from codekiln.corpus.mixture.settings import MixtureSettings
from codekiln.errors import UserError

CODE = "code"
_CAPS, _SHARES = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)

Ints = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Facts of n documents, in any order.

    Args:
        component: int [n], numbers into `components`.
        language: int [n], numbers into `languages`; -1 for documents that no cap concerns.
        size: int64 [n], bytes of UTF-8.
        key: uint64 [n], `id_keys` of the documents' ids.
        components: names of components; a kind, or what the document's source says.
        languages: names of languages.
    """

    component: npt.NDArray[Any]
    language: npt.NDArray[Any]
    size: Ints
    key: Keys
    components: Sequence[str]
    languages: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentFacts:
    """One component: what there was, what was wanted, what the mixture has.

    `available` counts bytes after caps and with the copies of long documents; `repeats` is how
    often it is used on average.
    """

    name: str
    documents: int
    available: int
    wanted: float
    reached: float
    bytes: int
    repeats: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CapFacts:
    """One language that its cap cut: bytes and documents before and after."""

    language: str
    bytes: int
    kept_bytes: int
    documents: int
    kept_documents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """The decision.

    Args:
        copies: int16 [n], how often each document goes in; 0 drops it.
        components: facts of each component, by name.
        caps: facts of the languages that were cut, by name.
        limited_by: the component whose scarcity holds the others back; "" if none does.
        unwanted: documents of components that have no share, by component.
    """

    copies: npt.NDArray[np.int16]
    components: tuple[ComponentFacts, ...]
    caps: tuple[CapFacts, ...]
    limited_by: str
    unwanted: dict[str, int]


def id_keys(ids: Iterable[str]) -> Keys:
    """Hashes of documents' ids, uint64 [n]."""
    digests = b"".join(hashlib.blake2b(i.encode(), digest_size=8).digest() for i in ids)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def mix(columns: Columns, settings: MixtureSettings) -> Mixture:
    """Decide how often each document goes into the mixture.

    Raises:
        UserError: a component with a share has no documents.
    """
    names = sorted({settings.component(name) for name in columns.components})
    number = {name: place for place, name in enumerate(names)}
    renamed = np.array([number[settings.component(n)] for n in columns.components], np.int64)
    component = renamed[columns.component]
    copies = _long(columns.size, settings)
    caps = _cap(columns, component == number.get(CODE, -1), copies, settings)
    sizes = columns.size * copies
    available = np.bincount(component, weights=sizes, minlength=len(names)).astype(np.int64)
    supply = {name: int(available[place]) for place, name in enumerate(names)}
    wanted = settings.wanted()
    rates, limited_by = _rates(wanted, supply, settings.max_repeats)
    unwanted: dict[str, int] = {}
    keys = _scrambled(columns.key, _SHARES)
    for name, place in number.items():
        rows = np.flatnonzero(component == place)
        if wanted and name not in wanted:
            copies[rows] = 0
            unwanted[name] = len(rows)
        elif wanted:
            copies[rows] *= _repeats(sizes[rows], keys[rows], supply[name], rates[name])
    return Mixture(
        copies=copies.astype(np.int16),
        components=_facts(names, component, columns.size, copies, supply, wanted),
        caps=caps,
        limited_by=limited_by,
        unwanted=unwanted,
    )


def _long(size: Ints, settings: MixtureSettings) -> Ints:
    """Copies of each document by its size alone."""
    copies = np.ones(len(size), np.int64)
    if settings.long_repeats > 1:
        copies[size >= settings.long_document_bytes] = settings.long_repeats
    return copies


def _cap(
    columns: Columns, code: npt.NDArray[np.bool_], copies: Ints, settings: MixtureSettings
) -> tuple[CapFacts, ...]:
    """Set `copies` to 0 for what is above the cap of its language."""
    facts = []
    keys = _scrambled(columns.key, _CAPS)
    for place, language in sorted(enumerate(columns.languages), key=lambda pair: pair[1]):
        cap = settings.cap(language)
        rows = np.flatnonzero(code & (columns.language == place)) if cap else np.empty(0, int)
        sizes = columns.size[rows] * copies[rows]
        total = int(sizes.sum())
        if not cap or total <= cap:
            continue
        kept = _smallest(sizes, keys[rows], cap)
        copies[rows[~kept]] = 0
        facts.append(
            CapFacts(
                language=language,
                bytes=total,
                kept_bytes=int(sizes[kept].sum()),
                documents=len(rows),
                kept_documents=int(kept.sum()),
            )
        )
    return tuple(facts)


def _rates(
    wanted: dict[str, float], supply: dict[str, int], max_repeats: float
) -> tuple[dict[str, float], str]:
    """(how often each component is used on average, the component that holds the others back)."""
    if missing := [name for name in wanted if not supply.get(name)]:
        raise UserError(
            "[corpus.mixture]",
            got=f"no documents of component {missing[0]!r}; there are "
            + (", ".join(name for name in supply if supply[name]) or "none"),
            wanted=f"some, for a share of {wanted[missing[0]]:.2g}",
            remedy="add a source of it, or give shares without it",
        )
    if not wanted:
        return {}, ""
    largest = max(wanted, key=lambda name: (wanted[name], name))
    # the total that each component can fill
    reach = {
        name: supply[name] / share * (1.0 if name == largest else max_repeats)
        for name, share in wanted.items()
    }
    scarcest = min(reach, key=lambda name: (reach[name], name != largest, name))
    total = reach[scarcest]
    rates = {name: share * total / supply[name] for name, share in wanted.items()}
    return rates, "" if scarcest == largest else scarcest


def _repeats(sizes: Ints, keys: Keys, available: int, rate: float) -> Ints:
    """How often each document of one component is used, at `rate` on average."""
    whole = int(rate + 1e-9)
    rest = max(rate - whole, 0.0) * available
    extra = _smallest(sizes, keys, int(rest + 0.5))
    return whole + extra.astype(np.int64)


def _smallest(sizes: Ints, keys: Keys, wanted: int) -> npt.NDArray[np.bool_]:
    """The documents with the smallest keys whose sizes add up to no more than `wanted`.

    Documents of equal keys are in or out together.
    """
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    total = np.cumsum(sizes[order])
    last = np.append(ordered[1:] != ordered[:-1], True)[: len(order)]  # of each run of equal keys
    fits = int(np.searchsorted(total[last], wanted, side="right"))
    if not fits:
        return np.zeros(len(keys), np.bool_)
    found: npt.NDArray[np.bool_] = keys <= ordered[last][fits - 1]
    return found


def _scrambled(keys: Keys, salt: np.uint64) -> Keys:
    """Keys that know nothing of each other for different salts (the finisher of splitmix64)."""
    x = keys ^ salt
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: Keys = x ^ (x >> np.uint64(31))
    return result


def _facts(
    names: Sequence[str],
    component: Ints,
    size: Ints,
    copies: Ints,
    supply: dict[str, int],
    wanted: dict[str, float],
) -> tuple[ComponentFacts, ...]:
    counts = np.bincount(component, minlength=len(names))
    used = np.bincount(component, weights=size * copies, minlength=len(names)).astype(np.int64)
    total = max(int(used.sum()), 1)
    return tuple(
        ComponentFacts(
            name=name,
            documents=int(counts[place]),
            available=supply[name],
            wanted=wanted.get(name, 0.0),
            reached=int(used[place]) / total,
            bytes=int(used[place]),
            repeats=int(used[place]) / supply[name] if supply[name] else 0.0,
        )
        for place, name in enumerate(names)
    )
