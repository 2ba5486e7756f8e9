"""Flow and waterfall: given a log, when two instants are compared, then start + everything between = end, exactly."""

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from services.projections.pipeline.waterfall import CATEGORIES
from tests.pg.projections.conftest import NewProjected
from tests.pg.projections.projected import Projected
from tests.unit.projections.histories import Log, instants, random_log, standing

APRIL = {"from_": "2025-04-01", "to": "2025-05-01"}


def changes() -> Log:
    """In April: UP and DOWN change, NEW comes, GONE is won at 90 after rising to 120, BACK is reopened, AWAY recycled, VOID voided,
    MERGED absorbed, BEN goes from ana to ben, QUICK comes and is lost, BLANK gets a value, DOLLAR is worth 10 USD throughout."""
    log = Log()

    def post(lead: str, type: str, day: str, /, **data: Any) -> None:
        log.post(lead, type, f"2025-{day}T10:00Z", f"2025-{day}T10:00Z", **data)

    def worth(amount: str, currency: str = "EUR") -> dict[str, Any]:
        return {"amount": amount, "currency": currency}

    for lead in ("UP", "DOWN", "GONE", "BACK", "AWAY", "VOID", "MERGED", "BEN"):
        post(lead, "LeadCaptured", "03-01", source_channel="web", owner="ana", value=worth("100"))
    post("DOLLAR", "LeadCaptured", "03-01", source_channel="web", owner="ana", value=worth("10", "USD"))
    post("BLANK", "LeadCaptured", "03-01", source_channel="web", owner="ana")
    post("BACK", "Lost", "03-02", reason="price")
    post("UP", "ValueChanged", "04-02", value=worth("130"))
    post("DOWN", "ValueChanged", "04-02", value=worth("60"))
    post("NEW", "LeadCaptured", "04-03", source_channel="web", owner="ana", value=worth("7"))
    post("GONE", "ValueChanged", "04-04", value=worth("120"))
    post("GONE", "Won", "04-05", value=worth("90"))
    post("GONE", "LeadAssigned", "04-06", owner="cem")
    post("BACK", "Reopened", "04-06", reason="again")
    post("AWAY", "Recycled", "04-07", return_on="2026-01-01")
    post("VOID", "Voided", "04-08", reason="test")
    post("MERGED", "LeadAbsorbed", "04-09", surviving_lead_id="UP")
    post("BEN", "LeadAssigned", "04-10", owner="ben")
    post("QUICK", "LeadCaptured", "04-11", source_channel="web", owner="ana", value=worth("5"))
    post("QUICK", "Lost", "04-12", reason="price")
    post("BLANK", "ValueChanged", "04-13", value=worth("3"))
    return log


async def given(projected: NewProjected) -> Projected:
    figures = await projected("pipeline", "reference")
    log = changes()
    for at, rate in (("2025-03-01", "0.90"), ("2025-04-15", "0.80")):
        log.post("usd", "FxRatePublished", f"{at}T00:00Z", f"{at}T00:00Z", rate=rate, as_of=f"{at}T00:00:00Z")
        log.events[-1] = msgspec.structs.replace(log.events[-1], stream="fx/USD-EUR")
    await figures.deliver(log.events)
    return figures


