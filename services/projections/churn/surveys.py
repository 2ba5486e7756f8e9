"""What customers answer: NPS, CSAT, and how many answer at all."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from services.projections.churn.ledgers import SURVEYS
from services.projections.churn.told import every_period, facts_of, happened
from services.projections.query.facts import OF_LEADS
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row, ratio
from services.projections.query.parameters import choice, flag

_LATEST: Final = "Count only the latest answer of each person in the period."
_OF_LEAVERS: Final = (
    "Answers on voided and absorbed leads do not count. Dimensions are those of the lead when it was answered."
)


def _scores(asked: Asked, reading: Reading, kind: str) -> sa.Select[Any]:
    """Rows (period, <group_by>, score, n). The latest of a person is taken first, so that groups add up to the whole."""
    facts = facts_of(SURVEYS, asked, reading)
    row = facts.row
    names = tuple(dict.fromkeys((*asked.group_by, *asked.filters)))
    period = facts.period().label("period")
    columns = [period, *(facts.dimension(name).label(f"by_{name}") for name in names), row.score, row.person]
    query = facts.select(*columns, unfiltered=True).where(
        facts.label.what == "answered", facts.label.kind == kind, facts.within(), *happened(facts)
    )
    first: Any = sa.literal_column("1")  # the period is the first column
    if asked.options["latest"]:
        query = query.ext(distinct_on(first, row.person)).order_by(
            period, row.person, row.business_from.desc(), row.recorded_from.desc(), row.subject, row.number.desc()
        )
    answers = query.cte("answers")
    a = answers.c
    keys = [a.period, *(a[f"by_{name}"] for name in asked.group_by), a.score]
    passing = [a[f"by_{name}"] == value for name, value in asked.filters.items()]
    return sa.select(*keys, sa.func.count().label("n")).where(*passing).group_by(*keys)


def _answering(
    row: Callable[[Counter[int]], Row], kind: Callable[[Asked], str]
) -> Callable[[Asked, Reading], Awaitable[Answer]]:
    async def answer(asked: Asked, reading: Reading) -> Answer:
        found = await reading.rows(_scores(asked, reading, kind(asked)))
        return Answer([
            {**key, **row(Counter({part.score: part.n for part in parts}))} for key, parts in every_period(asked, found)
        ])  # fmt: skip

    return answer


def _nps(scores: Counter[int]) -> Row:
    n, promoters, detractors = scores.total(), scores[9] + scores[10], sum(scores[score] for score in range(7))
    return {
        "n": n,
        "promoters": promoters,
        "passives": scores[7] + scores[8],
        "detractors": detractors,
        "numerator": promoters - detractors,
        "denominator": n,
        "value": 100 * (promoters - detractors) / n if n else None,
        "distribution": {str(score): scores[score] for score in range(11)},
    }


def _csat(scores: Counter[int]) -> Row:
    n = scores.total()
    return {
        "n": n,
        **ratio(scores[4] + scores[5], n),
        "mean": sum(score * count for score, count in scores.items()) / n if n else None,
        "distribution": {str(score): scores[score] for score in range(1, 6)},
    }


NPS = Metric(
    id="nps",
    version=1,
    title="Net promoter score",
    definition=(
        "Of the answers to surveys of the kind nps in the period, the share of 9 and 10 less the share of 0 to 6, times 100. Only the latest "
        "answer of each person in the period counts, whatever lead it stands on; with latest=false all do. Answers on another "
        "scale are refused at the door, never rescaled. " + _OF_LEAVERS
    ),
    formula="100 * (n of 9 to 10 - n of 0 to 6) / n",
    columns={
        "n": "answers",
        "promoters": "answers of 9 and 10",
        "passives": "answers of 7 and 8",
        "detractors": "answers of 0 to 6",
        "numerator": "promoters less detractors",
        "denominator": "answers",
        "value": "from -100 to 100; null without an answer",
        "distribution": "score -> answers",
    },
    time="period",
    dimensions=OF_LEADS,
    answer=_answering(_nps, lambda _: "nps"),
    parameters=(flag("latest", _LATEST, default=True),),
    models=("churn",),
)
CSAT = Metric(
    id="csat",
    version=1,
    title="Customer satisfaction",
    definition=(
        "Of the answers to surveys of the kind csat (or implementation) in the period, on their scale of 1 to 5, the share of 4 and 5, "
        "and the mean. All answers count; with latest=true only the latest of each person in the period. " + _OF_LEAVERS
    ),
    formula="n of 4 to 5 / n",
    columns={
        "n": "answers",
        "numerator": "answers of 4 and 5",
        "denominator": "answers",
        "value": "share; null without an answer",
        "mean": "mean score; null without an answer",
        "distribution": "score -> answers",
    },
    time="period",
    dimensions=OF_LEADS,
    answer=_answering(_csat, lambda asked: str(asked.options["kind"])),
    parameters=(choice("kind", "Which surveys.", "csat", "implementation"), flag("latest", _LATEST)),
    models=("churn",),
)


async def _response(asked: Asked, reading: Reading) -> Answer:
    facts = facts_of(SURVEYS, asked, reading)
    row, other = facts.row, SURVEYS.rows.alias("answer")
    profile = SURVEYS.profiles.alias("answer_profile")
    # known() speaks of the table itself; of the alias it is said again
    at = asked.known_at
    is_known = (
        other.c.recorded_to.is_(None)
        if at is None
        else sa.and_(other.c.recorded_from < at, sa.or_(other.c.recorded_to.is_(None), other.c.recorded_to >= at))
    )
    answered = sa.exists().where(
        other.c.partition == profile.c.partition,
        other.c.profile == profile.c.profile,
        profile.c.what == "answered",
        profile.c.kind == facts.label.kind,
        other.c.survey_id == row.survey_id,
        other.c.person == row.person,
        other.c.business_from < asked.as_of,
        is_known,
    )
    sent = facts.label.what == "sent"
    kinds = [] if asked.options["kind"] == "all" else [facts.label.kind == asked.options["kind"]]
    query = facts.grouped(
        facts.keys(),
        sent=sa.func.count().filter(sent),
        answered=sa.func.count().filter(sent, answered),
        answers=sa.func.count().filter(sa.not_(sent)),
    ).where(facts.within(), *kinds, *happened(facts))
    found = []
    for key, parts in every_period(asked, await reading.rows(query)):
        [part] = parts or [None]
        n, of = (part.answered, part.sent) if part is not None else (0, 0)
        found.append({**key, **ratio(n, of), "answers": part.answers if part is not None else 0})
    return Answer(found)


SURVEY_RESPONSE = Metric(
    id="survey_response",
    version=1,
    title="Response to surveys",
    definition=(
        "Of the surveys sent in the period, the share that the person asked had answered by as_of, whenever that was. "
        "answers counts what was answered in the period, to whatever was sent before, or unasked. "
        "Surveys on voided and absorbed leads do not count. Dimensions are those of the lead when the survey was sent."
    ),
    formula="sent and answered / sent",
    columns={
        "numerator": "surveys sent in the period and answered by as_of",
        "denominator": "surveys sent in the period",
        "value": "share; null where nothing was sent",
        "answers": "answers within the period",
    },
    time="period",
    dimensions=OF_LEADS,
    answer=_response,
    parameters=(choice("kind", "Which surveys.", "all", "nps", "csat", "implementation"),),
    models=("churn",),
)
