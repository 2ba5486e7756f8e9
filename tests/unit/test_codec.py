"""One CloudEvent at the door: what is taken, what is refused and where, and that no refusal echoes a value."""

import contextlib
import copy
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import codec, fact, ijson, rules
from schemas.currency import exponent
from schemas.envelope import Event
from schemas.events import EVENTS, data_schema
from schemas.events.transaction import Lost, Won
from tests.support.builders import EXAMPLES, NOW, body, document, eur, event, recorded


def refusals(given_document: Any) -> dict[str, str]:
    with pytest.raises(codec.Rejected) as rejected:
        codec.parse_event(given_document, NOW)
    return dict(rejected.value.errors)


def test_every_registered_type_has_an_example_with_every_field() -> None:
    assert EXAMPLES.keys() == EVENTS.keys()
    for name, event_type in EVENTS.items():
        assert EXAMPLES[name].keys() == data_schema(event_type.body)["properties"].keys()


@pytest.mark.parametrize("name", EVENTS)
def test_an_example_is_taken_and_its_body_read_back(name: str) -> None:
    accepted = event(name)
    assert accepted.stream == f"{EVENTS[name].stream_type}/L-1"
    assert msgspec.json.decode(accepted.data) == EXAMPLES[name]
    assert type(accepted.body) is EVENTS[name].body
    assert codec.body_of(recorded(accepted)) == accepted.body


@pytest.mark.parametrize("name", EVENTS)
def test_every_field_of_the_language_says_what_it_means(name: str) -> None:
    for field, schema in data_schema(EVENTS[name].body)["properties"].items():
        assert len(schema.get("description", "")) > 8, field


def test_ranks_follow_the_table_of_lifecycle_events() -> None:
    ranks = [kind.rank for kind in EVENTS.values()]
    assert ranks == list(range(1, len(EVENTS) + 1))
    of_leads = [kind.name for kind in EVENTS.values() if "lead" in kind.streams]
    assert of_leads[:3] == ["ContactListed", "ContactScreened", "LeadCaptured"]
    assert of_leads[-2:] == ["EventCorrected", "EventRetracted"]
    assert of_leads.index("Qualified") < of_leads.index("StageEntered") < of_leads.index("Won") < of_leads.index("Lost")


WON = document("Won", id="w-1")
CAPTURED = document("LeadCaptured", id="c-1")


def _with(path: str, value: Any, base: dict[str, Any] = WON) -> dict[str, Any]:
    """A copy with one value replaced or added; `...` takes it away."""
    changed: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(base))
    *above, last = path.split("/")
    target: Any = changed
    for part in above:
        target = target[int(part)] if isinstance(target, list) else target[part]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    return changed


