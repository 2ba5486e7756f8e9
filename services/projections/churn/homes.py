"""To which account a won lead belongs, as of an instant: worked out by the query, from the leads themselves.

A lead belongs to the account that it names last. One that names none is an account of its own, `lead/<id>`, and so are the later
cycles that grew out of it: the way back over `origin` ends at the first lead that names an account, or that grew out of none.
A first lead that was never won, or whose win does not hold, is not asked for its account: it has no row here.
"""

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from services.projections.churn.ledgers import CUSTOMERS, LINKS
from services.projections.quadrant import known, standing
from services.projections.query.metric import Asked

_LONGEST_CHAIN: Final = 100
"""Two leads that each name the other as their origin must not keep a query busy."""


def homes(asked: Asked, name: str = "homes") -> sa.CTE:
    """Rows (partition, subject, account, home, won_at, customer_at): one per lead that stands as won at as_of.

    `account` is its id or NULL, `home` the key of what it belongs to: account/<id> or lead/<id>. A statement
    that takes them twice gives each a name of its own.
    """
    row = CUSTOMERS.rows.c
    latest = (
        sa.select(row.partition, row.subject, row.account, row.origin, row.won_at, row.customer_at)
        .ext(distinct_on(row.partition, row.subject))
        .where(
            known(CUSTOMERS, asked.known_at),
            row.business_from < asked.as_of,
            sa.or_(row.counts_until.is_(None), row.counts_until >= asked.as_of),
        )
        .order_by(row.partition, row.subject, row.business_from.desc())
        .cte(f"{name}_won_leads")
    )
    chains = _chains(asked, latest, name)
    first = latest.alias(f"{name}_first_leads")
    lead, end = latest.c, chains.c
    account = sa.func.coalesce(lead.account, end.account, first.c.account)
    home = sa.case(
        (account.is_not(None), sa.literal("account/") + account),
        else_=sa.literal("lead/") + sa.func.coalesce(end.home, lead.subject),
    )
    return sa.select(
        lead.partition, lead.subject, account.label("account"), home.label("home"), lead.won_at, lead.customer_at
    ).select_from(
        latest.outerjoin(chains, end.lead == lead.subject).outerjoin(first, first.c.subject == end.home)
    ).cte(name)  # fmt: skip


def _chains(asked: Asked, leads: sa.CTE, name: str) -> sa.Subquery:
    """Rows (lead, home, account) of leads without an account that grew out of others: where the way back ends."""
    link = LINKS.rows.c
    links = (
        sa.select(link.subject, link.origin, link.account)
        .where(known(LINKS, asked.known_at), standing(LINKS, asked.as_of), link.origin.is_not(None))
        .cte(f"{name}_links")
    )
    way = (
        sa.select(
            leads.c.subject.label("lead"),
            leads.c.origin.label("home"),
            leads.c.account,  # NULL here; typed and collated as it goes on
            sa.literal_column("1").label("steps"),
        )
        .where(leads.c.account.is_(None), leads.c.origin.is_not(None))
        .cte(f"{name}_way_back", recursive=True)
    )
    back: Any = way.union_all(
        sa.select(way.c.lead, links.c.origin, links.c.account, way.c.steps + 1)
        .join(links, links.c.subject == way.c.home)
        .where(way.c.account.is_(None), way.c.steps < _LONGEST_CHAIN)
    )
    return (
        sa.select(back.c.lead, back.c.home, back.c.account)
        .ext(distinct_on(back.c.lead))
        .order_by(back.c.lead, back.c.steps.desc())
        .subquery("chains")
    )
