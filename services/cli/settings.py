"""Where the command line finds the running system: environment variables first, then what `salescycle up` left in its folder.

`up` writes the settings of everything it started to `<data_dir>/environment` (mode 600: it holds a key and a password), so
that `salescycle doctor` in another terminal, and in another folder, needs no settings at all.
"""

import os
from pathlib import Path
from typing import Final

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from services.cli import machine
from services.kernel.settings import HttpSettings, KernelSettings, Part

ROOT: Final = Path(__file__).resolve().parents[2]
"""The checkout: `deploy/` lies here."""

NAME_A_SYSTEM: Final = tuple(
    f"SALESCYCLE_{name}"
    for name in ("POSTGRES__URL", "KAFKA__BOOTSTRAP", "LIFECYCLE_URL", "PROJECTIONS_URL", "KEYS_FILE", "KEY")
)
"""Variables by which someone says that the system runs elsewhere: one of them, and no folder of `up` is needed."""


def data_folder() -> Path:
    """The folder of this system's data, absolute: the one that SALESCYCLE_DATA_DIR names; else the nearest one that `up`
    made here or above; else the one of the checkout that this command belongs to, whether it was made yet or not.
    """
    if named := os.environ.get("SALESCYCLE_DATA_DIR"):
        return Path(named).resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        # A checkout inside another one (a git worktree, say) has data of its own.
        if folder == ROOT or _was_made_by_us(folder / ".salescycle"):
            return folder / ".salescycle"
    return (ROOT if (ROOT / "deploy").is_dir() else here) / ".salescycle"


def environment_file() -> Path:
    """What `up` left for the other commands."""
    return data_folder() / "environment"


def _was_made_by_us(folder: Path) -> bool:
    # Whoever writes the environment there says where our key is sent: in /tmp that could be anyone.
    return folder.is_dir() and folder.stat().st_uid == os.geteuid() and (folder / "up.lock").exists()


class UpSettings(Part):
    """The ports of 127.0.0.1 on which `salescycle up` starts the embedded servers."""

    postgres_port: int = Field(default=7432, ge=1, le=65535)
    broker_port: int = Field(default=7092, ge=1, le=65535)


class CliSettings(KernelSettings):
    """The kernel's settings, and where the services are."""

    # SALESCYCLE_LIFECYCLE__PORT alone keeps the default of the management port.
    model_config = SettingsConfigDict(nested_model_default_partial_update=True)

    data_dir: Path = Field(default_factory=data_folder)
    pipelines_dir: Path = ROOT / "deploy" / "pipelines"
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
    """The settings of this call; every command begins with it. Variables set by hand win over the folder's.

    Raises machine.CannotStart where neither says which system is meant: the defaults would look at any server that
    happens to listen there, or make keys that no service reads.
    """
    left = read_environment(environment_file())
    if not left and not any(name in os.environ for name in NAME_A_SYSTEM):
        raise machine.CannotStart(
            f"No system is known here: `make up` has left nothing in {data_folder()}. Start it with `make up`, or name the data "
            "folder of the one that you mean: SALESCYCLE_DATA_DIR=…/.salescycle (for servers of your own: "
            "SALESCYCLE_POSTGRES__URL, SALESCYCLE_KAFKA__BOOTSTRAP, SALESCYCLE_LIFECYCLE_URL, SALESCYCLE_PROJECTIONS_URL)"
        )
    for name, value in left.items():
        os.environ.setdefault(name, value)
    return from_variables()


def from_variables() -> CliSettings:
    """The settings that the variables of this process give. Raises machine.CannotStart naming those that cannot be used."""
    try:
        return CliSettings()
    except ValidationError as refused:
        flaws = (f"{variable(*map(str, flaw['loc']))}: {flaw['msg']}" for flaw in refused.errors())
        raise machine.CannotStart(f"A setting cannot be used. {'; '.join(flaws)}") from None


def variable(*path: str) -> str:
    """The name of the variable that sets the field at `path`."""
    return f"SALESCYCLE_{'__'.join(path).upper()}"


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
