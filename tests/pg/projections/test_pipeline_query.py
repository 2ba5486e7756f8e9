"""`GET /v1/pipeline`: the answer, its two clocks, its forms, and what it refuses."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError

from services.kernel import checkpoint
from services.kernel.auth import KeyRing, create_key
from services.kernel.migrate import CONSUMER, migrate
from services.kernel.settings import PostgresSettings
from services.projections.api import projections
from services.projections.models import MODELS
from services.projections.readings import reading_engine, snapshot_of
from services.projections.settings import Settings
from tests.unit.projections.histories import PIPELINES, Log, numbered

EUR = {"amount": "100.50", "currency": "EUR"}
JPY = {"amount": "9000", "currency": "JPY"}
INJECTION = "' or 1=1--"


def a_short_history() -> Log:
    """Three leads on the first days of March 2025, each event recorded a minute after it happened."""
    log = Log()
    log.post(
        "L-1",
        "LeadCaptured",
        "2025-03-01T10:00Z",
        "2025-03-01T10:01Z",
        source_channel="web",
        owner="ana",
        region="West",
        value=EUR,
    )
    log.post(
        "L-2",
        "LeadCaptured",
        "2025-03-01T22:30Z",
        "2025-03-01T22:31Z",
        source_channel="web",
        owner="100%",
        region="=cmd",
        value=JPY,
    )
    log.post("L-3", "LeadCaptured", "2025-03-02T10:00Z", "2025-03-02T10:01Z", source_channel="phone", owner="ana")
    log.post("L-1", "Won", "2025-03-03T10:00Z", "2025-03-03T10:01Z", value={"amount": "80", "currency": "EUR"})
    return log


class Service:
    """The app with a read model that has applied a log; `through` is its time mark in every partition."""

    def __init__(self, client: httpx.AsyncClient, connection: asyncpg.Connection, key: str) -> None:
        self.client, self.connection, self.key = client, connection, key

    async def get(self, query: str = "", accept: str | None = None, status: int = 200) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.key}"} | ({"accept": accept} if accept else {})
        answer = await self.client.get("/v1/pipeline" + (f"?{query}" if query else ""), headers=headers)
        assert answer.status_code == status, answer.text
        return answer

    async def rows(self, query: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (await self.get(query)).json()["rows"]
        return rows


@pytest.fixture
async def service(database: str, connection: asyncpg.Connection, tmp_path: Path) -> AsyncIterator[Service]:
    await migrate(connection, "projections", [CONSUMER])
    await connection.execute("SET search_path = projections")
    for name, make in MODELS.items():
        model = make(PIPELINES, "UTC", 1_000)
        generation = await checkpoint.create_generation(connection, model, 2, live=True)
        for partition, events in numbered(a_short_history().events).items():
            async with connection.transaction():
                await connection.execute(f"SET LOCAL search_path = {name}_g{generation}, projections")
                await model.apply(connection, partition, events)
    for partition, events in numbered(a_short_history().events).items():
        await connection.execute("UPDATE checkpoint SET position = $1 WHERE partition = $2", len(events), partition)
    await connection.execute("UPDATE checkpoint SET through = '2025-03-10T00:00Z'")
    keys = tmp_path / "keys.json"
    key = create_key(keys, ["projections:read"], "test")
    async with serving(database, keys, "UTC") as client:
        yield Service(client, connection, key)


@asynccontextmanager
async def serving(database: str, keys: Path, zone: str) -> AsyncIterator[httpx.AsyncClient]:
    """A process whose settings name this reporting zone."""
    settings = Settings(postgres=PostgresSettings(url=SecretStr(database)), keys_file=keys, reporting_zone=zone)
    async with (
        projections(settings, KeyRing(keys)) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client,
    ):
        yield client


async def test_the_answer_names_its_definition_and_how_fresh_it_is(service: Service) -> None:
    answer = (await service.get("as_of=2025-03-04T00:00:00Z")).json()
    assert answer.pop("lag_ms") > 0
    assert answer.pop("definition").startswith("Leads by stage")
    assert answer == {
        "metric": "pipeline_snapshot",
        "version": 2,
        "as_of": "2025-03-04T00:00:00Z",
        "known_at": None,
        "zone": "UTC",
        "currency": None,
        "dims": "event",
        "group_by": [],
        "parameters": {},
        "complete": True,
        "rows": [
            {
                "stage": "opportunity", "phase": "opportunity", "outcome": "open", "n": 2,
                "value": [{"amount": "9000", "currency": "JPY"}], "weighted": [{"amount": "900", "currency": "JPY"}], "value_unknown_n": 1, "unpriced_n": 0,
            },
            {
                "stage": "transaction", "phase": "transaction", "outcome": "won", "n": 1,
                "value": [{"amount": "80.00", "currency": "EUR"}], "weighted": [], "value_unknown_n": 0, "unpriced_n": 0,
            },
        ],
        "positions": {"0": 3, "1": 1},
        "known_through": "2025-03-10T00:00:00Z",
        "stale": False,
        "notes": [],
    }  # fmt: skip


async def test_a_date_is_its_end_in_the_zone_asked_for(service: Service) -> None:
    in_utc, in_berlin, in_new_york = [
        (await service.get(f"as_of=2025-03-01{zone}")).json()
        for zone in ("", "&zone=Europe/Berlin", "&zone=America/New_York")
    ]
    assert [a["as_of"] for a in (in_utc, in_berlin, in_new_york)] == [
        "2025-03-02T00:00:00Z", "2025-03-01T23:00:00Z", "2025-03-02T05:00:00Z",
    ]  # fmt: skip
    assert in_berlin["zone"] == "Europe/Berlin"
    assert [a["rows"][0]["n"] for a in (in_utc, in_berlin, in_new_york)] == [2, 2, 2]


async def test_groups_and_filters(service: Service) -> None:
    rows = await service.rows("as_of=2025-03-02&group_by=owner,region")
    assert [(row["owner"], row["region"], row["n"]) for row in rows] == [
        ("100%", "=cmd", 1),
        ("ana", "West", 1),
        ("ana", None, 1),
    ]
    assert [row["n"] for row in await service.rows("as_of=2025-03-02&owner=ana")] == [2]
    assert [row["outcome"] for row in await service.rows("outcome=won")] == ["won"]
    assert [row["n"] for row in await service.rows("stage=opportunity&source_channel=phone")] == [1]


@pytest.mark.parametrize("owner", [INJECTION, "%", "10_%25", "100_", "a%25", "\\", '"', "ana'", "ANA"])
async def test_a_filter_is_text_and_nothing_else(service: Service, owner: str) -> None:
    assert await service.rows(str(httpx.QueryParams({"owner": owner}))) == []


async def test_a_percent_sign_is_literal(service: Service) -> None:
    assert [row["n"] for row in await service.rows("owner=100%25")] == [1]


async def test_what_was_known_before(service: Service) -> None:
    before_the_win_was_recorded = await service.get("as_of=2025-03-04&known_at=2025-03-03T10:01:00Z")
    assert [row["outcome"] for row in before_the_win_was_recorded.json()["rows"]] == ["open"]
    after = await service.get("as_of=2025-03-04&known_at=2025-03-03T10:01:00.000001Z")
    assert [row["outcome"] for row in after.json()["rows"]] == ["open", "won"]
    nothing = (await service.get("known_at=1995-01-01")).json()
    assert nothing["rows"] == []
    assert nothing["notes"] == ["Nothing that matches was known at that instant."]


async def test_the_future_is_not_known(service: Service) -> None:
    answer = (await service.get("known_at=2150-01-01T00:00:00Z")).json()
    assert answer["known_at"] == answer["known_through"] == "2025-03-10T00:00:00Z"
    assert "cut back" in answer["notes"][0]
    assert [row["n"] for row in answer["rows"]] == [2, 1]


async def test_nothing_is_sure_while_a_partition_was_never_read(service: Service) -> None:
    await service.connection.execute("UPDATE projections.checkpoint SET through = '-infinity' WHERE partition = 0")
    answer = (await service.get("known_at=2025-03-04")).json()
    assert (answer["rows"], answer["known_through"], answer["lag_ms"], answer["complete"]) == ([], None, None, False)
    assert [row["n"] for row in await service.rows("")] == [2, 1]


async def test_an_answer_past_what_is_known_is_not_complete(service: Service) -> None:
    assert (await service.get("as_of=2025-03-10T00:00:00Z")).json()["complete"]
    assert not (await service.get("as_of=2025-03-10T00:00:00.000001Z")).json()["complete"]


@pytest.mark.parametrize("zone", ["Pacific/Pago_Pago", "Asia/Tokyo"])
async def test_the_figures_are_those_of_the_zone_that_the_generation_was_cut_in(
    service: Service, database: str, tmp_path: Path, zone: str
) -> None:
    """A process with another zone in its settings waits for a rebuild, and meanwhile answers what is right."""
    instants = [f"2025-03-0{day}T{hour:02}:30:00Z" for day in (1, 2, 3) for hour in range(0, 24, 3)]
    asked = [f"as_of={instant}" for instant in instants] + [f"as_of=2025-03-05&known_at={at}" for at in instants]
    expected = [await service.rows(query + "&zone=UTC") for query in asked]
    async with serving(database, tmp_path / "keys.json", zone) as client:
        other = Service(client, service.connection, service.key)
        assert [await other.rows(query + "&zone=UTC") for query in asked] == expected


async def test_read_your_writes(service: Service) -> None:
    assert not (await service.get("min_position=0:3&timeout=0")).json()["stale"]
    assert (await service.get("min_position=0:4&timeout=0")).json()["stale"]

    async def arrive() -> None:
        await asyncio.sleep(0.1)
        await service.connection.execute("UPDATE projections.checkpoint SET position = 4 WHERE partition = 0")

    answer, _ = await asyncio.gather(service.get("min_position=0:4&timeout=20"), arrive())
    assert (answer.json()["stale"], answer.json()["positions"]["0"]) == (False, 4)
    assert answer.elapsed < timedelta(seconds=10)


async def test_tables_have_no_formula_and_no_count_twice(service: Service) -> None:
    answer = await service.get("as_of=2025-03-04&group_by=region", "text/csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["answer-metric"] == "pipeline_snapshot"
    assert datetime.fromisoformat(answer.headers["answer-as-of"]) == datetime.fromisoformat("2025-03-05T00:00:00Z")
    assert list(csv.reader(io.StringIO(answer.text))) == [
        [
            "stage",
            "phase",
            "outcome",
            "region",
            "n",
            "value_JPY",
            "weighted_JPY",
            "value_unknown_n",
            "unpriced_n",
            "value_EUR",
        ],
        ["opportunity", "opportunity", "open", "'=cmd", "1", "9000", "900", "0", "0", ""],
        ["opportunity", "opportunity", "open", "", "1", "", "", "1", "0", ""],
        ["transaction", "transaction", "won", "West", "1", "", "", "0", "0", "80.00"],
    ]
    lines = (await service.get("as_of=2025-03-04", "application/x-ndjson")).text.splitlines()
    assert [json.loads(line)["n"] for line in lines] == [2, 1]
    await service.get("", "text/xml", status=406)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("as_off=2025-03-01", "/query/as_off"),
        ("as_of=2025-03-01&as_of=2025-03-02", "/query/as_of"),
        ("as_of=", "/query/as_of"),
        ("as_of=2025-02-30", "/query/as_of"),
        ("as_of=0000-01-01", "/query/as_of"),
        ("as_of=9999-12-31", "/query/as_of"),
        ("as_of=0001-01-01T00:00:00%2B14:00", "/query/as_of"),
        ("as_of=2025-03-01T00:00:00", "/query/as_of"),
        ("as_of=1740787200", "/query/as_of"),
        ("known_at=yesterday", "/query/known_at"),
        ("zone=Mars/Olympus", "/query/zone"),
        ("zone=../../etc/passwd", "/query/zone"),
        ("zone=Europe", "/query/zone"),
        ("zone=", "/query/zone"),
        ("group_by=lead", "/query/group_by"),
        ("group_by=owner,owner", "/query/group_by"),
        ("group_by=", "/query/group_by"),
        ("outcome=void", "/query/outcome"),
        ("owner=%00", "/query/owner"),
        ("owner=%ff", "/query/owner"),
        ("min_position=1", "/query/min_position"),
        ("min_position=-1:5", "/query/min_position"),
        ("min_position=7:1&timeout=0", "/query/min_position"),
        ("min_position=99999:1&timeout=0", "/query/min_position"),
        ("min_position=999999:999999999999999999&timeout=0", "/query/min_position"),
        ("timeout=-1", "/query/timeout"),
        ("timeout=nan", "/query/timeout"),
        ("timeout=1e9", "/query/timeout"),
    ],
)
async def test_a_query_that_breaks_a_rule_is_refused(service: Service, query: str, pointer: str) -> None:
    problem = (await service.get(query, status=422)).json()
    assert [flaw["pointer"] for flaw in problem["errors"]] == [pointer]


async def test_who_may_not_read(service: Service, tmp_path: Path) -> None:
    assert (await service.client.get("/v1/pipeline")).status_code == 401
    service.key = create_key(tmp_path / "keys.json", ["events:read"], "writes only")
    KeyRing(tmp_path / "keys.json")
    service.client._transport.app.state.keys = KeyRing(tmp_path / "keys.json")  # type: ignore[attr-defined]
    await service.get("", status=403)


async def test_a_value_that_fits_no_column_does_not_pass_for_a_store_that_is_away(
    service: Service, database: str
) -> None:
    engine = reading_engine(database)
    with pytest.raises(DBAPIError):
        async with snapshot_of(engine, "pipeline") as (connection, _):
            await connection.execute(sa.text("SELECT CAST(:number AS smallint)"), {"number": 99_999})
    await engine.dispose()


async def test_without_a_generation_the_service_says_so(service: Service) -> None:
    await service.connection.execute("DELETE FROM projections.read_model")
    await service.get("", status=503)
