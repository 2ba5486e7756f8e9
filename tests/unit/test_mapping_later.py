"""What of a fact may change between two exports, and rows that stand in one order."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.cli.importing import run
from services.cli.importing.mapping import Mapping
from services.cli.importing.node import BadMapping
from services.cli.importing.reading import Source
from services.cli.importing.refusals import Refusals
from services.cli.importing.row import Row
from services.cli.importing.tally import Tally

NOW = datetime(2026, 3, 1, tzinfo=UTC)
STAGE = """
mapping: 1
source: /tests
key: "{id}"
subject: lead/{id}
events:
- type: StageEntered
  CHANGES
  time: {instant: "{at}"}
  data: {stage: "{stage}", reason: "{why}"}
"""


def stage(changes: str) -> Mapping:
    return Mapping(STAGE.replace("CHANGES", changes), "m.yaml")


def id_of(mapping: Mapping, **cells: Any) -> str:
    row = Row(2, [], {"id": "L", "at": "2026-01-05T10:00:00Z", "stage": "qualify", **cells})
    ((event,),) = (mapping.translate(row, NOW).events,)
    return str(event["id"])


def test_without_changes_a_row_tells_a_fact_once() -> None:
    mapping = stage("")
    assert id_of(mapping) == id_of(mapping, stage="won", at="2026-02-05T10:00:00Z") == "L:StageEntered"
    assert mapping.rules[0].repeated == "refused"
    assert stage("changes: none").rules[0].repeated == "kept"


def test_other_data_are_another_fact_and_another_time_alone_is_not() -> None:
    mapping = stage("changes: data")
    assert id_of(mapping).startswith("L:StageEntered:")
    assert id_of(mapping) == id_of(mapping, at="2026-02-05T10:00:00Z")
    assert len({id_of(mapping), id_of(mapping, stage="x"), id_of(mapping, why="so")}) == 3
    assert mapping.rules[0].repeated == "known"


def test_a_value_that_comes_back_is_another_fact_where_its_time_counts() -> None:
    mapping = stage("changes: [time, data]")
    assert id_of(mapping) != id_of(mapping, at="2026-02-05T10:00:00Z")
    assert mapping.rules[0].repeated == "refused"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ("changes: time", "m.yaml:8: .*changes: must be one of: none, data"),
        ('changes: data\n  id: "{id}"', "stands beside `id`"),
        ("when: {stage: {matches: '('}}", "stage.matches: is no regular expression"),
        ("when: {stage: '{previous.stage'}", "brace without its partner"),
    ],
)
def test_what_cannot_be_meant_is_said(changes: str, said: str) -> None:
    with pytest.raises(BadMapping, match=said):
        stage(changes)


@pytest.mark.parametrize(
    ("when", "cells", "holds"),
    [
        ("{end: {before: now}}", {"end": "2026-02-28"}, True),
        ("{end: {before: now}}", {"end": "2026-03-01"}, False),
        ("{end: {before: now}}", {}, False),
        ("{end: {after: now}}", {"end": "2026-03-01 00:00:01"}, True),
        ("{end: {before: '{start}'}}", {"end": "2026-01-31", "start": "2026-02-01T00:00:00+01:00"}, True),
        ("{end: {before: '{start}'}}", {"end": "2026-01-31", "start": "2026-01-31"}, False),
        ("{end: {after: '{start}'}}", {"end": "2026-01-31"}, False),
        ("{a: '{b}'}", {"a": "x", "b": "x"}, True),
        ("{a: {equals: '{b}'}}", {"a": "x", "b": "y"}, False),
        ("{a: {equals: '{b}'}}", {}, False),
        ("{a: {not_equals: '{b}'}}", {"a": "x"}, True),
        ("{a: {matches: '006.*'}}", {"a": "0061G"}, True),
        ("{a: {matches: '006'}}", {"a": "0061G"}, False),
        ("{a: {matches: '.*'}}", {}, False),
    ],
)
def test_a_condition_compares_with_other_cells_and_with_now(when: str, cells: dict[str, str], holds: bool) -> None:
    mapping = stage(f"when: {when}")
    row = Row(2, [], {"id": "L", "at": "2026-01-05T10:00:00Z", "stage": "qualify", **cells})
    translated = mapping.translate(row, NOW)
    assert not translated.reasons
    assert bool(translated.events) is holds


def test_a_moment_that_is_none_refuses_the_row() -> None:
    row = Row(2, [], {"id": "L", "at": "2026-01-05T10:00:00Z", "stage": "q", "end": "soon"})
    (reason,) = stage("when: {end: {before: now}}").translate(row, NOW).reasons
    assert reason.pointer == "when of StageEntered"


SERIES = """
mapping: 1
source: /tests
key: "{deal}:{at}"
subject: lead/{deal}
series: {by: "{deal}", order: {instant: "{at}"}}
values: {step: {text: "{stage}", alias: {New: opportunity}}}
events:
- type: StageEntered
  when: {step: {not_equals: "{previous.step}"}}
  time: {instant: "{at}"}
  data: {stage: "{step}"}
