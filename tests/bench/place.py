"""Where it is measured: a PostgreSQL server and a broker of the bench's own, the peers' environment, one process a task."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from services.cli import machine
from services.cli.embedded import EmbeddedPostgres
from services.cli.embedded_broker import EmbeddedBroker
from tests.bench.meter import ANSWER, PARTIES, foreign_cores
from tests.support.processes import ROOT, Processes

BUILD: Final = ROOT / "build" / "bench"
SETTINGS: Final = {"shared_buffers": "1GB", "max_wal_size": "16GB", "checkpoint_timeout": "60min"}
"""No checkpoint falls into a run. All else is as it ships: fsync, synchronous_commit and full_page_writes are on."""
MESSAGE_DB: Final = "@eventide/message-db@1.3.1"
QUIET_CORES: Final = 0.25


class Unmeasured(Exception):
    """A peer that this machine cannot run; the row goes on without it, aloud."""


class Place:
    """Everything that the rows share. Use as a context manager."""

    def __init__(self, wait_quiet_s: float) -> None:
        self._wait_quiet_s = wait_quiet_s
        self.folder = Path(tempfile.mkdtemp(prefix="salescycle-bench-"))
        self.folder.chmod(0o711)
        self.postgres = EmbeddedPostgres(self.folder / "postgres", machine.free_port(), settings=SETTINGS)
        self.broker = EmbeddedBroker(self.folder / "broker", machine.free_port())
        self.noisy = 0

    def __enter__(self) -> Self:
        self.postgres.start()
        self.broker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.broker.stop()
        self.postgres.delete()
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self, name: str) -> str:
        """The URL of an empty database."""
        self.postgres.drop_database(name)
        return self.postgres.create_database(name)

    def processes(self, name: str, url: str) -> Processes:
        """Services on that database and the bench's broker, as they ship."""
        return Processes(
            self.folder / name,
            {
                "SALESCYCLE_POSTGRES__URL": url,
                "SALESCYCLE_KAFKA__BOOTSTRAP": self.broker.bootstrap,
                "SALESCYCLE_KAFKA__EVENTS_TOPIC": f"{name}.events.v1",
                "SALESCYCLE_KAFKA__IDEMPOTENCE": "false",
                "SALESCYCLE_KAFKA__RECREATE_TOPICS": "true",
                "SALESCYCLE_LOG_LEVEL": "warning",
            },
        )

    def run(
        self,
        module: str,
        task: str,
        *,
        python: str = sys.executable,
        parties: dict[str, list[int]] | None = None,
        patience_s: float = 600,
        **parameters: Any,
    ) -> dict[str, Any]:
        """One task in a process of its own, once the machine is quiet; what it measured."""
        postgres, broker = self.postgres.pid(), self.broker.process
        watched = {
            "postgresql": [postgres] if postgres else [],
            "broker": [broker.pid] if broker else [],
            **(parties or {}),
        }
        self._wait_until_quiet()
        done = subprocess.run(
            [python, "-m", f"tests.bench.{module}", task, json.dumps(parameters)],
            cwd=ROOT, env={**os.environ, PARTIES: json.dumps(watched)}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=patience_s, check=False,
        )  # fmt: skip
        lines = [line for line in done.stdout.splitlines() if line.startswith(ANSWER)]
        if done.returncode != 0 or not lines:
            raise RuntimeError(f"{module} {task} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        measured: dict[str, Any] = json.loads(lines[-1].removeprefix(ANSWER))
        measured["load"] = round(os.getloadavg()[0], 2)
        return measured

    def _wait_until_quiet(self) -> None:
        """Other programs on the machine make every figure a lie: wait for them a while, then go on and count it."""
        deadline = time.monotonic() + self._wait_quiet_s
        while foreign_cores() > QUIET_CORES:
            if time.monotonic() > deadline:
                self.noisy += 1
                return

    # ---- peers

    def peers_python(self) -> str:
        """The interpreter of the peers' environment, made on first use. Raises Unmeasured."""
        home = BUILD / "peers"
        wanted = ROOT / "tests" / "bench" / "requirements.txt"
        done = home / "installed.txt"
        if not done.exists() or done.read_text(encoding="utf-8") != wanted.read_text(encoding="utf-8"):
            print("installing the peers (eventsourcing, umadb) into build/bench/peers, once", flush=True)
            venv.create(home, clear=True, with_pip=True)
            _command(
                [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(wanted)]
            )
            shutil.copy(wanted, done)
        return str(home / "bin" / "python")

    def message_db(self) -> str:
        """The folder of the npm package message-db, fetched on first use. Raises Unmeasured."""
        package = BUILD / "npm" / "node_modules" / "@eventide" / "message-db"
        if not package.exists():
            if shutil.which("npm") is None:
                raise Unmeasured("message-db: npm is not installed")
            home = BUILD / "npm"
            home.mkdir(parents=True, exist_ok=True)
            (home / "package.json").write_text('{"private": true}\n', encoding="ascii")
            _command(["npm", "install", "--silent", "--prefix", str(home), MESSAGE_DB])
        return str(package)

    def eventsourcing(self, database: str, callers: int, seconds: float) -> dict[str, Any]:
        url = urlsplit(self.database(database))
        return self.run(
            "peers", "eventsourcing", python=self.peers_python(), host=url.hostname, port=url.port, user=url.username,
            password=self.postgres.password, database=database, callers=callers, seconds=seconds,
        )  # fmt: skip

    def umadb(self, callers: int, seconds: float) -> dict[str, Any]:
        """A fresh UmaDB server for each run, its data beside PostgreSQL's on the same disk."""
        python = self.peers_python()
        data = self.folder / "umadb"
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir()
        port = machine.free_port()
        with (self.folder / "umadb.log").open("ab") as log:
            server = subprocess.Popen(
                [str(Path(python).with_name("umadb")), "--listen", f"127.0.0.1:{port}", "--db-path", str(data)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            deadline = time.monotonic() + 10
            while not machine.accepts(port):
                if server.poll() is not None or time.monotonic() > deadline:
                    raise Unmeasured("UmaDB: its server does not start here")
                time.sleep(0.05)
            address = f"http://127.0.0.1:{port}"
            return self.run(
                "peers",
                "umadb",
                python=python,
                parties={"service": [server.pid]},
                address=address,
                callers=callers,
                seconds=seconds,
            )
        finally:
            server.terminate()
            server.wait(10)


def _command(command: list[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise Unmeasured(f"{Path(command[0]).name} cannot install it: {(done.stderr or done.stdout).strip()[-300:]}")
