"""truth.json against the same figures worked out from the events alone, by the fold and by pandas."""

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from services.cli.simulation import Options, Simulation, in_order
from services.lifecycle.pipelines import load_pipelines
from tests.support.refigured import Refigured

LEADS = 700
PIPELINES = Path(__file__).parents[3] / "deploy" / "pipelines"


@pytest.fixture(scope="module")
def told() -> tuple[Refigured, dict[str, Any]]:
    simulation = Simulation(Options(LEADS, 5))
    lines = list(in_order(simulation.batches(), BytesIO))
    truth = simulation.truth()
    return Refigured(lines, list(truth["board_at_month_end"]), load_pipelines(PIPELINES)), truth


@pytest.fixture
def seen(told: tuple[Refigured, dict[str, Any]]) -> Refigured:
    return told[0]


@pytest.fixture
def truth(told: tuple[Refigured, dict[str, Any]]) -> dict[str, Any]:
    return told[1]


def test_it_says_what_each_figure_means_first(truth: dict[str, Any]) -> None:
    assert next(iter(truth)) == "conventions"
    assert {"as_of", "errors", "board", "closed", "cohorts", "survival", "nps"} <= set(truth["conventions"])


def test_leads_and_events_are_counted(seen: Refigured, truth: dict[str, Any]) -> None:
    leads, events = truth["leads"], truth["events"]
    assert leads["all"] == len(seen.told) == LEADS
    assert leads["captured"] == sum(lead.captured_at is not None for lead in seen.final.values())
    assert leads["screened_out"] == sum(lead.standing == "out" for lead in seen.final.values())
    assert leads["voided"] == sum(lead.standing == "void" for lead in seen.final.values())
    assert leads["absorbed"] == sum(lead.standing == "absorbed" for lead in seen.final.values())
    assert events["by_type"] == dict(seen.types)
    assert events["lines"] == seen.lines
    assert events["events"] == len(seen.events) == seen.lines - events["duplicates"]
    assert events["corrected"] == seen.types["EventCorrected"]
    assert events["retracted"] == seen.types["EventRetracted"]
    assert events["day_precision"] == sum(event.meta.get("timeprecision") == "day" for event in seen.events.values())


def test_the_board_stands_as_planned_at_the_end_of_every_month(seen: Refigured, truth: dict[str, Any]) -> None:
    for month, at in zip(seen.months, seen.bounds[1:], strict=True):
        planned = truth["board_at_month_end"][month]
        assert seen.board(at) == {(cell["pipeline"], cell["stage"], cell["outcome"]): cell["n"] for cell in planned}, (
            month
        )
        values = {
            (cell["pipeline"], cell["stage"], cell["outcome"], currency): float(amount)
            for cell in planned
            for currency, amount in cell["value"].items()
        }
        assert values == pytest.approx(seen.board_value(at)), month
    assert truth["board_at_end"] == truth["board_at_month_end"][seen.months[-1]]


def test_wins_and_losses_by_every_dimension(seen: Refigured, truth: dict[str, Any]) -> None:
    closed = seen.closed
    assert truth["closed"]["won"] == (closed["outcome"] == "won").sum()
    assert truth["closed"]["win_rate"] == pytest.approx((closed["outcome"] == "won").mean())
    for name in ("month", "owner", "channel", "region", "product"):
        counts = closed.groupby([name, "outcome"]).size()
        for key, planned in truth["closed_by"][name].items():
            assert {outcome: planned[outcome] for outcome in ("won", "lost")} == {
                outcome: counts.get((key, outcome), 0) for outcome in ("won", "lost")
            }, (name, key)
        values = closed.dropna(subset=["value"]).groupby([name, "outcome", "currency"])["value"].sum()
        planned_values = {
            (key, outcome, currency): float(amount)
            for key, planned in truth["closed_by"][name].items()
            for outcome in ("won", "lost")
            for currency, amount in planned[f"{outcome}_value"].items()
        }
        assert planned_values == pytest.approx(values.to_dict())
    assert truth["loss_reasons"] == closed[closed["outcome"] == "lost"].groupby("reason").size().to_dict()
    wins = closed[closed["outcome"] == "won"]
    for touch in ("first", "last"):
        assert truth["campaign_wins"][f"{touch}_touch"] == wins.groupby(touch).size().to_dict()


