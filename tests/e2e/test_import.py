"""`salescycle import` against a running lifecycle: in order, known when repeated, through restarts, refused rows mended."""

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.support.processes import ROOT, Processes, ServiceProcess, wait_until

MAPPING = """
mapping: 1
source: /tests/deals
key: "{deal}:{step}"
subject: lead/{deal}
events:
- type: LeadCaptured
  when: {step: captured}
  time: {instant: "{at}"}
  data: {source_channel: web, owner: {id: "{who}"}}
- type: StageEntered
  when: {step: {not_in: [captured, won]}}
  time: {instant: "{at}"}
  data: {stage: "{step}"}
- type: Won
  when: {step: won}
  time: {instant: "{at}"}
  data: {value: {money: "{amount}", currency: EUR}}
"""
STEPS = ("captured", "qualify", "sales-process", "won")


@pytest.fixture
def lifecycle(processes: Processes) -> ServiceProcess:
    processes.salescycle("migrate")
    return processes.lifecycle()


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    path = tmp_path / "deals.yaml"
    path.write_text(MAPPING, encoding="utf-8")
    return path


def table(leads: int) -> list[dict[str, str]]:
    """Four rows a lead, the leads side by side, each lead in order."""
    return [
        {"deal": f"D-{lead}", "step": step, "at": f"2026-01-{day:02}T10:00:00Z", "who": "Ana B", "amount": "12.5"}
        for day, step in enumerate(STEPS, 5)
        for lead in range(leads)
    ]


