"""Licences of files and repositories: by hand, against Debian's texts and installed packages."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codekiln.corpus.licences import debian, expression, names, texts
from codekiln.corpus.licences.detect import (
    UNKNOWN,
    Licence,
    Licences,
    file_licence,
    is_evidence,
    is_licence_file,
    repository_licence,
)
from codekiln.corpus.licences.settings import NOT_ALLOWED, LicenceSettings, reason
from codekiln.corpus.licences.settings import UNKNOWN as UNKNOWN_REASON

COMMON = Path("/usr/share/common-licenses")
MIT = (Path(__file__).parents[3] / "LICENSE").read_text(encoding="utf-8")
APACHE_NOTICE = """\
/* Copyright someone
 * Licensed under the Apache License, Version 2.0 (the "License"); you may
 * not use this file except in compliance with the License. */
int x;
"""
GCC = "WITH GCC-exception-2.0"
LATER = "of the License, or (at your option) any later version"
GPL_NOTICE = """\
# This program is free software; you can redistribute it and/or modify
# it under the terms of the GNU {0}General Public License as published by
# the Free Software Foundation; {1}.
"""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("// SPDX-License-Identifier: MIT\n", "MIT"),
        ("/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */\n", "(GPL-2.0-only OR MIT)"),
        (f"<!-- SPDX-License-Identifier: GPL-2.0+ {GCC} -->", f"GPL-2.0-or-later {GCC}"),
        ("# SPDX-License-Identifier: Nonsense-9\nx = 1\n", None),
        ("# SPDX-License-Identifier: MIT\n# SPDX-License-Identifier: ISC\n", "ISC AND MIT"),
        (APACHE_NOTICE, "Apache-2.0"),
        (GPL_NOTICE.format("", f"either version 2 {LATER}"), "GPL-2.0-or-later"),
        (GPL_NOTICE.format("", "version 2 of the License"), "GPL-2.0-only"),
        (GPL_NOTICE.format("Lesser ", f"either version 2.1 {LATER}"), "LGPL-2.1-or-later"),
        (GPL_NOTICE.format("Affero ", f"either version 3 {LATER}"), "AGPL-3.0-or-later"),
        ('__license__ = "BSD 3-Clause"\n', "BSD-3-Clause"),
        ("/**\n * @license MIT\n */\n", "MIT"),
        ("# Its use is governed by a BSD-style license found in LICENSE.\n", "LicenseRef-BSD"),
        ("// This code is in the public domain.\n", "LicenseRef-public-domain"),
        ("def licence(driver):\n    return driver.licence\n", None),
        ("x = 1\n" * 2000 + APACHE_NOTICE, None),
        ("", None),
    ],
)  # fmt: skip
def test_what_a_file_says_of_itself(text: str, wanted: str | None) -> None:
    assert file_licence(text) == wanted


def test_a_notice_may_stand_in_any_comment() -> None:
    body = "\n".join(MIT.splitlines()[2:])
    for start in ("", "# ", "// ", " * ", "-- ", ";; ", "% "):
        commented = "".join(f"{start}{line}\n" for line in body.splitlines())
        assert file_licence(commented + "code()\n") == "MIT", start


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("LICENSE", True), ("licence.txt", True), ("COPYING", True), ("a/b/COPYING.LESSER", True),
        ("LICENSE-MIT", True), ("UNLICENSE", True), ("MIT-LICENSE.txt", True), ("LICENSE.md", True),
        ("LICENSES/MIT.txt", True), ("COPYING.GPLv3", True),
        ("LICENSE-3RD-PARTY.txt", False), ("NOTICE", False), ("license.py", False),
        ("licensing/models.py", False), ("copying.c", False), ("license_header.txt", False),
        ("relicense.sh", False), ("src/LICENSES/x.txt", False),
    ],
)  # fmt: skip
def test_names_of_licence_files(path: str, wanted: bool) -> None:
    assert is_licence_file(path) == wanted


def apache() -> str:
    return "Apache License\nVersion 2.0, January 2004\nhttp://www.apache.org/licenses/\n"


def test_the_nearest_statement_counts() -> None:
    found = Licences(
        {
            "LICENSE": MIT,
            "vendor/x/COPYING": apache(),
            "web/package.json": '{"license": "ISC"}',
            "NOTICE": apache(),
        }
    )
    assert found.repository == Licence(
        expression="MIT", source="LICENSE file", confidence=texts.PHRASES
    )
    assert found.of("a.py", "x = 1").expression == "MIT"
    assert found.of("vendor/x/deep/a.c", "int x;").expression == "Apache-2.0"
    assert found.of("web/src/a.js", "x").source == "metadata"
    assert found.of("vendor/xy/a.c", "").expression == "MIT"
    assert found.of("vendor/x/a.c", "// SPDX-License-Identifier: 0BSD").expression == "0BSD"
    prose = "It stands under the terms of the MIT license."
    assert found.of("vendor/x/README.md", prose).expression == "Apache-2.0"
    assert Licences({}).of("a.py", "x = 1") == UNKNOWN


@pytest.mark.parametrize(
    ("files", "metadata", "wanted", "sure"),
    [
        ({"LICENSE-MIT": MIT, "LICENSE-APACHE": apache()}, None, "Apache-2.0 OR MIT", True),
        ({"LICENSE": MIT, "COPYING": apache()}, None, "Apache-2.0 AND MIT", True),
        ({"LICENSE": MIT}, "BSD-3-Clause", "MIT", False),
        ({"LICENSE": MIT}, "MIT OR Apache-2.0", "MIT OR Apache-2.0", True),
        ({"LICENSE": "see our web site"}, "Apache 2.0", "Apache-2.0", True),
        ({"LICENSE": MIT, "package.json": '{"license": "MIT"}'}, None, "MIT", True),
        ({}, "proprietary words", "NOASSERTION", False),
        ({"README": "MIT"}, None, "NOASSERTION", False),
    ],
)
def test_repositories(files: dict[str, str], metadata: str | None, wanted: str, sure: bool) -> None:
    found = repository_licence(files, metadata)
    assert found.expression == wanted
    assert (found.confidence >= 0.8) == sure


EVIDENCE = ["LICENSE", "a/COPYING", "package.json", "debian/copyright", "a/b/c"]


@given(st.dictionaries(st.sampled_from(EVIDENCE), st.text()), st.text())
def test_nothing_crashes_it(files: dict[str, str], text: str) -> None:
    found = Licences(files).of("a/b/c.py", text + " licence gpl general public license ")
    assert found == UNKNOWN or expression.canonical(found.expression)


def test_the_policy() -> None:
    asked = {
        "any": LicenceSettings(),
        "permissive": LicenceSettings(allow="permissive"),
        "list": LicenceSettings(allow=["mit", "GPL-2.0-only"], unknown="keep"),
        "strict": LicenceSettings(unknown="drop"),
    }
    licences = ["MIT", "GPL-2.0-only OR Apache-2.0", "MIT AND Apache-2.0", "NOASSERTION"]
    assert {k: [reason(one, s) for one in licences] for k, s in asked.items()} == {
        "any": [None] * 4,
        "permissive": [None, None, None, UNKNOWN_REASON],
        "list": [None, None, NOT_ALLOWED, None],
        "strict": [None, None, None, UNKNOWN_REASON],
    }
    with pytest.raises(ValueError, match="SPDX identifiers"):
        LicenceSettings(allow=["My License"])


# ---- oracles ----

DEBIAN_NAMES = {
    "Apache-2.0": "Apache-2.0", "Artistic": "Artistic-1.0-Perl", "BSD": "BSD-3-Clause",
    "CC0-1.0": "CC0-1.0", "GFDL-1.2": "GFDL-1.2-only", "GFDL-1.3": "GFDL-1.3-only",
    "GPL-1": "GPL-1.0-only", "GPL-2": "GPL-2.0-only", "GPL-3": "GPL-3.0-only",
    "LGPL-2": "LGPL-2.0-only", "LGPL-2.1": "LGPL-2.1-only", "LGPL-3": "LGPL-3.0-only",
    "MPL-1.1": "MPL-1.1", "MPL-2.0": "MPL-2.0",
}  # fmt: skip


@pytest.mark.skipif(not COMMON.is_dir(), reason="no /usr/share/common-licenses")
def test_debian_s_common_licences() -> None:
    there = {name: want for name, want in DEBIAN_NAMES.items() if (COMMON / name).is_file()}
    text = {name: (COMMON / name).read_text(encoding="utf-8", errors="replace") for name in there}
    found = {name: repository_licence({"COPYING": text[name]}).expression for name in there}
    assert found == there
    commented = {n: "".join(f" * {line}\n" for line in t.splitlines()) for n, t in text.items()}
    assert {n: repository_licence({"COPYING": t}).expression for n, t in commented.items()} == there


def installed() -> Iterator[tuple[str, str, str]]:
    """(name, licence by the package's own metadata, text of its one licence file)."""
    for package in importlib.metadata.distributions():
        own = [f for f in package.files or [] if ".dist-info" in str(f)]
        files = [f for f in own if is_licence_file(f.name)]
        fields = package.metadata.items()
        lines = [f"{key}: {value}\n" for key, value in fields if "\n" not in value]
        said = repository_licence({"PKG-INFO": "".join(lines)})
        if len(files) == 1 and said.expression != expression.NOASSERTION:
            text = Path(str(files[0].locate())).read_text(encoding="utf-8", errors="replace")
            yield package.metadata["Name"], said.expression, text


def families(text: str) -> set[str]:
    kinds = {
        re.sub(r"-\d.*$", "", name).removeprefix("LicenseRef-") for name in expression.ids(text)
    }
    return {"PSF" if kind == "Python" else kind for kind in kinds}


def test_installed_packages_texts_agree_with_their_metadata() -> None:
    each = list(installed())
    agree = [
        (name, said, found)
        for name, said, text in each
        if (found := repository_licence({"LICENSE": text}).expression)
        and families(said) & families(found)
    ]
    if len(each) < 30:
        pytest.skip(f"{len(each)} installed packages tell their licence")
    wrong = sorted({name for name, *_ in each} - {name for name, *_ in agree})
    print(f"{len(agree)} of {len(each)} agree; not: {wrong}")
    assert len(agree) >= 0.95 * len(each)


def debian_source(name: str) -> Path:
    """A Debian source package, unpacked, kept between runs; skips where it cannot be had."""
    default = Path.home() / ".cache" / "codekiln" / "tests"
    folder = Path(os.environ.get("CODEKILN_TEST_DATA", default)) / "debian"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}-unpacked"
    if not target.is_dir():
        try:
            command = ["apt-get", "source", "--quiet", "--download-only", name]
            subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=120)
            description = max(folder.glob(f"{name}_*.dsc"))
            command = ["dpkg-source", "--skip-patches", "-x", str(description), str(target)]
            subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=60)
        except (OSError, subprocess.SubprocessError, ValueError):
            pytest.skip(f"needs apt-get with deb-src lines and dpkg-source for {name}")
    return target


