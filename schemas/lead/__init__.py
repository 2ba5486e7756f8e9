"""The lead: its state, the table of its transitions, and the fold that makes the one by the other.

`state` says what is known, `transitions` which step is normal where, `fold` what every event does; `opening`, `selling`,
`closing` and `keeping` hold the effects, by the part of the lifecycle they belong to.
"""

from schemas.fact import Fact, OrderKey, reference
from schemas.lead.fold import LeadBody, at_instant, evolve, fold
from schemas.lead.keeping import next_change, time_passed
from schemas.lead.state import INSIDE, UNKNOWN_LEAD, Anomaly, Lead
from schemas.lead.transitions import normal_events, state_of

__all__ = [
    "INSIDE",
    "UNKNOWN_LEAD",
    "Anomaly",
    "Fact",
    "Lead",
    "LeadBody",
    "OrderKey",
    "at_instant",
    "evolve",
    "fold",
    "next_change",
    "normal_events",
    "reference",
    "state_of",
    "time_passed",
]
