"""Services as real processes: started on free ports, killed as a crash would, their logs kept for the report."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import httpx

from services.cli import machine
from services.kernel import auth

ROOT: Final = Path(__file__).parents[2]
READY_WITHIN_S: Final = 30.0


class NotReady(AssertionError):
    """A process ended, or did not say that it is ready in time; the end of its log is in the message."""


class ServiceProcess:
    """One `python -m <module>`; `url` is its door, `management_url` its probes. Started again on the same ports."""

    def __init__(self, name: str, module: str, log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.module = module
        self.log_path = log
        self.port = machine.free_port()
        self.management_port = machine.free_port()
        service = module.rpartition(".")[2].upper()
        self.environment = {
            **environment,
            f"SALESCYCLE_{service}__PORT": str(self.port),
            f"SALESCYCLE_{service}__MANAGEMENT_PORT": str(self.management_port),
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def management_url(self) -> str:
        return f"http://127.0.0.1:{self.management_port}"

    @property
    def pid(self) -> int:
        assert self.process is not None, f"{self.name} was not started"
        return self.process.pid

    @property
    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""

    def launch(self) -> "ServiceProcess":
        """Start it and return at once."""
        assert not self.running(), f"{self.name} runs already"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        return self

    def start(self, within_s: float = READY_WITHIN_S) -> "ServiceProcess":
        """Start it and wait until /readyz answers 200. Raises NotReady."""
        self.launch()
        self.wait_ready(within_s)
        return self

    def wait_ready(self, within_s: float = READY_WITHIN_S) -> None:
        """Raises NotReady."""
        deadline = time.monotonic() + within_s
        said = "nothing yet"
        while time.monotonic() < deadline:
            if not self.running():
                raise NotReady(f"{self.name} ended with {self.exit_code}\n{self.log[-4000:]}")
            try:
                answer = httpx.get(f"{self.management_url}/readyz", timeout=2)
            except httpx.HTTPError as error:
                said = repr(error)
            else:
                if answer.status_code == 200:
                    return
                said = answer.text
            time.sleep(0.05)
        raise NotReady(f"{self.name} was not ready within {within_s} s: {said}\n{self.log[-4000:]}")

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; -9 after a kill -9."""
        return None if self.process is None else self.process.poll()

    def terminate(self, within_s: float = 30) -> int:
        """SIGTERM; returns the exit code. Raises subprocess.TimeoutExpired: it did not stop in time."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(within_s)

    def kill9(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def pause(self) -> None:
        """SIGSTOP: it becomes a zombie that knows nothing of the time that passes."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


class Processes:
    """Starts processes that share one set of settings, and ends all of them."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """`environment` holds settings (SALESCYCLE_…); those of the caller's shell do not reach the processes."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SALESCYCLE_")}
        keys = folder / "keys.json"
        self.key = auth.create_key(keys, auth.SCOPES, "test")
        self.environment = {
            **inherited,
            "PYTHONUNBUFFERED": "1",
            "SALESCYCLE_DATA_DIR": str(folder),
            "SALESCYCLE_KEYS_FILE": str(keys),
            "SALESCYCLE_KEY": self.key,
            **environment,
        }
        self.started: list[ServiceProcess] = []

    @property
    def headers(self) -> dict[str, str]:
        """What a client of these processes sends: a key with every scope."""
        return {"authorization": f"Bearer {self.key}"}

    def new(self, module: str, **environment: str) -> ServiceProcess:
        """A process of these settings and `environment`, not started."""
        number = sum(process.module == module for process in self.started) + 1
        name = f"{module.rpartition('.')[2]}-{number}"
        process = ServiceProcess(name, module, self.folder / f"{name}.log", {**self.environment, **environment})
        self.started.append(process)
        return process

    def lifecycle(self, **environment: str) -> ServiceProcess:
        """A lifecycle service, ready. The first one is where the others find the log."""
        process = self.new("services.lifecycle", **environment).start()
        self.environment.setdefault("SALESCYCLE_LIFECYCLE_URL", process.url)
        return process

    def projections(self, **environment: str) -> ServiceProcess:
        """A projections service, ready; start a lifecycle first."""
        return self.new("services.projections", **environment).start()

    def salescycle(
        self, *arguments: str, check: bool = True, timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run the command `salescycle …` with these settings; its output is in the result."""
        done = subprocess.run(
            [sys.executable, "-m", "services.cli", *arguments],
            cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise AssertionError(
                f"salescycle {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
            )
        return done

    def close(self) -> None:
        """Kill whatever still runs."""
        for process in reversed(self.started):
            process.kill9()

    def logs(self) -> list[tuple[str, str]]:
        """The end of each process's log, for the report of a failed test."""
        return [(f"log of {process.name}", process.log[-6000:]) for process in self.started]


def wait_until(
    condition: Callable[[], bool], within_s: float = 30, every_s: float = 0.05, *, what: str = "the condition"
) -> None:
    """Poll until `condition()` is true. Raises AssertionError naming `what` when it never was."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not hold within {within_s} s")
        time.sleep(every_s)
