"""Schemas that others publish about documents of ours, kept here so that tests need no network. See their README."""

import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("vendored")


@cache
def official(name: str) -> dict[str, Any]:
    """The schema in that file, unchanged since it was fetched: its SHA-256 stands in the README."""
    raw = (FOLDER / name).read_bytes()
    told = re.search(rf"`{re.escape(name)}`.*`([0-9a-f]{{64}})`", (FOLDER / "README.md").read_text(encoding="utf-8"))
    assert told is not None, f"the README does not name {name}"
    assert hashlib.sha256(raw).hexdigest() == told[1], f"{name} is not the file that was fetched"
    schema: dict[str, Any] = json.loads(raw)
    return schema