def told(rows: list[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """category -> (n, its euros), of those that are not empty."""
    return {
        row["category"]: (row["n"], *(each["amount"] for each in row["value"] if each["currency"] == "EUR"))
        for row in rows
        if row["leads"]
    }


async def test_every_lead_is_told_of(projected: NewProjected) -> None:
    figures = await given(projected)
    rows = await figures.rows("pipeline_waterfall", **APRIL)
    assert told(rows) == {
        "start": (9, "700.00"),
        "added": (2, "12.00"),
        "reopened": (1, "100.00"),
        "increased": (0, "50.00"),
        "decreased": (0, "-40.00"),
        "priced": (0, "3.00"),
        "recycled": (-1, "-100.00"),
        "merged": (-1, "-100.00"),
        "voided": (-1, "-100.00"),
        "won": (-1, "-120.00"),
        "lost": (-1, "-5.00"),
        "end": (7, "400.00"),
        "close_delta": (None, "-30.00"),
    }


async def test_in_one_currency_the_rates_are_told_apart(projected: NewProjected) -> None:
    figures = await given(projected)
    rows = told(await figures.rows("pipeline_waterfall", currency="EUR", **APRIL))
    assert (rows["start"], rows["fx"], rows["end"]) == ((9, "709.00"), (0, "-1.00"), (7, "408.00"))


async def test_who_changes_hands_moves_out_and_in(projected: NewProjected) -> None:
    figures = await given(projected)
    ana = told(await figures.rows("pipeline_waterfall", owner="ana", **APRIL))
    assert (ana["moved_out"], ana["won"]) == ((-1, "-100.00"), (-1, "-120.00"))
    rows = await figures.rows("pipeline_waterfall", group_by="owner", **APRIL)
    assert told([row for row in rows if row["owner"] == "ana"]) == ana
    ben = told([row for row in rows if row["owner"] == "ben"])
    assert ben == {"moved_in": (1, "100.00"), "end": (1, "100.00")}
    assert {row["owner"] for row in rows} == {"ana", "ben"}


async def test_in_a_window_of_expected_close_deals_slip_and_are_pulled_in(projected: NewProjected) -> None:
    log = Log()
    for lead, was, now in (("OUT", "06-10", "07-10"), ("IN", "07-10", "06-10"), ("LATE", "05-10", "06-10"), ("EARLY", "06-10", "05-10")):  # fmt: skip
        value = {"amount": "1", "currency": "EUR"}
        log.post(lead, "LeadCaptured", "2025-03-01T10:00Z", "2025-03-01T10:00Z", source_channel="web", value=value)
        for day, expected in (("2025-03-02", was), ("2025-04-02", now)):
            log.post(lead, "ExpectedCloseChanged", f"{day}T10:00Z", f"{day}T10:00Z", expected_close=f"2025-{expected}")
    figures = await projected("pipeline", "reference")
    await figures.deliver(log.events)
    rows = await figures.rows("pipeline_waterfall", close_from="2025-06-01", close_to="2025-07-01", **APRIL)
    assert {row["category"]: (row["n"], row["leads"]) for row in rows if row["leads"]} == {
        "start": (2, 2),
        "pulled_in": (0, 2),
        "slipped": (0, 2),
        "end": (2, 2),
    }


async def test_what_was_known_then(projected: NewProjected) -> None:
    figures = await given(projected)
    rows = told(await figures.rows("pipeline_waterfall", known_at="2025-04-04", **APRIL))
    assert rows["end"] == (10, "717.00")
    assert "won" not in rows


@pytest.mark.parametrize("seed", range(3))
async def test_start_and_all_that_happened_make_the_end(projected: NewProjected, seed: int) -> None:
    log = random_log(seed, leads=25)
    figures = await projected("pipeline", "reference")
    await figures.deliver(log, batch=11)
    asked = sorted({at for at, _ in instants(seed, log)} - {datetime(1990, 1, 1, tzinfo=UTC)})
    known = instants(seed, log)[3][1]
    for begins, ends in zip(asked[::4], asked[3::4], strict=False):
        if begins >= ends:
            continue
        period = {"from_": _text(begins), "to": _text(ends), "known_at": _text(known)} if known else {}
        rows = await figures.rows("pipeline_waterfall", **period)
        open_at = {at: _open(standing(log, at, known)) for at in (begins, ends)}
        assert _sums(rows, "start") == open_at[begins]
        assert _sums(rows, "end") == open_at[ends]
        assert _sums(rows, "start", *CATEGORIES) == open_at[ends]
        by_owner = await figures.rows("pipeline_waterfall", group_by="owner", **period)
        assert _sums(by_owner, "start", *CATEGORIES) == open_at[ends]
        for owner in {row["owner"] for row in by_owner}:
            own = [row for row in by_owner if row["owner"] == owner]
            assert _sums(own, "start", *CATEGORIES) == _sums(own, "end")
        flow = await figures.rows("pipeline_flow", **period)
        assert all(row["start"] + row["entered"] - row["exited"] == row["end"] for row in flow)
        assert sum(row["end"] for row in flow) == open_at[ends][""]
        ways = ("forward", "backward", "moved", "won", "lost", "recycled", "void", "absorbed")
        assert all(sum(row[way] for way in ways) == row["exited"] for row in flow)


def _text(at: datetime) -> str:
    return at.isoformat()


def _open(found: dict[Any, Any]) -> Any:
    """Currency -> amount, and "" -> leads."""
    sums: Any = Counter()
    for (_, _, outcome, currency), counted in found.items():
        if outcome == "open":
            sums[""] += counted.n
            if currency is not None:
                sums[currency] += _cut(counted.amount, currency)
    standing: Counter[Any] = +sums
    return standing


def _sums(rows: list[dict[str, Any]], *categories: str) -> Any:
    sums: Any = Counter()
    for row in rows:
        if row["category"] in categories:
            sums[""] += row["n"]
            for each in row["value"]:
                sums[each["currency"]] += Decimal(each["amount"])
    standing: Counter[Any] = +sums
    return standing


def _cut(amount: Decimal, currency: str) -> Decimal:
    """As an answer shows it: the decimals of the currency."""
    return amount.quantize(Decimal(1)) if currency == "JPY" else amount