BAD: dict[str, tuple[Any, str]] = {
    "23 null": (None, ""),
    "24 array": ([WON], ""),
    "25 string": ("Won", ""),
    "26 missing attribute": (_with("time", ...), "/time"),
    "26 missing type": (_with("type", ...), "/type"),
    "26 missing field": (_with("data/value", ...), "/data/value"),
    "26 missing data": (_with("data", ...), "/data"),
    "27 unknown field": (_with("data/margin", "1"), "/data/margin"),
    "27 unknown nested field": (_with("data/value/cents", 5), "/data/value/cents"),
    "28 recorded_at": (_with("recorded_at", "2026-01-01T00:00:00Z"), "/recorded_at"),
    "28 recordedtime": (_with("recordedtime", "2026-01-01T00:00:00Z"), "/recordedtime"),
    "29 position": (_with("position", 1), "/position"),
    "29 partition": (_with("partition", 1), "/partition"),
    "29 version": (_with("version", 1), "/version"),
    "29 anomaly": (_with("anomaly", "x"), "/anomaly"),
    "30 empty type": (_with("type", ""), "/type"),
    "31 unknown type": (_with("type", "Wonn"), "/type"),
    "31 type of no text": (_with("type", ["Won"]), "/type"),
    "32 a text of 1 MB": (_with("data/competitor_beaten", "x" * 1_000_000), "/data/competitor_beaten"),
    "33 bidi in an id": (_with("id", "a\u202eb"), "/id"),
    "33 zero width in an id": (_with("id", "a\u200bb"), "/id"),
    "33 control in an id": (_with("id", "a\nb"), "/id"),
    "33 bidi in a name": (_with("data/competitor_beaten", "a\u2066b"), "/data/competitor_beaten"),
    "33 zero width in a subject": (_with("subject", "lead/L\u200d1"), "/subject"),
    "33 line break after an identifier": (_with("data/account_id", "acme\n"), "/data/account_id"),
    "34 subject without a stream type": (_with("subject", "L-1"), "/subject"),
    "34 subject of another stream type": (_with("subject", "person/P-1"), "/subject"),
    "34 subject without an id": (_with("subject", "lead/"), "/subject"),
    "34 subject with a slash": (_with("subject", "lead/a/b"), "/subject"),
    "34 subject and a line break": (_with("subject", "lead/a\n"), "/subject"),
    "35 id of 129": (_with("id", "x" * 129), "/id"),
    "35 lead of 129": (_with("subject", "lead/" + "x" * 129), "/subject"),
    "35 empty id": (_with("id", ""), "/id"),
    "35 id of no text": (_with("id", 7), "/id"),
    "36 empty source": (_with("source", ""), "/source"),
    "36 source with a space": (_with("source", "a b"), "/source"),
    "36 source with a broken escape": (_with("source", "/a%zz"), "/source"),
    "36 source of 257": (_with("source", "/" + "x" * 256), "/source"),
    "37 text for an integer": (_with("expectedversion", "1"), "/expectedversion"),
    "38 true for an integer": (_with("expectedversion", True), "/expectedversion"),
    "39 1.0 for an integer": (_with("expectedversion", 1.0), "/expectedversion"),
    "40 negative version": (_with("expectedversion", -1), "/expectedversion"),
    "41 2^31": (_with("expectedversion", 2**31), "/expectedversion"),
    "42 10^20": (_with("expectedversion", 10**20), "/expectedversion"),
    "43 money as a float": (_with("data/value/amount", 12.5), "/data/value/amount"),
    "43 money as an integer": (_with("data/value/amount", 12), "/data/value/amount"),
    "43 negative money": (_with("data/value/amount", "-1"), "/data/value/amount"),
    "43 money with an exponent": (_with("data/value/amount", "1e3"), "/data/value/amount"),
    "43 money of 17 digits": (_with("data/value/amount", "1" * 17), "/data/value/amount"),
    "44 more decimals than the currency": (_with("data/value", eur("1.005")), "/data/value/amount"),
    "44 decimals of a currency without": (_with("data/value", {"amount": "1.5", "currency": "JPY"}), "/data/value/amount"),
    "44 in a contract": (_with("data/contracts/1/amount", eur("1.005")), "/data/contracts/1/amount/amount"),
    "45 unknown currency": (_with("data/value/currency", "EUX"), "/data/value/currency"),
    "45 currency in lower case": (_with("data/value/currency", "eur"), "/data/value/currency"),
    "45 gold": (_with("data/value/currency", "XAU"), "/data/value/currency"),
    "46 30 February": (_with("data/contracts/0/term_end", "2026-02-30"), "/data/contracts/0/term_end"),
    "46 30 February as a time": (_with("time", "2026-02-30T00:00:00Z"), "/time"),
    "46 year 1899": (_with("data/contracts/0/term_end", "1899-12-31"), "/data/contracts/0/term_end"),
    "46 a time for a day": (_with("data/contracts/0/term_end", "2026-02-03T00:00:00Z"), "/data/contracts/0/term_end"),
    "47 year 0": (_with("time", "0000-01-01T00:00:00Z"), "/time"),
    "48 an offset that leaves the calendar below": (_with("time", "0001-01-01T00:00:00+14:00"), "/time"),
    "49 an offset that leaves the calendar above": (_with("time", "9999-12-31T23:59:59-14:00"), "/time"),
    "49 an offset of a day": (_with("time", "2026-01-01T00:00:00+24:00"), "/time"),
    "50 no time zone": (_with("time", "2026-01-01T00:00:00"), "/time"),
    "50 a space for the T": (_with("time", "2026-01-01 00:00:00Z"), "/time"),
    "50 an offset without a colon": (_with("time", "2026-01-01T00:00:00+0200"), "/time"),
    "51 epoch number": (_with("time", 1_767_225_600), "/time"),
    "52 leap second": (_with("time", "2016-12-31T23:59:60Z"), "/time"),
    "53 25 h ahead": (_with("time", (NOW + timedelta(hours=25)).isoformat()), "/time"),
    "54 before 1990": (_with("time", "1989-12-31T23:59:59Z"), "/time"),
    "58 unknown schema version": (_with("dataschema", "/schemas/Won/2"), "/dataschema"),
    "58 schema of another type": (_with("dataschema", "/schemas/Lost/1"), "/dataschema"),
    "58 no schema": (_with("dataschema", "urn:x"), "/dataschema"),
    "59 __proto__": (_with("data/__proto__", {"admin": True}), "/data/__proto__"),
    "59 __proto__ beside": (_with("__proto__", {"admin": True}), "/__proto__"),
    "another specversion": (_with("specversion", "0.3"), "/specversion"),
    "binary data": (_with("data_base64", "eA=="), "/data_base64"),
    "another content type": (_with("datacontenttype", "text/xml"), "/datacontenttype"),
    "an hour for a precision": (_with("timeprecision", "hour"), "/timeprecision"),
    "a sequence of no text": (_with("sequence", 5), "/sequence"),
    "a sequence of 65": (_with("sequence", "1" * 65), "/sequence"),
    "an extension in capitals": (_with("traceParent", "x"), "/traceParent"),
    "an extension with a long name": (_with("x" * 21, "x"), "/" + "x" * 21),
    "an extension of a number with a point": (_with("ratio", 0.5), "/ratio"),
    "an extension beyond 32 bits": (_with("big", 2**31), "/big"),
    "33 extensions": (WON | {f"x{number}": "y" for number in range(33)} | {"time": "2026-01-01T00:00:00+01:00"}, ""),
    "an object for an extension": (_with("ext", {}), "/ext"),
    "an invisible extension": (_with("ext", "a\u200bb"), "/ext"),
    "null for a field": (_with("data/account_id", None), "/data/account_id"),
    "data of no object": (_with("data", []), "/data"),
    "an unknown basis": (document("UpgradeDue", data={"due_at": "2027-01-01T00:00:00Z", "basis": "x"}), "/data/basis"),
    "an instant without offset": (document("UpgradeDue", data={"due_at": "2027-01-01T00:00:00", "basis": "own_term"}), "/data/due_at"),
    "mrr and amount": (_with("data/contracts/0/amount", eur("1")), "/data/contracts/0"),
    "neither mrr nor amount": (_with("data/contracts/1/amount", ...), "/data/contracts/1"),
    "a contract twice": (_with("data/contracts/1/contract_id", "C-1"), "/data/contracts/1/contract_id"),
    "a birthday that is none": (_with("data/person/birthday", "1999-02-29", CAPTURED), "/data/person/birthday"),
    "a parameter in capitals": (_with("data/utm/Source", "x", CAPTURED), "/data/utm"),
    "text that is not Unicode": (_with("data/owner", "x", CAPTURED) | {"id": "\ud800"}, ""),
}  # fmt: skip


