"""What the simulator promises of its lines: the same bytes everywhere, events that the door takes, in order, in little memory."""

import hashlib
import json
import subprocess
import sys
import tracemalloc
from collections import Counter
from datetime import UTC, date, datetime
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from schemas.codec import parse_event
from schemas.events import EVENTS
from schemas.fact import business_at
from services.cli.simulation import Options, Simulation, in_order
from services.cli.simulation.chance import Chance
from services.cli.simulation.company import DEFAULT_NAME, SHORT, SIX_PHASE
from services.cli.simulation.days import Period
from services.cli.simulation.options import BadOptions
from services.lifecycle.pipelines import load_pipelines

ROOT = Path(__file__).parents[3]
GOLDEN = "389fe6b2e1827b1ebdf810e5c852c4fcc9e8ba555e4a7cc543068b05a15dd6a6"
GOLDEN_TRUTH = "3491061181e8f0a4fd8edd51703c69be1456c9e0f67ad24a23a12bbf64fc0493"
DERIVED = {"LeadAbsorbed", "ContractSuperseded"}
"""What lifecycle appends by itself, and no caller sends."""


def told(options: Options) -> tuple[list[bytes], dict[str, Any]]:
    simulation = Simulation(options)
    lines = list(in_order(simulation.batches(), BytesIO))
    return lines, simulation.truth()


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return told(Options(1_600, 12))[0]


def test_a_seed_gives_the_bytes_it_always_gave() -> None:
    """Where this fails on purpose, say in the changelog that simulated companies are other ones from now on."""
    lines, truth = told(Options(200, 42))
    assert hashlib.sha256(b"".join(lines)).hexdigest() == GOLDEN
    assert hashlib.sha256(json.dumps(truth).encode()).hexdigest() == GOLDEN_TRUTH


def test_another_process_with_another_hash_seed_and_zone_gives_the_same_bytes(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "services.cli",
        "simulate",
        "--leads",
        "150",
        "--seed",
        "3",
        "--months",
        "9",
        "--out",
    ]
    digests = set()
    for number, environment in enumerate(
        ({"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"}, {"PYTHONHASHSEED": "2", "TZ": "UTC"})
    ):
        out = tmp_path / str(number)
        subprocess.run([*command, str(out)], cwd=ROOT, env={"PATH": "", **environment}, check=True, capture_output=True)
        assert sorted(path.name for path in out.iterdir()) == ["events.ndjson", "truth.json"]
        digests.add(
            b"".join(hashlib.sha256((out / name).read_bytes()).digest() for name in ("events.ndjson", "truth.json"))
        )
    assert len(digests) == 1


def test_how_it_is_sorted_changes_nothing() -> None:
    options = Options(400, 8)
    assert list(in_order(Simulation(options).batches(), BytesIO, run_lines=60)) == told(options)[0]


def test_the_door_takes_every_line(lines: list[bytes]) -> None:
    end = datetime(2025, 1, 1, tzinfo=UTC)
    seen: Counter[str] = Counter()
    for line in lines:
        event = parse_event(json.loads(line), end)
        assert event.occurred_at < end
        assert datetime(2023, 1, 1, tzinfo=UTC) <= business_at(event.occurred_at, event.meta, None) < end
        seen[event.type] += 1
    assert set(EVENTS) - set(seen) == DERIVED, "every type that callers send occurs"


def test_some_come_late_some_twice_and_some_are_mended(lines: list[bytes]) -> None:
    events = [json.loads(line) for line in lines]
    repeated = Counter((event["source"], event["id"]) for event in events)
    assert 0.005 < (repeated.total() - len(repeated)) / len(repeated) < 0.02
    newest, late = "", 0
    for event in events:
        time = parse_event(event, datetime(2025, 1, 1, tzinfo=UTC)).occurred_at.isoformat()
        late += time[:10] < newest[:10]
        newest = max(newest, time)
    assert 0.02 < late / len(events) < 0.09
    corrections = [event for event in events if event["type"] in ("EventCorrected", "EventRetracted")]
    assert len(corrections) > 50
    assert all((each["data"]["corrects"]["source"], each["data"]["corrects"]["id"]) in repeated for each in corrections)


