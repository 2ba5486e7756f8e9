"""What a mapping makes of a row: events, or reasons."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.cli.importing.mapping import Mapping, Translated
from services.cli.importing.reading import Source
from services.cli.importing.row import NameCollision, Row
from services.kernel.clock import utc_now

HEAD = """
mapping: 1
source: /tests
key: "{id}"
subject: lead/{id}
"""


def capture(value: str, extra: str = "", field: str = "region") -> Mapping:
    """A mapping whose one event has `field: value` beside the channel."""
    return Mapping(
        f"{HEAD}{extra}\nevents:\n- type: LeadCaptured\n  time: {{day: '{{on}}'}}\n"
        f"  data: {{source_channel: web, {field}: {value}}}\n",
        "m.yaml",
    )


def of(mapping: Mapping, **cells: Any) -> Translated:
    return mapping.translate(Row(2, [], {"id": "L-1", "on": "2026-01-05", **cells}), utc_now())


def data_of(mapping: Mapping, **cells: Any) -> Any:
    """The `data` of the one event, without the channel."""
    (event,) = of(mapping, **cells).events
    return {name: value for name, value in event["data"].items() if name != "source_channel"}


def reasons_of(mapping: Mapping, **cells: Any) -> list[tuple[str, str]]:
    translated = of(mapping, **cells)
    assert not translated.events
    return [(reason.pointer, reason.detail) for reason in translated.reasons]


def test_an_event_has_a_readable_id_that_follows_from_the_row_alone() -> None:
    (event,) = of(capture("West")).events
    assert (event["id"], event["source"], event["subject"]) == ("L-1:LeadCaptured", "/tests", "lead/L-1")
    assert (event["time"], event["timeprecision"]) == ("2026-01-05T00:00:00Z", "day")


def test_a_key_that_is_too_long_for_an_id_becomes_a_digest_of_itself() -> None:
    mapping = capture("West")
    mapping.rules[0]._key = lambda _row: "x" * 200
    (event,) = of(mapping).events
    assert len(event["id"]) == 32
    assert event["id"] == of(mapping).events[0]["id"]


def test_a_row_without_a_key_of_its_own_is_known_by_all_its_cells() -> None:
    mapping = Mapping(
        'mapping: 1\nsource: /t\nkey: "*"\nsubject: lead/{id}\n'
        "events: [{type: Lost, time: {day: '{on}'}, data: {reason: unknown}}]",
        "m.yaml",
    )
    one, other = of(mapping, note="a"), of(mapping, note="b")
    assert one.events[0]["id"] != other.events[0]["id"]
    assert one.events[0]["id"] == of(mapping, note="a").events[0]["id"]


def test_absence_spreads_and_leaves_the_field_out() -> None:
    mapping = capture('"{area}-{side}"')
    assert data_of(mapping, area="N", side="W") == {"region": "N-W"}
    assert data_of(mapping, area="N") == {}


@pytest.mark.parametrize(
    ("value", "cells", "found"),
    [
        ('{text: "{r}", default: nowhere}', {}, "nowhere"),
        ('{text: "{r}", alias: {W: West}}', {"r": "W"}, "West"),
        ('{text: "{r}", alias: {W: West}}', {"r": "E"}, "E"),
        ('{text: "{r}", alias: {N/A: null}, default: none}', {"r": "N/A"}, "none"),
        ('{text: "{r}", alias: {W: West}, unlisted: absent, default: other}', {"r": "E"}, "other"),
        ('{text: "{r}", when: {kind: {not_in: [test]}}}', {"r": "W", "kind": "real"}, "W"),
        ('{first: ["{r}", "{s}", last]}', {"s": "S"}, "S"),
        ('{first: ["{r}", "{s}", last]}', {}, "last"),
        ('"{{{r}}}"', {"r": "W"}, "{W}"),
        ('"{n} {b}"', {"n": 5, "b": True}, "5 true"),
    ],
)
def test_texts(value: str, cells: dict[str, Any], found: str) -> None:
    assert data_of(capture(value), **cells) == {"region": found}


def test_an_alias_that_must_list_every_text_refuses_another() -> None:
    mapping = capture('{text: "{r}", alias: {W: West}, unlisted: refuse}')
    ((pointer, detail),) = reasons_of(mapping, r="E")
    assert pointer == "/data/region"
    assert detail.startswith('"E" is not listed in `alias` (m.yaml:')


@pytest.mark.parametrize(
    ("value", "cell", "amount"),
    [
        ('{money: "{p}", currency: USD}', "1054", "1054.00"),
        ('{money: "{p}", currency: USD}', "$1,054.5", "1054.50"),
        ('{money: "{p}", currency: USD}', "1.0545e3", "1054.50"),
        ('{money: "{p}", currency: USD}', 12.1, "12.10"),
        ('{money: "{p}", currency: JPY}', "1054.0", "1054"),
        ('{money: "{p}", currency: KWD}', "1.5", "1.500"),
        ('{money: "{p}", currency: EUR, decimal_mark: ","}', "1.054,5", "1054.50"),
        ('{money: "{p}", currency: EUR, decimal_mark: ","}', "1 054,50 €", "1054.50"),
        ('{money: "{p}", currency: EUR, unit: minor}', "105450", "1054.50"),
        ('{money: "{p}", currency: EUR, round: half_even}', "0.125", "0.12"),
        ('{money: "{p}", currency: EUR, round: half_up}', "0.125", "0.13"),
    ],
)
def test_money_has_the_decimals_of_its_currency(value: str, cell: Any, amount: str) -> None:
    assert data_of(capture(value, field="value"), p=cell)["value"]["amount"] == amount


@pytest.mark.parametrize("cell", ["12.345", "free", "1.2.3", "12,34,5", "1e999", "NaN", "--5", "-5"])
def test_what_is_no_amount_refuses_the_row(cell: str) -> None:
    ((pointer, _),) = reasons_of(capture('{money: "{p}", currency: USD}', field="value"), p=cell)
    assert pointer.startswith("/data/value")


def test_a_currency_may_come_from_the_row() -> None:
    mapping = capture('{money: "{p}", currency: "{c}"}', field="value")
    assert data_of(mapping, p="5", c="CHF") == {"value": {"amount": "5.00", "currency": "CHF"}}
    assert reasons_of(mapping, p="5")[0][1] == "has an amount but no currency"
    assert "ISO 4217" in reasons_of(mapping, p="5", c="XYZ")[0][1]


def at(time: str, cell: Any, defaults: str = "{}") -> dict[str, Any]:
    mapping = Mapping(
        f"{HEAD}defaults: {defaults}\nevents: [{{type: Lost, time: {time}, data: {{reason: unknown}}}}]", "m.yaml"
    )
    translated = of(mapping, on=cell)
    assert not translated.reasons, translated.reasons
    return translated.events[0]


@pytest.mark.parametrize(
    ("time", "cell", "found"),
    [
        ('{instant: "{on}"}', "2020-12-30 3:15:52", "2020-12-30T03:15:52Z"),
        ('{instant: "{on}"}', "2019-10-22 19:17:37.819", "2019-10-22T19:17:37.819000Z"),
        ('{instant: "{on}"}', "2026-07-01T10:00:00+02:00", "2026-07-01T08:00:00Z"),
        ('{instant: "{on}", zone: Europe/Berlin}', "2026-07-01 10:00:00", "2026-07-01T10:00:00+02:00"),
        ('{instant: "{on}", format: unix}', 1_600_000_000, "2020-09-13T12:26:40Z"),
        ('{instant: "{on}", format: unix_ms}', "1600000000000", "2020-09-13T12:26:40Z"),
        ('{instant: "{on}", format: ["%d/%m/%Y", "%d/%m/%y %H:%M"]}', "05/01/26 10:30", "2026-01-05T10:30:00Z"),
        ('{day: "{on}", zone: America/New_York}', "2026-07-01", "2026-07-01T00:00:00-04:00"),
        ('{day: "{on}", format: "%d-%m-%Y"}', "01-09-2021", "2021-09-01T00:00:00Z"),
        ('{day: "{on}", zone: Asia/Tokyo}', "2026-06-30T20:00:00Z", "2026-07-01T00:00:00+09:00"),
    ],
)
def test_times(time: str, cell: Any, found: str) -> None:
    event = at(time, cell)
    assert event["time"] == found
    assert event.get("timeprecision") == ("day" if time.startswith("{day") else None)


@pytest.mark.parametrize("cell", ["2026-02-30", "yesterday", "31/12/2026", "9999999", "0001-01-01", None])
def test_what_is_no_date_refuses_the_row(cell: str | None) -> None:
    ((pointer, detail),) = reasons_of(capture("West"), on=cell)
    assert pointer == "/time"
    assert detail


def test_an_instant_that_is_only_a_date_says_what_to_write() -> None:
    mapping = Mapping(
        f"{HEAD}events: [{{type: Lost, time: {{instant: '{{on}}'}}, data: {{reason: unknown}}}}]", "m.yaml"
    )
    assert "map it with `day`" in reasons_of(mapping)[0][1]


@pytest.mark.parametrize(
    ("when", "cells", "holds"),
    [
        ("{s: Won}", {"s": "Won"}, True),
        ("{s: Won}", {}, False),
        ("{s: {not_equals: Won}}", {}, True),
        ("{s: {in: [Won, Lost]}, d: present}", {"s": "Lost", "d": "x"}, True),
        ("{s: {in: [Won, Lost]}, d: present}", {"s": "Lost"}, False),
        ("{d: absent}", {}, True),
        ("{d: {present: false}}", {"d": "x"}, False),
        ("{any: [{s: Won}, {f: 'true'}]}", {"f": True}, True),
        ("{not: {s: Won}}", {"s": "Won"}, False),
        ("{s: {equals: present}}", {"s": "present"}, True),
        ("{n: 5}", {"n": 5}, True),
    ],
)
def test_conditions(when: str, cells: dict[str, Any], holds: bool) -> None:
    mapping = Mapping(
        f"{HEAD}events: [{{type: Lost, when: {when}, time: {{day: '{{on}}'}}, data: {{reason: unknown}}}}]", "m.yaml"
    )
    assert bool(of(mapping, **cells).events) is holds


def test_objects_lists_and_json_values() -> None:
    person = capture('{object: {name: "{n}", email: "{e}"}}', field="person")
    assert data_of(person, n="Mina Okafor") == {"person": {"name": "Mina Okafor"}}
    assert data_of(person) == {}
    assert data_of(capture('{raw: "{utm}"}', field="utm"), utm={"source": "news"}) == {"utm": {"source": "news"}}
    won = Mapping(
        f"{HEAD}events:\n- type: Won\n  time: {{day: '{{on}}'}}\n  data:\n    value: {{money: '{{p}}', currency: EUR}}\n"
        "    contracts: [{object: {contract_id: 'C-{id}', mrr: {money: '{m}', currency: EUR}}}]\n",
        "m.yaml",
    )
    contracts = of(won, p="120", m="10").events[0]["data"]["contracts"]
    assert contracts == [{"contract_id": "C-L-1", "mrr": {"amount": "10.00", "currency": "EUR"}}]


def test_all_reasons_of_a_row_are_given_and_none_of_its_events_is_sent() -> None:
    mapping = Mapping(
        f"{HEAD}events:\n- {{type: LeadCaptured, time: {{day: '{{on}}'}}, data: {{source_channel: web}}}}\n"
        "- {type: Won, time: {day: '{closed}'}, data: {value: {money: '{p}', currency: EUR}}}\n",
        "m.yaml",
    )
    pointers = [pointer for pointer, _ in reasons_of(mapping, closed="?", p="?")]
    assert pointers == ["/time", "/data/value"]


def test_what_the_schema_refuses_is_found_before_anything_is_sent() -> None:
    ((pointer, detail),) = reasons_of(capture("West"), id="a b")
    assert pointer == "/subject"
    assert detail.endswith("(LeadCaptured)")


def test_named_values_may_refer_to_each_other_and_to_lookups(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text("name,price,group\nGTX Pro,4821,7\nGone,,7\n")
    (tmp_path / "groups.csv").write_text("nr;label\n7;Seven\n")
    mapping = capture(
        '{text: "{title}"}',
        'lookups:\n  group: {file: groups.csv, key: nr, match: "{price.group}", delimiter: ";"}\n'
        '  price: {file: prices.csv, key: name, match: "{product}"}\n'
        'values:\n  title: {text: "{product} {price.price} {group.label}"}\n'
        '  product: {text: "{p}", alias: {GTXPro: GTX Pro}}\n',
    )
    mapping.load_lookups(tmp_path)
    assert mapping.columns == {"id", "on", "p"}
    assert data_of(mapping, p="GTXPro") == {"region": "GTX Pro 4821 Seven"}
    assert data_of(mapping, p="Gone") == {}
    assert reasons_of(mapping, p="None such")[0][1] == '"None such" is not in the column name of prices.csv'


def test_two_names_that_would_get_one_id_stop_the_import_and_are_both_named() -> None:
    mapping = capture('{id: "{who}"}', field="owner")
    assert data_of(mapping, who="Anna  Snelling") == {"owner": "Anna-Snelling"}
    assert data_of(mapping, who="Anna Snelling") == {"owner": "Anna-Snelling"}
    with pytest.raises(
        NameCollision, match='"Anna-Snelling" and "Anna Snelling" would both get the id Anna-Snelling in owner'
    ):
        of(mapping, who="Anna-Snelling")


def test_the_example_of_the_documentation_gives_the_events_it_shows(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "import.md").read_text(encoding="utf-8")
    blocks: dict[str, str] = {}
    for block in text.split("\n```")[1::2]:
        about, _, content = block.partition("\n")
        blocks[about.partition(" ")[2]] = content
    for name in ("deals.csv", "people.csv", "deals.yaml"):
        (tmp_path / name).write_text(blocks[name], encoding="utf-8")
    mapping = Mapping.read(tmp_path / "deals.yaml")
    mapping.load_lookups(tmp_path)
    translated = [mapping.translate(row, utc_now()) for row in Source(tmp_path / "deals.csv", mapping).rows()]
    assert [len(each.events) for each in translated] == [2, 1, 2]
    assert not any(each.reasons for each in translated)
    assert translated[0].events == msgspec.json.decode(blocks["events of 101"])


def test_every_shipped_mapping_can_be_read() -> None:
    shipped = sorted((Path(__file__).parents[2] / "deploy" / "mappings").glob("*.yaml"))
    assert shipped
    for path in shipped:
        assert Mapping.read(path).rules
