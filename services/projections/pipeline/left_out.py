"""Which leads no ratio counts: those that are void or absorbed, as far as is known, whatever the instant asked for."""

import sqlalchemy as sa

from services.projections.pipeline.ledgers import EXCLUSIONS
from services.projections.query.beside import of_same_lead
from services.projections.query.facts import Facts


def counts(facts: Facts) -> sa.ColumnElement[bool]:
    """Whether the lead of the row counts in ratios: it does not stand void or absorbed at the end of all that is known.

    The business time asked for plays no part: a lead that is voided in May is left out of March's figures too, once that is known.
    """
    excluded = of_same_lead(facts, EXCLUSIONS, "excluded")
    return sa.not_(excluded.exists(excluded.row.business_to.is_(None)))
