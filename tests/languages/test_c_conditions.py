"""Conditionals of C and C++: values against the compiler's own, unknowns by hand."""

import random
import shutil
import subprocess

import pytest

from codekiln.languages.c_conditions import LONGEST, evaluate
from codekiln.languages.c_platform import DEFINED, UNDEFINED, is_defined
from codekiln.languages.c_scan import scan


def gcc(*arguments: str, text: str = "") -> str:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    command = ["gcc", "-E", *arguments, "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def on_the_reference_platform() -> bool:
    return "linux" in gcc("-dM") and "__x86_64__" in gcc("-dM")


@pytest.mark.parametrize("header", ["", "#include <features.h>\n#include <limits.h>\n"])
def test_what_counts_as_defined_is_what_the_compiler_defines(header: str) -> None:
    if not on_the_reference_platform():
        pytest.skip("needs gcc on Linux, x86-64")
    real = {line.split()[1] for line in gcc("-dM", text=header).splitlines()}
    assert len(real) > 300
    assert not real & UNDEFINED
    assert [name for name in real if is_defined(name, "either") is False] == []
    valued = {name: value for name, value in DEFINED.items() if value is not None}
    assert valued.keys() <= real
    text = "".join(f"#if {name} == {value}\nyes\n#endif\n" for name, value in valued.items())
    assert gcc("-P", text=text).split() == ["yes"] * len(valued)


def random_expression(rng: random.Random, depth: int = 0) -> str:
    """An expression over numbers and macros whose values both sides know; no division by zero."""
    if depth > 4 or rng.random() < 0.2:
        names = ["__linux__", "_WIN32", "__SIZEOF_POINTER__", "__APPLE__", "__CHAR_BIT__"]
        number = rng.choice(["0", "1", "2", "07", "0x1F", "12UL", "3L", "0b101"])
        defined = rng.choice(["defined({})", "defined {}"]).format(rng.choice(names))
        return rng.choice([number, rng.choice(names), defined])
    inner = [random_expression(rng, depth + 1) for _ in range(2)]
    kind = rng.randrange(10)
    if kind < 2:
        return rng.choice(["!", "~", "-", "+ "]) + f"({inner[0]})"
    if kind < 3:
        return f"({inner[0]})"
    if kind < 4:
        return f"(({inner[0]}) {rng.choice(['/', '%', '<<', '>>'])} {rng.choice('1235')})"
    signs = ["||", "&&", "|", "^", "&", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*"]
    return f"{inner[0]} {rng.choice(signs)} {inner[1]}"


def test_expressions_have_the_compilers_truth() -> None:
    if not on_the_reference_platform():
        pytest.skip("needs gcc on Linux, x86-64")
    rng = random.Random(5)
    drawn = [random_expression(rng) for _ in range(3000)]
    drawn = [e for e in drawn if "UL" not in e]  # ours has no unsigned arithmetic
    text = "".join(f"#if {e}\nyes\n#else\nno\n#endif\n" for e in drawn)
    wanted = [word == "yes" for word in gcc("-P", "-w", text=text).split()]
    assert [bool(evaluate(e, "c")[0]) for e in drawn] == wanted
    assert 0.2 < sum(wanted) / len(wanted) < 0.8


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("defined(HAVE_X)", None),
        ("HAVE_X", None),
        ("!HAVE_X", None),
        ("defined(_WIN32) && HAVE_X", 0),
        ("HAVE_X && defined(_WIN32)", 0),
        ("HAVE_X || defined(__linux__)", 1),
        ("HAVE_X && defined(__linux__)", None),
        ("HAVE_X || defined(_WIN32)", None),
        ("HAVE_X == 2 || 1", 1),
        ("defined(_WIN32) || (defined(__APPLE__) && !HAVE_X)", 0),
        ("not defined(_WIN32) and defined(__linux__)", 1),
        ('__has_include("a.h")', None),
        ("__has_include(<sys/a.h>) && defined(_MSC_VER)", 0),
        ("defined(__has_include)", 1),
        ("PREREQ(4, (8)) && 0", 0),
        ("defined(_WIN32) /* old */ && \\\n X // why", 0),
        ("TARGET_OS_IPHONE", 0),
        ("__GNUC__ >= 4", None),
        ("1 ? 0 : 1", None),
        ("1 / 0", None),
        ("1 << 1000000000", None),
        ("08", None),
        ("", None),
        ("(", None),
        (")", None),
        ("1 1", None),
        ("defined", None),
        ("defined(", None),
        ("&& 1", None),
        ("1 +", None),
        ("F(", None),
        ("@", None),
        ("(" * 900 + "1" + ")" * 900, 1),
        ("!" * 1001 + "1", 0),
        ("1" + " || X" * LONGEST, None),
    ],
)
def test_unknown_names_broken_and_long_expressions(expression: str, value: int | None) -> None:
    assert evaluate(expression, "either")[0] == value


