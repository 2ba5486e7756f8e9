"""The lead funnel: how many were listed, leads, marketing- and sales-qualified, opportunities and customers."""

from itertools import pairwise
from typing import Any, Final

import sqlalchemy as sa

from services.projections.pipeline.ledgers import DEAL_INTERVALS, MILESTONES
from services.projections.pipeline.left_out import counts
from services.projections.pipeline.milestones import STEPS
from services.projections.query.beside import of_same_lead
from services.projections.query.facts import OF_LEADS, Facts, counted, gathered
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row, ratio
from services.projections.query.parameters import choice

_MODE: Final = choice(
    "mode",
    "cohort: what became of those that were first listed or captured in the period; flow: what was reached in it.",
    "cohort",
    "flow",
)
_SKIPS: Final = choice(
    "skips", "mode=cohort: whether a step counts as reached where a later one was (implied), or not (direct).", "implied", "direct"
)  # fmt: skip


def milestones(asked: Asked, reading: Reading, name: str) -> tuple[Facts, list[sa.ColumnElement[bool]]]:
    """The facts of one milestone, dated where it was reached, and the condition that it counts and was reached in the period."""
    facts = Facts(MILESTONES, asked, reading, at=MILESTONES.rows.c.reached_at, latest=DEAL_INTERVALS)
    return facts, [facts.label.name == name, facts.stands(), facts.within(facts.row.reached_at), counts(facts)]


async def _answer(asked: Asked, reading: Reading) -> Answer:
    if asked.options["mode"] == "flow":
        return Answer(await _flow(asked, reading))
    rows = await reading.rows(_cohort(asked, reading))
    return Answer([row for key, [part] in gathered(asked, rows) for row in _steps(key, part)])


def _cohort(asked: Asked, reading: Reading) -> sa.Select[Any]:
    facts = Facts(MILESTONES, asked, reading, at=MILESTONES.rows.c.reached_at, latest=DEAL_INTERVALS)
    row, label = facts.row, facts.label
    listed = of_same_lead(facts, MILESTONES, "listed")
    entry = sa.or_(
        label.name == "listed",
        sa.and_(
            label.name == "lead",
            sa.not_(listed.exists(listed.label.name == "listed", listed.stands(asked.as_of))),
        ),
    )
    others = of_same_lead(facts, MILESTONES, "others")
    reached = (
        others.select(sa.func.array_agg(others.label.name).label("names"))
        .where(others.stands(asked.as_of))
        .lateral("reached")
    )
    facts.join(reached, sa.true())
    flags = {step: _has(reached.c.names, asked, step) for step in STEPS}
    pairs = {f"{step}_after": counted(sa.and_(flags[before], flags[step])) for before, step in pairwise(STEPS)}
    return facts.grouped(
        facts.keys(row.reached_at), **{step: counted(flag) for step, flag in flags.items()}, **pairs
    ).where(facts.stands(), facts.within(row.reached_at), counts(facts), entry)


def _has(names: Any, asked: Asked, step: str) -> sa.ColumnElement[bool]:
    """Whether the step was reached; being a lead implies no list."""
    implied = asked.options["skips"] == "implied" and step != "listed"
    wanted = list(STEPS[STEPS.index(step) :]) if implied else [step]
    return names.op("&&")(sa.literal(wanted, sa.ARRAY(sa.Text)))  # type: ignore[no-any-return]  # SQLAlchemy leaves it open


def _steps(key: Row, part: Any) -> list[Row]:
    n = {step: getattr(part, step) for step in STEPS}
    rows = []
    for index, step in enumerate(STEPS):
        before = STEPS[index - 1] if index else None
        rows.append({
            **key,
            "step": step,
            "n": n[step],
            "of_previous": None if before is None else ratio(getattr(part, f"{step}_after"), n[before]),
            "of_leads": None if step == "listed" else ratio(n[step], n["lead"]),
        })  # fmt: skip
    return rows


async def _flow(asked: Asked, reading: Reading) -> list[Row]:
    facts = Facts(MILESTONES, asked, reading, at=MILESTONES.rows.c.reached_at, latest=DEAL_INTERVALS)
    at, name = facts.row.reached_at, facts.label.name
    query = facts.grouped(facts.keys(at), **{step: counted(name == step) for step in STEPS}).where(
        facts.stands(), facts.within(at), counts(facts), name.in_(STEPS)
    )
    rows = []
    for key, [part] in gathered(asked, await reading.rows(query)):
        n = {step: getattr(part, step) for step in STEPS}
        for index, step in enumerate(STEPS):
            before = STEPS[index - 1] if index else None
            rows.append({
                **key, "step": step, "n": n[step],
                "of_previous": None if before is None else ratio(n[step], n[before]),
                "of_leads": None if step == "listed" else ratio(n[step], n["lead"]),
            })  # fmt: skip
    return rows


LEAD_FUNNEL = Metric(
    id="lead_funnel",
    version=1,
    title="Lead funnel",
    definition=(
        "mode=cohort: of those that were first listed or captured in the period, how many had reached each step by as_of; a step "
        "counts as reached where a later one was, unless skips=direct, and only being listed is never implied. mode=flow: how many "
        "reached each step in the period; the ratios are then not of the same leads. What mql, sql, opportunity and customer mean "
        "is what the lead's pipeline says; a customer is one as long as its win stands. Dimensions are those at the entry; of a "
        "flow, those at the step. Voided and absorbed leads do not count."
    ),
    formula="cohort: reached step and the one before / reached the one before",
    columns={
        "step": "listed, lead, mql, sql, opportunity or customer",
        "n": "leads that reached it",
        "of_previous": "numerator, denominator and value: of those that reached the step before, the share that reached this one",
        "of_leads": "the same of all that became leads",
    },
    time="period",
    dimensions=OF_LEADS,
    answer=_answer,
    parameters=(_MODE, _SKIPS),
)