@pytest.mark.oracle
@pytest.mark.parametrize(("name", "share"), [("libyaml", 0.95), ("redis", 0.9), ("tmux", 0.9)])
def test_files_agree_with_what_debian_s_packagers_found(name: str, share: float) -> None:
    root = debian_source(name)
    copyright_file = (root / "debian" / "copyright").read_text(encoding="utf-8")
    texts_of = {
        str(path.relative_to(root)): path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.relative_to(root).parts[0] != "debian"
    }
    found = Licences({path: text for path, text in texts_of.items() if is_evidence(path)})
    checked = agree = 0
    for path, text in texts_of.items():
        said = debian.licence_of(copyright_file, path)
        wanted = names.spdx(said) if said else None
        if wanted is not None and path.endswith((".c", ".h", ".lua", ".py", ".sh", ".tcl")):
            checked += 1
            agree += bool(families(found.of(path, text).expression) & families(wanted))
    print(f"{name}: {agree} of {checked} files agree")
    assert checked > 20
    assert agree >= share * checked


def test_what_the_phrases_miss_askalono_knows() -> None:
    pytest.importorskip("askalono")
    if not COMMON.is_dir():
        pytest.skip("no /usr/share/common-licenses")
    text = (COMMON / "MPL-1.1").read_text(encoding="utf-8")
    assert texts.compare(text) is not None
    hidden = text.replace("Mozilla Public License", "Moz Public License").replace(
        "MOZILLA PUBLIC", "MOZ PUBLIC"
    )
    assert texts.identify(hidden) == []
    assert repository_licence({"LICENSE": hidden}).expression == "MPL-1.1"