- type: Lost
  when: {next.stage: absent, stage: end}
  time: {instant: "{at}"}
  data: {reason: unknown}
"""


def rehearsed(tmp_path: Path, lines: str, limit: int | None = None) -> tuple[list[str], Refusals, Tally]:
    """`subject type day stage` of each event of a file in series."""
    file = tmp_path / "a.csv"
    file.write_text("deal,at,stage\n" + lines)
    mapping = Mapping(SERIES, "m.yaml")
    source = Source(file, mapping)
    refusals, tally, found = Refusals(None, source), Tally(), list[str]()

    def shown(event: dict[str, Any]) -> None:
        found.append(
            f"{event['subject']} {event['type']} {event['time'][8:10]} {event['data'].get('stage', '')}".strip()
        )

    run.rehearse(mapping, source, refusals, tally, limit, shown)
    source.close()
    return found, refusals, tally


def test_rows_of_a_series_know_their_neighbours_wherever_they_stand(tmp_path: Path) -> None:
    found, _, tally = rehearsed(
        tmp_path,
        "A,2026-01-09 9:00:00,qualify\nB,2026-01-02 09:00:00,New\nA,2026-01-10 10:00:00,end\n"
        "A,2026-01-08 08:00:00,New\nA,2026-01-09 08:00:00.5,New\n",
    )
    assert found == [
        "lead/A StageEntered 08 opportunity",
        "lead/A StageEntered 09 qualify",
        "lead/A StageEntered 10 end",
        "lead/A Lost 10",
        "lead/B StageEntered 02 opportunity",
    ]
    assert (tally.rows, tally.rows_silent) == (5, 1)


def test_a_series_is_refused_and_limited_as_a_whole(tmp_path: Path) -> None:
    lines = "A,2026-01-08 08:00:00,New\nB,2026-01-08 08:00:00,New\nA,soon,qualify\n,2026-01-08 08:00:00,New\n"
    found, refusals, tally = rehearsed(tmp_path, lines)
    assert found == ["lead/B StageEntered 08 opportunity"]
    assert refusals.first == [
        "line 2: row: belongs to the series of line 4, which is refused",
        'line 4: row: has no place in its series: "soon" is no date or time of the form ISO 8601, such as 2026-01-31 or 2026-01-31 09:30:00',
        "line 5: row: has no place in its series: `by` has no value",
    ]
    assert (tally.rows, tally.rows_refused) == (4, 3)
    found, _, tally = rehearsed(tmp_path, lines.replace("soon", "2026-01-09 08:00:00"), limit=1)
    assert found == ["lead/A StageEntered 08 opportunity", "lead/A StageEntered 09 qualify"]
    assert tally.rows == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('by: "{deal}", ', "", "series: needs `by`"),
        ("{previous.step}", "{previous.next.step}", "looks further than to the next row"),
        (
            "values: {step:",
            'values: {next: "{deal}", step:',
            "values.next: is also the name of a lookup or of a neighbour",
        ),
        ("{previous.step}", "{previous.steps}", "refers to `steps`, which"),
    ],
)
def test_a_flaw_of_a_series_is_said(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(BadMapping, match=said):
        Mapping(SERIES.replace(old, new), "m.yaml").check_columns({"deal", "at", "stage"}, "a.csv does not have")


def test_a_day_may_be_the_one_before() -> None:
    mapping = Mapping(
        'mapping: 1\nsource: /t\nkey: "{id}"\nsubject: lead/{id}\nevents:\n- type: Recycled\n'
        '  time: {day: "{end}", shift_days: -1}\n  data: {return_on: {day: "{end}", shift_days: 1}}\n',
        "m.yaml",
    )
    (event,) = mapping.translate(Row(2, [], {"id": "L", "end": "2026-03-01"}), NOW).events
    assert (event["time"], event["data"]["return_on"]) == ("2026-02-28T00:00:00Z", "2026-03-02")
    with pytest.raises(BadMapping, match="shift_days: must be a whole number of days"):
        Mapping(
            'mapping: 1\nsource: /t\nkey: "{id}"\nsubject: lead/{id}\n'
            'events: [{type: Lost, time: {day: "{e}", shift_days: 1.5}, data: {reason: unknown}}]',
            "m.yaml",
        )
