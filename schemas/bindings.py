"""Reads a CloudEvent out of an HTTP or a Kafka message, whoever sent it: binary and structured mode, and HTTP's batches.

Every function gives the event as the decoded JSON of its structured form, which is what `schemas.codec.parse_event` takes;
nothing here judges it. `schemas.wire` reads what the log itself wrote, faster and strictly.

Source: CloudEvents 1.0.2, HTTP protocol binding (3.1, 3.1.3.2), Kafka protocol binding (3.1 to 3.3), JSON format (3, 4).
"""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from schemas import ijson

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

Document = dict[str, Any]
"""One structured CloudEvent: its attributes and `data`, by name."""

INTEGERS = frozenset({"expectedversion", "partition", "position", "version"})
"""Attributes whose declared type is Integer: headers are text, so their type must be known beforehand."""

_BATCH_LIMITS = (ijson.MAX_DEPTH + 1, 99_999)
_NOT_IN_HEADERS = {
    "datacontenttype": "is the content-type header in binary mode",
    "data": "is the body in binary mode",
    "data_base64": "is the body in binary mode",
}
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,9})")
_JSON = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json", re.IGNORECASE)
_BROKEN_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


class NotACloudEvent(ValueError):
    """The message cannot be read as one. `header` is the one to blame, or None; the message never echoes a value."""

    def __init__(self, detail: str, header: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.header = header


def from_http(headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Document | list[Document]:
    """The event of an HTTP request or response; a list for a batch. Header names in any case. Raises NotACloudEvent."""
    headers = [(name.lower(), value) for name, value in headers]
    kind = _kind(dict(headers).get(b"content-type"))
    if kind not in (STRUCTURED, BATCH):
        return binary_http(headers, _decoded(body, kind))
    document = _decoded(body, kind, *(_BATCH_LIMITS if kind == BATCH else ()))
    if not isinstance(document, list if kind == BATCH else dict):
        raise NotACloudEvent("the body is not what its content-type says")
    return document


def binary_http(headers: Iterable[tuple[bytes, bytes]], data: Any) -> Document:
    """The event of `ce-*` headers (names in lower case) around `data`, already decoded. Raises NotACloudEvent."""
    document: Document = {}
    for name, value in headers:
        if name.startswith(b"ce-"):
            _put(document, name.decode("latin-1"), _percent_decoded(name, value))
        elif name == b"content-type":
            document["datacontenttype"] = value.decode("latin-1")
    document["data"] = data
    return document


def from_kafka(headers: Iterable[tuple[str, bytes]], value: bytes | None) -> Document:
    """The event of a Kafka record of either mode. Raises NotACloudEvent: also for a tombstone, which holds no event."""
    named = [(name.lower(), text) for name, text in headers]
    kind = _kind(dict(named).get("content-type"))
    data = _decoded(value or b"", kind)
    if kind == STRUCTURED:
        if not isinstance(data, dict):
            raise NotACloudEvent("the value is not what its content-type says")
        return data
    document: Document = {}
    for name, text in named:
        if name.startswith("ce_"):
            _put(document, name, text)
        elif name == "content-type":
            document["datacontenttype"] = text.decode("latin-1")
    document["data"] = data
    return document


def _put(document: Document, header: str, value: bytes) -> None:
    name = header[3:]
    if name in _NOT_IN_HEADERS:
        raise NotACloudEvent(_NOT_IN_HEADERS[name], header)
    if name in document:
        raise NotACloudEvent("is given more than once", header)
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise NotACloudEvent("is not UTF-8", header) from None
    # what is no integer stays a text: the schema says better what is wrong with it
    document[name] = int(text) if name in INTEGERS and _INTEGER.fullmatch(text) else text


def _percent_decoded(name: bytes, value: bytes) -> bytes:
    """The UTF-8 of an attribute: quotes of older senders are taken off, then percent-decoding once, never twice."""
    if len(value) > 1 and value.startswith(b'"') and value.endswith(b'"'):
        value = _ESCAPED.sub(rb"\1", value[1:-1])
    if b"%" not in value:
        return value
    if _BROKEN_PERCENT.search(value):
        raise NotACloudEvent(
            "holds a % that two hexadecimal digits do not follow; % itself is written %25", name.decode("latin-1")
        )
    return unquote_to_bytes(value)


def _kind(content_type: bytes | None) -> str:
    return (content_type or b"").decode("latin-1").partition(";")[0].strip().lower()


def _decoded(raw: bytes, kind: str, max_depth: int = ijson.MAX_DEPTH, max_members: int = ijson.MAX_MEMBERS) -> Any:
    if not _JSON.fullmatch(kind):
        raise NotACloudEvent("only JSON is read here", "content-type")
    try:
        return ijson.decode(raw, max_depth=max_depth, max_members=max_members)
    except ijson.Refused as refusal:
        raise NotACloudEvent(refusal.detail) from None
