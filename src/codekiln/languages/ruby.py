"""Ruby: which files of a repository a `require`, and a constant, stand for.

What an edge is:

- import: `require`, `require_relative`, `require_dependency` and `load` with a literal path need
  that file; local within a method. `File.expand_path("../x", __FILE__)` and its common variants
  are read as well. Other computed paths are not known before the program runs.
- declare: `autoload :X, "path"` names the file; a use of X needs it, in an edge of its own. In a
  cycle, this need is the first to be set aside.
- use: a constant needs the file that defines it. It is looked up in the modules that the using
  file opens, the innermost first, and then at the top; of `A::B::C` the longest part that some file
  defines counts. Where several files define it, as all files of a gem open its module, it is the
  one that has its name as path, as Rails (Zeitwerk) loads it: `Foo::BarBaz` is foo/bar_baz.rb
  (underscores and case are ignored, so that HTMLParser is html_parser.rb without being told of the
  acronym); without such a file there is no edge. This holds whether a `require` stands somewhere
  or not, as one file of a gem often loads the others. What a file defines itself needs no other,
  and what is defined in a test tree is seen from there only.

Where `require` searches: folders `lib`, the `require_paths` of gemspecs, and the repository's
root; from files in `test`, `spec` and `features` also that folder. Of several files, it is the one
that shares most folders with the needing file; of two equally near, none.

Source: DeepSeek-Coder §2.2.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import ClassVar

from codekiln.languages.resolve import Need, PathIndex, Reference, join, parent, shared_depth
from codekiln.languages.ruby_scan import RubyFile, scan

_REQUIRE_PATHS = re.compile(
    r"\.require_paths?\s*=\s*(\[[^\]\n]*\]|%w\W[^\])}\n]*|[\"'][^\"'\n]*[\"'])"
)
_WORD = re.compile(r"[\w./-]+")
_CORE_NAMES = """
ArgumentError Array BasicObject BigDecimal Bignum Binding CGI CSV Class ClosedQueueError
Comparable Complex ConditionVariable Date DateTime Delegator Digest Dir EOFError ERB Encoding
EncodingError Enumerable Enumerator Errno Etc Exception FalseClass Fiber FiberError File FileTest
FileUtils Fixnum Float FloatDomainError Forwardable FrozenError GC Hash IO IOError IndexError
Integer Interrupt JSON Kernel KeyError LoadError LocalJumpError Logger Marshal MatchData Math
Matrix Method Module Monitor MonitorMixin Mutex NameError Net NilClass NoMatchingPatternError
NoMatchingPatternKeyError NoMemoryError NoMethodError NotImplementedError Numeric Object
ObjectSpace Observable OpenSSL OpenStruct OptionParser Pathname Proc Process Psych Queue Ractor
Random Range RangeError Rational Refinement Regexp RegexpError RuntimeError ScriptError
SecureRandom SecurityError Set Shellwords Signal SignalException SimpleDelegator Singleton
SizedQueue Socket StandardError StopIteration String StringIO StringScanner Struct Symbol
SyntaxError SystemCallError SystemExit SystemStackError TCPSocket Tempfile Thread ThreadError
ThreadGroup Time Timeout TracePoint TrueClass TypeError URI UnboundMethod UncaughtThrowError
UnicodeNormalize Warning YAML ZeroDivisionError Zlib
"""
_CORE = frozenset(_CORE_NAMES.split())  # opened by a file, they are still Ruby's own
_MOST_ALIKE = 64  # files among which the nearest is searched; more say nothing about any
_TREES = frozenset({"test", "tests", "spec", "features"})


class RubyResolver:
    """What Ruby files require and which constants they use, and the files that they need.

    Args:
        paths: all paths of the repository, and the texts of its gemspecs.
    """

    build_files: ClassVar[frozenset[str]] = frozenset({"*.gemspec"})

    def __init__(self, paths: PathIndex) -> None:
        self._paths = paths
        self._given = frozenset(_require_paths(paths.build_files))
        self._names: dict[str, str] = {}
        self._defining: dict[str, list[str]] = {}
        self._ending: dict[str, list[str]] = {}
        self._likely: dict[str, list[str]] = {}
        self._found: dict[tuple[str, str], str | None] = {}
        self._named: dict[tuple[str, str], str | None] = {}

    def scan(self, path: str, text: str) -> RubyFile:
        """What one file requires, defines and uses."""
        return scan(text, self._names)

    def edges(self, scans: Mapping[str, RubyFile]) -> Iterator[Need]:
        """All needs of all files, as defined above."""
        for path, file in sorted(scans.items()):
            for name in {*file.opens, *file.sets} - _CORE:
                self._defining.setdefault(name, []).append(path)
        for source, file in scans.items():
            for reference in file.requires:
                target = self._required(reference, source)
                if target is not None:
                    yield source, target, reference.kind
            scopes = _scopes(file.opens)
            own = frozenset((*file.opens, *file.sets))
            for constant in file.uses:
                target = self._constant(constant, scopes, own, source)
                if target is not None:
                    yield source, target, "use"

    def _required(self, reference: Reference, source: str) -> str | None:
        """The file that a call of `require` or its like loads."""
        folder = parent(source)
        name = posixpath.normpath(reference.target)
        if reference.level:
            return self._file(posixpath.normpath(join(folder, reference.target)))
        if name.startswith("/"):
            return None
        if reference.target.startswith("."):  # from where the program is started
            return self._file(name) or self._file(posixpath.normpath(join(folder, name)))
        key = (folder, name)
        if key not in self._found:
            self._found[key] = self._search(folder, name)
        return self._found[key]

    def _file(self, path: str) -> str | None:
        return next((p for p in (path + ".rb", path) if p in self._paths.files), None)

    def _search(self, folder: str, name: str) -> str | None:
        file = name if name.endswith((".rb", ".rake")) else name + ".rb"
        if file not in self._ending:
            same = self._paths.by_name.get(file.rpartition("/")[2], ())
            ending = "/" + file
            self._ending[file] = [path for path in same if path == file or path.endswith(ending)]
        hits = self._ending[file]
        if len(hits) > _MOST_ALIKE:
            return None
        roots = ((path, path[: -len(file)].rstrip("/")) for path in hits)
        return _nearest([path for path, root in roots if self._is_root(root, folder)], folder)

    def _is_root(self, root: str, folder: str) -> bool:
        """Whether `require` in a file of `folder` searches in `root`."""
        if not root or root in self._given:
            return True
        name = root.rpartition("/")[2]
        return name == "lib" or (name in _TREES and f"{folder}/".startswith(root + "/"))

    def _constant(
        self, constant: str, scopes: list[str], own: frozenset[str], source: str
    ) -> str | None:
        """The file of a constant, used where modules `scopes` are open, the innermost first."""
        places = [""] if constant.startswith("::") else [*scopes, ""]
        name = constant.removeprefix("::")
        while name:
            for place in places:
                full = f"{place}::{name}" if place else name
                if full in own:
                    return None
                if full in self._defining:
                    return self._definition(full, parent(source))
            name = name.rpartition("::")[0]
        return None

    def _definition(self, full: str, folder: str) -> str | None:
        if full not in self._likely:
            found = self._defining[full]
            ending = "/" + _key(full)
            named = [path for path in found if ("/" + _key(path[:-3])).endswith(ending)]
            self._likely[full] = named or found
        likely = self._likely[full]
        if len(likely) > _MOST_ALIKE:
            return None
        key = (full, folder)
        if key not in self._named:
            tree = _test_tree(folder)
            seen = [path for path in likely if _test_tree(parent(path)) in ("", tree)]
            self._named[key] = _nearest(seen, folder)
        return self._named[key]


def _nearest(hits: list[str], folder: str) -> str | None:
    """The path that shares most folders with `folder`; None if two are equally near."""
    if len(hits) < 2:
        return hits[0] if hits else None
    near = [shared_depth(parent(path), folder) for path in hits]
    return None if near.count(max(near)) > 1 else hits[near.index(max(near))]


def _test_tree(folder: str) -> str:
    """The outermost test tree around a folder; "" if there is none."""
    parts = folder.split("/")
    for depth, part in enumerate(parts):
        if part in _TREES:
            return "/".join(parts[: depth + 1])
    return ""


def _key(name: str) -> str:
    return name.replace("::", "/").replace("_", "").lower()


def _scopes(opens: tuple[str, ...]) -> list[str]:
    """The modules in which constants of a file are looked up, the innermost first."""
    found: set[str] = set()
    for name in opens[:_MOST_SCOPES]:
        while name and name not in found:
            found.add(name)
            name = name.rpartition("::")[0]
    return sorted(found, key=lambda name: (-name.count("::"), name))[:_MOST_SCOPES]


_MOST_SCOPES = 64  # of one file, as each of its constants is looked up in each


def _require_paths(build_files: Mapping[str, str]) -> Iterator[str]:
    """The folders that gemspecs name as `require_paths`."""
    for path, text in build_files.items():
        if path.endswith(".gemspec"):
            for value in _REQUIRE_PATHS.findall(text):
                for word in _WORD.findall(value.removeprefix("%w")):
                    yield posixpath.normpath(join(parent(path), word))
