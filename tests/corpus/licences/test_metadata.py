"""Package metadata of every kind that is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codekiln.corpus.licences.debian import licence_of
from codekiln.corpus.licences.metadata import _READERS, licence_of_metadata

OSI = "Classifier: License :: OSI Approved :: "
DEP5 = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: someone
License: GPL-2+
 words of it

Files: lib/*.c doc/?ead.me
Copyright: others
License: Expat

Files: debian/*
License: BSD-3-clause or Artistic
"""


@pytest.mark.parametrize(
    ("path", "text", "wanted"),
    [
        ("pyproject.toml", '[project]\nlicense = "mit or isc"\n', "MIT OR ISC"),
        ("pyproject.toml", '[project]\nlicense = {text = "BSD 3-Clause"}\n', "BSD-3-Clause"),
        ("pyproject.toml", '[project]\nlicense = {file = "LICENSE"}\n', None),
        ("pyproject.toml", '[tool.poetry]\nlicense = "Apache 2.0"\n', "Apache-2.0"),
        (
            "pyproject.toml",
            '[project]\nclassifiers = ["License :: OSI Approved :: MIT License", "X :: Y"]\n',
            "MIT",
        ),
        ("PKG-INFO", "Name: x\nLicense-Expression: ISC\nLicense: MIT\n\nLicense: GPL\n", "ISC"),
        ("PKG-INFO", f"License: BSD\n{OSI}BSD License\n", "LicenseRef-BSD"),
        ("PKG-INFO", f"License: UNKNOWN\n{OSI}ISC License (ISCL)\n", "ISC"),
        ("a/PKG-INFO", "Name: x\n\nLicense: MIT\n", None),
        ("setup.cfg", "[metadata]\nlicense = LGPLv3+\n", "LGPL-3.0-or-later"),
        ("setup.py", "setup(name='x', license='MIT', zip_safe=False)\n", "MIT"),
        ("package.json", '{"license": "(MIT OR Apache-2.0)"}', "(MIT OR Apache-2.0)"),
        ("package.json", '{"licenses": [{"type": "MIT"}, {"type": "ISC"}]}', "ISC OR MIT"),
        ("package.json", '{"license": "SEE LICENSE IN x"}', None),
        ("Cargo.toml", '[package]\nlicense = "MIT/Apache-2.0"\n', "Apache-2.0 OR MIT"),
        ("Cargo.toml", '[workspace.package]\nlicense="MIT"\n[package]\nname = "x"', "MIT"),
        (
            "pom.xml",
            "<project><licenses><license><name>Apache License, Version 2.0</name></license>"
            "<license><name>MIT</name></license></licenses></project>",
            "Apache-2.0 OR MIT",
        ),
        ("composer.json", '{"license": ["GPL-2.0+", "MIT"]}', "GPL-2.0-or-later OR MIT"),
        ("x.gemspec", "s.licenses = ['MIT', 'Ruby']", "MIT OR Ruby"),
        ("x.cabal", "name: x\nlicense:      BSD3\nlicense-file: y", None),
        ("x.cabal", "license: BSD-3-Clause\n", "BSD-3-Clause"),
        ("META.json", '{"license": ["perl_5"]}', "Artistic-1.0-Perl OR GPL-1.0-or-later"),
        ("DESCRIPTION", "Package: x\nLicense: GPL (>= 2)\n", "GPL-2.0-or-later"),
        ("debian/copyright", DEP5, "GPL-2.0-or-later"),
        ("copyright", DEP5, None),
        ("other.json", '{"license": "MIT"}', None),
    ],
)  # fmt: skip
def test_what_each_kind_states(path: str, text: str, wanted: str | None) -> None:
    assert licence_of_metadata(path, text) == wanted


def test_debian_s_last_fitting_stanza_counts() -> None:
    paths = ["x.c", "lib/deep/x.c", "doc/read.me", "doc/reead.me", "debian/rules"]
    assert [licence_of(DEP5, path) for path in paths] == [
        "GPL-2+", "Expat", "Expat", "GPL-2+", "BSD-3-clause or Artistic",
    ]  # fmt: skip


@given(
    st.sampled_from([*_READERS, "x.gemspec", "x.cabal", "debian/copyright"]),
    st.one_of(
        st.text(max_size=200),
        st.sampled_from(
            ["[]", "{}", "null", '{"license": 5}', '{"license": [[], {}, null]}', "[" * 100_000,
             "[project]\nlicense = 5", "[package]\nlicense = []", "project = 1", "package = 1"]
        ),
    ),
)  # fmt: skip
def test_damaged_metadata_say_nothing(path: str, text: str) -> None:
    assert licence_of_metadata(path, text) is None