@pytest.mark.parametrize(("bad", "pointer"), BAD.values(), ids=BAD)
def test_a_flaw_is_refused_and_pointed_at(bad: Any, pointer: str) -> None:
    found = refusals(bad)
    assert pointer in found
    for sentence in found.values():
        assert sentence.endswith(".")
        assert len(sentence) < 200


def test_all_flaws_are_listed_at_once() -> None:
    bad = _with("id", "") | {
        "time": "yesterday",
        "position": 1,
        "data": {"value": {"amount": 1, "currency": "?"}, "x": 1},
    }
    assert refusals(bad).keys() == {
        "/id", "/time", "/position", "/data/value/amount", "/data/value/currency", "/data/x",
    }  # fmt: skip


def test_a_refusal_never_echoes_a_value() -> None:
    canary = "CANARY-7f3a"
    for path in ("id", "source", "type", "subject", "time", "dataschema", "sequence", "data/competitor_beaten"):
        for value in (canary + "\u202e", [canary], {canary: canary}):
            assert canary not in str(refusals(_with(path, value)).values()), path


def test_an_unknown_type_is_told_where_the_known_ones_are_listed() -> None:
    assert "/schemas" in refusals(_with("type", "Nope"))["/type"]


def test_data_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (codec, rules):
        monkeypatch.setattr(module, "MAX_DATA_BYTES", len(codec.parse_event(WON, NOW).data))
    codec.parse_event(WON, NOW)
    assert refusals(_with("data/account_id", "acme-2")).keys() == {"/data"}


