"""What of JavaScript and TypeScript source is code, and what is text or comment.

Read from left to right, once. Whether a slash opens a regular expression is told by what stands
before it: behind `)` the word before the matching bracket decides (looked for within LOOK_BACK
characters), behind `}` a line break. In markup (JSX) text stands bare, so a quote that is not
closed on its line hides the rest of that line, and a backquote without a partner nothing at all.
A wrong guess seldom does harm beyond its line.
"""

from __future__ import annotations

import re

LOOK_BACK = 160
BLOCK_COMMENT = r"/\*(?:[^*]++|\*(?!/))*+\*/"

_DOUBLE = r'"(?:[^"\\\n]++|\\[\s\S])*+"'
_SINGLE = r"'(?:[^'\\\n]++|\\[\s\S])*+'"
_PLAIN = rf"{_DOUBLE}|{_SINGLE}|//[^\n]*+\n|{BLOCK_COMMENT}"
_CODE = re.compile(rf"(?:[^\"'`/]++|{_PLAIN})*+")
_CODE_IN_TEMPLATE = re.compile(rf"(?:[^\"'`/{{}}]++|{_PLAIN})*+")
_STRING = re.compile(rf"{_DOUBLE}|{_SINGLE}")
_TEMPLATE = re.compile(r"(?:[^`\\$]++|\\[\s\S]|\$(?!\{))*+")
_REGULAR = re.compile(r"/(?:[^/\\\[\n]++|\\[^\n]|\[(?:[^\]\\\n]++|\\[^\n])*+\])++/")
_BEFORE_REGULAR = re.compile(
    r"(?:(?<![.\w$])(?:return|typeof|case|do|else|in|of|instanceof|new|void|delete|throw|yield"
    r"|await)|=>|(?<!\+)\+|(?<!-)-|[(,=:\[!&|?{;~^%*])\Z"
)
_ANY_CONDITION = re.compile(r"(?:if|while|for|with)\s*\(")
_BRACKET = re.compile(r"[()]")
_CONDITION = re.compile(r"(?<![.\w$])(?:if|while|for|with)\s*\Z")


class CodeReader:
    """Says of places in a text, asked for in ascending order, whether code stands there."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = text.find("\n") if text.startswith("#!") else 0
        if self._at < 0:
            self._at = len(text)
        self._depths: list[int] = []  # open braces in each `${` that is open
        self._no_regular = 0  # on the line that ends here, one was not closed
        self._no_template = False

    def holds(self, place: int) -> bool:
        """Whether code stands at `place`, which is not before the last one asked for."""
        text = self._text
        while self._at < place:
            read = _CODE_IN_TEMPLATE if self._depths else _CODE
            found = read.match(text, self._at, place)
            self._at = found.end() if found else self._at
            if self._at < place:
                self._pass(text[self._at])
        return self._at == place

    def _pass(self, mark: str) -> None:
        if mark == "/":
            self._at = self._slash(self._at)
        elif mark == "`":
            self._at = self._template(self._at + 1)
        elif mark == "{":
            self._depths[-1] += 1
            self._at += 1
        elif mark == "}":
            self._at += 1
            self._depths[-1] -= 1
            if self._depths[-1] < 0:
                self._depths.pop()
                self._at = self._template(self._at)
        else:
            found = _STRING.match(self._text, self._at)
            self._at = found.end() if found else self._line_end(self._at)

    def _template(self, at: int) -> int:
        """Where code goes on after the template text that starts at `at`."""
        if self._no_template:
            return at
        found = _TEMPLATE.match(self._text, at)
        end = found.end() if found else at
        if self._text.startswith("`", end):
            return end + 1
        if self._text.startswith("${", end):
            self._depths.append(0)
            return end + 2
        self._no_template = True  # there is no more backquote in the text
        self._depths.clear()
        return at

    def _slash(self, at: int) -> int:
        text = self._text
        follower = text[at + 1 : at + 2]
        if follower == "/":
            return self._line_end(at)
        if follower == "*":
            end = text.find("*/", at + 2)
            return len(text) if end < 0 else end + 2
        if at < self._no_regular or not _may_be_regular(text, at):
            return at + 1
        found = _REGULAR.match(text, at)
        if found:
            return found.end()
        self._no_regular = self._line_end(at)
        return at + 1

    def _line_end(self, at: int) -> int:
        end = self._text.find("\n", at)
        return len(self._text) if end < 0 else end


def _may_be_regular(text: str, at: int) -> bool:
    """Whether the slash at `at` stands where a value is wanted, not where one has just ended."""
    before = text[max(at - LOOK_BACK, 0) : at]
    tail = before.rstrip()
    if not tail:
        return at <= LOOK_BACK
    if tail[-1] == "}":
        return "\n" in before[len(tail) :]
    if tail[-1] == ")":
        if not _ANY_CONDITION.search(tail):
            return False
        return _CONDITION.search(tail, 0, _opening(tail)) is not None
    return _BEFORE_REGULAR.search(tail[-12:]) is not None


def _opening(text: str) -> int:
    """Where the bracket opens that the last character closes; 0 if not in this text."""
    depth, place = 0, len(text)
    for bracket in reversed(_BRACKET.findall(text)):
        place = text.rfind(bracket, 0, place)
        depth += 1 if bracket == ")" else -1
        if not depth:
            return place
    return 0
