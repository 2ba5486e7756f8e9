"""The two example programs as people run them: as processes, killed at any instant, and right in the end."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from services.cli.embedded import EmbeddedPostgres
from services.client.examples.billing import SOURCE, Ledger
from tests.support.processes import ROOT, wait_until
from tests.support.started import Started, started

pytestmark = pytest.mark.timeout(150)

LEADS = 240


@pytest.fixture(scope="module")
def system(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    with started(tmp_path_factory.mktemp("system"), postgres) as running:
        yield running


class Program:
    """One of the examples, started in a folder of its own."""

    def __init__(self, name: str, folder: Path, system: Started, *arguments: str) -> None:
        self._command = [sys.executable, "-m", f"services.client.examples.{name}", "--url", system.url, *arguments]
        self._environment = {**system.processes.environment, "PYTHONPATH": str(ROOT)}
        self._folder = folder
        self.screen = folder / f"{name}.out"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.screen.open("ab") as screen:
            self.process = subprocess.Popen(
                self._command, cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=screen,
                stderr=subprocess.STDOUT,
            )  # fmt: skip

    def kill9(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def ended(self, within_s: float = 60) -> int:
        assert self.process is not None
        return self.process.wait(within_s)

    def run(self) -> int:
        self.start()
        return self.ended()


Programs = Callable[..., Program]


@pytest.fixture
def program(system: Started, tmp_path: Path) -> Iterator[Programs]:
    """Makes programs of one folder; what still runs in the end is killed."""
    made: list[Program] = []

    def make(name: str, *arguments: str) -> Program:
        made.append(Program(name, tmp_path, system, *arguments))
        return made[-1]

    yield make
    for each in made:
        each.kill9()


def said(type_name: str, subject: str, day: int, data: dict[str, Any], kind: str = "") -> dict[str, Any]:
    return {
        "specversion": "1.0", "id": f"{subject}:{type_name}:{day}{kind}", "source": "/tests", "type": type_name,
        "subject": subject, "time": f"2026-01-{day:02}T10:00:00Z", "data": data,
    }  # fmt: skip


EMAILS = {"purpose": "newsletter", "channel": "email"}


def beginning(number: int) -> list[dict[str, Any]]:
    """A lead whose person agreed to letters, except every fourth one, who took it back before anyone could write."""
    lead, person = f"lead/M-{number}", f"person/P-{number}"
    events = [
        said("ConsentGranted", person, 1, EMAILS),
        said("LeadCaptured", lead, 2, {"source_channel": "web", "person_id": f"P-{number}"}),
    ]
    if number % 4 == 0:
        events.append(said("ConsentWithdrawn", person, 3, {"purpose": "any", "channel": "any"}))
    return events


def following(number: int) -> list[dict[str, Any]]:
    """Half are qualified; every third takes the consent back on the lead itself; a few win, or are corrected or retracted."""
    lead = f"lead/M-{number}"
    events = [said("Qualified", lead, 10, {})] if number % 2 == 0 else [said("BantAssessed", lead, 10, {
        "budget": "yes", "authority": "no", "need": "yes", "timeline": "unknown"})]  # fmt: skip
    if number % 3 == 0:
        events.append(said("ConsentWithdrawn", lead, 11, EMAILS))
    if number % 10 == 0:
        events.append(said("Won", lead, 12, {"value": {"amount": "10.00", "currency": "EUR"}}))
    if number % 20 == 0:
        about = {"source": "/tests", "id": f"{lead}:Won:12"}
        events.append(said("EventRetracted", lead, 13, {"corrects": about}))
    return events


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """What the query gives; nothing while the program has not made its tables yet."""
    with closing(sqlite3.connect(path, timeout=10)) as database:
        try:
            return database.execute(query).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return []


def leads_as_the_service_has_them(system: Started) -> list[tuple[Any, ...]]:
    found: list[dict[str, Any]] = []
    parameters = {"limit": "500"}
    with system.http() as http:
        while True:
            page = http.get("/v1/leads", params=parameters).json()
            found += page["leads"]
            if page["next_cursor"] is None:
                break
            parameters["cursor"] = page["next_cursor"]
    return sorted(
        (lead["id"], lead["version"], lead.get("phase"), lead.get("stage"), lead["outcome"], lead.get("person_id"))
        for lead in found
    )


def test_the_marketing_platform_mirrors_the_log_through_kill_9_and_writes_to_nobody_who_took_it_back(
    system: Started, program: Programs, tmp_path: Path
) -> None:
    mirror = tmp_path / "mirror.sqlite"
    by_feed = program("marketing", "--database", str(mirror))
    kafka = ["--kafka", system.broker.bootstrap, "--topic", system.topic]
    by_kafka = program("marketing", "--database", str(mirror), *kafka)

    leads = "SELECT id, version, phase, stage, outcome, person FROM lead ORDER BY id"

    def as_in_the_service() -> bool:
        return rows(mirror, leads) == leads_as_the_service_has_them(system)

    system.post([event for n in range(LEADS) for event in beginning(n)])
    by_feed.start()
    wait_until(lambda: bool(rows(mirror, leads)), 30, every_s=0.002, what="the first leads")
    by_feed.kill9()
    by_kafka.start()
    time.sleep(0.7)
    by_kafka.kill9()
    by_feed.start()
    wait_until(as_in_the_service, 30, what="the mirror")
    first = [event for n in range(LEADS // 2) for event in following(n)]
    system.post([event for event in first if event["type"] != "Qualified"])
    wait_until(as_in_the_service, 30, what="the mirror")  # an opt-out that has not arrived binds nobody
    system.post([event for event in first if event["type"] == "Qualified"])
    time.sleep(0.2)
    by_feed.kill9()
    system.post([event for n in range(LEADS // 2, LEADS) for event in following(n)])
    by_kafka.start()
    wait_until(as_in_the_service, 30, what="the mirror")
    log = system.log()
    mirrored = set(rows(mirror, "SELECT stream, version FROM fact"))
    assert mirrored == {(event["subject"], event["version"]) for inside in log.values() for event in inside}

    withdrawn = {f"P-{n}" for n in range(LEADS) if n % 4 == 0 or n % 3 == 0}
    agreed = {f"P-{n}" for n in range(LEADS) if n % 2 == 0 and (n % 10 != 0 or n % 20 == 0)} - withdrawn
    standing = rows(mirror, "SELECT stream FROM consent WHERE granted = 0 AND stream LIKE 'person/%'")
    assert {stream for (stream,) in standing} == {f"person/{person}" for person in withdrawn}
    letters = "SELECT person FROM letter"
    wait_until(lambda: {person for (person,) in rows(mirror, letters)} >= agreed, 10, what="the letters")
    time.sleep(1.2)
    written = [person for (person,) in rows(mirror, letters)]
    assert len(written) == len(set(written)), "nobody is written to twice"
    assert set(written) == agreed
    by_kafka.kill9()
    assert rows(mirror, "SELECT sum(position) FROM checkpoint") == [(sum(map(len, log.values())),)]


def posted_by_billing(system: Started) -> list[dict[str, Any]]:
    return [event for inside in system.log().values() for event in inside if event["source"] == SOURCE]


def test_the_billing_system_posts_each_entry_once_whoever_is_killed(
    system: Started, program: Programs, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.sqlite"
    billing = program("billing", "--ledger", str(path), "--demo", "1500")
    with closing(Ledger(path).database) as database, database:
        database.execute(
            "INSERT INTO entry (reference, kind, lead, contract, amount, currency, at) "
            "VALUES ('slip', 'payment', 'B-1', 'C-1', '12.345', 'EUR', '2026-01-05T10:00:00+01:00')"
        )

    def answered() -> int:
        return int(rows(path, "SELECT count(*) FROM entry WHERE position IS NOT NULL")[0][0])

    for least in (1, 1_000, 2_400):
        billing.start()
        wait_until(lambda least=least: answered() >= least, 30, every_s=0.01, what="the first answers")  # type: ignore[misc]
        if least == 1_000:
            system.lifecycle.kill9()
            system.lifecycle.start()
        billing.kill9()
    before = answered()
    code = billing.run()
    assert code == 1, billing.screen.read_text()
    assert "slip was refused: validation: /data/amount/amount has more decimals" in billing.screen.read_text()
    entries = rows(path, "SELECT reference, partition, position FROM entry WHERE reference <> 'slip'")
    assert 2_400 <= before < len(entries), "it was killed in the middle"
    stored = posted_by_billing(system)
    assert len(stored) == len(entries)
    assert {(event["id"], event["partition"], event["position"]) for event in stored} == set(entries)

    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE entry SET amount = '12.34', problem = NULL WHERE reference = 'slip'")
    assert billing.run() == 0
    assert billing.run() == 0, "and again"
    assert len(posted_by_billing(system)) == len(entries) + 1


@pytest.mark.parametrize("name", ["marketing", "billing"])
def test_each_says_how_it_is_used_and_what_is_missing(system: Started, tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-m", f"services.client.examples.{name}"]
    environment = {**system.processes.environment, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "--help"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert "--url" in done.stdout
    environment.pop("SALESCYCLE_KEY")
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "No key: set SALESCYCLE_KEY, or start the system with `make up`" in done.stderr