GOOD: dict[str, dict[str, Any]] = {
    "24 h ahead": _with("time", (NOW + timedelta(hours=24)).isoformat()),
    "1990": _with("time", "1990-01-01T00:00:00Z"),
    "nine digits of a second": _with("time", "2026-01-01T00:00:00.123456789Z"),
    "lower case": _with("time", "2026-01-01t00:00:00z"),
    "an id with spaces and letters of any script": _with("id", "Fall 7 – 客戶"),
    "32 extensions": WON | {f"x{number}": "y" for number in range(32)} | {"time": "2026-01-01T00:00:00+01:00"},
    "an absolute source": _with("source", "https://crm.example.com/a%20b?x=1#y"),
    "a data schema elsewhere": _with("dataschema", "https://other.example/base/schemas/Won/1?x#y"),
    "null attributes": WON | {"dataschema": None, "sequence": None, "expectedversion": None, "datacontenttype": None, "ext": None},
    "a content type with a charset": _with("datacontenttype", "application/json; charset=utf-8"),
    "no optional field": document("Won", data={"value": {"amount": "0", "currency": "JPY"}}),
    "a competitor's contract of the longest lead id": document(
        "UpgradeDue", data={"due_at": "2027-01-01T00:00:00Z", "basis": "competitor_term", "contract_id": "competitor:" + "x" * 128}
    ),
}  # fmt: skip


@pytest.mark.parametrize("good", GOOD.values(), ids=GOOD)
def test_what_the_language_allows_is_taken(good: dict[str, Any]) -> None:
    codec.parse_event(good, NOW)


def test_attributes_go_where_the_envelope_says() -> None:
    given_document = WON | {
        "time": "2026-01-01T01:30:00+02:00", "sequence": "7", "timeprecision": "day", "correlationid": "c", "causationid": "k",
        "traceparent": "00-1-2-01", "retries": 3, "test": True, "expectedversion": 4, "dataschema": "/schemas/Won/1",
    }  # fmt: skip
    accepted = codec.parse_event(given_document, NOW)
    assert accepted.expected_version == 4
    assert accepted.occurred_at == datetime(2025, 12, 31, 23, 30, tzinfo=UTC)
    assert accepted.occurred_at.tzinfo is UTC
    assert accepted.meta == {
        "time": "2026-01-01T01:30:00+02:00", "sequence": "7", "timeprecision": "day", "correlationid": "c", "causationid": "k",
        "traceparent": "00-1-2-01", "retries": 3, "test": True,
    }  # fmt: skip
    for utc in ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00-00:00"):
        assert codec.parse_event(WON | {"time": utc}, NOW).meta == {}


def test_the_digest_is_of_type_subject_time_and_data_whatever_their_order_and_notation() -> None:
    same = codec.parse_event(WON, NOW)
    shuffled = dict(sorted(WON.items(), reverse=True)) | {
        "data": dict(sorted(WON["data"].items(), reverse=True)),
        "ext": "x",
    }
    moment = datetime.fromisoformat(WON["time"]).astimezone().isoformat()
    for twin in (shuffled, WON | {"time": moment}, WON | {"id": "other", "source": "/other"}):
        assert codec.parse_event(twin, NOW).digest == same.digest
        assert codec.parse_event(twin, NOW).data == same.data
    for other in (WON | {"subject": "lead/L-2"}, WON | {"time": "2026-01-01T00:00:00Z"}, _with("data/value", eur("1"))):
        assert codec.parse_event(other, NOW).digest != same.digest


def test_events_of_one_instant_fold_in_the_order_of_the_table_and_days_sort_after_times() -> None:
    def key(name: str, at: str, **attributes: Any) -> tuple[int, int, str, int]:
        accepted = event(name, at=at, **attributes)
        return fact.order_key(accepted.occurred_at, accepted.meta, name, accepted.body)

    midnight = "2026-01-01T00:00:00Z"
    in_order = [
        key("Won", midnight, sequence="9"),
        key("LeadCaptured", midnight, sequence="10"),
        key("LeadCaptured", midnight, sequence="a"),
        key("LeadCaptured", midnight),
        key("Won", midnight),
        key("Lost", midnight),
        key("LeadCaptured", "2026-01-01T23:59:59.999998Z"),
        key("LeadCaptured", midnight, timeprecision="day"),
        key("Won", "2026-01-01T08:00:00Z", timeprecision="day"),
        key("Won", "2026-01-01T23:00:00-02:00"),
        key("Won", "2026-01-01T23:00:00-02:00", timeprecision="day"),
    ]
    assert in_order == sorted(in_order)
    assert len(set(in_order)) == len(in_order)


