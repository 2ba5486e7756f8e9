"""An answer as JSON, CSV or NDJSON. In CSV and NDJSON the body is the rows alone; the rest stands in headers."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec
from fastapi.responses import Response

from services.kernel import http
from services.projections.query.metric import Row

JSON, CSV, NDJSON = "application/json", "text/csv", "application/x-ndjson"
FORMS: Final = (JSON, CSV, NDJSON)
_encode = msgspec.json.Encoder().encode


def in_form(form: str, answer: Row) -> Response:
    """The answer, whose `rows` are a list, in one of `FORMS`."""
    if form == JSON:
        return Response(_encode(answer), media_type=JSON)
    rows: list[Row] = answer["rows"]
    about = {f"Answer-{name.replace('_', '-').title()}": _header(answer[name]) for name in answer if name != "rows"}
    body = b"".join(_encode(row) + b"\n" for row in rows) if form == NDJSON else b"".join(_csv(rows))
    return Response(body, media_type=form, headers=about)


def _header(value: Any) -> str:
    text = value if isinstance(value, str) else _encode(value).decode().strip('"')
    return text.encode("ascii", "backslashreplace").decode()


def _csv(rows: list[Row]) -> Iterable[bytes]:
    """One line per row; what a row holds in parts has a column for each part, money one for each currency."""
    flat = [dict(_flat("", row)) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    return http.csv_lines(columns, [[row.get(name) for name in columns] for row in flat])


def _flat(prefix: str, value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _flat(f"{prefix}_{name}" if prefix else str(name), part)
    elif isinstance(value, list | tuple):
        if not value:
            return
        if all(isinstance(part, dict) and "currency" in part for part in value):
            for part in value:
                rest = {name: of for name, of in part.items() if name != "currency"}
                amount = rest.get("amount") if set(rest) == {"amount"} else rest
                yield from _flat(f"{prefix}_{part['currency']}", amount)
        elif isinstance(value[0], dict):
            yield prefix, _encode(value).decode()
        else:
            yield prefix, "; ".join(map(str, value))
    else:
        yield prefix, value.isoformat() if isinstance(value, datetime) else value
