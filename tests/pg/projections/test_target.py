"""Targets: given what was set and sold, when they are asked for, then what is attained, forecast on top, and in time."""

from typing import Any

from tests.pg.projections.conftest import NewProjected
from tests.pg.projections.projected import Projected
from tests.pg.projections.test_forecast import eur, open_deal
from tests.unit.projections.histories import Log

APRIL = {"from": "2025-04-01", "to": "2025-05-01"}


def target(log: Log, name: str, metric: str, amount: str, recorded: str = "2025-03-01T00:00Z", /, **more: Any) -> None:
    said = {"scope": {"kind": "all"}, "period": APRIL, **more}
    log.post(f"target/{name}", "TargetSet", recorded, recorded, metric=metric, amount=amount, **said)


def won(log: Log, lead: str, day: str, owner: str, value: dict[str, str], stage: str = "qualify") -> None:
    log.post(lead, "LeadCaptured", f"{day}T08:00Z", f"{day}T08:00Z", source_channel="web", owner=owner, region="West")
    log.post(lead, "StageEntered", f"{day}T09:00Z", f"{day}T09:00Z", stage=stage)
    log.post(lead, "Won", f"{day}T10:00Z", f"{day}T10:01Z", value=value)


def an_april() -> Log:
    """Ana won 100 and 40 EUR, Ben 50 USD at 2 to the EUR; ana has 60 in commit and 200 in the pipeline for the rest of April."""
    log = Log()
    log.post(
        "fx/USD-EUR",
        "FxRatePublished",
        "2025-03-01T00:00Z",
        "2025-03-01T00:00Z",
        rate="2",
        as_of="2025-03-01T00:00:00Z",
    )
    log.post("owner/ana", "OwnerUpdated", "2025-03-01T00:00Z", "2025-03-01T00:00Z", team="A", region="West")
    won(log, "L-1", "2025-04-02", "ana", eur("100"))
    won(log, "L-2", "2025-04-10", "ana", eur("40"), "sales-process")
    won(log, "L-3", "2025-04-11", "ben", {"amount": "50", "currency": "USD"})
    open_deal(log, "O-1", "60", "2025-04-28", category="commit")
    open_deal(log, "O-2", "200", "2025-04-30")
    open_deal(log, "O-3", "999", "2025-04-30", category="omitted")
    open_deal(log, "O-4", "999", "2025-05-01", category="commit")
    open_deal(log, "O-5", "999", "2025-04-15", category="commit")
    return log


async def the(figures: Projected, **asked: str) -> dict[str, Any]:
    rows = await figures.rows("target", **{"as_of": "2025-04-15", **asked})
    return {row["target"]: row for row in rows}


async def test_attained_committed_covered_and_in_time(projected: NewProjected) -> None:
    log = an_april()
    target(log, "all", "won_value", "480", currency="EUR")
    target(log, "ana", "won_value", "400", currency="EUR", scope={"kind": "owner", "id": "ana"})
    target(log, "team", "won_n", "4", scope={"kind": "team", "id": "A"})
    target(log, "west", "won_n", "2", scope={"kind": "region", "id": "West"})
    figures = await projected("pipeline", "reference")
    await figures.deliver(log.events)
    rows = await the(figures)
    assert list(rows) == ["all", "ana", "team", "west"]
    assert (rows["all"]["attained"], rows["all"]["attainment"]["value"]) == (eur("240.00"), 0.5)
    assert (rows["all"]["elapsed_share"], rows["all"]["pace"]) == (0.5, 1.0)
    # by the end of the fifteenth O-5 is overdue; O-1 is committed, O-1 and O-2 are open
    assert rows["ana"]["commit"] == {"numerator": 200, "denominator": 400, "value": 0.5}
    assert rows["ana"]["coverage"] == {"numerator": 260, "denominator": 260, "value": 1.0}
    assert (rows["team"]["attained"], rows["team"]["commit"]["numerator"]) == (2, 3)
    assert (rows["west"]["attained"], rows["west"]["coverage"]) == (
        3,
        {"numerator": 0, "denominator": -1, "value": None},
    )


