"""Settings of every service: environment variables with the prefix `SALESCYCLE_`, nested by `__`; built once, frozen.

Each service adds its own ports and parts in its `settings.py`. Lists of dicts (placements) are given as JSON.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class PostgresSettings(Part):
    url: SecretStr = SecretStr("postgresql://salescycle@127.0.0.1:7432/salescycle")
    """libpq URL. The user must be allowed to take the roles that `salescycle migrate` makes."""
    pool_size: int = Field(default=10, ge=2, le=200)
    statement_timeout_ms: int = Field(default=30_000, ge=100)


class PlacementSettings(Part):
    """One primary and the range of partitions that lies in it, both ends included."""

    name: str
    url: SecretStr
    first: int = Field(ge=0)
    last: int = Field(ge=0)


class LogSettings(Part):
    partitions: int = Field(default=12, ge=1, le=1024)
    """Fixed when the store is made; the topic has just as many."""
    placements: tuple[PlacementSettings, ...] = ()
    """None: everything lies in `postgres.url`."""


class KafkaSettings(Part):
    bootstrap: str = "127.0.0.1:7092"
    events_topic: str = "sales.lifecycle.events.v1"
    leads_topic: str = "sales.lifecycle.leads.v1"
    """Compacted: the current state of every lead."""
    idempotence: bool = True
    """The idempotent producer; false on the embedded broker, which cannot do it."""
    recreate_topics: bool = False
    """Delete and recreate a topic whose partition count is wrong: only for the embedded broker, whose topics are lost on restart."""
    replication_factor: int = Field(default=1, ge=1)
    min_insync_replicas: int = Field(default=1, ge=1)


class HttpSettings(Part):
    host: str = "127.0.0.1"
    port: int
    management_port: int
    public_url: str | None = None
    """Where others reach this service; `dataschema` and problem types are built on it. Default: http://host:port."""

    @property
    def base_url(self) -> str:
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")


class KernelSettings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="SALESCYCLE_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,  # SALESCYCLE_LIFECYCLE__PORT alone keeps the other defaults
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,  # a URL holds a password
    )

    postgres: PostgresSettings = PostgresSettings()
    kafka: KafkaSettings = KafkaSettings()
    log: LogSettings = LogSettings()
    data_dir: Path = Path(".salescycle")
    keys_file: Path | None = None
    """Hashes of the API keys, read by every service and reloaded when it changes. Default: <data_dir>/keys.json."""
    pipelines_dir: Path = Path("deploy/pipelines")
    reporting_zone: str = "UTC"
    log_level: str = "info"

    @property
    def keys_path(self) -> Path:
        return self.keys_file or self.data_dir / "keys.json"
