"""Given contracts, when somebody asks at an instant, then so many customers are active and bring so much."""

from tests.pg.projections.churn.companies import captured, churned, company, eur, won
from tests.pg.projections.conftest import NewProjected
from tests.unit.projections.histories import Log


async def test_accounts_are_counted_and_contracts_added(projected: NewProjected) -> None:
    figures = await projected("churn", "reference")
    await figures.deliver(company().events)

    async def at(day: str, **more: str) -> tuple[int, list[str]]:
        [row] = await figures.rows("active_customers", as_of=day, **more)
        return row["n"], [each["amount"] for each in row["mrr"]]

    assert await at("2025-01-31") == (2, ["300.00"])
    assert await at("2025-03-25") == (2, ["150.00", "10.00"])
    assert await at("2025-03-25", unit="contract") == (2, ["150.00", "10.00"])
    assert await at("2025-03-10", unit="contract") == (3, ["200.00", "10.00"])
    assert await at("2025-04-30") == (3, ["230.00", "10.00"])


async def test_a_win_that_did_not_hold_counts_until_that_was_known_to_be_so(projected: NewProjected) -> None:
    figures = await projected("churn", "reference")
    await figures.deliver(company().events)
    [before] = await figures.rows("active_customers", as_of="2025-02-20")
    assert before["n"] == 4
    [row] = await figures.rows("active_customers", as_of="2025-02-20", known_at="2025-02-10T00:00:00Z")
    assert (row["n"], row["mrr"][0]["amount"]) == (5, "2350.00")


async def test_a_filter_never_cuts_an_account_in_two(projected: NewProjected) -> None:
    figures = await projected("churn", "reference")
    await figures.deliver(company().events)
    rows = await figures.rows("active_customers", as_of="2025-03-10", group_by="owner")
    assert [(row["owner"], row["n"], row["mrr"][0]["amount"]) for row in rows] == [("ana", 2, "200.00")]
    assert await figures.rows("active_customers", as_of="2025-03-10", source_channel="phone") == []
    [row] = await figures.rows("active_customers", as_of="2025-03-10", account="acme")
    assert row["n"] == 1


async def test_a_later_cycle_belongs_to_the_customer_that_it_grew_out_of(projected: NewProjected) -> None:
    log = Log()
    captured(log, "L-1", "2025-01-01T10:00Z")
    won(log, "L-1", "2025-01-02T10:00Z", ("C-1", eur("1")))
    captured(log, "L-2", "2025-02-01T10:00Z", origin={"lead_id": "L-1", "kind": "win_back"})
    captured(log, "L-3", "2025-03-01T10:00Z", origin={"lead_id": "L-2", "kind": "cross_sell"})
    won(log, "L-3", "2025-03-02T10:00Z", ("C-3", eur("1")))
    figures = await projected("churn", "reference")
    await figures.deliver(log.events)
    [row] = await figures.rows("active_customers", as_of="2025-04-01")
    assert row["n"] == 1


async def test_a_cycle_that_names_no_account_has_that_of_the_lead_it_grew_out_of(projected: NewProjected) -> None:
    log = Log()
    captured(log, "L-1", "2025-01-01T10:00Z", account_id="acme")
    won(log, "L-1", "2025-01-02T10:00Z", ("C-1", eur("1")))
    captured(log, "L-2", "2025-02-01T10:00Z", origin={"lead_id": "L-1", "kind": "upgrade"})
    won(log, "L-2", "2025-03-02T10:00Z", ("C-2", eur("1")))
    log.post("L-2", "AccountChanged", "2025-06-01T10:00Z", "2025-06-01T10:00Z", account_id="globex")
    figures = await projected("churn", "reference")
    await figures.deliver(log.events)
    rows = await figures.rows("active_customers", as_of="2025-04-01", group_by="account")
    assert [(row["account"], row["n"]) for row in rows] == [("acme", 1)]
    rows = await figures.rows("active_customers", as_of="2025-07-01", group_by="account")
    assert [(row["account"], row["n"]) for row in rows] == [("acme", 1), ("globex", 1)]


async def test_without_what_brings_nothing_and_by_what_was_asked_for(projected: NewProjected) -> None:
    log = Log()
    captured(log, "L-1", "2025-01-01T10:00Z", account_id="acme")
    won(log, "L-1", "2025-01-02T10:00Z", ("C-1", eur("0")))
    captured(log, "L-2", "2025-01-01T10:00Z", account_id="globex")
    won(log, "L-2", "2025-01-02T10:00Z", ("C-2", eur("5")))
    log.post("L-2", "CancellationRequested", "2025-02-01T10:00Z", "2025-02-01T10:00Z", contract_id="C-2", effective_at="2025-06-01T00:00:00Z")  # fmt: skip
    captured(log, "L-3", "2025-01-01T10:00Z", account_id="initech", pipeline="club")
    won(log, "L-3", "2025-01-02T10:00Z")
    figures = await projected("churn", "reference")
    await figures.deliver(log.events)

    async def count(**more: str) -> int:
        rows = await figures.rows("active_customers", **{"as_of": "2025-03-01", **more})
        return sum(row["n"] for row in rows)

    assert [await count(), await count(paid="true"), await count(active_by="contract")] == [3, 2, 2]
    assert [await count(recognise="request"), await count(recognise="request", as_of="2025-01-20")] == [2, 3]
    assert await count(as_of="2025-04-10") == 2  # the purchase lies more than 90 days back
    churned(log, "L-1", "2025-02-01T10:00Z")
    assert await count() == 3
    await figures.deliver(log.events)
    assert await count() == 2