def written(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def stories(lifecycle: ServiceProcess, processes: Processes) -> dict[str, list[str]]:
    """Types by lead, in the order in which the log holds them."""
    told: dict[str, list[str]] = {}
    for partition in range(12):
        after, last = 0, ""
        while lines := httpx.get(
            f"{lifecycle.url}/v1/log/{partition}", headers=processes.headers, timeout=30,
            params={"after": after, "limit": 500, **({"id": last} if last else {})},
        ).content.splitlines():  # fmt: skip
            for line in lines:
                event = msgspec.json.decode(line)
                told.setdefault(event["subject"], []).append(event["type"])
                after, last = event["position"], event["id"]
    return told


def head_of_one_partition(lifecycle: ServiceProcess, processes: Processes) -> int:
    feed = httpx.get(f"{lifecycle.url}/v1/log/0", headers=processes.headers, params={"limit": "1"}, timeout=30)
    return int(feed.headers["log-head"])


def test_each_lead_arrives_in_the_order_of_the_file_and_a_repetition_stores_nothing(
    processes: Processes, lifecycle: ServiceProcess, mapping: Path, tmp_path: Path
) -> None:
    plain = written(tmp_path / "deals.csv", table(700))
    done = processes.salescycle("import", str(plain), "--mapping", str(mapping))
    assert "2,800 rows: 2,800 new, 0 known; 0 rows refused" in done.stdout
    told = stories(lifecycle, processes)
    assert len(told) == 700
    assert set(map(tuple, told.values())) == {("LeadCaptured", "StageEntered", "StageEntered", "Won")}
    zipped = tmp_path / "again.ndjson.gz"
    zipped.write_bytes(gzip.compress(b"\n".join(msgspec.json.encode(row) for row in table(700))))
    done = processes.salescycle("import", str(zipped), "--mapping", str(mapping))
    assert "2,800 rows: 0 new, 2,800 known; 0 rows refused" in done.stdout
    assert stories(lifecycle, processes) == told


def test_refused_rows_are_listed_and_can_be_mended_and_imported_again(
    processes: Processes, lifecycle: ServiceProcess, mapping: Path, tmp_path: Path
) -> None:
    rows = table(5)
    rows[7]["at"] = "soon"  # the mapping finds it
    rows[11]["step"] = "heaven"  # only the service knows the stages
    refused = tmp_path / "refused.csv"
    done = processes.salescycle(
        "import",
        str(written(tmp_path / "deals.csv", rows)),
        "--mapping",
        str(mapping),
        "--refused",
        str(refused),
        check=False,
    )
    assert done.returncode == 1
    assert "20 rows: 18 new, 0 known; 2 rows refused" in done.stdout
    assert 'refused: line 9: /time: "soon" is no date or time' in done.stdout
    assert "refused: line 13: /data/stage:" in done.stdout
    with refused.open(encoding="utf-8", newline="") as lines:
        found = list(csv.DictReader(lines))
    assert [row["refused_line"] for row in found] == ["9", "13"]
    mended = [{**found[0], "at": "2026-01-06T10:00:00Z"}, {**found[1], "step": "sales-process"}]
    done = processes.salescycle(
        "import", str(written(refused, mended)), "--mapping", str(mapping), "--refused", str(tmp_path / "r")
    )
    assert "2 rows: 2 new, 0 known; 0 rows refused" in done.stdout
    assert not (tmp_path / "r").exists()


def test_an_import_goes_on_through_the_crash_of_the_service(
    processes: Processes, lifecycle: ServiceProcess, mapping: Path, tmp_path: Path
) -> None:
    file = written(tmp_path / "deals.csv", table(5_000))
    running = begun(processes, str(file), "--mapping", str(mapping))
    wait_until(lambda: head_of_one_partition(lifecycle, processes) > 50, 30, 0.01, what="the first events")
    lifecycle.kill9()
    assert running.poll() is None, "it was over before the crash"
    lifecycle.start()
    out, _ = running.communicate(timeout=90)
    assert running.returncode == 0, out
    assert "20,000 rows" in out
    told = stories(lifecycle, processes)
    assert set(map(tuple, told.values())) == {("LeadCaptured", "StageEntered", "StageEntered", "Won")}
    assert len(told) == 5_000


def test_an_interrupted_import_says_how_to_go_on_and_does(
    processes: Processes, lifecycle: ServiceProcess, mapping: Path, tmp_path: Path
) -> None:
    file = written(tmp_path / "deals.csv", table(20_000))
    running = begun(processes, str(file), "--mapping", str(mapping))
    wait_until(lambda: head_of_one_partition(lifecycle, processes) > 50, 30, 0.01, what="the first events")
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate(timeout=30)
    assert running.returncode == 130, out
    assert "The same command goes on" in out
    before = sum(map(len, stories(lifecycle, processes).values()))
    assert 0 < before < 80_000
    done = processes.salescycle("import", str(file), "--mapping", str(mapping))
    assert f"80,000 rows: {80_000 - before:,} new, {before:,} known; 0 rows refused" in done.stdout


def test_an_event_that_is_too_large_is_refused_alone(
    processes: Processes, lifecycle: ServiceProcess, tmp_path: Path
) -> None:
    mapping = tmp_path / "large.yaml"
    mapping.write_text(
        'mapping: 1\nsource: /t\nkey: "{id}"\nsubject: lead/{id}\n'
        "events: [{type: LeadCaptured, time: {day: '2026-01-05'}, data: {source_channel: web, utm: {raw: '{utm}'}}}]\n"
    )
    big = {str(n): "x" * 400 for n in range(18)}
    rows = [{"id": f"B-{n}", "utm": big} for n in range(1_000)]
    file = tmp_path / "large.ndjson"
    file.write_text("\n".join(map(json.dumps, rows)))
    done = processes.salescycle("import", str(file), "--mapping", str(mapping))
    assert "1,000 new" in done.stdout, "seven megabytes travel in batches that the door takes"


def begun(processes: Processes, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "services.cli", "import", *arguments],
        cwd=ROOT, env=processes.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


Answer = tuple[int, dict[str, str], Any]


@contextmanager
def door(*answers: Answer) -> Iterator[tuple[str, list[int]]]:
    """A server that gives these answers in turn, the last one for ever; with the number of events of each request.

    The body of an answer is a problem, or the status of each event, or one status for all.
    """
    requests: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            events = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, headers, body = answers[min(len(requests), len(answers) - 1)]
            requests.append(len(events))
            results = [body] * len(events) if isinstance(body, int) else body
            content = json.dumps(
                [{"status": each} for each in results] if isinstance(results, list) else results
            ).encode()
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_said: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def import_to(url: str, file: Path, mapping: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SALESCYCLE_")}
    return subprocess.run(
        [sys.executable, "-m", "services.cli", "import", str(file), "--mapping", str(mapping), "--url", url, *options],
        cwd=ROOT, env={**environment, "SALESCYCLE_KEY": "sc_k_x", "SALESCYCLE_DATA_DIR": str(file.parent)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_an_overloaded_service_is_asked_again_after_the_time_it_names(mapping: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "deals.csv", table(1))
    with door((503, {"retry-after": "2"}, {}), (200, {}, [201, 503, 201, 201]), (200, {}, [200, 201, 200, 200])) as (
        url,
        requests,
    ):
        done = import_to(url, file, mapping)
    assert (done.returncode, requests) == (0, [4, 4, 4])
    assert "4 rows: 1 new, 3 known; 0 rows refused" in done.stdout
    assert float(done.stdout.rpartition("(")[2].partition(" s")[0]) >= 2


def test_patience_ends(mapping: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "deals.csv", table(1))
    with door((503, {"retry-after": "60"}, {})) as (url, _):
        done = import_to(url, file, mapping, "--patience", "1")
    assert done.returncode == 1
    assert (
        "answers 503, tried for 1 s. 0 events are stored; when it answers again, the same command goes on"
        in done.stderr
    )


def test_a_batch_that_breaks_a_limit_is_halved_until_the_culprit_stands_alone(mapping: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "deals.csv", table(1))
    too_large: Answer = (413, {}, {"code": "body-too-large", "detail": "The body is too large."})
    with door(too_large, (200, {}, [201, 201]), too_large, (200, {}, [201]), too_large) as (url, requests):
        done = import_to(url, file, mapping)
    assert requests == [4, 2, 2, 1, 1]
    assert "4 rows: 3 new, 0 known; 1 rows refused" in done.stdout
    assert "refused: line 5: body-too-large: The body is too large." in done.stdout


def test_a_key_that_is_refused_ends_the_import_at_once(mapping: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "deals.csv", table(1))
    with door((403, {}, {"detail": "The key lacks the scope."})) as (url, requests):
        done = import_to(url, file, mapping)
    assert (done.returncode, len(requests)) == (1, 1)
    assert "refuses our key (403): The key lacks the scope. It needs the scope events:write" in done.stderr


def test_a_name_collision_stops_the_import_and_the_dry_run_finds_all_of_them(mapping: Path, tmp_path: Path) -> None:
    rows = table(4)
    rows[2]["who"] = rows[3]["who"] = "Ana-B"
    file = written(tmp_path / "deals.csv", rows)
    with door((200, {}, 201)) as (url, requests):
        done = import_to(url, file, mapping)
    assert (done.returncode, sum(requests)) == (1, 2), "what came before it was sent"
    assert 'line 4: "Ana-B" and "Ana B" would both get the id Ana-B in owner' in done.stderr
    rehearsed = import_to("http://127.0.0.1:9", file, mapping, "--dry-run")
    assert rehearsed.returncode == 1
    assert "2 rows refused" in rehearsed.stdout
    assert "refused: line 5:" in rehearsed.stdout
    assert "4  LeadCaptured" not in rehearsed.stdout
