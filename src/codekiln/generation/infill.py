"""The one prompt builder: a place in a file, with its repository around it, as token ids.

A prompt is the start of a training sequence: `<bos>`, the context files in dependency order,
each behind its path header and encoded on its own, then the file itself in the FIM layout, or
plainly where nothing stands after the place. Training (`tokens.encode`) and this module use the
same parts: `corpus.order`, `corpus.documents`, `tokens.fim`. Evaluation and serving build
no prompt of their own.

Source: DeepSeek-Coder §2.2 (order of files, path comment), §3.1.2 (FIM). Open there: how a
prompt is shortened. Ours: whole context files go first, those that are farthest from the file
along its imports; then whole lines at the prefix's start and the suffix's end, the suffix
keeping at least a quarter. The path header always stays.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from codekiln.corpus.ordering.documents import pieces
from codekiln.corpus.ordering.graph import Graph, build_graph
from codekiln.corpus.ordering.order import sequences
from codekiln.corpus.settings import Order
from codekiln.errors import PromptError
from codekiln.languages.table import detect, path_header
from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.tokens import fim
from codekiln.types import SourceFile

FileOrder = Order | Literal["given"]

SUFFIX_SHARE = 0.25
CHARACTERS_PER_TOKEN = 16  # code has 3 to 5; text beyond this rate is cut before it is encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Token ids for an engine, and what had to be left out, in words."""

    ids: list[int]
    dropped: tuple[str, ...] = ()


def build_prompt(
    tokenizer: Tokenizer,
    *,
    prefix: str,
    suffix: str = "",
    path: str = "",
    language: str = "",
    context: Sequence[SourceFile] = (),
    max_tokens: int,
    order: fim.Order = "psm",
    mode: Literal["complete", "infill"] | None = None,
    file_order: FileOrder = "scc",
) -> Prompt:
    """The prompt after which a model writes what stands between `prefix` and `suffix`.

    Args:
        tokenizer: the model's own; the budget is counted in its tokens.
        prefix: the file up to the place.
        suffix: the file after it; in training every file ends with a newline, so one is added
            where it is missing.
        path: of the file in its repository; without one there is no path header.
        language: by default the one that `path` says.
        context: other files of the repository; one with the same `path` is left out.
        max_tokens: the prompt's budget.
        order: of the FIM parts, as the model was trained.
        mode: by default "infill" if there is a suffix, else "complete" (no FIM).
        file_order: of the context, as in training; "given" keeps the order of `context`.

    Raises:
        PromptError: the budget holds not even the path header and one token.
        TokenizerError: infilling with a tokenizer that has no FIM tokens.
    """
    infilling = mode == "infill" or (mode is None and bool(suffix))
    if not language:
        found = detect(path, prefix + suffix)
        language = found.name if found else ""
    header = path_header(path, language) if path else ""
    if infilling and suffix and not suffix.endswith("\n"):
        suffix += "\n"
    special = tokenizer.special
    around = [special.bos, *(fim.prompt([], [], special, order) if infilling else [])]
    room = max_tokens - len(around)
    before, after, cuts = _shortened(tokenizer, header, prefix, suffix if infilling else "", room)
    room -= len(before) + len(after)
    target = SourceFile(path=path, text=prefix + suffix, language=language)
    kept, dropped = _context(tokenizer, target, context, file_order, room)
    own = fim.prompt(before, after, special, order) if infilling else before
    return Prompt(ids=[special.bos, *kept, *own], dropped=(*dropped, *cuts))


def _context(
    tokenizer: Tokenizer,
    target: SourceFile,
    context: Sequence[SourceFile],
    file_order: FileOrder,
    room: int,
) -> tuple[list[int], list[str]]:
    """Ids of the context files that fit, in order, and the paths of those that don't."""
    files = [file for file in context if file.path != target.path or not target.path]
    ordered, steps = _arranged(target, files, file_order)
    encoded: list[list[int]] = [[] for _ in ordered]
    nearest_first = sorted(range(len(ordered)), key=lambda at: (steps[at], -at))
    for done, at in enumerate(nearest_first):
        ids = _short_enough(tokenizer, "".join(pieces(ordered[at])), room)
        if ids is None:  # this one and all that are farther
            dropped = [ordered[i].path for i in reversed(nearest_first[done:])]
            break
        encoded[at] = ids
        room -= len(ids)
    else:
        dropped = []
    return [token for ids in encoded for token in ids], dropped


