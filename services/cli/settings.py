"""Where the command line finds the running system: environment variables first, then what `salescycle up` left in its folder.

`up` writes the settings of everything it started to `<data_dir>/environment` (mode 600: it holds a key and a password), so
that `salescycle doctor` in another terminal needs no settings at all.
"""

import os
from pathlib import Path
from typing import Final

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from services.cli import machine
from services.kernel.settings import HttpSettings, KernelSettings, Part

ROOT: Final = Path(__file__).resolve().parents[2]
"""The checkout: `deploy/` lies here."""


class UpSettings(Part):
    """The ports of 127.0.0.1 on which `salescycle up` starts the embedded servers."""

    postgres_port: int = Field(default=7432, ge=1, le=65535)
    broker_port: int = Field(default=7092, ge=1, le=65535)


class CliSettings(KernelSettings):
    """The kernel's settings, and where the services are."""

    # SALESCYCLE_LIFECYCLE__PORT alone keeps the default of the management port.
    model_config = SettingsConfigDict(nested_model_default_partial_update=True)

    up: UpSettings = UpSettings()
    lifecycle: HttpSettings = HttpSettings(port=7100, management_port=7101)
    projections: HttpSettings = HttpSettings(port=7300, management_port=7301)
    lifecycle_url: str = "http://127.0.0.1:7100"
    projections_url: str = "http://127.0.0.1:7300"
    key: SecretStr | None = None
    """The API key that the command line sends."""
    topics_file: Path = ROOT / "deploy" / "topics.yaml"

    def authorization(self) -> dict[str, str]:
        """The header that proves who asks. Raises machine.CannotStart where there is no key."""
        if self.key is None:
            raise machine.CannotStart(
                "No key was found. Start the system here with `make up`, or name one: "
                "SALESCYCLE_KEY=sc_… (`salescycle keys create --scopes …` makes one)"
            )
        return {"authorization": f"Bearer {self.key.get_secret_value()}"}


def load() -> CliSettings:
    """The settings of this call; every command begins with it. Variables set by hand win over the folder's."""
    for name, value in read_environment(data_dir() / "environment").items():
        os.environ.setdefault(name, value)
    if "SALESCYCLE_PIPELINES_DIR" not in os.environ:
        os.environ["SALESCYCLE_PIPELINES_DIR"] = str(ROOT / "deploy" / "pipelines")
    return CliSettings()


def data_dir() -> Path:
    """The folder of this system's data, absolute."""
    return Path(os.environ.get("SALESCYCLE_DATA_DIR", ".salescycle")).resolve()


def read_environment(path: Path) -> dict[str, str]:
    """The variables of an environment file (NAME=value lines); empty where there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except PermissionError:
        raise machine.CannotStart(f"{path} belongs to another user: run this as the user who ran `make up`") from None
    lines = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name: value for name, _, value in lines}
