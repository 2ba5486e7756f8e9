"""One PostgreSQL server for all tests of a session, also when they run in several processes side by side."""

import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from services.cli import machine
from services.cli.embedded import EmbeddedPostgres

PREFIX = "salescycle-tests-"


def new_server(folder: Path) -> EmbeddedPostgres:
    """A server of its own on a free port, for a test that crashes or restarts it. Not started."""
    return EmbeddedPostgres(folder, machine.free_port(), settings={"shared_buffers": "128MB"})


def new_folder() -> Path:
    """A folder in the system's temporary folder that an unprivileged PostgreSQL can reach (pytest's own are mode 700)."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    folder.chmod(0o711)
    # of processes side by side the first may end long before the last: what they share belongs to the one that started them
    owner = os.getppid() if os.environ.get("PYTEST_XDIST_WORKER") else os.getpid()
    (folder / "owner").write_text(str(owner), encoding="ascii")
    return folder


def new_name() -> str:
    return f"test_{secrets.token_hex(6)}"


@contextmanager
def shared_server(meeting_point: Path) -> Iterator[EmbeddedPostgres]:
    """The server that everybody with the same `meeting_point` shares: the first one starts it, the last one deletes it."""
    with _locked(meeting_point) as state:
        if not state.get("users"):
            _sweep()
            folder = new_folder()
            server = new_server(folder / "postgres")
            server.start()
            state.update(folder=str(folder), port=server.port, users=0)
        server = EmbeddedPostgres(
            Path(state["folder"]) / "postgres", state["port"], settings={"shared_buffers": "128MB"}
        )
        state["users"] += 1
    try:
        yield server
    finally:
        with _locked(meeting_point) as state:
            state["users"] -= 1
            if not state["users"]:
                delete(Path(state["folder"]))


@contextmanager
def _locked(meeting_point: Path) -> Iterator[dict[str, Any]]:
    with meeting_point.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        state = json.loads(file.read() or "{}")
        yield state
        file.truncate(0)
        file.write(json.dumps(state))


def _sweep() -> None:
    """Delete what a session that was killed left running."""
    for folder in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        try:
            owner = int((folder / "owner").read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
        if "pytest" not in (machine.command_of(owner) or ""):
            delete(folder)


def delete(folder: Path) -> None:
    """Stop the server in `folder` and delete everything."""
    if (folder / "postgres" / "password").exists():
        EmbeddedPostgres(folder / "postgres", 1).delete()
    shutil.rmtree(folder, ignore_errors=True)
