"""Settings of projections: `SALESCYCLE_PROJECTIONS__PORT` and the like, besides those that all services share."""

from pydantic import Field, SecretStr

from services.kernel.settings import HttpSettings, KernelSettings

SCHEMA = "projections"

CHANNEL_GROUPS = {
    "web": "inbound", "phone": "inbound", "organic": "inbound",
    "cold_call": "outbound", "in_field": "outbound", "telemarketing": "outbound",
    "ads": "paid", "event": "events",
    "referral": "referral", "partner": "partner", "upgrade": "customers",
}  # fmt: skip


class Settings(KernelSettings):
    projections: HttpSettings = HttpSettings(port=7300, management_port=7301)
    lifecycle_url: str = "http://127.0.0.1:7100"
    """Where the log's feed is read from."""
    key: SecretStr | None = None
    """API key for the feed, with the scope `events:read`."""
    leads_kept: int = Field(default=50_000, ge=1_000)
    """Lead records in memory, about 1.5 kB each; a lead that is not there costs a read of its record."""
    channel_groups: dict[str, str] = Field(default=CHANNEL_GROUPS)
    """Which group a channel counts in, for the dimension channel_group; a channel that is not named is its own group."""
