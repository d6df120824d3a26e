"""C and C++: which files of a repository an `#include` stands for.

What an edge is: `#include "x"` and `#include <x>` need the file x. Nothing else counts: a header
does not need the source file that implements it. Where x is searched, the first hit decides:

1. for `"x"`: beside the including file, or wherever `../` leads from there.
2. in the search path that the repository's compile_commands.json gives (see `c_commands`).
3. in the folders above it, nearest first, and in their folders `include`, `inc`, `src`, `source`
   and `lib`: what a build file would name as search path.
4. among all paths of the repository that end in x: the only one; or, of several, the one that
   shares more folders with the including file than any other. If two are equally near, the
   include is left unresolved: a wrong edge does more harm than none.

A name of the C or C++ standard library or of POSIX in angle brackets, such as <string.h>, is
found by step 3 in folders `include` only: a project's own `compat/string.h` is not meant by it.
`#include_next` finds no file at step 1, and never its own.

An edge is "conditional" where the include stands in a branch that Linux with GCC does not take, or
where step 4 finds it only in a folder named after another platform, such as `win32/config.h`:
there, a build would have made its own. Where nothing is known, the edge is an "include".

Source: DeepSeek-Coder §2.2.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import ClassVar

from codekiln.languages.c_commands import NAME, CompileCommands, SearchPath, candidates
from codekiln.languages.c_platform import dialect_of
from codekiln.languages.c_scan import scan
from codekiln.languages.resolve import (
    ByReference,
    Need,
    PathIndex,
    Reference,
    join,
    parent,
    shared_depth,
)

MANY = 1000  # files of one name: with more, none of them is meant for sure
SEARCH_FOLDERS = ("include", "inc", "src", "source", "lib")
_STANDARD_NAMES = """
assert.h complex.h ctype.h errno.h fenv.h float.h inttypes.h iso646.h limits.h locale.h math.h
setjmp.h signal.h stdalign.h stdarg.h stdatomic.h stdbit.h stdbool.h stdckdint.h stddef.h stdint.h
stdio.h stdlib.h stdnoreturn.h string.h tgmath.h threads.h time.h uchar.h wchar.h wctype.h
alloca.h byteswap.h cpio.h dirent.h dlfcn.h elf.h endian.h execinfo.h fcntl.h fmtmsg.h fnmatch.h
ftw.h getopt.h glob.h grp.h iconv.h langinfo.h libgen.h link.h malloc.h mntent.h monetary.h
mqueue.h ndbm.h netdb.h nl_types.h poll.h pthread.h pty.h pwd.h regex.h sched.h search.h
semaphore.h spawn.h strings.h stropts.h syslog.h tar.h termios.h trace.h ulimit.h unistd.h utime.h
utmp.h utmpx.h wordexp.h windows.h winsock2.h ws2tcpip.h io.h direct.h process.h conio.h algorithm
any array atomic barrier bit bitset charconv chrono codecvt compare complex concepts
condition_variable coroutine deque exception execution expected filesystem format forward_list
fstream functional future generator initializer_list iomanip ios iosfwd iostream istream iterator
latch limits list locale map mdspan memory memory_resource mutex new numbers numeric optional
ostream print queue random ranges ratio regex scoped_allocator semaphore set shared_mutex
source_location span spanstream sstream stack stacktrace stdexcept stdfloat stop_token streambuf
string string_view strstream syncstream system_error thread tuple type_traits typeindex typeinfo
unordered_map unordered_set utility valarray variant vector version cassert ccomplex cctype cerrno
cfenv cfloat cinttypes ciso646 climits clocale cmath csetjmp csignal cstdarg cstdbool cstddef
cstdint cstdio cstdlib cstring ctgmath ctime cuchar cwchar cwctype
"""
_STANDARD = frozenset(_STANDARD_NAMES.split())
_FOREIGN = re.compile(
    r"(?:^|/)(?:[^/]*[-_.])?(?:win|win32|win64|wince|windows|msvc|nmake|mingw|cygwin|vms|os2|os400"
    r"|amiga|amigaos|msdos|dos|djgpp|macos|macosx|mac|darwin|ios|android|beos|haiku|riscos|qnx"
    r"|vxworks|symbian|solaris|sunos|aix|freebsd|netbsd|openbsd|emscripten)(?:[-_.][^/]*)?/",
    re.IGNORECASE,
)
_STANDARD_FOLDERS = frozenset({"sys", "arpa", "net", "netinet", "bits"})


class CResolver(ByReference):
    """`#include` directives of C and C++ files, and the files that they need.

    Args:
        paths: all paths of the repository, whatever their language.
    """

    build_files: ClassVar[frozenset[str]] = frozenset({NAME})

    def __init__(self, paths: PathIndex) -> None:
        self._paths = paths
        self._commands = CompileCommands(paths)
        self._found: dict[tuple[str, SearchPath, str, bool, str], tuple[str | None, bool]] = {}

    def imports(self, text: str) -> list[Reference]:
        """The `#include` directives of one file, in the order of the text."""
        return scan(text)

    def scan(self, path: str, text: str) -> list[Reference]:
        """The `#include` directives of one file, read as C, C++ or either by its suffix."""
        return scan(text, dialect_of(path))

    def edges(self, scans: Mapping[str, list[Reference]]) -> Iterator[Need]:
        """All includes resolved; those found in another platform's folder only are conditional."""
        for source, found in scans.items():
            for reference in found:
                path, foreign = self._find(reference, source)
                if path is not None:
                    yield source, path, "conditional" if foreign else reference.kind

    def resolve(self, reference: Reference, source: str) -> list[str]:
        """The path that `reference` in the file `source` needs, as defined above, or none."""
        path, _ = self._find(reference, source)
        return [] if path is None else [path]

    def _find(self, reference: Reference, source: str) -> tuple[str | None, bool]:
        folder, following = parent(source), source if reference.level else ""
        search = self._commands.search_path(source)
        key = (folder, search, reference.target, reference.system, following)
        if key not in self._found:
            self._found[key] = self._search(*key)
        path, foreign = self._found[key]
        return (None, False) if path == source else (path, foreign)

    def _search(
        self, folder: str, search: SearchPath, target: str, system: bool, following: str
    ) -> tuple[str | None, bool]:
        """The path, and whether only its name led there, into another platform's folder."""
        standard = (system or bool(following)) and _is_standard(target)
        places: list[Iterable[str]] = []
        if not system and not following:
            places.append(candidates((folder,), target))
        if not target.startswith("/"):
            places.append(candidates(search.angled if system else search.quoted, target))
            places.append(_above(folder, target, standard))
        for path in chain.from_iterable(places):
            if path in self._paths.files and path != following:
                return path, False
        if standard or target.startswith("/"):
            return None, False
        return self._anywhere(folder, posixpath.normpath(target), following)

    def _anywhere(self, folder: str, target: str, following: str) -> tuple[str | None, bool]:
        while target.startswith("../"):
            target = target[3:]
        name = target.rpartition("/")[2]
        ending = "/" + target
        named = self._paths.by_name.get(name, ())
        hits = [
            (not _is_foreign(path, folder), shared_depth(parent(path), folder), path)
            for path in (named if len(named) <= MANY else ())
            if path.endswith(ending) and path != following
        ]
        if not hits:
            return None, False
        ours, near, _ = max(hits)
        best = [path for *rank, path in hits if rank == [ours, near]]
        return (best[0], not ours) if len(best) == 1 else (None, False)


def _above(folder: str, target: str, standard: bool) -> Iterator[str]:
    """Where a header may lie in the folders above a file, and in those beside the way."""
    while True:
        near = [join(folder, name) for name in SEARCH_FOLDERS]
        yield from candidates(near[:1] if standard else [folder, *near], target)
        if not folder:
            return
        folder = parent(folder)


def _is_foreign(path: str, folder: str) -> bool:
    """Whether a path lies in a folder named after another platform, which `folder` doesn't."""
    match = _FOREIGN.search(path)
    return match is not None and not f"{folder}/".startswith(path[: match.end()])


def _is_standard(target: str) -> bool:
    folder, slash, _ = target.partition("/")
    return folder in _STANDARD_FOLDERS if slash else target in _STANDARD