def kinds(text: str, dialect: str = "either") -> dict[str, str]:
    return {r.target[0]: r.kind for r in scan(text, dialect)}  # type: ignore[arg-type]


def branches(*lines: str) -> str:
    """A file with `#include "a.h"`, "b.h" and so on for each single letter among the lines."""
    return "\n".join(f'#include "{x}.h"' if len(x) == 1 else "#" + x for x in lines)


@pytest.mark.parametrize(
    ("text", "conditional"),
    [
        (branches("ifdef _WIN32", "a", "else", "b", "endif", "c"), "a"),
        (branches("ifndef _WIN32", "a", "else", "b", "endif", "c"), "b"),
        (branches("ifdef HAVE_X", "a", "else", "b", "endif"), ""),
        (branches("if defined(__APPLE__)", "a", "elif X", "b", "else", "c", "endif"), "a"),
        (branches("if defined(__linux__)", "a", "elif X", "b", "else", "c", "endif", "d"), "bc"),
        (branches("if X", "a", "elif defined(__linux__)", "b", "else", "c", "endif"), "c"),
        (branches("ifdef _WIN32", "if X", "a", "else", "b", "endif", "c", "endif", "d"), "abc"),
        (branches("ifdef A_H", "ifdef __sun", "a", "else", "b", "endif", "endif"), "a"),
        (branches("ifdef X", "a", "elifdef __APPLE__", "b", "elifndef _WIN32", "c", "endif"), "b"),
        (branches("ifdef X", "a", "elifndef _WIN32", "b", "else", "c", "endif"), "c"),
        (branches("endif", "else", "a", "ifdef _WIN32", "b"), "b"),
        (branches("  if defined(_WIN32) \\\n  || defined(__APPLE__)", "a", "  endif", "b"), "a"),
        (branches("ifdef /* in */ _WIN32 // x", "a", "endif"), "a"),
        ("/*\n#ifdef _WIN32\n*/\n" + branches("a"), ""),
        (branches("ifdef FMT_HEADER_ONLY", "a", "endif"), "a"),
        ("%:ifdef _WIN32\n" + branches("a", "endif") + "\n??=include <b.h>", "a"),
    ],
)
def test_branches_of_other_platforms_are_conditional(text: str, conditional: str) -> None:
    found = kinds(text)
    assert {name for name, kind in found.items() if kind == "conditional"} == set(conditional)
    assert set(found) == {x for x in "abcd" if f"{x}.h" in text}


def test_branches_that_no_platform_takes_do_not_count() -> None:
    assert set(kinds(branches("if 1", "a", "else", "b", "endif"))) == {"a"}
    assert set(kinds(branches("if 0", "a", "elif X", "b", "else", "c", "endif"))) == {"b", "c"}
    assert set(kinds(branches("if 0", "ifdef X", "a", "endif", "b", "endif", "c"))) == {"c"}
    assert kinds(branches("ifdef _WIN32", "if 0", "a", "endif", "b", "endif")) == {
        "b": "conditional"
    }


def test_what_is_cpp_follows_from_the_dialect() -> None:
    text = branches("ifdef __cplusplus", "a", "else", "b", "endif")
    assert kinds(text, "c") == {"a": "conditional", "b": "include"}
    assert kinds(text, "c++") == {"a": "include", "b": "conditional"}
    assert kinds(text) == {"a": "include", "b": "include"}


def test_deep_nesting_and_many_computed_includes_take_linear_time() -> None:
    deep = "#ifdef X\n" * 100_000 + '#include "a.h"\n'
    assert kinds(deep) == {"a": "include"}
    many = '#define F "a.h"\n#include F\n' * 50_000
    assert len(scan(many)) == 50_000
    line = "#if X #include " * 100_000
    assert scan(line) == []
    assert kinds("#if " + "X || " * 100_000 + '1\n#include "a.h"') == {"a": "include"}
