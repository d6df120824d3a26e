"""Learn a byte-level BPE from text.

All 256 bytes are in the alphabet from the start (the released models lack some), so every byte
string can be written. The ids: bytes and merges first, the control tokens behind them, in the
order of the released models.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from codekiln.errors import TokenizerError, UserError
from codekiln.log import Progress, logger
from codekiln.storage import fingerprint, read_json, write_json
from codekiln.tokenizer.alphabet import BYTE_TO_CHARACTER
from codekiln.tokenizer.chat import CHAT_TEMPLATE
from codekiln.tokenizer.settings import TokenizerSettings
from codekiln.tokenizer.special import BOS, EOS, PAD, SPELLINGS
from codekiln.tokenizer.split import DESCRIPTION
from codekiln.tokenizer.split import pieces as split
from codekiln.tokenizer.tokenizer import MODEL_FILE, Tokenizer

NOTE_FILE = "training.json"
_FORMAT = 1  # raise it when the same text would give another tokenizer
_PIECE_CHARACTERS = 65_536
_REMEMBERED_WORDS = 400_000


def train(texts: Iterable[str], settings: TokenizerSettings) -> Tokenizer:
    """Train a tokenizer on at most `settings.sample_bytes` of `texts`, read once.

    The same texts give the same tokenizer, in any order and on any number of cores. Where the
    text has too few merges for `vocab_size`, the vocabulary is smaller and a warning says so.

    Raises:
        TokenizerError: when there is no text.

    Source: DeepSeek-Coder §3.2.
    """
    pieces = sample(texts, settings.sample_bytes)
    if not pieces:
        raise TokenizerError(
            "tokenizer training", got="no text", wanted="a corpus with at least one document"
        )
    library = tokenizers.Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.CharDelimiterSplit(" ")
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocab_size - len(SPELLINGS),
        min_frequency=settings.min_frequency,
        initial_alphabet=list(BYTE_TO_CHARACTER),
        special_tokens=[],
        show_progress=False,
    )
    with Progress("tokenizer", total=sum(map(len, pieces)), unit="characters") as progress:
        library.train_from_iterator(_words(pieces, progress), trainer)
    library.pre_tokenizer = _pre_tokenizer()
    library.decoder = decoders.ByteLevel()
    library.add_special_tokens(
        [tokenizers.AddedToken(s, special=True, normalized=False) for s in SPELLINGS]
    )
    if library.get_vocab_size() < settings.vocab_size:
        logger.warning(
            "tokenizer: the text has only %d ids' worth of pairs seen %d times or more, fewer "
            "than the %d wanted; give more text or a smaller tokenizer.vocab_size",
            library.get_vocab_size(),
            settings.min_frequency,
            settings.vocab_size,
        )
    return Tokenizer(library.to_str(pretty=True), configuration())


def train_into(
    folder: Path, texts: Callable[[], Iterable[str]], settings: TokenizerSettings, *, inputs: str
) -> tuple[Tokenizer, bool]:
    """Train and save a tokenizer, unless `folder` holds the one of these inputs and settings.

    Args:
        texts: opens the texts; called only if there is training to do.
        inputs: a fingerprint of the texts.

    Returns:
        The tokenizer, and whether it was trained just now.

    Raises:
        TokenizerError: when there is no text, or another tokenizer stands in the folder that was
            not trained here (a copied one is never overwritten).
    """
    note = folder / NOTE_FILE
    made_from = fingerprint([_FORMAT, inputs, settings.model_dump(mode="json")])
    if (folder / MODEL_FILE).exists():
        if not note.exists():
            raise TokenizerError(
                folder,
                got="a tokenizer that was not trained here",
                wanted="an empty folder",
                remedy="to keep it, leave this step out; else remove the folder",
            )
        try:
            if read_json(note).get("made_from") == made_from:
                return Tokenizer.load(folder), False
        except UserError as error:  # it was trained here, so it can be again
            logger.warning("tokenizer: damaged, trained anew: %s", str(error).partition("\n")[0])
    tokenizer = train(texts(), settings)
    write_json(note, {"made_from": "under way"})  # a kill from here on: trained here, not whole
    tokenizer.save(folder)
    write_json(note, {"made_from": made_from, "settings": settings.model_dump(mode="json")})
    return tokenizer, True


def configuration() -> dict[str, object]:
    """tokenizer_config.json of a tokenizer that codekiln trained.

    `add_bos_token` is false, and no post-processor adds one: `AutoTokenizer` gives the very ids
    of `Tokenizer.encode`. Put `<bos>` in front of a text where a document starts, as training
    does. The released models pad with `<eos>`; a trainer that masks padding by id then never
    teaches a model to stop, so ours pads with a token of its own.
    """
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": False,
        "add_eos_token": False,
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 10**9,
        "chat_template": CHAT_TEMPLATE,
    }


def sample(texts: Iterable[str], limit: int) -> list[str]:
    """At most `limit` bytes of UTF-8 of `texts`, in pieces drawn evenly, in a fixed order.

    Texts are cut after line ends into pieces of about 64 K characters; those with the smallest
    hashes stay, so the order of the texts makes no difference. No more than `limit` bytes and
    one text are held at a time.
    """
    heap: list[tuple[bytes, str, int]] = []  # the largest hash on top: hashes are inverted
    held, bar = 0, b""
    for text in texts:
        for piece in _pieces(text):
            data = piece.encode("utf-8", "replace")
            digest = hashlib.blake2b(data, digest_size=16).digest()
            key = bytes(255 - byte for byte in digest)
            if key < bar:  # a smaller hash had to go already: the order must not matter
                continue
            heapq.heappush(heap, (key, piece, len(data)))
            held += len(data)
            while held > limit and len(heap) > 1:
                bar, _, size = heapq.heappop(heap)
                held -= size
    return [_whole(piece) for _, piece, _ in sorted(heap)]


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = text.rfind("\n", start, start + _PIECE_CHARACTERS) + 1
        if end <= start or len(text) - start <= _PIECE_CHARACTERS:
            end = min(start + _PIECE_CHARACTERS, len(text))
        yield text[start:end]
        start = end


def _whole(text: str) -> str:
    """The text with `?` for lone surrogates, which the library refuses."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _words(texts: list[str], progress: Progress) -> Iterator[str]:
    """Each text as byte-level words with a space between: split here, three times as fast."""
    words = _ByteLevelWords()
    for text in texts:
        if len(words) > _REMEMBERED_WORDS:
            words.clear()
        yield " ".join(map(words.__getitem__, split(text)))
        progress.advance(len(text))


class _ByteLevelWords(dict[str, str]):
    """Piece of text -> the words that the pre-tokenizer makes of it."""

    def __init__(self) -> None:
        super().__init__()
        self._pre_tokenizer = _pre_tokenizer()

    def __missing__(self, piece: str) -> str:
        if piece.isascii():  # cut to the end already
            found = "".join(BYTE_TO_CHARACTER[byte] for byte in piece.encode())
        else:
            found = " ".join(word for word, _ in self._pre_tokenizer.pre_tokenize_str(piece))
        self[piece] = found
        return found


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    """Built by the library from its own file format: one description serves all."""
    empty = tokenizers.Tokenizer(models.BPE())
    description = {**json.loads(empty.to_str()), "pre_tokenizer": DESCRIPTION}
    return tokenizers.Tokenizer.from_str(json.dumps(description)).pre_tokenizer
