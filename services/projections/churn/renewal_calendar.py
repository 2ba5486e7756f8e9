"""The calendar of renewals and upgrades: which terms end when, what they bring, and how far their renewal is."""

from typing import Any

import sqlalchemy as sa

from services.projections.churn.amounts import exact_text
from services.projections.churn.homes import homes
from services.projections.churn.ledgers import CONTRACTS, CUSTOMERS, UPGRADES
from services.projections.quadrant import known, standing
from services.projections.query.facts import OF_LEADS, Facts
from services.projections.query.metric import Answer, Asked, Metric, Reading, Row
from services.projections.query.periods import first_days


async def _answer(asked: Asked, reading: Reading) -> Answer:
    facts = Facts(CONTRACTS, asked, reading, at=sa.literal(asked.as_of), latest=CUSTOMERS)
    row, label, home = facts.row, facts.label, homes(asked)
    facts.join(
        home,
        sa.and_(home.c.partition == row.partition, home.c.subject == row.subject),
        told={"account": home.c.account},
    )
    begins, *_, ends = first_days(asked.periods.edges, asked.zone)
    flag = _flags(asked)
    columns = [
        row.term_end, row.subject, row.contract_id, home.c.account, facts.dimension("owner").label("owner"), label.kind,
        facts.dimension("product").label("product"), row.amount, label.currency, row.one_off, row.requested_at,
        _flag(flag, row, "status").label("flag"), _flag(flag, row, "new_lead").label("new_lead"),
    ]  # fmt: skip
    place = sa.tuple_(row.term_end, row.subject, row.contract_id)
    query = facts.select(*columns).where(
        facts.stands(), row.term_end >= begins, row.term_end < ends,
        sa.or_(row.counts_until.is_(None), row.counts_until >= asked.as_of),
    )  # fmt: skip
    if asked.after is not None:
        term_end, subject, contract_id = asked.after
        query = query.where(
            place
            > sa.tuple_(sa.cast(sa.literal(term_end, sa.Text), sa.Date), sa.literal(subject), sa.literal(contract_id))
        )
    query = query.order_by(row.term_end, row.subject, row.contract_id).limit(asked.limit + 1)
    found = await reading.rows(query)
    shown = found[: asked.limit]
    more = len(found) > asked.limit
    after = [shown[-1].term_end.isoformat(), shown[-1].subject, shown[-1].contract_id] if more else None
    return Answer([_row(asked, each) for each in shown], next_after=after)


def _flags(asked: Asked) -> sa.Subquery:
    """Rows (partition, subject, contract_id or NULL for the whole lead, status, new_lead): upgrades as they stand at as_of."""
    row, label = UPGRADES.rows.c, UPGRADES.profiles.c
    return (
        sa.select(row.partition, row.subject, row.contract_id, row.due_at, label.status, row.new_lead)
        .join_from(
            UPGRADES.rows,
            UPGRADES.profiles,
            sa.and_(row.partition == label.partition, row.profile == label.profile),
        )
        .where(known(UPGRADES, asked.known_at), standing(UPGRADES, asked.as_of))
        .subquery("flags")
    )


def _flag(flags: sa.Subquery, row: Any, name: str) -> sa.ScalarSelect[Any]:
    f = flags.c
    return (
        sa.select(f[name])
        .where(
            f.partition == row.partition, f.subject == row.subject, sa.or_(f.contract_id == row.contract_id, f.contract_id.is_(None))
        )
        .order_by(f.contract_id.is_(None), f.due_at.desc())
        .limit(1)
        .scalar_subquery()
    )  # fmt: skip


def _row(asked: Asked, found: Any) -> Row:
    amount, currency = found.amount, found.currency
    unpriced = False
    if asked.rates is not None and currency is not None:
        factor = asked.rates.before(currency, asked.as_of)
        unpriced = factor is None
        amount, currency = (None, None) if factor is None else (round(amount * factor, 4), asked.rates.currency)
    notice = found.requested_at is not None and found.requested_at < asked.as_of
    return {
        "lead_id": found.subject,
        "contract_id": found.contract_id,
        "account": found.account,
        "owner": found.owner,
        "product": found.product,
        "term_end": found.term_end.isoformat(),
        "overdue": (asked.as_of.date() - found.term_end).days > 0,
        "mrr": None if found.kind != "recurring" or currency is None else {"amount": exact_text(amount, currency), "currency": currency},
        "unpriced": unpriced,
        "upgrade": found.flag,
        "new_lead_id": found.new_lead,
        "notice": notice,
    }  # fmt: skip


RENEWAL_CALENDAR = Metric(
    id="renewal_calendar",
    version=1,
    title="Calendar of renewals and upgrades",
    definition=(
        "Contracts that run at as_of and whose term ends within the period, in the order of their ends: what each brings, who owns "
        "the lead, how its upgrade stands (due, accepted, declined, renewed), and whether notice was given. A term is over with its "
        "last day in UTC. One that was over before as_of and goes on is overdue; without `from` the calendar begins at as_of. Dimensions are those at as_of."
    ),
    formula="contracts running at as_of with term_end in [from, to)",
    columns={
        "lead_id": "lead, without lead/",
        "contract_id": "contract",
        "account": "account; null where the lead has none",
        "owner": "who owns the lead",
        "product": "what is sold",
        "term_end": "last day of the term",
        "overdue": "whether the term is over at as_of",
        "mrr": "what it brings by the month; null for a one-off contract, and without a rate",
        "unpriced": "whether there is no rate to the currency asked for",
        "upgrade": "status of its upgrade; null where none was due",
        "new_lead_id": "the new cycle of an accepted upgrade",
        "notice": "whether an end that lies ahead was told by as_of",
    },
    time="period",
    dimensions=OF_LEADS,
    answer=_answer,
    models=("churn",),
    money=True,
    listed=True,
    ahead=True,
)
