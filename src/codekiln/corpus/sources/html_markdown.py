"""The HTML of posts as Markdown: what a reader sees, code kept as code.

Only what carries meaning for a model that reads plain text is kept: paragraphs, headings, lists,
quotes, code in line and in blocks, line breaks. Of a link its text stays, of an image its
alternative text; emphasis leaves no mark.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

_BLOCKS = frozenset(
    {"p", "div", "ul", "ol", "blockquote", "pre", "table", "tr", "hr", "h1", "h2", "h3", "h4", "h5"}
    | {"h6", "dl", "dt", "dd"}
)
_HIDDEN = frozenset({"script", "style"})
_SPACE = re.compile(r"[ \t\r\n\f]+")
_FENCE = re.compile(r"`{3,}")


def markdown_of(markup: str) -> str:
    """The text of a piece of HTML as Markdown, without blanks at either end."""
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    return reader.text()


class _Reader(HTMLParser):
    """Collects the text; unbalanced markup is read as far as it goes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._done: list[str] = []  # finished blocks, each with its quote marks and line ends
        self._after_item = False
        self._line: list[str] = []
        self._code: list[str] | None = None  # of an open <pre>
        self._inline: list[str] | None = None  # of an open <code> outside of <pre>
        self._hidden = 0
        self._quotes = 0
        self._lists: list[int] = []  # 0 of <ul>, else the next number of <ol>
        self._item = ""  # the mark that the next block starts with

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden += 1
        elif self._code is not None:
            if tag == "br":
                self._code.append("\n")
        elif tag == "pre":
            self._flush()
            self._code = []
        elif tag == "code":
            self._inline = []
        elif tag == "br":
            self._line.append("\n")
        elif tag == "img":
            self._line.append(dict(attrs).get("alt") or "")
        elif tag == "li":
            self._start_item()
        elif tag in _BLOCKS:
            self._start_block(tag)

    def _start_item(self) -> None:
        self._flush()
        depth = max(len(self._lists) - 1, 0)
        number = self._lists[-1] if self._lists else 0
        self._item = "   " * min(depth, 8) + (f"{number}. " if number else "- ")
        if number:
            self._lists[-1] += 1

    def _start_block(self, tag: str) -> None:
        self._flush()
        if tag in ("ul", "ol"):
            self._lists.append(1 if tag == "ol" else 0)
        elif tag == "blockquote":
            self._quotes += 1
        elif tag[0] == "h" and tag[1:].isdigit():
            self._item = "#" * int(tag[1:]) + " "
        elif tag == "hr":
            self._line.append("---")
            self._flush()

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden = max(self._hidden - 1, 0)
        elif self._code is not None:
            if tag == "pre":
                self._end_code("".join(self._code))
        elif tag == "code" and self._inline is not None:
            code, self._inline = "".join(self._inline), None
            self._line.append(f"`` {code} ``" if "`" in code else f"`{code}`" if code else "")
        elif tag in ("ul", "ol"):
            self._flush()
            if self._lists:
                self._lists.pop()
        elif tag == "blockquote":
            self._flush()
            self._quotes = max(self._quotes - 1, 0)
        elif tag in ("td", "th"):
            self._line.append(" ")
        elif tag in _BLOCKS or tag == "li":
            self._flush()

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        if self._code is not None:
            self._code.append(data)
        elif self._inline is not None:
            self._inline.append(data)
        else:
            self._line.append(_SPACE.sub(" ", data))

    def _end_code(self, code: str) -> None:
        self._code = None
        longest = max((len(found) for found in _FENCE.findall(code)), default=2)
        fence = "`" * (longest + 1)
        self._add(f"{fence}\n{code.strip(chr(10)).rstrip()}\n{fence}")

    def _flush(self) -> None:
        if self._inline is not None:  # a <code> that was never closed
            self._line += self._inline
            self._inline = None
        lines = (_SPACE.sub(" ", line).strip() for line in "".join(self._line).split("\n"))
        self._line.clear()
        text = "\n".join(lines).strip("\n")
        if text:
            mark, self._item = self._item, ""
            self._add(mark + text, item=mark.endswith((". ", "- ")))

    def _add(self, block: str, *, item: bool = False) -> None:
        if self._quotes:
            mark = "> " * min(self._quotes, 8)
            block = "\n".join(mark + line for line in block.split("\n"))
        if self._done:
            self._done.append("\n" if item and self._after_item else "\n\n")
        self._done.append(block)
        self._after_item = item

    def text(self) -> str:
        """What was read, the blocks a blank line apart, the items of a list none."""
        if self._code is not None:  # a <pre> that was never closed
            self._end_code("".join(self._code))
        self._flush()
        return "".join(self._done)
