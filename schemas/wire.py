"""Recorded events on the wire: the structured CloudEvent of the feeds, and the binary one of Kafka; both ways, exact.

Nothing here knows an event type. Bytes are put together by hand, because a general CloudEvents library takes 30 µs and
more for what must not cost more than the insert into PostgreSQL; the library is the oracle of the tests.

An instant is written in UTC with six digits and `Z`, except that `time` keeps the text as sent where its offset was
another one: what a day is to the sender depends on it.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from schemas.envelope import Recorded

KafkaRecord = tuple[bytes, bytes, list[tuple[str, bytes]], int]
"""Key, value, headers, timestamp in ms since 1970."""

_encode = msgspec.json.Encoder().encode
_canonical = msgspec.json.Encoder(order="deterministic").encode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_OWN = frozenset({"partition", "position", "version", "recordedtime"})
_TYPES_HEADER = "salescycle-attribute-types"
"""Kafka headers are text; this one, present where needed, says which extension attributes were integers or booleans."""


class NotAnEvent(ValueError):
    """What was read is no event of the log. The message never echoes it."""


def structured(recorded: Recorded, base_url: str) -> bytes:
    """One structured CloudEvent as a line of JSON, without the newline. `base_url` starts the `dataschema`."""
    meta = recorded.meta
    version, sent_time, rest = 1, None, b""
    if meta:
        version, sent_time = meta.get("dataschema", 1), meta.get("time")
        for name, value in meta.items():
            if name not in ("dataschema", "time"):
                rest += b'"%b":%b,' % (name.encode(), _encode(value))
    return _LINE % (
        _encode(recorded.id),
        _text(recorded.source),
        _type_members(recorded.type, version, base_url),
        _encode(recorded.stream),
        _time(recorded.occurred_at) if sent_time is None else sent_time.encode(),
        rest,
        recorded.partition,
        recorded.position,
        recorded.version,
        _time(recorded.recorded_at),
        recorded.data,
    )


_LINE = (
    b'{"specversion":"1.0","id":%b,"source":%b,%b,"subject":%b,"time":"%b",%b'
    b'"partition":%d,"position":%d,"version":%d,"recordedtime":"%b","data":%b}'
)


class _Line(msgspec.Struct, frozen=True, gc=False):
    id: str
    source: str
    type: str
    dataschema: str
    subject: str
    time: str
    partition: int
    position: int
    version: int
    recordedtime: datetime
    data: msgspec.Raw


class _PlainLine(_Line, frozen=True, gc=False, forbid_unknown_fields=True):
    specversion: str = "1.0"
    datacontenttype: str = "application/json"
    sequence: str | None = None
    timeprecision: str | None = None
    correlationid: str | None = None
    causationid: str | None = None
    traceparent: str | None = None
    anomaly: str | None = None
    pipelineversion: str | None = None


_read_plain = msgspec.json.Decoder(_PlainLine).decode
_read_line = msgspec.json.Decoder(_Line).decode
_read_any = msgspec.json.Decoder(dict[str, Any]).decode
_USUAL = ("sequence", "timeprecision", "correlationid", "causationid", "traceparent", "anomaly", "pipelineversion")
_LINE_NAMES = frozenset(_PlainLine.__struct_fields__) - frozenset(_USUAL)


def from_structured(line: bytes) -> Recorded:
    """The event of one line written by `structured`. Raises NotAnEvent."""
    meta: dict[str, Any] = {}
    try:
        read: _Line
        try:
            read = plain = _read_plain(line)
            for name in _USUAL:
                value = getattr(plain, name)
                if value is not None:
                    meta[name] = value
        except msgspec.ValidationError:
            read = _read_line(line)
            meta = {name: value for name, value in _read_any(line).items() if name not in _LINE_NAMES}
        occurred_at = _occurred_at(read.time, meta)
        _note_version(read.dataschema, meta)
        return Recorded(
            partition=read.partition,
            position=read.position,
            stream=read.subject,
            version=read.version,
            type=read.type,
            source=read.source,
            id=read.id,
            occurred_at=occurred_at,
            recorded_at=_utc(read.recordedtime),
            data=bytes(read.data),
            meta=meta,
        )
    except (ValueError, OverflowError):
        raise NotAnEvent("the line is no structured event of the log") from None


def to_kafka(recorded: Recorded, base_url: str) -> KafkaRecord:
    """One event in CloudEvents binary mode. The key is the whole name of the stream, the timestamp its recorded_at."""
    meta = recorded.meta
    key = recorded.stream.encode()
    at = _time(recorded.occurred_at)
    version = 1
    if meta:
        version = meta.get("dataschema", 1)
        at = meta["time"].encode() if "time" in meta else at
    type_header, schema_header = _type_headers(recorded.type, version, base_url)
    headers = [
        _SPECVERSION,
        ("ce_id", recorded.id.encode()),
        ("ce_source", recorded.source.encode()),
        type_header,
        ("ce_subject", key),
        ("ce_time", at),
        schema_header,
        _CONTENT_TYPE,
        ("ce_partition", b"%d" % recorded.partition),
        ("ce_position", b"%d" % recorded.position),
        ("ce_version", b"%d" % recorded.version),
        ("ce_recordedtime", _time(recorded.recorded_at)),
    ]
    if meta:
        headers += _meta_headers(meta)
    return key, recorded.data, headers, (recorded.recorded_at - _EPOCH) // _MICROSECOND // 1000


_SPECVERSION = ("ce_specversion", b"1.0")
_CONTENT_TYPE = ("content-type", b"application/json")


def from_kafka(
    partition: int, key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]], timestamp_ms: int
) -> Recorded:
    """The event of one record written by `to_kafka`. Raises NotAnEvent: another format, or not where it says it is."""
    attributes = dict(headers)
    try:
        take = attributes.pop
        take("ce_specversion"), take("content-type")
        types = take(_TYPES_HEADER, None)
        subject = take("ce_subject")
        meta: dict[str, Any] = {}
        occurred_at = _occurred_at(take("ce_time").decode(), meta)
        recorded_at = _utc(msgspec.convert(take("ce_recordedtime").decode(), datetime))
        _note_version(take("ce_dataschema").decode(), meta)
        recorded = Recorded(
            partition=int(take("ce_partition")),
            position=int(take("ce_position")),
            stream=subject.decode(),
            version=int(take("ce_version")),
            type=take("ce_type").decode(),
            source=take("ce_source").decode(),
            id=take("ce_id").decode(),
            occurred_at=occurred_at,
            recorded_at=recorded_at,
            data=value or b"",
            meta=meta,
        )
        if attributes:
            kinds = msgspec.json.decode(types, type=dict[str, str]) if types else {}
            for header, text in attributes.items():
                if header.startswith("ce_"):
                    name = header[3:]
                    meta[name] = _typed(text.decode(), kinds.get(name))
    except (KeyError, ValueError, OverflowError, AttributeError, TypeError):
        raise NotAnEvent("the record is no binary CloudEvent of the log") from None
    if key != subject or recorded.partition != partition or not value:
        raise NotAnEvent("the record does not lie where its headers say")
    if (recorded_at - _EPOCH) // _MICROSECOND // 1000 != timestamp_ms:
        raise NotAnEvent("the record's timestamp is not its recorded time")
    return recorded


def _meta_headers(meta: dict[str, Any]) -> list[tuple[str, bytes]]:
    headers = []
    kinds = {}
    for name, value in meta.items():
        if name in ("dataschema", "time"):
            continue
        if value is True or value is False:
            kinds[name] = "boolean"
            value = "true" if value else "false"  # noqa: PLW2901
        elif type(value) is int:
            kinds[name] = "integer"
            value = str(value)  # noqa: PLW2901
        headers.append((f"ce_{name}", value.encode()))
    if kinds:
        headers.append((_TYPES_HEADER, _canonical(kinds)))
    return headers


def _typed(text: str, kind: str | None) -> str | int | bool:
    if kind == "integer":
        return int(text)
    return text == "true" if kind == "boolean" else text


def _time(at: datetime) -> bytes:
    """RFC 3339 in UTC, always with six digits: text that sorts as the instants do."""
    text = _encode(at)  # "2026-01-01T00:00:00.5Z" in quotes
    if len(text) == 29:
        return text[1:28]
    if at.tzinfo is not UTC:
        return _time(at.astimezone(UTC))
    return text[1:20] + b".%06dZ" % at.microsecond


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("no offset")
    return at if at.tzinfo is UTC else at.astimezone(UTC)


def _occurred_at(text: str, meta: dict[str, Any]) -> datetime:
    """The instant in UTC; the text goes into `meta` where its offset is another one."""
    at = msgspec.convert(text, datetime)
    if at.tzinfo is not UTC:
        meta["time"] = text
    return _utc(at)


def _note_version(dataschema: str, meta: dict[str, Any]) -> None:
    number = _version_in(dataschema)
    if number != 1:
        meta["dataschema"] = number


@lru_cache(maxsize=256)
def _version_in(dataschema: str) -> int:
    return int(dataschema.rpartition("/")[2])


@lru_cache(maxsize=512)
def _text(value: str) -> bytes:
    return _encode(value)


@lru_cache(maxsize=512)
def _type_members(name: str, version: int, base_url: str) -> bytes:
    return b'"type":%b,"dataschema":%b,"datacontenttype":"application/json"' % (
        _encode(name),
        _encode(f"{base_url}/schemas/{name}/{version}"),
    )


@lru_cache(maxsize=512)
def _type_headers(name: str, version: int, base_url: str) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    return ("ce_type", name.encode()), ("ce_dataschema", f"{base_url}/schemas/{name}/{version}".encode())
