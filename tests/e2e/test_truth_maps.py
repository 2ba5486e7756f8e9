"""Real data sets, imported by shipped mappings through the real door: the answers equal figures worked out by others.

`SALESCYCLE_DATA` names the folder with the sets; each truth.json was made with pandas from the same files. What is asked, and
what no query gives yet, stands in tests/data/<set>/truth_map.yaml.
"""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import yaml

from services.cli.importer import SHIPPED
from services.cli.importing import run
from services.cli.importing.delivery import Delivery
from services.cli.importing.mapping import Mapping
from services.cli.importing.reading import Source
from services.cli.importing.refusals import Refusals
from services.cli.importing.tally import Tally
from services.projections.metrics import METRICS
from services.projections.models import MODELS
from tests.support.processes import Processes, wait_until
from tests.support.truth_maps import SETS, Import, Row, TruthMap, equal

PARTITIONS = range(12)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def data() -> Path:
    folder = os.environ.get("SALESCYCLE_DATA")
    if not folder or not all((Path(folder) / name / "truth.json").exists() for name in SETS):
        pytest.skip(f"SALESCYCLE_DATA does not name a folder with {', '.join(SETS)}: their truths were NOT tried")
    return Path(folder)


class Sets:
    """One running system that holds all sets, and what it answers."""

    def __init__(self, processes: Processes) -> None:
        processes.salescycle("migrate")
        self._lifecycle = processes.lifecycle()
        self._projections = processes.projections()
        self._http = httpx.Client(headers=processes.headers, timeout=60)
        self._headers = processes.headers
        self._answers: dict[str, Sequence[Row]] = {}

    def import_file(self, folder: Path, asked: Import) -> Tally:
        return asyncio.run(self._imported(folder / asked.file, asked))

    async def _imported(self, file: Path, asked: Import) -> Tally:
        mapping = _mapping(asked)
        source = Source(file, mapping)
        run.prepare(mapping, source)
        refusals, tally = Refusals(None, source), Tally()
        async with Delivery(self._lifecycle.url, self._headers, patience_s=30, waiting=print) as delivery:
            await run.send(mapping, source, refusals, delivery, tally, None)
        source.close()
        assert not refusals.count, f"{asked.file}: {refusals.first}"
        return tally

    def wait_for_the_figures(self) -> None:
        heads = {str(partition): self._head(partition) for partition in PARTITIONS}
        for model in MODELS:
            route = next(f"/v1/metrics/{each.id}" for each in METRICS.values() if model in (*each.models, "reference"))
            wait_until(partial(self._stands_at, route, heads), 120, 0.2, what=f"{model} at the log's heads")

    def _stands_at(self, route: str, heads: dict[str, int]) -> bool:
        return bool(self._figures(route, {})["positions"] == heads)

    def ask(self, route: str, parameters: dict[str, str]) -> Sequence[Row]:
        """The rows of an answer; the whole log and all leads are read once."""
        asked = f"{route}?{sorted(parameters.items())}"
        if asked not in self._answers:
            self._answers[asked] = (
                {"/v1/leads": self._leads, "/v1/log": self._events}[route]()
                if route in ("/v1/leads", "/v1/log")
                else self._figures(route, parameters)["rows"]
            )
        return self._answers[asked]

    def _figures(self, route: str, parameters: dict[str, str]) -> dict[str, Any]:
        answer = self._http.get(f"{self._projections.url}{route}", params=parameters)
        assert answer.status_code == 200, f"{route} {parameters}: {answer.text}"
        return dict(answer.json())

    def _leads(self) -> list[Row]:
        leads: list[Row] = []
        parameters = {"limit": "500"}
        while True:
            answer = self._http.get(f"{self._lifecycle.url}/v1/leads", params=parameters)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            leads += page["leads"]
            if page["next_cursor"] is None:
                return leads
            parameters["cursor"] = page["next_cursor"]

    def _events(self) -> list[Row]:
        return [event for partition in PARTITIONS for event in self._partition(partition)]

    def _partition(self, partition: int) -> list[Row]:
        events: list[Row] = []
        while True:
            after = {"after": str(events[-1]["position"]), "id": events[-1]["id"]} if events else {"after": "0"}
            feed = self._http.get(f"{self._lifecycle.url}/v1/log/{partition}", params={**after, "limit": "1000"})
            assert feed.status_code == 200, feed.text
            page = [msgspec.json.decode(line) for line in feed.content.splitlines()]
            if not page:
                return events
            events += page

    def _head(self, partition: int) -> int:
        feed = self._http.get(f"{self._lifecycle.url}/v1/log/{partition}", params={"limit": "1"})
        return int(feed.headers["log-head"])


def _mapping(asked: Import) -> Mapping:
    """The shipped mapping, with the names and data that a company adds of its own."""
    text = (SHIPPED / f"{asked.mapping}.yaml").read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    for value, names in asked.also.items():
        document["values"][value]["alias"].update(names)
    for event in document["events"]:
        event["data"].update(asked.put.get(event["type"], {}))
    return Mapping(yaml.safe_dump(document) if asked.also or asked.put else text, f"{asked.mapping}.yaml")


def test_the_answers_equal_the_truth_of_every_set(data: Path, processes: Processes) -> None:
    sets, maps = Sets(processes), [TruthMap(name) for name in SETS]
    for each in maps:
        for asked in each.imports:
            begun = time.monotonic()
            tally = sets.import_file(data / each.name, asked)
            print(f"{each.name}: {asked.file} by {asked.mapping}: {tally.summary(time.monotonic() - begun)}")
    begun = time.monotonic()
    sets.wait_for_the_figures()
    print(f"the read models have read it all {time.monotonic() - begun:.1f} s later")
    wrong: list[str] = []
    for each in maps:
        truth = json.loads((data / each.name / "truth.json").read_text(encoding="utf-8"))
        counts, begun = Counter[bool](), time.monotonic()
        for checked in each.check(truth, sets.ask):
            counts[checked.covered] += 1
            if checked.covered and not equal(checked.found, checked.wanted):
                wrong.append(f"{each.name} {'::'.join(checked.key)}: {checked.found}, it should be {checked.wanted}")
        print(
            f"{each.name}: {counts[True]} figures covered, {counts[False]} not covered ({time.monotonic() - begun:.1f} s)"
        )
    assert not wrong, "\n".join(wrong)