def _arranged(
    target: SourceFile, files: Sequence[SourceFile], file_order: FileOrder
) -> tuple[list[SourceFile], list[int]]:
    """Files as they precede the target in a prompt; for each, the imports between the two.

    First the files of other sequences, then those that training puts behind the target (they
    need it), then those that it puts before it, so that what is nearest is as in training.
    Files that the target does not reach count as farther than any that it does.
    """
    if file_order == "given" or not files:
        return list(files), [0] * len(files)
    by_path = {file.path: file for file in files}
    graph = build_graph([*by_path.values(), *([target] if target.path else [])])
    others: list[str] = []
    behind: list[str] = []
    before: list[str] = []
    for sequence in sequences(graph, file_order):
        if target.path in sequence:
            at = sequence.index(target.path)
            before, behind = sequence[:at], sequence[at + 1 :]
        else:
            others += sequence
    paths = [*others, *behind, *before]
    steps = _steps(graph, target.path)
    return [by_path[path] for path in paths], [steps.get(path, len(paths) + 1) for path in paths]


def _steps(graph: Graph, start: str) -> dict[str, int]:
    """How many imports lead from a file to each that it needs, directly or not."""
    needs: dict[str, list[str]] = {}
    for edge in graph.edges:
        needs.setdefault(edge.source, []).append(edge.target)
    steps, queue = {start: 0}, deque([start])
    while queue:
        path = queue.popleft()
        for target in needs.get(path, []):
            if target not in steps:
                steps[target] = steps[path] + 1
                queue.append(target)
    return steps


def _shortened(
    tokenizer: Tokenizer, header: str, prefix: str, suffix: str, room: int
) -> tuple[list[int], list[int], list[str]]:
    """Ids of header and prefix, ids of the suffix, and what was cut of them."""
    least = len(tokenizer.encode(header)) + (1 if prefix or suffix else 0)
    if room < least:
        raise PromptError(
            "prompt",
            got=f"room for {max(room, 0)} tokens beside the control tokens",
            wanted=f"at least {least}: the path header and one token",
            remedy="allow a longer prompt, or fewer new tokens",
        )
    before = _short_enough(tokenizer, header + prefix, room)
    after = _short_enough(tokenizer, suffix, room)
    if before is not None and after is not None and len(before) + len(after) <= room:
        return before, after, []
    # a suffix gets its share, or more where the prefix leaves more
    share = min(int(room * SUFFIX_SHARE), room - least)
    left = room - len(before) if before is not None else 0
    after, after_cut = _first_lines(tokenizer, suffix, max(share, left))
    before, before_cut = _last_lines(tokenizer, header, prefix, room - len(after))
    cuts = [f"prefix: {before_cut}"] if before_cut else []
    return before, after, cuts + ([f"suffix: {after_cut}"] if after_cut else [])


def _short_enough(tokenizer: Tokenizer, text: str, room: int) -> list[int] | None:
    """The ids, if they are no more than `room`."""
    if len(text) > CHARACTERS_PER_TOKEN * room:
        return None
    ids = tokenizer.encode(text)
    return ids if len(ids) <= room else None


def _last_lines(tokenizer: Tokenizer, header: str, text: str, room: int) -> tuple[list[int], str]:
    """Header and as many last lines as fit, or the end of the last line; what was cut."""
    lines = text.splitlines(keepends=True)
    count = _fitting(tokenizer, lines[::-1], room - len(tokenizer.encode(header)))
    while count:
        ids = tokenizer.encode(header + "".join(lines[len(lines) - count :]))
        if len(ids) <= room:
            cut = len(lines) - count
            return ids, f"its first {_lines(cut)}" if cut else ""
        count -= 1
    start = tokenizer.encode(header)
    last = lines[-1][-CHARACTERS_PER_TOKEN * room :] if lines else ""
    end = tokenizer.encode(last)[-(room - len(start)) :] if room > len(start) else []
    return start + end, f"all but its last {len(end)} tokens" if text else ""


def _first_lines(tokenizer: Tokenizer, text: str, room: int) -> tuple[list[int], str]:
    """As many first lines as fit, or the start of the first line; what was cut."""
    lines = text.splitlines(keepends=True)
    count = _fitting(tokenizer, lines, room)
    while count:
        ids = tokenizer.encode("".join(lines[:count]))
        if len(ids) <= room:
            cut = len(lines) - count
            return ids, f"its last {_lines(cut)}" if cut else ""
        count -= 1
    first = lines[0][: CHARACTERS_PER_TOKEN * room] if lines else ""
    ids = tokenizer.encode(first)[:room]
    return ids, f"all but its first {len(ids)} tokens" if text else ""


def _fitting(tokenizer: Tokenizer, lines: Sequence[str], room: int) -> int:
    """How many of the lines, counted one by one, fit; lines joined may merge a little better."""
    total = 0
    for count, line in enumerate(lines):
        total += (
            len(tokenizer.encode(line)) if len(line) <= CHARACTERS_PER_TOKEN * room else room + 1
        )
        if total > room:
            return count
    return len(lines)


def _lines(count: int) -> str:
    return "line" if count == 1 else f"{count} lines"
