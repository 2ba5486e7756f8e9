"""What every fact of a lead is grouped and filtered by, as the lead had it when the fact came about."""

from schemas.lead import Lead

LABELS = (
    "pipeline", "pipeline_version", "currency", "owner", "source_channel", "product", "region", "segment", "campaign",
)  # fmt: skip
"""Part of the labels of every ledger of leads. The account is an attribute: there are too many to keep combinations of."""


def labels_of(lead: Lead, currency: str | None) -> tuple[str | None, ...]:
    """The values of `LABELS`."""
    version = lead.pipeline_version
    return (
        lead.pipeline, None if version is None else str(version), currency,
        lead.owner, lead.source_channel, lead.product, lead.region, lead.segment, lead.campaign_id,
    )  # fmt: skip