async def test_other_figures_and_stages(projected: NewProjected) -> None:
    log = an_april()
    log.post("L-4", "LeadCaptured", "2025-04-03T10:00Z", "2025-04-03T10:00Z", source_channel="web", owner="ana")
    log.post("L-4", "Lost", "2025-04-04T10:00Z", "2025-04-04T10:00Z", reason="price")
    ana = {"kind": "owner", "id": "ana"}
    target(log, "1", "win_rate", "0.8", scope=ana)
    target(log, "2", "deal_size", "140", currency="EUR", scope=ana)
    target(log, "3", "leads_captured", "10")
    target(log, "4", "won_n", "4", stage="sales-process")
    target(log, "5", "won_n", "4", activity_kind="call")
    target(log, "6", "smiles", "4")
    target(log, "7", "won_value", "4")
    target(log, "8", "leads_captured", "4", stage="qualify")
    figures = await projected("pipeline", "reference")
    await figures.deliver(log.events)
    rows = await the(figures)
    assert [rows[name]["attained"] for name in "1234"] == [2 / 3, eur("70.00"), 4, 1]
    assert [rows[name]["attainment"]["value"] for name in "234"] == [0.5, 0.4, 0.25]
    assert rows["4"]["coverage"] is None
    assert [(rows[name]["attained"], rows[name]["why_not"]) for name in "5678"] == [
        (None, "the metric counts no activities, and the target is of one kind of them"),
        (
            None,
            "no attainment is counted for this metric; there are: won_value, won_n, win_rate, deal_size, leads_captured",
        ),
        (None, "the metric is money and the target names no currency"),
        (None, "the metric is not counted by stage"),
    ]


async def test_a_reopening_a_late_win_and_a_new_target_restate_and_what_was_known_stays(
    projected: NewProjected,
) -> None:
    log = an_april()
    target(log, "all", "won_n", "10")
    log.post("L-1", "Reopened", "2025-06-01T10:00Z", "2025-06-01T10:00Z", reason="again")
    log.post("O-2", "Won", "2025-04-14T10:00Z", "2025-06-02T10:00Z", value=eur("1"))
    target(log, "all", "won_n", "6", "2025-07-01T00:00Z")
    figures = await projected("pipeline", "reference")
    await figures.deliver(log.events)

    async def attained(**asked: str) -> Any:
        row = (await the(figures, which="all", **asked))["all"]
        return row["attained"], row["amount"]

    assert await attained(as_of="2025-07-15") == (3, 6)
    assert await attained(as_of="2025-05-15") == (4, 10)
    assert await attained(as_of="2025-05-15", known_at="2025-05-20") == (3, 10)
    assert await attained(as_of="2025-07-15", known_at="2025-06-15") == (3, 10)
    assert await the(figures, as_of="2025-07-15") == {}


async def test_which_targets_and_pages(projected: NewProjected) -> None:
    log = Log()
    for number in range(5):
        target(log, str(number), "won_n", "1", scope={"kind": "owner", "id": f"o{number % 2}"})
    figures = await projected("pipeline", "reference")
    await figures.deliver(log.events)
    answer = await figures.answer("target", as_of="2025-04-30", limit="2")
    assert ([row["target"] for row in answer["rows"]], answer["next_after"]) == (["0", "1"], "target/1")
    assert list(await the(figures, scope_id="o1")) == ["1", "3"]
    assert list(await the(figures, as_of="2025-04-30", scope="owner", scope_id="o0")) == ["0", "2", "4"]
    assert await the(figures, as_of="2025-03-31") == await the(figures, as_of="2025-05-01") == {}
    before = await the(figures, as_of="2025-03-31", which="all")
    assert (before["0"]["elapsed_share"], before["0"]["pace"]) == (0.0, None)
