"""I-JSON: what is read, what is refused and as what, and that a second parser agrees."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import ijson

MALFORMED = {
    "1 empty": b"",
    "1 only white space": b" \n",
    "2 truncated": b'{"a":1',
    "3 trailing bytes": b'{"a":1}x',
    "4 two documents": b"{} {}",
    "5 NaN": b"NaN",
    "6 Infinity": b"-Infinity",
    "7 out of range": b"1e999",
    "8 NaN inside": b'{"data":{"a":NaN}}',
    "9 duplicate keys": b'{"a":1,"a":2}',
    "9 duplicate keys with white space": b'{"a":1,"a" \r\n\t:2}',
    "9 duplicate keys, one escaped": b'{"a":1,"\\u0061":2}',
    "9 duplicate keys, deep": b'[{"b":[{"a":1,"c":": ","a":2}]}]',
    "9 duplicate keys, spaced": b'{"a": 1, "a": 2}',
    "12 a number of 5,000 digits": b"[" + b"1" * 5_000 + b"]",
    "13 byte order mark": b"\xef\xbb\xbf{}",
    "14 UTF-16": '{"a":1}'.encode("utf-16"),
    "15 invalid UTF-8": b'"\xff"',
    "15 overlong UTF-8": b'"\xc0\x80"',
    "16 lone surrogate": b'"\\ud800"',
    "16 lone low surrogate": b'"\\udc00x"',
    "17 lone surrogate in data": b'{"data":{"a":"x\\ud800y"}}',
    "16 encoded surrogate": b'"\xed\xa0\x80"',
    "18 U+0000 in a text": b'"a\\u0000b"',
    "18 U+0000 after a backslash": b'"\\\\\\u0000"',
    "19 U+0000 in data": b'{"data":{"a":["\\u0000"]}}',
    "20 U+0000 in a key": b'{"\\u0000":1}',
    "22 single quotes": b"{'a':1}",
    "22 comment": b'{"a":1/*x*/}',
    "22 trailing comma": b'{"a":1,}',
    "control character": b'"a\x01b"',
    "leading zero": b"01",
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_bytes_that_are_no_i_json_are_refused(raw: bytes) -> None:
    with pytest.raises(ijson.Refused) as refusal:
        ijson.decode(raw)
    assert refusal.value.code == "malformed-json"
    assert refusal.value.detail.endswith(".")


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"[" * 33 + b"]" * 33, id="10 depth 33"),
        pytest.param(b'{"a":' * 33 + b"1" + b"}" * 33, id="10 depth 33 of objects"),
        pytest.param(b"[" * 100_000, id="11 depth 100,000, never closed"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="11 depth 100,000"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, id="11 depth 100,000 of objects"),
    ],
)
def test_deep_nesting_is_refused(raw: bytes) -> None:
    with pytest.raises(ijson.Refused) as refusal:
        ijson.decode(raw)
    assert refusal.value.code == "too-deep"


def test_depth_32_is_read() -> None:
    assert ijson.decode(b"[" * 32 + b"]" * 32) == json.loads("[" * 32 + "]" * 32)


@pytest.mark.parametrize(
    "raw", [msgspec.json.encode({f"k{n}": n for n in range(100_000)}), b"[" + b"1," * 10_000 + b"1]"]
)
def test_too_many_members_are_refused(raw: bytes) -> None:
    with pytest.raises(ijson.Refused) as refusal:
        ijson.decode(raw)
    assert refusal.value.code == "too-complex"


def test_as_many_members_as_allowed_are_read() -> None:
    assert len(ijson.decode(b"[" + b"1," * 9_999 + b"1]")) == 10_000


@pytest.mark.parametrize("text", ["a\\u0000 written out", 'a ": b', " : ", "{[" * 20, "\\", '"', "\U0001f600", ""])
def test_text_that_looks_like_structure_is_only_text(text: str) -> None:
    for raw in (msgspec.json.encode({"a": text, text: 1}), json.dumps({"a": text, text: 1}, indent=2).encode()):
        assert ijson.decode(raw) == {"a": text, text: 1}


def test_an_integer_beyond_i_json_is_left_to_the_schema_that_knows_its_field() -> None:
    assert ijson.decode(b'{"a":100000000000000000000}') == {"a": 10**20}


_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(_values, st.sampled_from([None, 1]), st.booleans())
def test_every_value_is_read_as_the_standard_library_reads_it(value: Any, indent: int | None, ascii_only: bool) -> None:
    raw = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    assert ijson.decode(raw) == json.loads(raw)
    assert ijson.decode(msgspec.json.encode(value)) == json.loads(msgspec.json.encode(value))


@given(st.lists(st.tuples(st.sampled_from(["a", "b", '":', " :", "é"]), st.integers(0, 9)), max_size=5), st.booleans())
def test_a_key_given_twice_is_always_found(pairs: list[tuple[str, int]], spaced: bool) -> None:
    colon, comma = (": ", ", ") if spaced else (":", ",")
    raw = ("{" + comma.join(f"{json.dumps(key)}{colon}{value}" for key, value in pairs) + "}").encode()
    if len(dict(pairs)) == len(pairs):
        assert ijson.decode(raw) == dict(pairs)
    else:
        with pytest.raises(ijson.Refused):
            ijson.decode(raw)
