"""Learn a byte-level BPE from text.

All 256 bytes are in the alphabet from the start (the released models lack some), so every byte
string can be written. The ids: bytes and merges first, the control tokens behind them, in the
order of the released models.

Words are counted first (`words.py`), then merges are learnt from the counts (`merges.py`): text
is read once and never held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import tokenizers
from tokenizers import decoders, models

from codekiln.errors import TokenizerError, UserError
from codekiln.log import Progress, logger
from codekiln.storage import fingerprint, read_json, write_json
from codekiln.tokenizer.chat import CHAT_TEMPLATE
from codekiln.tokenizer.merges import learn_merges
from codekiln.tokenizer.settings import TokenizerSettings
from codekiln.tokenizer.special import BOS, EOS, PAD, SPELLINGS
from codekiln.tokenizer.tokenizer import MODEL_FILE, Tokenizer
from codekiln.tokenizer.words import WordCounter, papers_pre_tokenizer

NOTE_FILE = "training.json"
_FORMAT = 2  # raise it when the same text would give another tokenizer


def train(texts: Iterable[str], settings: TokenizerSettings) -> Tokenizer:
    """Train a tokenizer on all of `texts`, read once.

    The same texts give the same tokenizer, in any order and on any number of cores.

    Raises:
        TokenizerError: when there is no text.

    Source: DeepSeek-Coder §3.2.
    """
    counter = WordCounter()
    for text in texts:
        counter.add(text)
    return train_on_words(counter.words(), settings)


def train_on_words(words: Mapping[bytes, int], settings: TokenizerSettings) -> Tokenizer:
    """Train a tokenizer on counted words.

    Where they have too few pairs for `vocab_size`, the vocabulary is smaller and a warning says
    so.

    Raises:
        TokenizerError: when there are no words.
    """
    if not words:
        raise TokenizerError(
            "tokenizer training", got="no text", wanted="a corpus with at least one document"
        )
    size = settings.vocab_size - len(SPELLINGS)
    with Progress("tokenizer: merges", total=size - 256, unit="ids") as progress:
        vocabulary, merges = learn_merges(
            words, size=size, min_frequency=settings.min_frequency, advance=progress.advance
        )
    library = tokenizers.Tokenizer(
        models.BPE(
            vocab={entry: token for token, entry in enumerate(vocabulary)},
            merges=[(vocabulary[a], vocabulary[b]) for a, b in merges],
        )
    )
    library.pre_tokenizer = papers_pre_tokenizer()
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
    folder: Path,
    words: Callable[[], Mapping[bytes, int]],
    settings: TokenizerSettings,
    *,
    inputs: str,
) -> tuple[Tokenizer, bool]:
    """Train and save a tokenizer, unless `folder` holds the one of these inputs and settings.

    Args:
        words: counts the words of the sample; called only if there is training to do. A run that
            was killed counts again: nothing of a half-counted sample is kept.
        inputs: a fingerprint of the texts that the sample is drawn from.

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
    tokenizer = train_on_words(words(), settings)
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