def test_who_left_is_given_no_lead_any_more(lines: list[bytes]) -> None:
    events = [json.loads(line) for line in lines]
    left = next(event["time"] for event in events if event["type"] == "OwnerLeft")
    given = [event for event in events if event["data"].get("owner") == "jonas.k" and event["time"] > left]
    assert {event["type"] for event in given} <= {"LeadCaptured"}
    assert all("origin" in event["data"] for event in given), "a customer's next cycle starts with the old owner"
    assert any(event["data"].get("rule") == "owner-left" for event in events)


def test_the_boards_are_those_that_ship() -> None:
    pipelines = load_pipelines(ROOT / "deploy" / "pipelines")
    assert pipelines.default.name == DEFAULT_NAME
    for board in (SIX_PHASE, SHORT):
        pipeline = pipelines.of(board.name)
        assert pipeline.name == (board.name or DEFAULT_NAME)
        assert (pipeline.first.name, pipeline.entrance("qualify"), pipeline.entrance("sales_process")) == (
            board.first, board.qualify, board.sales,
        )  # fmt: skip
        assert (pipeline.entrance("transaction"), pipeline.entrance("management")) == ("transaction", "management")


def test_memory_does_not_grow_with_the_company() -> None:
    peaks = []
    for leads in (400, 1_600):
        tracemalloc.start()
        with_little = in_order(Simulation(Options(leads, 1)).batches(), _forgetting, run_lines=1_000)
        assert sum(1 for _ in with_little) > 10 * leads
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5, peaks


def _forgetting() -> Any:
    import tempfile

    return tempfile.TemporaryFile(buffering=4096)


def test_waiting_without_memory_has_the_mean_and_the_tail_of_an_exponential() -> None:
    chance = Chance("tail")
    waits = [chance.exponential() for _ in range(40_000)]
    assert sum(waits) / len(waits) == pytest.approx(1, abs=0.02)
    assert sum(wait > 2 for wait in waits) / len(waits) == pytest.approx(0.1353, abs=0.006)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Europe/London", "America/New_York"])
def test_the_clocks_of_places_are_those_of_the_time_zone_data(zone: str) -> None:
    from zoneinfo import ZoneInfo

    period = Period(date(2021, 1, 1), 60)
    for day in range(period.first_day, period.last_day):
        noon = datetime.fromtimestamp(day * 86_400 + 43_200, UTC).astimezone(ZoneInfo(zone))
        offset = noon.utcoffset()
        assert offset is not None
        assert period.offset(zone, day) * 3_600 == offset.total_seconds(), noon


def test_business_is_slower_on_sundays_and_in_august() -> None:
    captured = [
        datetime.fromisoformat(json.loads(line)["time"])
        for line in told(Options(3_000, 2))[0]
        if b'"LeadCaptured"' in line
    ]
    months, weekdays = Counter(at.month for at in captured), Counter(at.weekday() for at in captured)
    assert months[8] < 0.85 * months[10]
    assert weekdays[6] < 0.4 * weekdays[1]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"leads": 0, "seed": 1}, "--leads"),
        ({"leads": 10, "seed": 1, "start": date(2024, 1, 2)}, "first day of a month"),
        ({"leads": 10, "seed": 1, "months": 0}, "--months"),
    ],
)
def test_what_cannot_be_simulated_is_said(asked: dict[str, Any], why: str) -> None:
    with pytest.raises(BadOptions, match=why):
        Options(**asked)


def test_lines_arrive_in_order() -> None:
    keyed = sorted(line for batch in Simulation(Options(300, 4)).batches() for line in batch)
    ordered = list(in_order(Simulation(Options(300, 4)).batches(), BytesIO))
    assert [line[18:] for line in keyed] == ordered
    assert all(earlier[:11] <= later[:11] for earlier, later in pairwise(keyed))