def test_cycle_lengths(seen: Refigured, truth: dict[str, Any]) -> None:
    import pandas as pd

    by_day = {
        event.stream[5:]
        for event in seen.events.values()
        if event.type in ("Won", "Lost") and event.meta.get("timeprecision")
    }
    for outcome in ("won", "lost"):
        exact = [
            (lead.closed_at - lead.captured_at).days
            for id, lead in seen.counting.items()
            if lead.outcome == outcome and lead.closed_at and lead.captured_at and id not in by_day
        ]
        planned = truth["cycle_days"][outcome]
        assert planned["n"] == sum(lead.outcome == outcome for lead in seen.counting.values())
        assert planned["n"] - len(exact) <= len(by_day)
        # those known to the day are counted in days of their own place: they can shift a percentile by a day, no more
        assert planned["p50"] == pytest.approx(pd.Series(exact).quantile(0.5), abs=2)


def test_recurring_revenue_and_its_movements(seen: Refigured, truth: dict[str, Any]) -> None:
    mrr = seen.mrr
    sums = mrr.groupby(["end", "currency"])["mrr"].sum()
    for index, month in enumerate(seen.months, 1):
        planned = {
            currency: float(amount) for currency, amount in truth["mrr_at_month_end"][month].items() if amount != "0.00"
        }
        assert planned == pytest.approx(
            sums.get(index, {}) if index not in sums.index.get_level_values(0) else sums[index].to_dict()
        ), month
    table = mrr.pivot(index=["account", "currency"], columns="end", values="mrr")
    table = table.reindex(columns=range(len(seen.bounds))).fillna(0.0)
    for index, month in enumerate(seen.months):
        before, after = table[index], table[index + 1]
        ever = (table.loc[:, :index] > 0).any(axis=1)
        kinds = {
            "new": (before == 0) & (after > 0) & ~ever,
            "reactivation": (before == 0) & (after > 0) & ever,
            "churn": (before > 0) & (after == 0),
            "expansion": (before > 0) & (after > before),
            "contraction": (before > 0) & (after < before) & (after > 0),
        }
        for currency in ("EUR", "GBP", "USD"):
            of = table.index.get_level_values("currency") == currency
            planned = truth["mrr_movements"]["month"][month].get(currency, {})
            for kind, which in kinds.items():
                moved = (after - before)[which & of].sum()
                assert float(planned.get(kind, 0)) == pytest.approx(moved, abs=0.005), (month, currency, kind)


def test_both_grains_of_movements_bridge_the_same_ends(truth: dict[str, Any]) -> None:
    months = list(truth["mrr_at_month_end"])
    for grain in ("instant", "month"):
        for currency in ("EUR", "GBP", "USD"):
            before = 0.0
            for month in months:
                moved = sum(map(float, truth["mrr_movements"][grain][month].get(currency, {}).values()))
                after = float(truth["mrr_at_month_end"][month].get(currency, 0))
                assert before + moved == pytest.approx(after, abs=0.005), (grain, currency, month)
                before = after


def test_cohorts_and_logo_churn(seen: Refigured, truth: dict[str, Any]) -> None:
    first_win = {
        account: min(lead.closed_at for lead in (seen.final[id] for id in ids) if lead.closed_at)
        for account, ids in seen.accounts.items()
    }
    active = {account: [bool(seen.running(account, at)) for at in seen.bounds] for account in first_win}
    for index, month in enumerate(seen.months):
        members = [account for account, at in first_win.items() if f"{at:%Y-%m}" == month]
        planned = truth["cohorts"]["contract"].get(month, {"accounts": 0, "active": None})
        assert planned["accounts"] == len(members)
        if members:
            assert planned["active"] == [
                sum(active[account][end] for account in members) for end in range(index + 1, len(seen.bounds))
            ]
        churn = truth["logo_churn"][month]
        assert churn["active_at_start"] == sum(each[index] for each in active.values())
        assert churn["churned"] == sum(each[index] and not each[index + 1] for each in active.values())
        assert churn["won_or_back"] == sum(each[index + 1] and not each[index] for each in active.values())


