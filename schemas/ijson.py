"""Decodes bytes as I-JSON (RFC 7493): one document, no duplicate keys, no U+0000, nothing that only some readers can read.

The fast path is msgspec's decoder. What it lets through and I-JSON does not is found without a second parser, cheapest
proof first. A text that comes out of the encoder byte for byte as it went in has lost nothing to a duplicate key. Else:
every key of a text ends in `":`, or in white space and a colon, so counting those bounds the number of keys from above;
where the decoded value holds as many, none was lost. Only where that bound is not met (a colon inside a text, or a
duplicate) does the exact and slower reader decide.

An integer beyond ±(2^53-1) passes here as a Python int, because the field it stands in is known only to a schema, which
refuses it there with a pointer; one of thousands of digits is refused here.
"""

import json
from typing import Any

import msgspec

MAX_DEPTH = 32
MAX_MEMBERS = 10_000

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_BACKSLASH = 0x5C
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


class Refused(Exception):
    """The bytes are no I-JSON. `code` is `malformed-json`, `too-deep` or `too-complex`; `detail` never echoes them."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def decode(raw: bytes, *, max_depth: int = MAX_DEPTH, max_members: int = MAX_MEMBERS) -> Any:
    """The value of one JSON document.

    `max_depth` bounds nested arrays and objects, `max_members` the members of all objects plus the elements of all
    arrays. Raises Refused.
    """
    try:
        value = _decode(raw)
    except RecursionError:
        raise _too_deep(max_depth) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused("malformed-json", _why(raw, error)) from None
    # A member takes two bytes at least, a level one bracket: in a short text with few brackets neither limit can be met.
    if len(raw) > 2 * max_members or raw.count(b"{") + raw.count(b"[") > max_depth:
        _hold_limits(value, max_depth, max_members)
    # Spaces after colons show in the first key; such a text would fail the first proof, so it is spared it.
    if raw.find(b'": ', 0, 40) >= 0 or _encode(value) != raw:
        count = raw.count
        ends = count(b'":') + count(b" :") + count(b"\n:") + count(b"\t:") + count(b"\r:")
        if ends and ends != _keys_in(value):
            _refuse_duplicates(raw)
    if _BACKSLASH in raw and b"\\u0000" in raw and _holds_nul(value):
        raise Refused("malformed-json", "A text or a key holds U+0000.")
    return value


def _hold_limits(value: Any, max_depth: int, max_members: int) -> None:
    """Walks the value level by level, without recursion; raises Refused past a limit."""
    level = [value]
    members = 0
    for _ in range(max_depth + 1):
        level = [child for child in level if type(child) is dict or type(child) is list]
        if not level:
            return
        members += sum(map(len, level))
        if members > max_members:
            raise Refused("too-complex", f"The JSON holds more than {max_members} members.")
        level = [
            child for container in level for child in (container.values() if type(container) is dict else container)
        ]
    raise _too_deep(max_depth)


def _keys_in(value: Any) -> int:
    """Counts the object keys; the depth is within limits here."""
    if type(value) is dict:
        return len(value) + sum(
            _keys_in(child) for child in value.values() if type(child) is dict or type(child) is list
        )
    return sum(map(_keys_in, value)) if type(value) is list else 0


def _refuse_duplicates(raw: bytes) -> None:
    """Reads the text again, keeping every pair. Depth and numbers are within limits here: `decode` has seen to it."""

    def pairs_of(pairs: list[tuple[str, Any]]) -> None:
        if len({key for key, _ in pairs}) != len(pairs):
            raise Refused("malformed-json", "An object names one key twice.")

    json.loads(raw, object_pairs_hook=pairs_of)


def _holds_nul(value: Any) -> bool:
    if type(value) is str:
        return "\0" in value
    if type(value) is dict:
        return any("\0" in key or _holds_nul(child) for key, child in value.items())
    return type(value) is list and any(map(_holds_nul, value))


def _too_deep(max_depth: int) -> Refused:
    return Refused("too-deep", f"The JSON is nested more than {max_depth} levels deep.")


def _why(raw: bytes, error: Exception) -> str:
    if not raw.strip():
        return "The body is empty."
    if raw.startswith(_BOMS):
        return "The body starts with a byte order mark; JSON is UTF-8 without one."
    if isinstance(error, UnicodeDecodeError):
        return "The body is not valid UTF-8."
    if isinstance(error, msgspec.ValidationError):
        return "A number is out of range, or the body is not of the expected shape."
    return f"{str(error).removeprefix('JSON is malformed: ').capitalize()}."
