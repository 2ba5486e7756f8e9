"""The read model `churn` as the kernel's consumer takes it."""

from typing import Final

from schemas.pipelines import Pipelines
from services.projections.churn import contracts, customers, links, payments, upgrades, voices
from services.projections.churn.contracts import Contracts
from services.projections.churn.customers import Customers, Gone
from services.projections.churn.links import Links, Referrals
from services.projections.churn.payments import Payments
from services.projections.churn.upgrades import Upgrades
from services.projections.churn.voices import Cases, Surveys
from services.projections.lead_fold import LeadFold
from services.projections.store import LedgerReadModel, digest_of
from services.projections.tables import Ledger

NAME = "churn"
LEDGERS: Final[tuple[Ledger, ...]] = (
    contracts.LEDGER, customers.LEDGER, customers.GONE, links.LEDGER, links.REFERRAL, upgrades.LEDGER, voices.SURVEY,
    voices.CASE, payments.LEDGER,
)  # fmt: skip
FOLD = 2
"""Raised by every change that makes other rows or records of the same events, wherever in the code it is."""

IGNORES: Final = frozenset({
    "LeadEnriched", "LeadScored", "CampaignTouched", "HandoverAccepted", "HandoverRejected", "BantAssessed", "ContactRoleSet",
    "ActivityLogged", "ContentShared", "ProposalSent", "ApprovalRequested", "ApprovalDecided", "ObjectionRaised",
    "ObjectionResolved", "ValueChanged", "ExpectedCloseChanged", "ForecastSet", "CompetitorIdentified", "AdvocateIdentified",
    "TestimonialGiven", "ConsentGranted", "ConsentWithdrawn", "CompetitorTermRecorded",
})  # fmt: skip
"""Nothing that a row says follows from these, unless one of them is what first implies the capture: then the log says on
which pipeline it put the lead, and it is read (`services.projections.store`)."""


def churn_fold(pipelines: Pipelines, *, ignoring: bool = True) -> LeadFold:
    """Each view makes the rows of its ledger; the numbers are those of `LEDGERS`."""
    views = (
        Contracts(0, pipelines), Customers(1, pipelines), Gone(2), Links(3), Referrals(4), Upgrades(5, pipelines), Surveys(6), Cases(7),
        Payments(8),
    )  # fmt: skip
    words = {pipeline.customer.event for pipeline in pipelines.all()}
    return LeadFold(pipelines, views, frozenset(IGNORES - words) if ignoring else frozenset())


def churn_model(pipelines: Pipelines, reporting_zone: str, leads_kept: int = 50_000) -> LedgerReadModel:
    """One instance per generation; raises `zoneinfo.ZoneInfoNotFoundError` for an impossible zone."""
    return LedgerReadModel(
        NAME,
        churn_fold(pipelines),
        LEDGERS,
        zone=reporting_zone,
        depends_on={"fold": str(FOLD), "pipelines": digest_of(pipelines.description())},
        leads_kept=leads_kept,
    )
