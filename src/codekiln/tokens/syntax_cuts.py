"""The process that cuts files at syntax nodes: `languages.parser_process` says how it is asked.

question   uint32 bytes of the file, uint8 bytes of the grammar's name, four float64 chances;
           the name; the file
answer     int64 start and int64 end of the middle, in bytes; both -1 where the parser did not
           end or the file has nothing to choose from
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO

from codekiln.languages.parser_process import serve
from codekiln.languages.trees import syntax_tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tree_sitter import Node, TreeCursor

QUESTION = struct.Struct("<IB4d")
ANSWER = struct.Struct("<qq")
NOTHING = (-1, -1)

Range = tuple[int, int]


def choose(root: Node, chances: Sequence[float]) -> Range:
    """Where the middle starts and ends, in bytes.

    By the first chance, either of two ways:

    - a node: a byte is drawn, and one of the named nodes that hold it, each alike. So a node's
      chance grows with its length, and falls with the number of nodes around each of its bytes;
    - a run: two bytes are drawn as for cuts by character, and the run of sibling nodes that is most
      nearly what lies between them (intersection over union). So statements go together.

    Source: Gong et al. 2025, AST-FIM, whose two ways of masking these are; it weighs nodes by
    their size over the whole tree, which takes a walk through all of it.
    """
    start, size = root.start_byte, root.end_byte - root.start_byte
    way, *places = chances
    first, second = (start + int(place * size) for place in places[:2])
    if not size:
        return NOTHING
    if way < 0.5:
        nodes = _nodes_around(root, first)
        if nodes:
            return nodes[int(places[2] * len(nodes))]
    return _run(root, min(first, second), max(first, second) + 1)


def _nodes_around(root: Node, place: int) -> list[Range]:
    """The ranges of the named nodes that hold a byte, from the largest; the root's is none."""
    found = [(root.start_byte, root.end_byte)]
    cursor = root.walk()
    while _go_into(cursor, place, place + 1):
        node = cursor.node
        assert node is not None
        if node.is_named and (node.start_byte, node.end_byte) != found[-1]:
            found.append((node.start_byte, node.end_byte))
    return found[1:]


def _run(root: Node, start: int, end: int) -> Range:
    """The run of siblings, in the smallest node that holds a range, that is most nearly it."""
    cursor = root.walk()
    while _go_into(cursor, start, end):
        pass
    node = cursor.node
    assert node is not None
    children = [(child.start_byte, child.end_byte) for child in node.children]
    children = [(low, high) for low, high in children if low < high]
    if not children:
        return node.start_byte, node.end_byte
    # seen from a fixed other border the nearest on either side is the best
    starts, ends = [low for low, _ in children], [high for _, high in children]
    borders = [
        (low, high)
        for low in (max((s for s in starts if s <= start), default=starts[0]),
                    min((s for s in starts if s >= start), default=starts[-1]))
        for high in (max((e for e in ends if e <= end), default=ends[0]),
                     min((e for e in ends if e >= end), default=ends[-1]))
        if low < high
    ]  # fmt: skip

    def likeness(border: Range) -> float:
        low, high = border
        both = min(high, end) - max(low, start)
        return both / (max(high, end) - min(low, start))

    return max(borders, key=likeness)


def _go_into(cursor: TreeCursor, start: int, end: int) -> bool:
    """Go to the child that holds a range; False, and stay, where none does."""
    if cursor.goto_first_child_for_byte(start) is None:
        return False
    node = cursor.node
    assert node is not None
    if node.start_byte <= start and end <= node.end_byte:
        return True
    cursor.goto_parent()
    return False


@lru_cache(maxsize=1)
def _tree(data: bytes, grammar: str) -> Node | None:
    """One file with several holes is asked for several times in turn."""
    return syntax_tree(data, grammar)


def answer(questions: BinaryIO) -> bytes:
    """The answer to the next question; nothing at their end."""
    head = questions.read(QUESTION.size)
    if len(head) < QUESTION.size:
        return b""
    size, name_size, *chances = QUESTION.unpack(head)
    name = questions.read(name_size).decode()
    root = _tree(questions.read(size), name)
    return ANSWER.pack(*(NOTHING if root is None else choose(root, chances)))


if __name__ == "__main__":
    serve(answer)