def test_survival(seen: Refigured, truth: dict[str, Any]) -> None:
    import pandas as pd

    pairs = [pair for account in seen.accounts if (pair := seen.first_spell(account)) is not None]
    planned = truth["survival"]["contract"]
    told = {(age, True): n for age, n, _ in planned["ended_and_censored_by_days"] if n}
    told |= {(age, False): n for age, _, n in planned["ended_and_censored_by_days"] if n}
    assert told == pd.Series(pairs).value_counts().to_dict()
    share = 1.0
    for age in sorted({age for age, ended in pairs if ended and age <= 365}):
        at_risk = sum(other >= age for other, _ in pairs)
        share *= 1 - sum(pair == (age, True) for pair in pairs) / at_risk
    assert planned["survival_at_days"]["365"] == pytest.approx(share)


def test_answers_of_customers(seen: Refigured, truth: dict[str, Any]) -> None:
    import pandas as pd

    from schemas.corrections import effective

    facts = [fact for told in seen.told.values() for fact in effective(told).facts if fact.type == "SurveyAnswered"]
    answers = pd.DataFrame(
        {"at": fact.at, "kind": fact.body.kind, "person": fact.body.person_id, "score": fact.body.score}
        for fact in facts
    )
    answers["quarter"] = [f"{at.year}-Q{(at.month + 2) // 3}" for at in answers["at"]]
    nps = answers[answers["kind"] == "nps"]
    latest = nps.sort_values("at").groupby(["quarter", "person"]).tail(1)
    for name, frame in (("all", nps), ("latest", latest)):
        scores = frame.groupby("quarter")["score"].agg(lambda each: 100 * ((each >= 9).mean() - (each <= 6).mean()))
        assert {quarter: each[name]["nps"] for quarter, each in truth["nps"].items()} == pytest.approx(scores.to_dict())
    satisfied = answers[answers["kind"] == "csat"].groupby("quarter")["score"].agg(lambda each: int((each >= 4).sum()))
    assert {quarter: each["satisfied"] for quarter, each in truth["csat"].items()} == satisfied.to_dict()


def test_what_grows_out_of_what(seen: Refigured, truth: dict[str, Any]) -> None:
    upgrades = truth["upgrades"]
    for answer, kind in (("due", "UpgradeDue"), ("accepted", "UpgradeAccepted"), ("declined", "UpgradeDeclined")):
        assert upgrades[answer] == seen.types[kind]
    assert truth["referrals"]["made"] == seen.types["ReferralMade"]
    assert truth["referrals"]["captured"] == sum(lead.referrer_lead_id is not None for lead in seen.final.values())
    for kind, planned in truth["origins"].items():
        of_kind = [lead for lead in seen.final.values() if lead.origin is not None and lead.origin.kind == kind]
        assert planned == {"leads": len(of_kind), "won": sum(lead.outcome == "won" for lead in of_kind)}


def test_the_funnel(seen: Refigured, truth: dict[str, Any]) -> None:
    for channel, planned in truth["funnel"].items():
        leads = [lead for lead in seen.counting.values() if lead.source_channel == channel]
        assert planned == {
            "listed": sum(lead.listed_at is not None for lead in leads),
            "captured": sum(lead.captured_at is not None for lead in leads),
            "mql": sum(lead.mql_at is not None for lead in leads),
            "sql": sum(lead.qualified_at is not None for lead in leads),
            "won": sum(lead.outcome == "won" for lead in leads),
        }, channel
