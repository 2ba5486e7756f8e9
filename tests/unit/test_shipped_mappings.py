"""Every shipped mapping on a small export in its layout: the events that it gives, and rows refused, mended and read again."""

import csv
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.pipeline_files import read_pipelines
from services.cli.importer import SHIPPED
from services.cli.importing import run
from services.cli.importing.mapping import Mapping
from services.cli.importing.reading import Source
from services.cli.importing.refusals import Refusals
from services.cli.importing.tally import Tally
from services.cli.settings import ROOT

EXPORTS = Path(__file__).parents[1] / "data" / "exports"
EXPECTED: dict[str, dict[str, Any]] = yaml.safe_load((EXPORTS / "expected.yaml").read_text(encoding="utf-8"))
MAPPINGS = sorted(path.stem for path in SHIPPED.glob("*.yaml"))

Events = list[dict[str, Any]]


def translated(name: str, file: Path, refused: Path | None = None) -> tuple[Events, Tally]:
    """The events of a file by a shipped mapping, in their order."""
    mapping = Mapping.read(SHIPPED / f"{name}.yaml")
    source = Source(file, mapping)
    mapping.load_lookups(EXPORTS)
    refusals, tally, events = Refusals(refused, source), Tally(), Events()
    run.rehearse(mapping, source, refusals, tally, None, events.append)
    source.close()
    refusals.close()
    return events, tally


def test_every_shipped_mapping_has_an_export_to_be_tried_on() -> None:
    assert sorted(EXPECTED) == MAPPINGS


@pytest.mark.parametrize("name", MAPPINGS)
def test_what_a_shipped_mapping_makes_of_an_export(name: str) -> None:
    events, tally = translated(name, EXPORTS / f"{name}.csv")
    assert [_told(event) for event in events] == [_wanted(*each) for each in EXPECTED[name]["events"]]
    assert (tally.rows_refused, tally.rows_silent) == (0, EXPECTED[name].get("silent", 0))
    assert len({event["id"] for event in events}) == len(events), "two events of one id"


def _told(event: dict[str, Any]) -> list[Any]:
    return [event["subject"], event["type"], event["time"], event.get("timeprecision"), event["data"]]


def _wanted(subject: str, type_name: str, time: str | date, data: dict[str, Any]) -> list[Any]:
    of_day = isinstance(time, date)
    return [subject, type_name, f"{time}T00:00:00Z" if of_day else time, "day" if of_day else None, data]


@pytest.mark.parametrize("name", MAPPINGS)
def test_rows_that_were_refused_are_mended_and_give_what_they_should_have(name: str, tmp_path: Path) -> None:
    column = EXPECTED[name]["spoil"]
    if column is None:  # any text is right in any of its columns
        return
    because = EXPECTED[name].get("because", '"soon" is no date')
    with (EXPORTS / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    good, rows[0][column] = rows[0][column], "soon"
    refused = tmp_path / "refused.csv"
    events, tally = translated(name, _written(tmp_path / "export.csv", rows), refused)
    assert tally.rows_refused > 0
    with refused.open(encoding="utf-8", newline="") as lines:
        mended = list(csv.DictReader(lines))
    assert because in mended[0]["refused_because"] or because in mended[-1]["refused_because"]
    assert all(row["refused_because"] for row in mended)
    for row in mended:
        row[column] = good if row[column] == "soon" else row[column]
    again, tally = translated(name, _written(tmp_path / "mended.csv", mended), tmp_path / "none.csv")
    assert tally.rows_refused == 0
    whole, _ = translated(name, EXPORTS / f"{name}.csv")
    assert sorted(map(_text, events + again)) == sorted(map(_text, whole))


def _written(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _text(event: dict[str, Any]) -> str:
    return json.dumps(event, sort_keys=True)


def test_the_stages_that_shipped_mappings_name_are_those_of_their_pipelines() -> None:
    files = sorted((ROOT / "deploy" / "pipelines").glob("*.yaml"))
    pipelines = read_pipelines({str(file): file.read_text(encoding="utf-8") for file in files})
    for name in MAPPINGS:
        for stage, pipeline in _stages_of(name):
            found = pipelines.get(pipeline)
            assert found is not None, f"{name}: there is no pipeline {pipeline}"
            assert found.stage(stage), f"{name}: the pipeline {pipeline} has no stage {stage}"


def _stages_of(name: str) -> Iterator[tuple[str, str]]:
    text = (SHIPPED / f"{name}.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text).get("values", {})
    for value in ("stage", "step"):
        for stage in values.get(value, {}).get("alias", {}).values():
            if stage not in ("won", "lost"):
                yield stage, name.partition("-")[0]
