"""A later export of the same system, imported by the same mapping: only what changed since is new."""

import csv
import re
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from services.cli.importer import SHIPPED
from tests.support.processes import Processes, ServiceProcess

EXPORTS = Path(__file__).parents[1] / "data" / "exports"
A_WEEK_ON = EXPORTS / "a_week_on"


@pytest.fixture
def lifecycle(processes: Processes) -> ServiceProcess:
    processes.salescycle("migrate")
    return processes.lifecycle()


class Log:
    """What the log holds, and what came since it was last asked."""

    def __init__(self, lifecycle: ServiceProcess, processes: Processes) -> None:
        self._lifecycle, self._headers = lifecycle, processes.headers
        self._seen: set[tuple[str, str]] = set()

    def news(self) -> list[tuple[str, str, dict[str, Any]]]:
        """(subject, type, data) by subject, in the order of the log."""
        news = []
        for partition in range(12):
            feed = httpx.get(
                f"{self._lifecycle.url}/v1/log/{partition}",
                headers=self._headers,
                params={"after": 0, "limit": 1000},
                timeout=30,
            )
            for line in feed.content.splitlines():
                event = msgspec.json.decode(line)
                if (event["source"], event["id"]) not in self._seen:
                    self._seen.add((event["source"], event["id"]))
                    news.append((event["subject"], event["type"], event["data"]))
        return sorted(news, key=lambda each: each[0])

    def lead(self, id: str) -> dict[str, Any]:
        answer = httpx.get(f"{self._lifecycle.url}/v1/leads/{id}", headers=self._headers, timeout=30)
        return dict(answer.json())


def imported(processes: Processes, file: Path, mapping: str, *options: str) -> tuple[int, int, str]:
    """(new, known, all that was said)"""
    done = processes.salescycle("import", str(file), "--mapping", mapping, *options, check=False)
    said = re.search(r"rows: ([0-9,]+) new, ([0-9,]+) known", done.stdout)
    assert said, done.stdout + done.stderr
    return int(said[1]), int(said[2]), done.stdout


def test_a_week_on_only_what_changed_is_new(processes: Processes, lifecycle: ServiceProcess) -> None:
    log = Log(lifecycle, processes)
    name = "salesforce-opportunities"
    assert imported(processes, EXPORTS / f"{name}.csv", name)[:2] == (20, 0)
    log.news()
    assert imported(processes, EXPORTS / f"{name}.csv", name)[:2] == (0, 20)
    new, known, said = imported(processes, A_WEEK_ON / f"{name}.csv", name)
    usd = {"currency": "USD"}
    assert log.news() == [
        # moved on, and to another owner; account, amount and close date are told again, at another time: no news
        ("lead/006A", "LeadAssigned", {"owner": "005B"}),
        ("lead/006A", "StageEntered", {"stage": "negotiation"}),
        # the amount was filled in after the win
        ("lead/006B", "Won", {"value": {"amount": "9900.00", **usd}, "account_id": "001Y"}),
        # 006C is as it was; of 006D something else was changed, which the mapping does not read
        (
            "lead/006E",
            "LeadCaptured",
            {
                "source_channel": "web",
                "pipeline": "salesforce",
                "account_id": "001Z",
                "owner": "005A",
                "value": {"amount": "700.00", **usd},
            },
        ),
        ("lead/006E", "LeadAssigned", {"owner": "005A"}),
        ("lead/006E", "AccountChanged", {"account_id": "001Z"}),
        ("lead/006E", "ValueChanged", {"value": {"amount": "700.00", **usd}}),
        ("lead/006E", "ExpectedCloseChanged", {"expected_close": "2026-05-31"}),
        ("lead/006E", "StageEntered", {"stage": "prospecting"}),
    ]
    assert (new, known) == (9, 17)
    # the captures of 006A and 006B name the owner and the value of today: those of the first telling stand
    assert "2 of them told otherwise now" in said
    assert "0 rows refused" in said
    lead = log.lead("006A")
    assert (lead["stage"], lead["owner"], lead["value"]["amount"]) == ("negotiation", "005B", "12000.00")
    assert log.lead("006B")["close_value"]["amount"] == "9900.00"
    assert imported(processes, A_WEEK_ON / f"{name}.csv", name)[:2] == (0, 26)

    name = "crm-opportunities"
    assert imported(processes, EXPORTS / f"{name}.csv", name)[:2] == (6, 0)
    log.news()
    new, known, said = imported(processes, A_WEEK_ON / f"{name}.csv", name)
    assert [(subject, type_name) for subject, type_name, _ in log.news()] == [
        ("lead/C2", "Lost"),
        ("lead/C3", "StageEntered"),
        ("lead/C4", "LeadCaptured"),
    ]
    assert (new, known) == (3, 6)
    assert "0 rows refused" in said


def test_a_fact_told_otherwise_is_refused_where_the_mapping_does_not_say_that_it_may_change(
    processes: Processes, lifecycle: ServiceProcess, tmp_path: Path
) -> None:
    mapping = tmp_path / "won.yaml"
    mapping.write_text(
        'mapping: 1\nsource: /tests/won\nkey: "{id}"\nsubject: lead/{id}\nevents:\n- type: Won\n'
        '  time: {day: "{on}"}\n  data: {value: {money: "{amount}", currency: EUR}}\n'
    )
    monday, tuesday = tmp_path / "monday.csv", tmp_path / "tuesday.csv"
    monday.write_text("id,on,amount\nW1,2026-01-05,10\n")
    tuesday.write_text("id,on,amount\nW1,2026-01-05,11\n")
    imported(processes, monday, str(mapping))
    new, _, said = imported(processes, tuesday, str(mapping))
    assert new == 0
    assert "1 rows refused" in said
    assert "refused: line 2: idempotency-mismatch:" in said
    assert "`changes` in the mapping says what of it may change" in said


def test_a_series_of_which_the_service_refuses_a_row_is_mended_as_a_whole(
    processes: Processes, lifecycle: ServiceProcess, tmp_path: Path
) -> None:
    name, refused = "salesforce-opportunity-history", tmp_path / "refused.csv"
    wrong = tmp_path / "wrong.yaml"
    text = (SHIPPED / f"{name}.yaml").read_text(encoding="utf-8")
    wrong.write_text(text.replace("Negotiation/Review: negotiation", "Negotiation/Review: haggling"), encoding="utf-8")
    new, known, said = imported(processes, EXPORTS / f"{name}.csv", str(wrong), "--refused", str(refused))
    assert (new, known) == (14, 0)
    assert "6 rows refused" in said
    with refused.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert {row["id"] for row in rows} == {"006H"}, "the other deal is stored"
    assert [row["refused_because"].startswith("/data/stage: ") for row in rows].count(True) == 1
    assert rows[0]["refused_because"] == "row: belongs to the series of line 4, which is refused"
    assert imported(processes, refused, name)[:2] == (1, 11)
    assert Log(lifecycle, processes).lead("006H")["outcome"] == "won"
