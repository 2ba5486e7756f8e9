"""The documents of the published language as they are committed."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
SCHEMAS = {path.stem: path for path in sorted((ROOT / "schemas/json").glob("*.json"))}
"""By key (`Won.1`)."""


def read(path: Path | str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / path).read_text(encoding="utf-8"))
    return document
