"""C and C++: which files of a repository an `#include` stands for.

What an edge is: `#include "x"` and `#include <x>` need the file x. Nothing else counts: a header
does not need the source file that implements it. Where x is searched, the first hit decides:

1. for `"x"`: beside the including file, or wherever `../` leads from there.
2. in the folders above it, nearest first, and in their folders `include`, `inc`, `src`, `source`
   and `lib`: what a build file would name as search path.
3. among all paths of the repository that end in x: the only one; or, of several, the one that
   shares more folders with the including file than any other. If two are equally near, the
   include is left unresolved: a wrong edge does more harm than none.

A name of the C or C++ standard library or of POSIX in angle brackets, such as <string.h>, is
found by step 2 in folders `include` only: a project's own `compat/string.h` is not meant by it.

Source: DeepSeek-Coder §2.2.
"""

from __future__ import annotations

import posixpath

from codekiln.languages.c_scan import scan
from codekiln.languages.resolve import ByReference, PathIndex, Reference, join, parent, shared_depth

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
_STANDARD_FOLDERS = frozenset({"sys", "arpa", "net", "netinet", "bits"})


class CResolver(ByReference):
    """`#include` directives of C and C++ files, and the files that they need.

    Args:
        paths: all paths of the repository, whatever their language.
    """

    def __init__(self, paths: PathIndex) -> None:
        self._paths = paths
        self._found: dict[tuple[str, str, bool], str | None] = {}

    def imports(self, text: str) -> list[Reference]:
        """The `#include` directives of one file, in the order of the text."""
        return scan(text)

    def resolve(self, reference: Reference, source: str) -> list[str]:
        """The path that `reference` in the file `source` needs, as defined above, or none."""
        key = (parent(source), reference.target, reference.system)
        if key not in self._found:
            self._found[key] = self._search(*key)
        path = self._found[key]
        return [] if path is None or path == source else [path]

    def _search(self, folder: str, target: str, system: bool) -> str | None:
        if not system:
            beside = posixpath.normpath(join(folder, target))
            if beside in self._paths.files:
                return beside
        target = posixpath.normpath(target)
        if target.startswith("/"):
            return None
        standard = system and _is_standard(target)
        return self._above(folder, target, standard) or (
            None if standard else self._anywhere(folder, target)
        )

    def _above(self, folder: str, target: str, standard: bool) -> str | None:
        while True:
            places = [join(folder, name) for name in SEARCH_FOLDERS]
            places = places[:1] if standard else [folder, *places]
            for place in places:
                path = posixpath.normpath(join(place, target))
                if path in self._paths.files:
                    return path
            if not folder:
                return None
            folder = parent(folder)

    def _anywhere(self, folder: str, target: str) -> str | None:
        while target.startswith("../"):
            target = target[3:]
        name = target.rpartition("/")[2]
        ending = "/" + target
        hits = [path for path in self._paths.by_name.get(name, ()) if path.endswith(ending)]
        near = [shared_depth(parent(path), folder) for path in hits]
        if not hits or near.count(max(near)) > 1:
            return None
        return hits[near.index(max(near))]


def _is_standard(target: str) -> bool:
    folder, slash, _ = target.partition("/")
    return folder in _STANDARD_FOLDERS if slash else target in _STANDARD
