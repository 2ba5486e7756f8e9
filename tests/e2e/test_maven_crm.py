"""A real data set, 8,800 opportunities, imported by a shipped mapping: the pipeline equals figures worked out by others.

`SALESCYCLE_DATA` names the folder that holds `maven_crm`; its truth.json was made with pandas from the same files.
"""

import csv
import json
import os
import random
import re
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from services.cli.importing.names import id_of
from tests.support.processes import Processes, ServiceProcess, wait_until

MAPPING = "crm-opportunities"
LAST_DAY = "2017-12-31"
PARTITIONS = range(12)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


class Group(NamedTuple):
    """`n` leads worth `value` US dollars."""

    n: int
    value: Decimal


NOTHING = Group(0, Decimal(0))


@pytest.fixture
def data() -> Path:
    folder = os.environ.get("SALESCYCLE_DATA")
    if not folder or not (Path(folder) / "maven_crm" / "truth.json").exists():
        pytest.skip("SALESCYCLE_DATA does not name a folder with maven_crm in it, so the real data set was NOT tried")
    return Path(folder) / "maven_crm"


@pytest.fixture
def truth(data: Path) -> dict[str, Any]:
    return dict(json.loads((data / "truth.json").read_text(encoding="utf-8")))


class Store:
    """An empty store with its services, an import at a time, and what its pipeline answers."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        processes.salescycle("migrate")
        self.lifecycle: ServiceProcess = processes.lifecycle()
        self.projections: ServiceProcess = processes.projections()

    def import_file(self, file: Path) -> tuple[int, int]:
        """(new, known) as the command says it; returns when the pipeline has applied all of it."""
        done = self.processes.salescycle("import", str(file), "--mapping", MAPPING, timeout_s=200)
        said = re.search(r"8,800 rows: ([0-9,]+) new, ([0-9,]+) known; 0 rows refused", done.stdout)
        assert said, done.stdout
        print(done.stdout)
        heads = {str(partition): self._head(partition) for partition in PARTITIONS}
        wait_until(
            lambda: self._answer()["positions"] == heads, 120, every_s=0.2, what="the pipeline at the log's heads"
        )
        return int(said[1].replace(",", "")), int(said[2].replace(",", ""))

    def groups(self, key: Callable[[dict[str, Any]], Any], **parameters: str) -> dict[Any, Group]:
        """The rows of the answer, added up by `key`."""
        groups: dict[Any, Group] = {}
        for row in self._answer(**parameters)["rows"]:
            assert row["value_unknown_n"] == 0
            assert {money["currency"] for money in row["value"]} == {"USD"}
            before = groups.get(key(row), NOTHING)
            groups[key(row)] = Group(before.n + row["n"], before.value + Decimal(row["value"][0]["amount"]))
        return groups

    def _answer(self, **parameters: str) -> dict[str, Any]:
        answer = httpx.get(
            f"{self.projections.url}/v1/pipeline", headers=self.processes.headers, timeout=30,
            params={"as_of": LAST_DAY, "zone": "UTC", **parameters},
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def _head(self, partition: int) -> int:
        feed = httpx.get(
            f"{self.lifecycle.url}/v1/log/{partition}", headers=self.processes.headers, params={"limit": "1"}
        )
        return int(feed.headers["log-head"])


@pytest.fixture
def store(processes: Processes) -> Store:
    return Store(processes)


def test_the_pipeline_equals_the_truth_also_imported_again_and_rebuilt(
    store: Store, data: Path, truth: dict[str, Any], processes: Processes
) -> None:
    events = 8_800 + 8_300 + 4_238 + 2_473
    assert store.import_file(data / "sales_pipeline.csv") == (events, 0)
    _equals_the_truth(store, truth)
    assert store.import_file(data / "sales_pipeline.csv") == (0, events)
    _equals_the_truth(store, truth)
    processes.salescycle("rebuild", "pipeline")
    _equals_the_truth(store, truth)


def test_the_order_of_the_leads_in_the_file_changes_no_figure(
    store: Store, data: Path, truth: dict[str, Any], tmp_path: Path
) -> None:
    for table in ("sales_teams.csv", "products.csv"):
        shutil.copy(data / table, tmp_path / table)
    shuffled = tmp_path / "shuffled.csv"
    with (
        (data / "sales_pipeline.csv").open(encoding="utf-8", newline="") as lines,
        shuffled.open("w", newline="") as out,
    ):
        header, *rows = csv.reader(lines)
        random.Random(31).shuffle(rows)
        csv.writer(out).writerows([header, *rows])
    store.import_file(shuffled)
    _equals_the_truth(store, truth)


def _equals_the_truth(store: Store, truth: dict[str, Any]) -> None:
    by_stage = store.groups(_board)
    assert sum(group.n for group in by_stage.values()) == truth["rows"]
    assert {stage: group.n for stage, group in by_stage.items()} == {
        stage.lower(): n for stage, n in truth["stage_counts"].items()
    }
    for stage, open_value in truth["open_pipeline_list_value"].items():
        assert by_stage[stage.lower()] == Group(open_value["n"], _exact(open_value["value"]))
    for day, figures in truth["as_of_end_of_day"].items():
        _equals_that_day(store.groups(_board, as_of=day), figures)
    _equals_the_agents(store, truth["open_engaging_by_agent"])
    for dimension, key in (("owner", "by_agent"), ("region", "by_region"), ("product", "by_product")):
        _equals_the_groups(store, dimension, truth[key])


def _board(row: dict[str, Any]) -> str:
    """The stage as the CRM names it: open deals by their stage, closed ones by how they ended."""
    return str(row["stage"] if row["outcome"] == "open" else row["outcome"])


def _exact(figure: float) -> Decimal:
    return Decimal(str(figure))


def _equals_that_day(groups: dict[str, Group], figures: dict[str, Any]) -> None:
    assert groups.get("engaging", NOTHING) == Group(
        figures["engaging_open"], _exact(figures["engaging_open_list_value"])
    )
    assert groups.get("won", NOTHING) == Group(figures["won_cum"], _exact(figures["won_value_cum"]))
    assert groups.get("lost", NOTHING).n == figures["lost_cum"]


def _equals_the_agents(store: Store, figures: dict[str, Any]) -> None:
    found = store.groups(lambda row: row["owner"], group_by="owner", stage="engaging", outcome="open")
    assert found == {id_of(agent): Group(open_["n"], _exact(open_["list_value"])) for agent, open_ in figures.items()}


def _equals_the_groups(store: Store, dimension: str, figures: dict[str, Any]) -> None:
    found = store.groups(lambda row: (id_of(row[dimension]), _board(row)), group_by=dimension)
    assert {name for name, _ in found} == {id_of(name) for name in figures}
    for name, expected in figures.items():
        given = id_of(name)
        for stage in ("prospecting", "engaging", "won", "lost"):
            assert found.get((given, stage), NOTHING).n == expected[stage], (name, stage)
        assert found[given, "won"].value == _exact(expected["won_value"])
