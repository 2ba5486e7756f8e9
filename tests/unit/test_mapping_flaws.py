"""A mapping that cannot be used says where and why, and what was probably meant."""

import re
from pathlib import Path

import pytest

from services.cli.importing.mapping import Mapping
from services.cli.importing.node import BadMapping

GOOD = """\
mapping: 1
source: /tests
key: "{id}"
subject: lead/{id}
input: {empty: [NULL]}
defaults: {zone: UTC, currency: EUR}
values: {name: "{n}"}
lookups: {team: {file: teams.csv, key: agent, match: "{name}"}}
events:
- type: LeadCaptured
  time: {day: "{on}"}
  data: {source_channel: web, owner: {id: "{team.lead}"}, value: {money: "{p}"}}
"""


def test_the_mapping_that_the_flaws_are_put_into_is_good() -> None:
    assert Mapping(GOOD, "m.yaml").columns == {"id", "n", "on", "p"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("mapping: 1", "mapping: 2", "m.yaml:1: mapping: must be one of: 1"),
        ("source: /tests", "sauce: /tests", r"m.yaml:2: sauce: is not known here \(did you mean `source`\?\)"),
        ("source: /tests", "source: a b", "m.yaml:2: source: must be a URI reference"),
        ('key: "{id}"', 'key: "{id}"\nkey: x', "m.yaml:4: the mapping: names `key` twice"),
        ('key: "{id}"', 'key: "{id"', "m.yaml:3: key: has a brace without its partner"),
        ("subject: lead/{id}", "subject: leads/{id}", "subject: must begin with `lead/`"),
        ("subject: lead/{id}\n", "", r"events\[0\]: needs `subject`"),
        ("[NULL]", "[NULL], delimiter: ab", "m.yaml:5: input.delimiter: must be one character"),
        ("[NULL]", "[NULL], encoding: utf-9", "input.encoding: is no character encoding"),
        ("zone: UTC", "zone: Europe/Berlim", "m.yaml:6: defaults.zone: is no time zone"),
        ("currency: EUR", "currency: EURO", "defaults.currency: is not the code of a currency"),
        (", currency: EUR", "", r"m.yaml:12: events\[0\].data.value.money: needs `currency`"),
        ('name: "{n}"', 'name: "{name}"', "m.yaml:7: values.name: refers to itself: name → name"),
        ('name: "{n}"', 'team: "{n}"', "values.team: is also the name of a lookup"),
        ('name: "{n}"', 'name: {id: "{n}", money: "{n}"}', "values.name: has several operations"),
        ('name: "{n}"', 'name: {id: "{n}", round: up}', "values.name.round: is not known here"),
        ('name: "{n}"', "name: {}", "values.name: has no operation"),
        ('name: "{n}"', "name:", "values.name: is empty"),
        ('name: "{n}"', 'name: {text: "{n}", alias: [a]}', "values.name.alias: needs names with values"),
        ('match: "{name}"', 'match: "{team.agent}"', "lookups.team.match: looks itself up"),
        ("file: teams.csv", "file: ../teams.csv", "lookups.team.file: must lie beside the imported file"),
        ("type: LeadCaptured", "type: LeadCapture", r"m.yaml:10: events\[0\].type: must be one of: .* `LeadCaptured`"),
        ('time: {day: "{on}"}', 'time: "{on}"', r"m.yaml:11: events\[0\].time: must say what the column holds"),
        ("source_channel: web, ", "", r"events\[0\].data: `data` of a LeadCaptured needs `source_channel`"),
        ("owner: {", "owners: {", r"m.yaml:12: events\[0\].data.owners: is not known here \(did you mean `owner`\?\)"),
        ("- type", "- when: {s: {is: Won}}\n  type", r"events\[0\].when.s.is: is not known here"),
        ("- type", "- when: {s: {}}\n  type", r"events\[0\].when.s: needs exactly one of"),
        ("- type", "- extensions: {Bad-Name: x}\n  type", "an extension attribute is named"),
        ("events:", "events: []\nabout:", "m.yaml:9: events: needs at least one event"),
        ("events:", "events: {", "m.yaml:.*: not YAML"),
    ],
)
def test_a_flaw_is_said_with_its_line_and_place(old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(BadMapping) as flaw:
        Mapping(GOOD.replace(old, new, 1), "m.yaml")
    assert re.search(said, str(flaw.value)), str(flaw.value)


def test_two_events_of_one_type_need_names_of_their_own() -> None:
    again = GOOD + GOOD[GOOD.index("- type") :]
    with pytest.raises(BadMapping, match=r"m.yaml:13: events\[1\]: is a second event named LeadCaptured"):
        Mapping(again, "m.yaml")
    assert len(Mapping(again.replace("- type", "- name: first\n  type", 1), "m.yaml").rules) == 2


def test_a_column_that_the_file_lacks_is_said_before_the_first_row() -> None:
    with pytest.raises(
        BadMapping, match=r"m.yaml:11: .*refers to `on`, which deals.csv does not have \(did you mean `ON`\?\)"
    ):
        Mapping(GOOD, "m.yaml").check_columns({"id", "n", "p", "ON"}, "deals.csv does not have")
    Mapping(GOOD.replace("empty:", "optional: [on], empty:"), "m.yaml").check_columns(
        {"id", "n", "p"}, "deals.csv does not have"
    )


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (None, r"lookups.team: there is no .*teams.csv \(did you mean `team.csv`\?\)"),
        ("agent,boss\nA,B\n", r"refers to `lead`, which teams.csv does not have"),
        ("agent,lead\nA,B\nA,C\n", r'teams.csv:3 has the key "A" a second time'),
        ("agent,lead\n\xff,B\n", "teams.csv cannot be read"),
    ],
)
def test_a_lookup_that_cannot_be_used_is_said(tmp_path: Path, table: str | None, said: str) -> None:
    (tmp_path / "team.csv").write_text("agent,lead\n")
    if table is not None:
        (tmp_path / "teams.csv").write_bytes(table.encode("latin-1"))
    with pytest.raises(BadMapping, match=said):
        Mapping(GOOD, "m.yaml").load_lookups(tmp_path)


def test_a_small_text_cannot_make_a_large_mapping() -> None:
    doubled = "\n".join(f"  - &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 12))
    with pytest.raises(BadMapping, match="too large"):
        Mapping(f"about:\n  - &a0 [x]\n{doubled}\n", "m.yaml")
