"""What the supervisor asks of the machine: free ports, living processes, an unprivileged user."""

import errno
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc/self/stat")


class CannotStart(Exception):
    """Something that must run here cannot; the message says what stands in the way and what to do."""


class PortBusy(CannotStart):
    """Another process listens on the port; `setting` is the environment variable that chooses another one."""

    def __init__(self, who: str, port: int, setting: str) -> None:
        super().__init__(
            f"Port {port} on 127.0.0.1 is in use by another program, so {who} cannot start there. "
            f"Stop that program, or choose another port: {setting}={port + 10_000}"
        )
        self.port = port
        self.setting = setting


def port_is_free(port: int) -> bool:
    """True when a server could listen on 127.0.0.1:port now; a connection still closing (TIME_WAIT) does not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as refused:
            if refused.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def require_free_port(who: str, port: int, setting: str) -> None:
    """Raises PortBusy."""
    if not port_is_free(port):
        raise PortBusy(who, port, setting)


def free_port() -> int:
    """A port nobody listens on now. Another process may take it before you do: start soon, and try again."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def accepts(port: int) -> bool:
    """True when something on 127.0.0.1:port accepts a connection within a second."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def command_of(pid: int) -> str | None:
    """The command line of a living process; None where there is no such process or it is a zombie.

    A pid read from a file may by now belong to somebody else: compare the command before believing or signalling it.
    """
    if _PROC.exists():
        found = _from_proc(Path("/proc") / str(pid))
        return found[1] if found else None
    return _processes().get(pid, (0, None))[1]


def children_of(pid: int) -> list[int]:
    """The direct children of a process, also of another user."""
    return [child for child, (parent, _) in _processes().items() if parent == pid]


def _processes() -> dict[int, tuple[int, str]]:
    """(parent, command line) of every living process: from /proc where there is one, since slim images have no `ps`."""
    if _PROC.exists():
        return {int(folder.name): row for folder in Path("/proc").glob("[0-9]*") if (row := _from_proc(folder))}
    # -ww: ps cuts the command at the width of the terminal otherwise.
    command = ["ps", "-A", "-ww", "-o", "pid=", "-o", "ppid=", "-o", "stat=", "-o", "command="]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = (line.split(None, 3) for line in table.splitlines())
    return {int(row[0]): (int(row[1]), row[3]) for row in rows if len(row) == 4 and not row[2].startswith("Z")}


def _from_proc(folder: Path) -> tuple[int, str] | None:
    try:
        # The name, in parentheses, may hold anything; the state and the parent follow the last one.
        state, parent = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:2]
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (OSError, ValueError):
        return None
    return None if state == "Z" or not command else (int(parent), command)


def kill_now(pids: list[int]) -> None:
    """SIGKILL each; one that is gone already is fine."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def wait_until_gone(pid: int, marker: str, *, timeout_s: float) -> bool:
    """True when no process `pid` whose command holds `marker` lives any more; False when it still does after the time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        command = command_of(pid)
        if command is None or marker not in command:
            return True
        time.sleep(0.05)
    return False


@dataclass(frozen=True)
class User:
    """Whom PostgreSQL runs as: it refuses root."""

    name: str
    uid: int
    gid: int

    def can_reach(self, path: Path) -> bool:
        """True when this user may pass through every folder above `path` that exists (mode bits only)."""
        return all(self._may_pass(folder) for folder in path.resolve().parents if folder.exists())

    def _may_pass(self, folder: Path) -> bool:
        status = folder.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & 0o100)
        if status.st_gid == self.gid:
            return bool(status.st_mode & 0o010)
        return bool(status.st_mode & 0o001)


def unprivileged_user() -> User | None:
    """The system user for PostgreSQL when we are root (made once as `salescycle`); None when we are not root.

    Raises CannotStart where no such user exists and none can be made.
    """
    if os.geteuid() != 0:
        return None
    if (found := _user("salescycle")) is None and shutil.which("useradd"):
        subprocess.run(
            ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", "salescycle"],
            capture_output=True,
            check=False,  # two starts at once: the loser finds the user of the winner below
        )
        found = _user("salescycle")
    found = found or _user("nobody")
    if found is None or found.uid == 0:
        raise CannotStart(
            "PostgreSQL does not run as root, and no unprivileged user could be made; start as another user"
        )
    return found


def _user(name: str) -> User | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return User(name, entry.pw_uid, entry.pw_gid)
