"""`salescycle up`, as somebody runs it in a terminal: it starts, says where, survives, stops, and finds its data again."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.cli.machine import command_of, free_port, port_is_free
from tests.support.postgres import delete, new_folder
from tests.support.processes import ROOT, wait_until

pytestmark = pytest.mark.timeout(180)


class Terminal:
    """One data folder and its ports; each `up` is a process whose output is read from a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.ports = {
            f"SALESCYCLE_{name}": str(free_port())
            for name in (
                "UP__POSTGRES_PORT", "UP__BROKER_PORT", "LIFECYCLE__PORT", "LIFECYCLE__MANAGEMENT_PORT", "PROJECTIONS__PORT",
                "PROJECTIONS__MANAGEMENT_PORT",
            )
        }  # fmt: skip
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SALESCYCLE_")}
        self.elsewhere = {
            **inherited, "SALESCYCLE_DATA_DIR": str(self.data), "COLUMNS": "200", "PYTHONPATH": str(ROOT)
        }  # fmt: skip
        self.environment = {**self.elsewhere, **self.ports}
        self.running: subprocess.Popen[bytes] | None = None
        self.screen_file = folder / "screen"

    @property
    def screen(self) -> str:
        return self.screen_file.read_text(encoding="utf-8", errors="replace") if self.screen_file.exists() else ""

    def launch(self, **environment: str) -> subprocess.Popen[bytes]:
        with self.screen_file.open("wb") as screen:
            self.running = subprocess.Popen(
                [sys.executable, "-m", "services.cli", "up"], cwd=ROOT, env={**self.environment, **environment},
                stdin=subprocess.DEVNULL, stdout=screen, stderr=subprocess.STDOUT,
            )  # fmt: skip
        return self.running

    def up(self, **environment: str) -> None:
        process = self.launch(**environment)
        wait_until(
            lambda: "Three things to try" in self.screen or process.poll() is not None,
            90,
            what=f"up: {self.screen_file}",
        )
        assert process.poll() is None, self.screen
        time.sleep(0.3)

    def interrupt(self) -> int:
        assert self.running is not None
        self.running.send_signal(signal.SIGINT)
        return self.running.wait(60)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "services.cli", *arguments], cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def run_elsewhere(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A command in another shell and another folder, where nobody chose ports."""
        return subprocess.run(
            [sys.executable, "-m", "services.cli", *arguments], cwd=self.folder, env={**self.elsewhere, **environment},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def pid_of(self, service: str) -> int:
        return int((self.data / "run" / f"{service}.pid").read_text())

    def get(self, service: str, path: str) -> httpx.Response:
        key = (self.data / "key").read_text().strip()
        url = f"http://127.0.0.1:{self.ports[f'SALESCYCLE_{service}__PORT']}{path}"
        return httpx.get(url, headers={"authorization": f"Bearer {key}"}, timeout=10)

    def positions(self) -> list[int]:
        return [int(self.get("LIFECYCLE", f"/v1/log/{p}?after=0&limit=1").headers["log-head"]) for p in range(12)]

    def all_ports_are_free(self) -> bool:
        return all(port_is_free(int(port)) for port in self.ports.values())


@pytest.fixture
def terminal(request: pytest.FixtureRequest) -> Iterator[Terminal]:
    folder = new_folder()
    made = Terminal(folder)
    yield made
    if made.running is not None and made.running.poll() is None:
        made.running.kill()
        made.running.wait()
    said = made.run("reset", "--yes")
    assert said.returncode == 0, said.stderr
    print(made.screen)
    shutil.rmtree(folder, ignore_errors=True)
    delete(folder)


def test_it_starts_says_three_things_that_work_and_ctrl_c_stops_everything(terminal: Terminal) -> None:
    terminal.up()
    lines, said = terminal.screen.split("for the README:")[1].split("Three things to try:")
    said = lines + said.replace("curl -s", "curl -sf") + "\necho\ncommand -v salescycle\necho $SALESCYCLE_DATA_DIR"
    done = subprocess.run(["sh", "-ec", said], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    assert '"position":' in done.stdout
    assert '"metric":' in done.stdout
    assert done.stdout.splitlines()[-2:] == [str(Path(sys.executable).parent / "salescycle"), str(terminal.data)]
    assert terminal.interrupt() == 0
    assert "Traceback" not in terminal.screen
    stops = re.findall(r"(\w+) stopped", terminal.screen)
    assert stops == ["projections", "lifecycle", "broker", "postgresql"]
    assert terminal.all_ports_are_free()


def test_a_command_in_another_shell_and_folder_finds_what_was_chosen_for_this_run(terminal: Terminal) -> None:
    terminal.up(DEMO="0", SALESCYCLE_LOG__PARTITIONS="5")
    doctor = terminal.run_elsewhere("doctor")
    assert doctor.returncode == 0, doctor.stdout
    port = terminal.ports["SALESCYCLE_PROJECTIONS__PORT"]
    assert re.search(rf"projections +ready at http://127.0.0.1:{port}\n", doctor.stdout)
    shown = {each["variable"]: each for each in json.loads(terminal.run_elsewhere("config", "show", "--json").stdout)}
    assert shown["SALESCYCLE_LOG__PARTITIONS"]["value"] == "5"
    assert shown["SALESCYCLE_PROJECTIONS__PORT"]["value"] == port
    assert shown["SALESCYCLE_PROJECTIONS__PORT"]["source"] == str(terminal.data / "environment")
    token = terminal.run_elsewhere("keys", "create", "--scopes", "events:read").stdout.strip()
    url = f"http://127.0.0.1:{terminal.ports['SALESCYCLE_LIFECYCLE__PORT']}/v1/log/4?after=0"
    assert httpx.get(url, headers={"authorization": f"Bearer {token}"}, timeout=10).status_code == 200
    assert "No difference" in terminal.run_elsewhere("verify").stdout


def test_started_again_it_finds_its_data_and_the_demo_is_stored_once(terminal: Terminal) -> None:
    terminal.up()
    before, key = terminal.positions(), (terminal.data / "key").read_text()
    assert sum(before) > 100
    terminal.interrupt()
    terminal.up()
    assert terminal.positions() == before
    assert (terminal.data / "key").read_text() == key


def test_a_service_that_is_killed_is_started_again_and_said(terminal: Terminal) -> None:
    terminal.up(DEMO="0")
    killed = terminal.pid_of("lifecycle")
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: "lifecycle is ready again" in terminal.screen, 40, what="lifecycle runs again")
    assert "lifecycle ended (killed by SIGKILL); starting it again in 0.5 s" in terminal.screen
    assert terminal.get("LIFECYCLE", "/v1/leads").status_code == 200


def test_what_a_killed_supervisor_left_is_taken_over_by_the_next_one(terminal: Terminal) -> None:
    terminal.up(DEMO="0")
    assert terminal.running is not None
    left = terminal.pid_of("lifecycle")
    terminal.running.kill()
    terminal.running.wait()
    assert "services.lifecycle" in (command_of(left) or "")
    terminal.up(DEMO="0")
    assert command_of(left) is None
    terminal.running.kill()
    terminal.running.wait()
    assert terminal.run("down").returncode == 0
    assert terminal.all_ports_are_free()


def test_a_terminal_that_goes_away_stops_everything(terminal: Terminal) -> None:
    up = subprocess.Popen(
        [sys.executable, "-m", "services.cli", "up"], cwd=ROOT, env={**terminal.environment, "DEMO": "0"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert up.stdout is not None
    assert "PostgreSQL" in up.stdout.readline().decode()
    up.stdout.close()
    up.wait(60)
    assert terminal.all_ports_are_free()


def test_down_stops_it_from_another_terminal_and_a_second_up_is_refused(terminal: Terminal) -> None:
    terminal.up(DEMO="0")
    assert terminal.running is not None
    second = terminal.run("up")
    assert second.returncode == 1
    assert f"It runs already (process {terminal.running.pid}" in second.stderr
    assert terminal.run("down").returncode == 0
    assert terminal.running.wait(10) == 0


def test_a_busy_port_is_said_before_anything_is_started(terminal: Terminal) -> None:
    port = int(terminal.ports["SALESCYCLE_LIFECYCLE__PORT"])
    with socket.create_server(("127.0.0.1", port)):
        done = terminal.run("up")
    assert done.returncode == 1
    assert f"Port {port} on 127.0.0.1 is in use" in done.stderr
    assert "SALESCYCLE_LIFECYCLE__PORT=" in done.stderr
    assert "PostgreSQL" not in done.stdout
    assert terminal.all_ports_are_free()


def test_reset_asks_and_then_leaves_nothing(terminal: Terminal) -> None:
    terminal.up(DEMO="0")
    refused = terminal.run("reset")
    assert refused.returncode == 1
    assert terminal.data.exists()
    assert terminal.run("reset", "--yes").returncode == 0
    assert not terminal.data.exists()
