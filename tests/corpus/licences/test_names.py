"""Licence names as they are met, and what they stand for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codekiln.corpus.licences.expression import canonical
from codekiln.corpus.licences.names import spdx


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("MIT License", "MIT"),
        ("MIT/X11", "MIT"),
        ("Expat", "MIT"),
        ("The Apache Software License, Version 2.0", "Apache-2.0"),
        ("Apache 2.0", "Apache-2.0"),
        ("MIT/Apache-2.0", "Apache-2.0 OR MIT"),
        ("BSD", "LicenseRef-BSD"),
        ("3-Clause BSD License", "BSD-3-Clause"),
        ("BSD-2-clause", "BSD-2-Clause"),
        ("GPLv2+", "GPL-2.0-or-later"),
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPL (>= 2)", "GPL-2.0-or-later"),
        ("GPL-3.0", "GPL-3.0-only"),
        ("GPL-2.0+", "GPL-2.0-or-later"),
        ("GPL version 2", "GPL-2.0-only"),
        ("GNU General Public License v3 or later (GPLv3+)", "GPL-3.0-or-later"),
        ("GNU General Public License (GPL)", "GPL-1.0-or-later"),
        ("GNU Lesser General Public License v3 (LGPLv3)", "LGPL-3.0-only"),
        ("GNU Library or Lesser General Public License (LGPL)", "LGPL-2.0-or-later"),
        ("GNU Affero General Public License v3", "AGPL-3.0-only"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("GFDL-1.3+", "GFDL-1.3-or-later"),
        ("GPL-2+ or Artistic", "Artistic-1.0 OR GPL-2.0-or-later"),
        ("BSD-3-clause and GPL-2+", "BSD-3-Clause AND GPL-2.0-or-later"),
        ("GPL-2+ with OpenSSL exception", "GPL-2.0-or-later"),
        ("Mozilla Public License 2.0 (MPL 2.0)", "MPL-2.0"),
        ("Python Software Foundation License", "PSF-2.0"),
        ("public-domain", "LicenseRef-public-domain"),
        ("UNLICENSED", "LicenseRef-proprietary"),
        ("See LICENSE", None),
        ("Dual License", None),
        ("", None),
        ("MIT and my own words", None),
        ("x" * 100_000, None),
    ],
)
def test_names(name: str, wanted: str | None) -> None:
    assert spdx(name) == wanted


@given(st.text(alphabet="GPLMITBSD -.,/|()+v2301orandwith\n", max_size=60))
def test_any_name_is_an_expression_or_nothing(name: str) -> None:
    found = spdx(name)
    assert found is None or canonical(found) is not None
