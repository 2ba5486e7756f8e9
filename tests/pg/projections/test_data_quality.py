"""Data quality: given doubtful events, when it is asked for, then each is named with its kind and counted."""

from typing import Any

from tests.pg.projections.conftest import NewProjected
from tests.pg.projections.projected import Projected
from tests.pg.projections.test_forecast import eur
from tests.pg.projections.test_pipeline_query import Service, service  # noqa: F401
from tests.unit.projections.histories import Log


def doubtful() -> Log:
    """L-1 is told of in time but for its value; L-2 was never captured; L-3 is won twice; L-1's owner was corrected."""
    log = Log()
    captured = log.post(
        "L-1", "LeadCaptured", "2025-03-01T10:00Z", "2025-03-01T11:00Z", source_channel="web", owner="ana"
    )
    log.post("L-1", "ValueChanged", "2025-03-03T10:00Z", "2025-03-10T10:00Z", value=eur("10"))
    log.post("L-2", "StageEntered", "2025-03-02T10:00Z", "2025-03-02T11:00Z", stage="qualify")
    log.post(
        "L-3",
        "LeadCaptured",
        "2025-03-01T10:00Z",
        "2025-03-01T11:00Z",
        source_channel="web",
        owner="ben",
        value=eur("7"),
    )
    log.post("L-3", "Won", "2025-03-04T10:00Z", "2025-03-04T11:00Z", value=eur("7"))
    log.post("L-3", "Lost", "2025-03-05T10:00Z", "2025-03-05T11:00Z", reason="price")
    about = {"source": captured.source, "id": captured.id}
    log.post(
        "L-1",
        "EventCorrected",
        "2025-03-06T10:00Z",
        "2025-03-11T11:00Z",
        corrects=about,
        data={"source_channel": "phone", "owner": "ana"},
    )
    return log


async def listed(figures: Projected, **asked: str) -> list[tuple[Any, ...]]:
    rows = await figures.rows("data_quality", **asked)
    return [(row["kind"], row["lead"], row["type"], row["days"]) for row in rows]


async def test_what_is_doubtful_is_named(projected: NewProjected) -> None:
    figures = await projected("pipeline", "reference")
    await figures.deliver(doubtful().events)
    answer = await figures.answer("data_quality")
    kinds = [(row["kind"], row["lead"], row["type"]) for row in answer["rows"]]
    assert ("late", "L-1", None) in kinds
    assert ("implied", "L-2", "LeadCaptured") in kinds
    assert ("anomalous", "L-3", "Lost") in kinds
    assert ("corrected", "L-1", "EventCorrected") in kinds
    summary = answer["summary"]
    assert {name: n for name, n in summary.items() if name not in ("implied", "lag_ms")} == {
        "late": 1, "corrected": 1, "retracted": 0, "anomalous": 1, "value_unknown": 1, "unpriced": 0, "parked": 0,
    }  # fmt: skip
    assert (await figures.answer("data_quality", currency="USD"))["summary"]["unpriced"] == 2
    [why] = [row["reason"] for row in answer["rows"] if row["kind"] == "anomalous"]
    assert why


async def test_kinds_days_and_dimensions_narrow_the_list(projected: NewProjected) -> None:
    figures = await projected("pipeline", "reference")
    await figures.deliver(doubtful().events)
    assert await listed(figures, kind="late") == [("late", "L-1", None, 7)]
    assert await listed(figures, kind="late", late_days="7") == [("late", "L-1", None, 7)]
    assert await listed(figures, kind="late", late_days="8") == []
    assert {row[1] for row in await listed(figures, owner="ben")} == {"L-3"}
    assert await listed(figures, kind="anomalous", from_="2025-03-06") == []
    assert [row[0] for row in await listed(figures, source_channel="phone")] == ["late", "corrected"]


async def test_what_heals_is_no_longer_doubtful_and_was_so_as_it_was_known(projected: NewProjected) -> None:
    log = doubtful()
    log.post("L-2", "LeadCaptured", "2025-03-01T10:00Z", "2025-04-01T10:00Z", source_channel="web")
    lost = next(event for event in log.events if event.type == "Lost")
    log.post(
        "L-3",
        "EventRetracted",
        "2025-03-07T10:00Z",
        "2025-04-02T10:00Z",
        corrects={"source": lost.source, "id": lost.id},
    )
    figures = await projected("pipeline", "reference")
    await figures.deliver(log.events)
    assert [row[:3] for row in await listed(figures, kind="anomalous")] == []
    assert [row[:3] for row in await listed(figures, kind="retracted")] == [("retracted", "L-3", "EventRetracted")]
    assert ("implied", "L-2", "LeadCaptured", None) not in await listed(figures)
    assert [row[1:] for row in await listed(figures, kind="late")] == [("L-2", None, 31), ("L-1", None, 7)]
    then = {"known_at": "2025-03-31"}
    assert [row[:3] for row in await listed(figures, kind="anomalous", **then)] == [("anomalous", "L-3", "Lost")]
    assert ("implied", "L-2", "LeadCaptured", None) in await listed(figures, **then)
    assert await listed(figures, kind="retracted", **then) == []


async def test_a_capture_that_is_told_afterwards_ends_what_was_implied(projected: NewProjected) -> None:
    log = Log()
    log.post("L-2", "StageEntered", "2025-03-02T10:00Z", "2025-03-02T11:00Z", stage="qualify")
    log.post("L-2", "LeadCaptured", "2025-03-05T10:00Z", "2025-03-05T10:00Z", source_channel="web")
    figures = await projected("pipeline", "reference")
    await figures.deliver(log.events)
    before, after = [await listed(figures, kind="implied", as_of=day) for day in ("2025-03-04", "2025-03-06")]
    assert ("implied", "L-2", "LeadCaptured", None) in before
    assert ("implied", "L-2", "LeadCaptured", None) not in after


async def test_the_pages_are_the_whole(projected: NewProjected) -> None:
    log = Log()
    for number in range(23):
        log.post(
            f"L-{number % 5}",
            "ValueChanged",
            f"2025-03-{number + 1:02}T10:00Z",
            "2025-04-10T10:00Z",
            value=eur(str(number + 1)),
        )
    figures = await projected("pipeline", "reference")
    await figures.deliver(log.events)
    whole = await figures.rows("data_quality", limit="500")
    assert len(whole) > 23
    pages: list[Any] = []
    after = None
    while True:
        answer = await figures.page("data_quality", after, limit="4")
        pages += answer["rows"]
        after = answer["next_after"]
        if after is None:
            break
    assert pages == whole


async def test_streams_that_wait_for_an_operator_are_named(service: Service) -> None:  # noqa: F811
    await service.connection.execute(
        "INSERT INTO projections.parked (model, generation, partition, position, stream, event, cause) "
        "SELECT name, live_generation, 0, 9, 'lead/L-9', '{}', 'it cannot be read' FROM projections.read_model WHERE name = 'pipeline'"
    )
    answer = await service.client.get("/v1/metrics/data_quality", headers={"authorization": f"Bearer {service.key}"})
    found = answer.json()
    [parked] = found["parked"]
    assert (parked["model"], parked["stream"], parked["cause"]) == ("pipeline", "lead/L-9", "it cannot be read")
    assert found["summary"]["parked"] == 1
    assert found["summary"]["lag_ms"] > 0
    assert not found["complete"]
