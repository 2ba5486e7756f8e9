"""The programs of docs/subscribe.md are true: they are run as they stand, killed, started again, and give what the log holds."""

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from services.cli.embedded import EmbeddedPostgres
from tests.support.processes import ROOT, wait_until
from tests.support.started import Started, started

pytestmark = pytest.mark.timeout(120)

PROGRAMS = dict(
    re.findall(r"^```python (\S+)\n(.*?)^```", (ROOT / "docs/subscribe.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
)  # fmt: skip


@pytest.fixture(scope="module")
def system(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    with started(tmp_path_factory.mktemp("system"), postgres) as running:
        yield running


@pytest.fixture
def environment(system: Started) -> dict[str, str]:
    kafka = {"KAFKA": system.broker.bootstrap, "TOPIC": system.topic}
    return {**os.environ, "PYTHONPATH": str(ROOT), "LIFECYCLE": system.url, "KEY": system.key, **kafka}


def wins(first: int, last: int) -> list[dict[str, Any]]:
    return [
        {
            "specversion": "1.0", "id": f"w-{n}", "source": "/tests", "type": "Won", "subject": f"lead/W-{n}",
            "time": "2026-01-05T10:00:00Z", "data": {"value": {"amount": f"{n}.00", "currency": "EUR"}},
        }
        for n in range(first, last)
    ]  # fmt: skip


def held(path: Path) -> set[tuple[str, str, str]]:
    if not path.exists():
        return set()
    with closing(sqlite3.connect(path, timeout=10)) as database:
        there = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'won'").fetchone()
        return set(database.execute("SELECT lead, event, amount FROM won")) if there else set()


def in_the_log(system: Started) -> set[tuple[str, str, str]]:
    return {
        (event["subject"], f"{event['source']} {event['id']}", event["data"]["value"]["amount"])
        for inside in system.log().values()
        for event in inside
        if event["type"] == "Won"
    }


def test_every_program_of_the_page_is_one_of_these() -> None:
    assert set(PROGRAMS) == {"follow_without_the_kit.py", "follow_with_the_kit.py", "post.py"}


def test_the_posting_program_posts_once(system: Started, environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "post.py"
    path.write_text(PROGRAMS["post.py"], encoding="utf-8")
    said = [
        subprocess.run([sys.executable, str(path)], env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert re.fullmatch(r"stored at \d+ and it implied \('LeadCaptured', 'Qualified'\)\n", said[0])
    assert re.fullmatch(r"known already, at \d+\n", said[1])


@pytest.mark.parametrize(
    ("name", "database", "arguments"),
    [
        ("follow_without_the_kit.py", "plain.sqlite", [[str(n)] for n in (0, 5, 9)]),
        ("follow_with_the_kit.py", "kit.sqlite", [[]]),
    ],
)
def test_the_following_programs_have_what_the_log_holds_through_kill_9(
    system: Started, environment: dict[str, str], tmp_path: Path, name: str, database: str, arguments: list[list[str]]
) -> None:
    path = tmp_path / name
    path.write_text(PROGRAMS[name], encoding="utf-8")
    running: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        running.extend(
            subprocess.Popen([sys.executable, str(path), *each], cwd=tmp_path, env=environment) for each in arguments
        )

    def kill() -> None:
        for process in running:
            process.kill()
            process.wait()
        running.clear()

    followed = {int(each[0]) for each in arguments if each} or set(range(12))

    def expected() -> set[tuple[str, str, str]]:
        there = {event["subject"] for p, inside in system.log().items() if p in followed for event in inside}
        return {row for row in in_the_log(system) if row[0] in there}

    try:
        first = len(in_the_log(system))
        system.post(wins(first, first + 300))
        start()
        wait_until(lambda: bool(held(tmp_path / database)), 30, every_s=0.01, what="the first wins")
        kill()
        system.post(wins(first + 300, first + 500))
        start()
        wait_until(lambda: held(tmp_path / database) == expected(), 40, every_s=0.2, what="all wins")
        system.post(wins(first + 500, first + 600))
        wait_until(lambda: held(tmp_path / database) == expected(), 40, every_s=0.2, what="the wins that came live")
    finally:
        kill()
