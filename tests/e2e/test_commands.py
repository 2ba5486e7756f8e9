"""The `salescycle` command: help that helps, messages that say what to do, and no traceback."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli import doctor
from services.cli.doctor import Finding
from services.cli.embedded_broker import EmbeddedBroker
from services.cli.machine import free_port
from services.cli.settings import CliSettings
from services.kernel import auth
from services.kernel.errors import Unauthenticated
from tests.support.processes import ROOT, Processes


def findings(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> dict[str, Finding]:
    for name, value in processes.environment.items():
        if name.startswith("SALESCYCLE_"):
            monkeypatch.setenv(name, value)
    return {finding.what: finding for finding in asyncio.run(doctor.examine(CliSettings()))}


@pytest.mark.parametrize(
    "command", [(), ("keys",), ("topics",), ("up",), ("doctor",), ("kafka",), ("reset",), ("migrate",), ("config",)]
)
def test_every_command_has_help(processes: Processes, command: tuple[str, ...]) -> None:
    said = processes.salescycle(*command, "--help").stdout
    assert "Usage" in said
    assert "." in said


def test_a_key_is_made_listed_and_revoked(processes: Processes) -> None:
    token = processes.salescycle(
        "keys", "create", "--scopes", "events:read,events:write", "--note", "crm"
    ).stdout.strip()
    key_id = token.split("_")[1]
    row = next(row for row in json.loads(processes.salescycle("keys", "list", "--json").stdout) if row["id"] == key_id)
    assert (row["scopes"], row["note"], row["revoked_at"]) == (["events:read", "events:write"], "crm", None)
    processes.salescycle("keys", "revoke", key_id)
    assert f"{key_id}" in processes.salescycle("keys", "list").stdout
    ring = auth.KeyRing(Path(processes.environment["SALESCYCLE_KEYS_FILE"]))
    with pytest.raises(Unauthenticated):
        ring.authorise(f"Bearer {token}", "events:read")


def test_scopes_given_one_by_one_are_all_in_the_key(processes: Processes) -> None:
    token = processes.salescycle(
        "keys", "create", "--scopes", "events:read", "--scopes", "events:write,ops:admin"
    ).stdout
    rows = json.loads(processes.salescycle("keys", "list", "--json").stdout)
    assert {row["id"]: row["scopes"] for row in rows}[token.split("_")[1]] == [
        "events:read", "events:write", "ops:admin",
    ]  # fmt: skip


def test_a_scope_that_does_not_exist_is_named_with_those_that_do(processes: Processes) -> None:
    done = processes.salescycle("keys", "create", "--scopes", "events:delete", check=False)
    assert done.returncode == 1
    assert "events:delete" in done.stderr
    assert "events:write" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_setting_that_cannot_be_used_is_named(processes: Processes) -> None:
    processes.environment["SALESCYCLE_LIFECYCLE__PORT"] = "seven"
    done = processes.salescycle("keys", "list", check=False)
    assert done.returncode == 1
    assert "SALESCYCLE_LIFECYCLE__PORT: Input should be a valid integer" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_broker_that_does_not_answer_is_one_clear_line(processes: Processes, broker: EmbeddedBroker) -> None:
    broker.stop()
    done = processes.salescycle("topics", "apply", check=False)
    assert done.returncode == 1
    assert broker.bootstrap in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_type_that_does_not_exist_is_refused_with_the_near_one(processes: Processes) -> None:
    done = processes.salescycle("tail", "--type", "stage-entered", check=False)
    assert done.returncode == 1
    assert (
        "There is no event type stage-entered (did you mean `StageEntered`?); there are: ContactListed," in done.stderr
    )


def test_a_postgresql_that_does_not_answer_is_one_clear_line(processes: Processes) -> None:
    processes.environment["SALESCYCLE_POSTGRES__URL"] = f"postgresql://salescycle@127.0.0.1:{free_port()}/salescycle"
    done = processes.salescycle("migrate", check=False)
    assert done.returncode == 1
    assert "salescycle doctor" in done.stderr
    assert "Traceback" not in done.stderr


UNKNOWN = "`make up` has left nothing in {folder}. Start it with `make up`, or name the data folder"


def in_a_folder_without_a_system(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SALESCYCLE_")}
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *command], cwd=ROOT, env={**inherited, "SALESCYCLE_DATA_DIR": str(folder)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [
        ("keys", "create", "--scopes", "all"), ("verify",), ("parked", "list"), ("tail",), ("migrate",), ("topics", "apply"),
        ("rebuild", "pipeline"), ("config", "show"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_where_no_system_is_known_a_command_says_so_and_leaves_nothing(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = in_a_folder_without_a_system(tmp_path, *command)
    assert (done.returncode, done.stdout) == (1, "")
    assert UNKNOWN.format(folder=tmp_path) in done.stderr
    assert "SALESCYCLE_DATA_DIR=" in done.stderr
    assert not list(tmp_path.iterdir())


def test_where_no_system_is_known_doctor_and_down_name_the_folder(tmp_path: Path) -> None:
    doctor = in_a_folder_without_a_system(tmp_path, "doctor")
    assert doctor.returncode == 1
    assert UNKNOWN.format(folder=tmp_path) in doctor.stdout
    assert "PostgreSQL  " not in doctor.stdout, "what is not known is not looked at"
    down = in_a_folder_without_a_system(tmp_path, "down")
    assert (down.returncode, f"`make up` was never run in {tmp_path}" in down.stdout) == (0, True)


def test_doctor_says_what_to_do_on_a_fresh_store_and_is_content_once_it_was_done(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = findings(processes, monkeypatch)
    assert before["PostgreSQL"].state == before["fsync"].state == before["clocks"].state == "ok"
    assert before["schema lifecycle"].do == "run `salescycle migrate`"
    assert before["topic"].do == "run `salescycle topics apply`"
    processes.salescycle("migrate")
    processes.salescycle("topics", "apply")
    after = findings(processes, monkeypatch)
    wanted = {"PostgreSQL", "schema lifecycle", "schema projections", "broker", "topic", "keys", "clocks"}
    assert {after[what].state for what in wanted} == {"ok"}
    assert after["lifecycle"].state == "fail"
    said = processes.salescycle("doctor", check=False).stdout
    assert "synchronous_commit  on\n" in said
    assert "schema projections  level" in said


def test_doctor_finds_a_keys_file_that_others_may_read(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(processes.environment["SALESCYCLE_KEYS_FILE"])
    path.chmod(0o644)
    found = findings(processes, monkeypatch)["keys"]
    assert (found.state, found.do) == ("fail", f"chmod 600 {path}")


def test_doctor_finds_a_topic_with_another_number_of_partitions(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes.salescycle("topics", "apply")
    processes.environment["SALESCYCLE_LOG__PARTITIONS"] = "5"
    found = findings(processes, monkeypatch)["topic"]
    assert found.state == "fail"
    assert "has 12 partitions, the log has 5" in found.seen


def test_config_shows_every_setting_and_no_secret(processes: Processes) -> None:
    processes.environment["SALESCYCLE_POSTGRES__URL"] = "postgresql://ana:hunter:2@127.0.0.1:1/x?sslpassword=hunter3"
    processes.environment["SALESCYCLE_LOG__PLACEMENTS"] = json.dumps(
        [{"name": "one", "url": "postgresql://ana:hunter4@127.0.0.1:2/x", "first": 0, "last": 11}]
    )
    processes.environment["SALESCYCLE_LIFECYCLE"] = '{"port": 7200, "management_port": 7201}'
    said = processes.salescycle("config", "show").stdout
    assert "postgresql://ana:***@127.0.0.1:1/x?sslpassword=***" in said
    assert "one postgresql://ana:***@127.0.0.1:2/x 0 11" in said
    assert "hunter" not in said
    assert processes.key not in said
    assert "SALESCYCLE_KEY=***  # environment variable\n" in said
    assert "SALESCYCLE_LIFECYCLE__PORT=7200  # environment variable\n" in said
    assert "SALESCYCLE_COMMITTER_DEPTH=2  # default\n" in said
