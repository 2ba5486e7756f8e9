"""Pages of a list, and lists as CSV: signed cursors, the Link header, cells that no spreadsheet takes for a formula."""

import base64
import csv
import hmac
import io
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec
from starlette.requests import Request

from services.kernel.errors import BadCursor

MAX_CURSOR_CHARS = 16_000
"""Room for the cursor of the feed over 1,024 partitions at any position; one below 2**32 in each is 7,000."""
_TAG_BYTES = 16
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
# not JSON: a position is up to 5 bytes instead of 10 digits, and a cursor travels in a header or an address
_encode = msgspec.msgpack.Encoder(order="deterministic").encode


class _Signer:
    """Cursors go through the hands of clients, so a tag shows whether we wrote them. Without a key of the installation
    they hold within this process only."""

    own = secrets.token_bytes(32)
    key: bytes | Callable[[], bytes | None] | None = None


def set_cursor_key(key: bytes | Callable[[], bytes | None]) -> None:
    """Every process of a service needs the same key, or a cursor of one is forged to the others.

    A function is asked at each use: the file that holds the key may come after the service has started.
    """
    _Signer.key = key


def encode_cursor(state: Any) -> str:
    """An opaque cursor for any JSON value: where the next page starts, and the filters it belongs to."""
    payload: bytes = _encode(state)
    return base64.urlsafe_b64encode(_tag(payload) + payload).rstrip(b"=").decode("ascii")


def decode_cursor(cursor: str) -> Any:
    """The value given to `encode_cursor`. Raises BadCursor for anything that we did not write."""
    if len(cursor) > MAX_CURSOR_CHARS:
        raise BadCursor("The cursor is not one of ours.")
    try:
        raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise BadCursor("The cursor is not one of ours.") from None
    tag, payload = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
    if not hmac.compare_digest(tag, _tag(payload)):
        raise BadCursor("The cursor is not one of ours.")
    return msgspec.msgpack.decode(payload)


def _tag(payload: bytes) -> bytes:
    key = _Signer.key() if callable(_Signer.key) else _Signer.key
    return hmac.digest(key or _Signer.own, payload, "sha256")[:_TAG_BYTES]


def next_link(request: Request, cursor: str) -> str:
    """The value of a Link header (RFC 8288) to the next page: the same query, with this cursor."""
    return f'<{request.url.include_query_params(cursor=cursor).replace(scheme="", netloc="")}>; rel="next"'


def csv_lines(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    """RFC 4180 lines in UTF-8, the first of them the column names; None is an empty cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    for row in (columns, *rows) if isinstance(rows, Sequence) else _chained(columns, rows):
        writer.writerow([_cell(value) for value in row])
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()


def _chained(first: Sequence[Any], others: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    yield first
    yield from others


def _cell(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets a quote in front; numbers stay numbers, negative ones too."""
    if (
        isinstance(value, str)
        and value[:1] in ("=", "+", "-", "@", "\t", "\r")
        and value
        and not _NUMBER.fullmatch(value)
    ):
        return "'" + value
    return value
