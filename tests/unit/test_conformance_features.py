"""The conformance features of CloudEvents themselves, step by step, where the data sets are at hand.

`SALESCYCLE_DATA` names the folder that holds `contract_fixtures/cloudevents/*.feature`. The same cases stand in
test_bindings.py in our own words; here it shows that none was left out.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas import bindings

FOLDER = Path(os.environ.get("SALESCYCLE_DATA", "")) / "contract_fixtures" / "cloudevents"
Row = dict[str, str]


def rows_of(lines: list[str]) -> list[Row]:
    """A table of Gherkin; its first row names the columns."""
    cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


def scenarios() -> Iterator[Any]:
    for file in sorted(FOLDER.glob("*.feature")) if "SALESCYCLE_DATA" in os.environ else []:
        for text in re.split(r"\n\s*Scenario(?: Outline)?:", file.read_text(encoding="utf-8"))[1:]:
            body, _, examples = text.partition("Examples:")
            lines = [line for line in examples.splitlines() if line.strip().startswith("|")]
            for row in rows_of(lines) if lines else [{}]:
                filled = re.sub(r"<(\w+)>", lambda found, row=row: row[found[1]], body)
                yield pytest.param(filled, id=f"{file.stem}: {filled.splitlines()[0].strip()}")


CASES = list(scenarios())


def steps_of(scenario: str) -> Iterator[tuple[str, str, list[Row]]]:
    """(sentence, text, table) of each step."""
    for step in re.split(r"\n\s*(?:Given|When|Then|And) ", scenario)[1:]:
        sentence, _, rest = step.partition("\n")
        text = re.search(r'"""\n(.*?)\n\s*"""', rest, re.DOTALL)
        table = [line for line in rest.splitlines() if line.strip().startswith("|")]
        yield sentence.strip(), text[1] if text else "", rows_of(table) if table else []


def request_of(text: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of an HTTP request written out."""
    lines = [line.strip() for line in text.splitlines()]
    end = lines.index("")
    headers = [line.split(": ", 1) for line in lines[1:end]]
    return [(name.encode(), value.encode()) for name, value in headers], "\n".join(lines[end:]).strip().encode()


def test_the_features_are_at_hand() -> None:
    if not CASES:
        pytest.skip(
            "SALESCYCLE_DATA does not name a folder with contract_fixtures, so the features themselves were NOT tried"
        )
    assert len(CASES) == 7


@pytest.mark.parametrize("scenario", CASES)
def test_a_scenario_of_the_conformance_suite(scenario: str) -> None:
    headers: list[Any] = []
    body = b""
    read: Any = None
    then: list[str] = []
    for sentence, text, table in steps_of(scenario):
        match sentence:
            case "an HTTP request":
                headers, body = request_of(text)
            case "a Kafka message with payload:":
                body = text.encode()
            case "Kafka headers:":
                headers = [(row["key"], row["value"].encode()) for row in table]
            case "parsed as HTTP request":
                read = bindings.from_http(headers, body)
            case "parsed as Kafka message":
                read = bindings.from_kafka(headers, body)
            case "the attributes are:":
                assert {name: value for name, value in read.items() if name != "data"} == {
                    row["key"]: row["value"] for row in table
                }
                then.append(sentence)
            case "the data is equal to the following JSON:":
                assert read["data"] == json.loads(text)
                then.append(sentence)
            case _:
                pytest.fail(f"a step that is not known here: {sentence}")
    assert len(then) == 2
