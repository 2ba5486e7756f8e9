"""Starts parts in order, each after the one before is ready; starts again whatever exits; stops all in reverse order.

A part is anything with `start`, `ready`, `running` and `stop`: the embedded servers, and processes of our own.
"""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Final, Protocol

from services.cli import machine

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
STEADY_AFTER_S: Final = 60.0
"""A part that ran this long and exits is started again at once: its earlier failures are forgotten."""
LOG_KEPT_BYTES: Final = 20 * 2**20


class Part(Protocol):
    """Something that runs until it is stopped. No method raises when it is called twice."""

    name: str

    def start(self) -> None:
        """Begin to run; return before or after it is ready. Raises machine.CannotStart."""

    def ready(self) -> bool:
        """True when others may rely on it; answers within two seconds."""

    def running(self) -> bool: ...

    def stop(self) -> None:
        """End it and wait for its end, gently first."""


class Program:
    """A process of ours: its output goes to `log`, its process id to `<folder>/<name>.pid`, so that a later run finds it."""

    def __init__(
        self, name: str, command: Sequence[str], *, folder: Path, log: Path, environment: Mapping[str, str],
        ready_url: str | None = None, port_settings: Mapping[int, str] | None = None, stop_within_s: float = 35.0,
    ) -> None:  # fmt: skip
        """`ready_url` answers 200 when it is ready; without one it is ready as soon as it runs.

        `port_settings`: the ports it listens on, each with the variable that chooses another.
        """
        self.name = name
        self.command = list(command)
        self.log = log
        self.environment = dict(environment)
        self.ready_url = ready_url
        self.port_settings = dict(port_settings or {})
        self.stop_within_s = stop_within_s
        self.left_over = LeftOver(folder / f"{name}.pid", self.command[-1])
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Raises machine.PortBusy, machine.CannotStart."""
        if self.running():
            return
        self.left_over.stop()
        for port, setting in self.port_settings.items():
            machine.require_free_port(self.name, port, setting)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_KEPT_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is the supervisor's to hand on, in order
            )  # fmt: skip
        self.left_over.remember(self.process.pid)

    def ready(self) -> bool:
        if not self.running():
            return False
        if self.ready_url is None:
            return True
        try:
            with urllib.request.urlopen(self.ready_url, timeout=2) as answer:  # noqa: S310 - the URL is ours, on loopback
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(self.stop_within_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.left_over.stop()

    @property
    def exit_code(self) -> int | None:
        return None if self.process is None else self.process.poll()


class LeftOver:
    """The process id of a program in a file, so that a run that follows a crash of the supervisor can end it."""

    def __init__(self, path: Path, marker: str) -> None:
        """`marker` stands in the program's command line: a pid alone may belong to somebody else by now."""
        self.path = path
        self.marker = marker

    def remember(self, pid: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(f"{pid}\n", encoding="ascii")

    def pid(self) -> int | None:
        """The pid where that program still runs."""
        try:
            pid = int(self.path.read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return None
        return pid if self.marker in (machine.command_of(pid) or "") else None

    def stop(self, within_s: float = 35.0) -> None:
        if (pid := self.pid()) is not None:
            os.kill(pid, signal.SIGTERM)
            if not machine.wait_until_gone(pid, self.marker, timeout_s=within_s):
                machine.kill_now([pid])
                machine.wait_until_gone(pid, self.marker, timeout_s=5)
        self.path.unlink(missing_ok=True)


@dataclass
class _Care:
    """How often a part failed lately, and when it may be tried again (monotonic seconds)."""

    since: float = field(default_factory=time.monotonic)
    failures: int = 0
    again_at: float | None = None
    announced: bool = True


class Supervisor:
    """Runs parts until it is told to stop. `say` gets one line for everything an operator should know."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.parts: list[Part] = []
        self.stopping = Event()
        self._say = say
        self._care: dict[str, _Care] = {}

    def start(self, part: Part, *, within_s: float = 60.0) -> None:
        """Start a part and wait until it is ready; from then on it is looked after.

        Raises:
            machine.CannotStart: it ended, or was not ready in time; the end of its log is in the message.
            Interrupted: `stopping` was set meanwhile.
        """
        self.parts.append(part)
        part.start()
        deadline = time.monotonic() + within_s
        while not part.ready():
            if self.stopping.is_set():
                raise Interrupted
            if not part.running():
                raise machine.CannotStart(f"{part.name} ended while it started. {log_end(part)}")
            if time.monotonic() > deadline:
                raise machine.CannotStart(f"{part.name} was not ready within {within_s:.0f} s. {log_end(part)}")
            time.sleep(0.05)
        self._care[part.name] = _Care()

    def watch(self) -> None:
        """Look after the parts until `stopping` is set."""
        while not self.stopping.wait(0.25):
            for part in self.parts:
                self._look_after(part, self._care[part.name])

    def stop(self) -> None:
        """Stop every part, the last one started first. One that cannot be stopped does not keep the others."""
        self.stopping.set()
        while self.parts:
            part = self.parts.pop()
            began = time.monotonic()
            try:
                part.stop()
            except (machine.CannotStart, OSError, subprocess.SubprocessError) as failure:
                self._say(f"{part.name} could not be stopped: {failure}")
            else:
                self._say(f"{part.name} stopped ({time.monotonic() - began:.1f} s)")

    def _look_after(self, part: Part, care: _Care) -> None:
        now = time.monotonic()
        if part.running():
            if not care.announced and part.ready():
                care.announced = True
                self._say(f"{part.name} is ready again")
            return
        if care.again_at is None:
            if now - care.since > STEADY_AFTER_S:
                care.failures = 0
            pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**care.failures)
            care.failures += 1
            care.again_at = now + pause
            self._say(
                f"{part.name} ended{_how(part)}; starting it again in {pause:.1f} s (log: {getattr(part, 'log', '?')})"
            )
        elif now >= care.again_at:
            care.again_at, care.since, care.announced = None, now, False
            try:
                part.start()
            except machine.CannotStart as failure:
                self._say(f"{part.name} did not start: {failure}")


class Interrupted(Exception):
    """Told to stop while starting."""


def log_end(part: Part, lines: int = 15) -> str:
    """The last lines of a part's log, with where it lies."""
    log = getattr(part, "log", None)
    if not isinstance(log, Path) or not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 8192))
        end = file.read().decode(errors="replace").splitlines()[-lines:]
    return "Its log {} ends:\n{}".format(log, "\n".join(f"    {line}" for line in end))


def _how(part: Part) -> str:
    code = getattr(part, "exit_code", None)
    if code is None:
        return ""
    return f" (killed by {signal.Signals(-code).name})" if code < 0 else f" (exit code {code})"
