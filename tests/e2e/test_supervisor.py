"""The supervisor, on small real processes: order, restart with back-off, stop in reverse, and what it says."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.machine import CannotStart, PortBusy, command_of, free_port
from services.cli.supervisor import Program, Supervisor
from tests.support.processes import wait_until

HTTP = """
import http.server, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
"""


class Stage:
    """A supervisor with what it said, watched in a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.supervisor = Supervisor(self.said.append)
        self.watching: threading.Thread | None = None

    def server(self, name: str) -> Program:
        port = free_port()
        return self.program(
            name, HTTP, str(port), ready_url=f"http://127.0.0.1:{port}/", ports={port: "SALESCYCLE_X__PORT"}
        )

    def program(
        self, name: str, script: str, *arguments: str, ready_url: str | None = None, ports: dict[int, str] | None = None
    ) -> Program:
        return Program(
            name, [sys.executable, "-c", script, *arguments, f"marker-{name}-{self.folder.name}"], folder=self.folder / "run",
            log=self.folder / f"{name}.log", environment=dict(os.environ), ready_url=ready_url, port_settings=ports,
        )  # fmt: skip

    def watch(self) -> None:
        self.watching = threading.Thread(target=self.supervisor.watch)
        self.watching.start()

    def stop(self) -> None:
        self.supervisor.stopping.set()
        if self.watching is not None:
            self.watching.join()
        self.supervisor.stop()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.stop()


def pid_of(program: Program) -> int:
    assert program.process is not None
    return program.process.pid


def test_a_part_is_ready_when_start_returns_and_parts_stop_in_reverse(stage: Stage) -> None:
    first, second = stage.server("first"), stage.server("second")
    stage.supervisor.start(first)
    assert first.ready()
    stage.supervisor.start(second)
    stage.stop()
    assert [line.split(" ")[0] for line in stage.said] == ["second", "first"]
    assert not first.running()
    assert not second.running()


def test_a_killed_child_is_started_again_and_said(stage: Stage) -> None:
    child = stage.server("child")
    stage.supervisor.start(child)
    stage.watch()
    before = pid_of(child)
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: child.ready() and pid_of(child) != before, 15, what="the child runs again")
    wait_until(lambda: "child is ready again" in stage.said, 5, what="that it is ready again is said")
    assert any("child ended (killed by SIGKILL); starting it again in 0.5 s" in line for line in stage.said)


def test_a_child_that_keeps_on_ending_is_started_less_and_less_often(stage: Stage) -> None:
    child = stage.program("short", "import time; time.sleep(0.3)")
    stage.supervisor.start(child)
    stage.watch()
    wait_until(lambda: sum("ended" in line for line in stage.said) >= 3, 20, what="three ends")
    pauses = [float(line.split(" in ")[1].split(" ")[0]) for line in stage.said if "ended" in line]
    assert pauses[:3] == [0.5, 1.0, 2.0]


def test_a_part_that_ends_while_it_starts_shows_the_end_of_its_log(stage: Stage) -> None:
    port = free_port()
    broken = stage.program(
        "broken", "import sys; sys.exit('the pipelines are missing')", ready_url=f"http://127.0.0.1:{port}/"
    )
    with pytest.raises(CannotStart, match=r"(?s)broken ended while it started.*the pipelines are missing"):
        stage.supervisor.start(broken)


def test_a_busy_port_is_said_with_the_setting_that_changes_it(stage: Stage) -> None:
    first = stage.server("first")
    stage.supervisor.start(first)
    port = next(iter(first.port_settings))
    second = stage.program("second", HTTP, str(port), ports={port: "SALESCYCLE_LIFECYCLE__PORT"})
    with pytest.raises(PortBusy, match=rf"Port {port} .* second cannot start there.*SALESCYCLE_LIFECYCLE__PORT="):
        stage.supervisor.start(second)


def test_what_a_crashed_supervisor_left_is_ended_before_the_start(stage: Stage) -> None:
    left = stage.server("child")
    left.start()
    again = Program(
        "child", left.command, folder=stage.folder / "run", log=left.log, environment=left.environment,
        ready_url=left.ready_url, port_settings=left.port_settings,
    )  # fmt: skip
    stage.supervisor.start(again)
    assert not left.running()
    assert again.ready()


def test_a_pid_that_belongs_to_somebody_else_by_now_is_left_alone(stage: Stage) -> None:
    child = stage.program("child", "import time; time.sleep(60)")
    child.left_over.remember(os.getpid())
    stage.supervisor.start(child)
    assert command_of(os.getpid()) is not None
