"""`salescycle simulate --post`: a company through the real door, and the board as the simulator planned it."""

import json
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from tests.support.processes import Processes, ServiceProcess, wait_until

LEADS = 300


class Board:
    """Leads and their worth by (stage, outcome); the read model does not part pipelines."""

    def __init__(self) -> None:
        self.leads: Counter[tuple[str, str]] = Counter()
        self.worth: defaultdict[tuple[str, str, str], Decimal] = defaultdict(Decimal)

    def add(self, row: dict[str, Any], value: dict[str, str]) -> None:
        self.leads[row["stage"], row["outcome"]] += row["n"]
        for currency, amount in value.items():
            self.worth[row["stage"], row["outcome"], currency] += Decimal(amount)


def caught_up(lifecycle: ServiceProcess, projections: ServiceProcess, headers: dict[str, str]) -> bool:
    """Whether the read model has applied all that the log holds."""
    positions = httpx.get(f"{projections.url}/v1/pipeline", headers=headers, timeout=10).json()["positions"]
    heads = {
        str(partition): int(
            httpx.get(f"{lifecycle.url}/v1/log/{partition}?after=0&limit=1", headers=headers, timeout=10).headers[
                "log-head"
            ]
        )
        for partition in range(12)
    }
    return {str(partition): position for partition, position in positions.items() if position} == {
        partition: head for partition, head in heads.items() if head
    }


def test_the_board_of_a_posted_company_is_the_one_that_was_planned(processes: Processes, tmp_path: Path) -> None:
    processes.salescycle("migrate")
    lifecycle, projections = processes.lifecycle(), processes.projections()
    command = ["simulate", "--leads", str(LEADS), "--seed", "9", "--post", lifecycle.url, "--out", str(tmp_path)]
    said = processes.salescycle(*command).stdout
    truth: dict[str, Any] = json.loads((tmp_path / "truth.json").read_text())
    events = truth["events"]
    assert f"{events['events']:,} events stored, {events['duplicates']:,} known already, 0 refused" in said
    wait_until(lambda: caught_up(lifecycle, projections, processes.headers), 60, what="the read model has caught up")
    for month, as_of in (("2023-09", "2023-10-01T00:00:00Z"), ("2024-12", truth["company"]["end"])):
        answer = httpx.get(
            f"{projections.url}/v1/pipeline", params={"as_of": as_of}, headers=processes.headers, timeout=10
        )
        assert answer.status_code == 200, answer.text
        shown, planned = Board(), Board()
        for row in answer.json()["rows"]:
            shown.add(row, {worth["currency"]: worth["amount"] for worth in row["value"]})
        for cell in truth["board_at_month_end"][month]:
            planned.add(cell, cell["value"])
        assert shown.leads == planned.leads, month
        assert shown.worth == planned.worth, month
    again = processes.salescycle(*command).stdout
    assert f"0 events stored, {events['lines']:,} known already, 0 refused" in again
    verified = processes.salescycle("verify").stdout
    assert "No difference" in verified


def test_a_company_of_the_future_is_not_posted(processes: Processes) -> None:
    refused = processes.salescycle(
        "simulate", "--leads", "5", "--start", "2090-01-01", "--post", "http://127.0.0.1:9", check=False
    )
    assert refused.returncode == 1
    assert "choose an earlier --start" in refused.stderr


def test_it_asks_where_to(processes: Processes) -> None:
    refused = processes.salescycle("simulate", "--leads", "5", check=False)
    assert refused.returncode == 1
    assert "--out DIR" in refused.stderr