def test_the_end_of_a_day_is_that_of_the_sender() -> None:
    accepted = event("Won", at="2026-01-02T00:30:00+02:00", timeprecision="day")
    at = fact.business_at(accepted.occurred_at, accepted.meta, accepted.body)
    assert at == datetime(2026, 1, 2, 21, 59, 59, 999_999, tzinfo=UTC)


def test_a_stored_event_of_an_unknown_type_or_version_is_said_to_be_unknown() -> None:
    stored = recorded(WON)
    for strange in ({"type": "Wonn"}, {"meta": {"dataschema": 2}}, {"data": b"{}"}, {"data": b"x"}):
        with pytest.raises(codec.UnknownEvent):
            codec.body_of(msgspec.structs.replace(stored, **strange))


@pytest.mark.parametrize(
    ("currency", "decimals"), [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("DEM", 2), ("XAU", None)]
)
def test_decimals_of_currencies(currency: str, decimals: int | None) -> None:
    assert exponent(currency) == decimals


def test_bodies_are_what_they_are_called() -> None:
    assert event("Won").body.contracts[0].mrr.currency == "EUR"
    assert isinstance(event("Won", data={"value": eur("1")}).body, Won)
    assert event("Won", data={"value": eur("1")}).body.contracts == ()
    assert isinstance(event("Lost").body, Lost)


# ---- mutations: nothing but Rejected and Refused ever escapes

_ODD: list[Any] = [
    None, True, 0, -1, 1.5, 2**31, 2**53, 10**30, 1e300, "", " ", "\0", "x" * 300, "\u202e", "\ud800", "2026-02-30", "0", "-0",
    "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "lead/", [], {}, [[]], {"": {}}, {"amount": "1", "currency": "EUR"},
    "EUR", "1e5", "../../etc/passwd", "{{7*7}}", "' or 1=1--", "day", "1.0",
]  # fmt: skip


def mutated(name: str, seed: int) -> Any:
    """A valid event with one to three things changed at random."""
    chance = random.Random(seed)
    changed: Any = msgspec.json.decode(msgspec.json.encode(document(name, id="e")))
    for _ in range(chance.randint(1, 3)):
        target: Any = changed
        while True:
            keys = list(target) if isinstance(target, dict) else list(range(len(target)))
            deeper = [key for key in keys if isinstance(target[key], dict | list) and target[key]]
            if not deeper or chance.random() < 0.4:
                break
            target = target[chance.choice(deeper)]
        if isinstance(target, list):
            target.append(copy.deepcopy(chance.choice(_ODD)))
            continue
        action = chance.random()
        key = chance.choice(list(target)) if target else "a"
        if action < 0.2:
            target.pop(key, None)
        elif action < 0.4:
            target[chance.choice(["x", "X", "", "a" * 21, "__proto__", "position", "\0", "\ud800", "ext", "dataschema"])] = copy.deepcopy(chance.choice(_ODD))  # fmt: skip
        else:
            target[key] = copy.deepcopy(chance.choice(_ODD))
    return changed


@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(EVENTS)), st.integers(0, 2**63))
def test_a_mutated_event_is_taken_whole_or_refused_with_reasons(name: str, seed: int) -> None:
    given_document = mutated(name, seed)
    try:
        accepted = codec.parse_event(given_document, NOW)
    except codec.Rejected as rejected:
        reasons = rejected.errors
    else:
        _holds_together(accepted)
        return
    # The sentence for want of a better one would mean that the slow path did not see what the fast one did.
    assert reasons
    assert reasons != [("", "is not an event that can be stored as it is.")]


def _holds_together(accepted: Event) -> None:
    assert codec.body_of(recorded(accepted)) == accepted.body
    fact.order_key(accepted.occurred_at, accepted.meta, accepted.type, accepted.body)
    line = codec.structured(recorded(accepted), "http://x")
    assert codec.from_structured(line) == recorded(accepted)


@settings(max_examples=2_000, deadline=None)
@given(st.data())
def test_mutated_bytes_are_read_or_refused(data: st.DataObject) -> None:
    raw = bytearray(body(WON))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    with contextlib.suppress(ijson.Refused, codec.Rejected):
        codec.parse_event(ijson.decode(bytes(raw)), NOW)
