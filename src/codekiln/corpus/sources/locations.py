"""The forms of locations that are not paths."""

from __future__ import annotations

import re

ROWS = "rows:"  # one repository of a grouped collection: rows:FILE#NAME
URL = re.compile(r"[a-z][a-z0-9+.-]*(::[a-z][a-z0-9+.-]*)*://", re.IGNORECASE)
