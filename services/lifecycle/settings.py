"""Settings of lifecycle: `SALESCYCLE_LIFECYCLE__PORT` and the like, besides those that all services share."""

from pydantic import Field

from services.kernel.settings import HttpSettings, KernelSettings

SCHEMA = "lifecycle"


class Settings(KernelSettings):
    lifecycle: HttpSettings = HttpSettings(port=7100, management_port=7101)
    committer_depth: int = Field(default=2, ge=1, le=8)
