"""Gives a foreign tokenizer the control tokens that it lacks; all of its own ids stay.

Source: DeepSeek-Coder §5 continues a model with the tokenizer it has; which tokens it was given
beside, and how their embeddings began, is open.
"""

from __future__ import annotations

from pathlib import Path

from codekiln.errors import TokenizerError, UserError
from codekiln.storage import fingerprint, read_json, write_json
from codekiln.tokenizer.special import EOT, FIM_BEGIN, FIM_END, FIM_HOLE
from codekiln.tokenizer.tokenizer import MODEL_FILE, Tokenizer

NOTE_FILE = "extended_from.json"


def extend(tokenizer: Tokenizer) -> tuple[Tokenizer, tuple[str, ...]]:
    """With tokens for infilling and for the end of a turn, and which of them were added.

    They follow the last id. A tokenizer that has all of them, in whatever spelling, stays as it is.
    """
    special = tokenizer.special
    fim = (special.fim_begin, special.fim_hole, special.fim_end)
    missing = (FIM_HOLE, FIM_BEGIN, FIM_END) if None in fim else ()
    if special.eot is None:
        missing = (*missing, EOT)
    return tokenizer.with_controls(missing), missing


def extend_into(folder: Path, source: Path) -> tuple[Tokenizer, tuple[str, ...], bool]:
    """Write the extended tokenizer of `source` to `folder`, unless it stands there.

    Returns:
        The tokenizer, the spellings that were added, and whether it was written just now.

    Raises:
        TokenizerError: none in `source`; another one in `folder`.
    """
    extended, added = extend(Tokenizer.load(source))
    made_from = fingerprint([extended.sha256])
    if (folder / MODEL_FILE).exists():
        if _note(folder) != made_from:
            raise TokenizerError(
                folder,
                got="another tokenizer than the starting model's",
                wanted=f"that of {source}, or an empty folder",
                remedy="remove the folder, or begin in another run folder (--out DIR)",
            )
        return Tokenizer.load(folder), added, False
    write_json(folder / NOTE_FILE, {"made_from": made_from, "added": list(added)})
    extended.save(folder)
    return extended, added, True


def _note(folder: Path) -> str | None:
    try:
        return str(read_json(folder / NOTE_FILE)["made_from"])
    except (UserError, KeyError, TypeError):
        return None
